"""The users of an installation and their keys, in one folder, kept by `mendbus nats-config` and `mendbus up --secure`.

`users.json` is the truth (public keys only); the rest follows from it, and is written by `render`. A key is rotated in
three steps, between which everything works: `rotate` makes the next key, which the server and whoever checks
signatures accept beside the present one; `switch` makes the user show and sign with it; `retire` ends the old one.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final, cast

from mendbus.contracts.errors import CredentialsError
from mendbus.contracts.ids import is_token
from mendbus.contracts.subjects import Subjects
from mendbus.contracts.vocabulary import SERVICES
from mendbus.security import credentials, keys
from mendbus.security.accounts import configuration
from mendbus.security.authority import make_authority, make_certificate
from mendbus.security.credentials import ADMIN, DASHBOARD, Identity, file_of
from mendbus.security.files import KNOWN, place
from mendbus.security.rights import rights_of
from mendbus.security.roles import LEVELS, Level

LOCAL: Final = ("127.0.0.1", "localhost")
SERVER_CONF: Final = "nats-secure.conf"
CREDENTIALS: Final = "credentials"
CA: Final = "ca.pem"
TRUST: Final = "keys.json"
_USERS: Final = "users.json"
_LIMITS: Final = """\
# One client may not take what is meant for all: what it does not read, and how much it may ask for.
max_pending: 16MB
max_subscriptions: 1000
max_control_line: 4KB
write_deadline: "5s"
"""


@dataclass(slots=True)
class PublicKey:
    """One key of a user: `nkey` for the connection, `signing` and `kid` for signatures."""

    nkey: str
    signing: str
    kid: str


@dataclass(slots=True)
class User:
    """A user with one key, or two while one is being rotated. `level`: of operators. `standby`: see `rights_of`."""

    keys: list[PublicKey]
    level: Level = "viewer"
    standby: str = ""


@dataclass(slots=True)
class Installation:
    """The folder and what its `users.json` says."""

    folder: Path
    root: str
    users: dict[str, User] = field(default_factory=dict[str, User])

    @classmethod
    def load(cls, folder: Path) -> "Installation":
        """Reads a folder. Raises `CredentialsError`."""
        try:
            told = cast("dict[str, Any]", json.loads((folder / _USERS).read_bytes()))
            users = {
                name: User([PublicKey(**key) for key in one["keys"]], one["level"], one["standby"])
                for name, one in told["users"].items()
            }
            return cls(folder, told["root"], users)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise CredentialsError(f"{folder} holds no users ({error!r}): `mendbus nats-config init`") from None

    @classmethod
    def create(cls, folder: Path, subjects: Subjects, hosts: Sequence[str] = LOCAL) -> "Installation":
        """A new folder with an authority, a server's certificate, the five services, an admin and the dashboard.

        Raises `CredentialsError`, also where there are users already.
        """
        if (folder / _USERS).exists():
            raise CredentialsError(f"{folder} has users already: add to them, or choose another folder")
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        make_authority(folder)
        make_certificate(folder, hosts)
        made = cls(folder, subjects.root)
        for service in SERVICES:
            made.add(f"service/{service}")
        made.add(ADMIN, "admin")
        made.add(DASHBOARD, "operator")
        made.render()
        return made

    def add(self, user: str, level: Level = "viewer", standby: str = "") -> Path:
        """A new user; returns its credentials file. Raises `CredentialsError`."""
        check_user(user)
        if user in self.users:
            raise CredentialsError(f"{user} is there already: `mendbus nats-config rotate {user}` makes a new key")
        if level not in LEVELS:
            raise CredentialsError(f"there is no level {level!r}: one of {', '.join(LEVELS)}")
        pair = keys.KeyPair.generate()
        file = self.file(user)
        credentials.write(file, Identity(user, pair))
        self.users[user] = User([_public(pair)], level, standby)
        return file

    def file(self, user: str) -> Path:
        """The credentials file of a user."""
        return file_of(self.folder / CREDENTIALS, user)

    def rotate(self, user: str) -> None:
        """Makes the next key of a user, accepted beside the present one. Raises `CredentialsError`."""
        known = self._known(user)
        if len(known.keys) > 1:
            raise CredentialsError(f"{user} has a next key already: `switch` to it, then `retire` the old one")
        pair = keys.KeyPair.generate()
        credentials.write(self._next(user), Identity(user, pair))
        known.keys.append(_public(pair))

    def switch(self, user: str) -> None:
        """Puts the next key into the user's credentials file. Raises `CredentialsError`."""
        _ = self._known(user)
        if not self._next(user).exists():
            raise CredentialsError(f"{user} has no next key to switch to: `rotate` makes one")
        # As written, so that the file stays with those who may read it.
        credentials.write(self.file(user), credentials.read(self._next(user)))
        self._next(user).unlink()

    def retire(self, user: str) -> None:
        """Ends every key of a user but the one in its credentials file. Raises `CredentialsError`."""
        known = self._known(user)
        if self._next(user).exists():
            raise CredentialsError(f"{user} still uses the old key: `switch` to the next one first")
        present = _public(credentials.read(self.file(user)).pair)
        known.keys = [present]

    def remove(self, user: str) -> None:
        """Ends a user. Raises `CredentialsError`."""
        _ = self._known(user)
        del self.users[user]
        for file in (self.file(user), self._next(user)):
            file.unlink(missing_ok=True)

    def render(self) -> None:
        """Writes what the server and its users read. Raises `CredentialsError`."""
        stated = {"root": self.root, "users": {name: asdict(user) for name, user in self.users.items()}}
        place(self.folder / _USERS, _json(stated), KNOWN)
        place(self.folder / TRUST, _json(self.trust()), KNOWN)
        place(self.folder / SERVER_CONF, self.server_conf(self.folder.absolute()), KNOWN)

    def trust(self) -> dict[str, Any]:
        """The keys that may sign: those of services and operators."""
        return {
            "keys": [
                {"kid": key.kid, "public": key.signing, "user": name, "role": role_of(name, user)}
                for name, user in self.users.items()
                if not name.startswith("agent/")
                for key in user.keys
            ]
        }

    def server_conf(self, certificates: Path) -> str:
        """What a server's configuration includes; `certificates`: where it finds its own."""
        subjects = Subjects(self.root)
        users: dict[str, list[dict[str, Any]]] = {}
        for name, user in self.users.items():
            rights = rights_of(name, subjects, user.level, standby=user.standby).permissions()
            users[name] = [{"nkey": key.nkey, "permissions": rights} for key in user.keys]
        standby = any(user.standby for user in self.users.values())
        accounts = configuration(users, subjects, standby=standby)
        tls = {
            "cert_file": str(certificates / "server.pem"),
            "key_file": str(certificates / "server.key"),
            "timeout": 5,
        }
        return (
            "# Written by `mendbus nats-config`: changes here are lost.\n"
            f"{_LIMITS}tls: {_json(tls)}\naccounts: {_json(accounts)}\n"
        )

    def _next(self, user: str) -> Path:
        file = self.file(user)
        return file.with_name(f"{file.name}.next")

    def _known(self, user: str) -> User:
        if user not in self.users:
            raise CredentialsError(f"there is no user {user!r}; there are: {', '.join(sorted(self.users))}")
        return self.users[user]


def ensure(folder: Path, subjects: Subjects) -> Installation:
    """The installation in a folder, made there if it has none, its files as this version writes them."""
    if not (folder / _USERS).exists():
        return Installation.create(folder, subjects)
    found = Installation.load(folder)
    if found.root != subjects.root:
        raise CredentialsError(f"the users in {folder} are those of {found.root!r}, and the root is {subjects.root!r}")
    found.render()
    return found


def settings_of(folder: Path) -> dict[str, Path]:
    """The settings of whoever lives on the same machine as the folder."""
    return {
        "nats_credentials": folder / CREDENTIALS,
        "nats_ca": folder / CA,
        "trusted_keys": folder / TRUST,
    }


def role_of(user: str, known: User) -> str:
    """What the owner of a key may sign as."""
    who, _, name = user.partition("/")
    return name if who == "service" else known.level


def check_user(user: str) -> None:
    """Raises `CredentialsError` for what names no user."""
    who, *rest = user.split("/")
    right = {"service": 1, "agent": 2, "operator": 1}.get(who) == len(rest) and all(map(is_token, rest))
    if not right or (who == "service" and rest[0] not in SERVICES):
        raise CredentialsError(f"{user!r} names no user: service/NAME, agent/KIND/ID or operator/NAME is expected")


def _public(pair: keys.KeyPair) -> PublicKey:
    signing = pair.for_signatures()
    return PublicKey(keys.to_public(pair), keys.to_base64(signing.public), signing.kid)


def _json(value: object) -> str:
    return json.dumps(value, indent=1) + "\n"
