"""What a process shows the server, from files that are read again at every connection: a renewed one counts at once."""

import ssl
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from mendbus.bus.jetstream import API
from mendbus.contracts.errors import CredentialsError
from mendbus.security.files import is_open, place
from mendbus.security.keys import KeyPair, from_seed, to_public, to_seed
from mendbus.settings import Settings

AGENTS_API: Final = "$MENDBUS.API."
ADMIN: Final = "operator/admin"
"""As whom commands come where nothing else is said: of a folder with credentials of all, his are taken."""
DASHBOARD: Final = "operator/dashboard"
"""As whom the dashboard reads and orders."""
_USER_LINE: Final = "user:"


@dataclass(frozen=True, slots=True)
class Identity:
    """A user and its key pair. Users: `service/NAME`, `agent/KIND/ID`, `operator/NAME`."""

    user: str
    pair: KeyPair


@dataclass(frozen=True, slots=True)
class Credentials:
    """Where a process finds its key, the certificate of the authority, and the keys that it trusts."""

    file: Path
    user: str
    ca: Path | None = None
    trust: Path | None = None

    @property
    def inbox(self) -> str:
        """Where this user alone may listen for answers."""
        return inbox_of(self.user)

    @property
    def api(self) -> str:
        """Where this user asks JetStream: agents in the account of the services, see `accounts`."""
        return AGENTS_API if self.user.startswith("agent/") else API

    def identity(self) -> Identity:
        """The key as it stands in the file now. Raises `CredentialsError`."""
        return read(self.file)

    def proof(self) -> tuple[str, Callable[[str], str]]:
        """The public key, and what signs a nonce with the secret one. Raises `CredentialsError`."""
        pair = self.identity().pair
        return to_public(pair), pair.answer

    def context(self) -> ssl.SSLContext | None:
        """What TLS needs, None without a certificate of the authority. Raises `CredentialsError`."""
        if self.ca is None:
            return None
        try:
            return ssl.create_default_context(cafile=str(self.ca))
        except (OSError, ssl.SSLError) as error:
            raise CredentialsError(
                f"{self.ca} is no certificate of an authority ({error}): see MENDBUS_NATS_CA"
            ) from None


def inbox_of(user: str) -> str:
    """The inbox of a user; tokens of their own, so that no user's lies within another's."""
    return "_INBOX." + user.replace("/", ".")


def of(settings: Settings, user: str) -> Credentials | None:
    """What a user has by the settings; None where there are none, and the server must be open.

    `nats_credentials` is the user's own file, or the folder that holds one for each user. Raises `CredentialsError`.
    """
    named = settings.nats_credentials
    if named is None:
        if settings.nats_ca is not None or settings.trusted_keys is not None:
            # Whoever set them counts on TLS or on signatures, and would have neither.
            raise CredentialsError(
                "MENDBUS_NATS_CA and MENDBUS_TRUSTED_KEYS count only with MENDBUS_NATS_CREDENTIALS: set all or none"
            )
        return None
    file = file_of(named, user) if named.is_dir() else named
    return Credentials(file, read(file).user, settings.nats_ca, settings.trusted_keys)


def file_of(folder: Path, user: str) -> Path:
    """The credentials of a user in the folder of all."""
    return folder / f"{user}.nk"


def read(file: Path) -> Identity:
    """A credentials file. Raises `CredentialsError` that says what is wrong with it."""
    try:
        text = file.read_text(encoding="utf-8")
        everybody = is_open(file)
    except (OSError, UnicodeDecodeError) as error:
        raise CredentialsError(
            f"credentials {file} cannot be read ({error}): `mendbus nats-config add` makes some"
        ) from None
    if everybody:
        raise CredentialsError(f"credentials {file} can be read by everybody: chmod 600 {file}")
    user, seed = "", ""
    for line in text.splitlines():
        words = line.strip().lstrip("# ")
        if words.startswith(_USER_LINE):
            user = words.removeprefix(_USER_LINE).strip()
        elif words.startswith("SU"):
            seed = words
    if not user:
        raise CredentialsError(
            f"credentials {file} do not say whose they are: a line `# user: agent/KIND/ID` is missing"
        )
    try:
        return Identity(user, from_seed(seed))
    except CredentialsError as error:
        raise CredentialsError(f"credentials {file} hold no key: {error}") from None


def write(file: Path, identity: Identity) -> None:
    """Writes a credentials file, a new one for its owner alone; NATS tools take it for an nkey too.

    Raises `CredentialsError`.
    """
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    place(file, f"# Mendbus credentials: secret.\n# {_USER_LINE} {identity.user}\n{to_seed(identity.pair)}\n")
