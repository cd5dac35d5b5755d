"""What the lab's agents show one another: tokens that expire, and certificates, both made when a world starts.

A token says who asks and until when, under a signature that only the agents can make. Certificates are made by the
command `openssl` (Debian package openssl).
"""

import base64
import ctypes
import hashlib
import hmac
import json
import os
import secrets
import ssl
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

TOKEN_SECONDS = 30 * 86_400.0
"""A token that a world hands out is good for so long."""
SERVING = "serving.json"
"""In an agent's folder: the secret that it checks tokens with, and where it listens with which certificate."""
_OPENSSL_SECONDS = 30.0
_OVERRIDES = (1 << 1) | (1 << 2)
"""CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH."""
_CAPABILITY_VERSION = 0x20080522


# -- tokens


def issue(secret: bytes, who: str, expires: float) -> str:
    """A token for an agent, good until then (seconds since 1970)."""
    said = base64.urlsafe_b64encode(json.dumps([who, expires]).encode()).decode()
    return f"{said}.{_signature(secret, said)}"


def check(secret: bytes, token: object, now: float) -> str:
    """Who shows a token. Raises `PermissionError` with what is wrong with it."""
    if not isinstance(token, str) or not token:
        raise PermissionError("no token was shown")
    said, _, signature = token.partition(".")
    if not hmac.compare_digest(signature.encode(), _signature(secret, said).encode()):
        raise PermissionError("the signature of the token is wrong")
    who, expires = json.loads(base64.urlsafe_b64decode(said))
    if now >= expires:
        until = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(expires))
        raise PermissionError(f"the token of {who} expired at {until} UTC")
    return str(who)


def _signature(secret: bytes, said: str) -> str:
    return hmac.new(secret, said.encode(), hashlib.sha256).hexdigest()


# -- certificates


def make_authority(folder: Path, name: str) -> Path:
    """Makes an authority, `NAME.pem` and `NAME.key`; its certificate. Raises `RuntimeError`."""
    made = folder / f"{name}.pem"
    _openssl(
        *("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "3650"),
        *("-keyout", str(folder / f"{name}.key"), "-out", str(made), "-subj", f"/CN=lab {name}"),
    )
    return made


def make_certificate(folder: Path, authority: str, host: str, made: Path, days: int = 365) -> None:
    """Has an authority certify a host, in a file with the key too; negative `days`: expired. Raises `RuntimeError`."""
    key, request, alternative, certificate = (made.with_suffix(f".{what}") for what in ("key", "csr", "ext", "crt"))
    alternative.write_text(f"subjectAltName=DNS:{host}\n")
    _openssl(
        *("req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"),
        *("-keyout", str(key), "-out", str(request), "-subj", f"/CN={host}"),
    )
    _openssl(
        *("x509", "-req", "-in", str(request), "-days", str(days), "-extfile", str(alternative)),
        *("-CA", str(folder / f"{authority}.pem"), "-CAkey", str(folder / f"{authority}.key")),
        *("-CAserial", str(folder / f"{authority}.srl"), "-CAcreateserial", "-out", str(certificate)),
    )
    made.write_text(key.read_text() + certificate.read_text())


def _openssl(*arguments: str) -> None:
    try:
        _ = subprocess.run(
            ("openssl", *arguments), capture_output=True, text=True, timeout=_OPENSSL_SECONDS, check=True
        )
    except FileNotFoundError:
        msg = "the lab makes its certificates with the command openssl, which is not there (Debian package openssl)"
        raise RuntimeError(msg) from None
    except subprocess.CalledProcessError as error:
        msg = f"openssl {arguments[0]} failed: {error.stderr.strip()[-400:]}"
        raise RuntimeError(msg) from None


# -- what a world hands out


@dataclass(slots=True)
class Keys:
    """The secret and the authority of one world, in a folder."""

    folder: Path
    secret: bytes = b""
    authority: Path = Path()

    @classmethod
    def make(cls, folder: Path) -> "Keys":
        """Makes them. Raises `OSError`, `RuntimeError`."""
        folder.mkdir(parents=True)
        (folder / "secret").write_text(secrets.token_hex(32))
        return cls.of(folder, make_authority(folder, "authority"))

    @classmethod
    def of(cls, folder: Path, authority: Path | None = None) -> "Keys":
        """Those that were made in a folder. Raises `OSError`."""
        return cls(folder, (folder / "secret").read_text().encode(), authority or folder / "authority.pem")

    def token(self, who: str, seconds: float = TOKEN_SECONDS) -> str:
        """A token of an agent that is good for so long from now."""
        return issue(self.secret, who, time.time() + seconds)

    def certificate(self, host: str, name: str) -> Path:
        """A file with a certificate of a host, and its key. Raises `RuntimeError`."""
        made = self.folder / f"{name}.pem"
        make_certificate(self.folder, "authority", host, made)
        return made


@dataclass(slots=True)
class Serving:
    """How an agent serves others: it checks tokens if it has a secret, and listens with certificates, by their port."""

    secret: bytes = b""
    contexts: dict[int, ssl.SSLContext] = field(default_factory=dict[int, ssl.SSLContext])
    _certificates: dict[int, str] = field(default_factory=dict[int, str])

    @classmethod
    def read(cls, folder: Path) -> "Serving":
        """As the agent's folder says; without a word there, neither. Raises `OSError`, `ssl.SSLError`."""
        if not (folder / SERVING).exists():
            return cls()
        found: dict[str, Any] = json.loads((folder / SERVING).read_text())
        made = cls(Path(found["secret"]).read_text().encode())
        for port, certificate in found["certificates"].items():
            made.contexts[int(port)] = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            made._certificates[int(port)] = certificate
        made.load()
        return made

    def load(self) -> None:
        """Reads the certificates anew; new connections get them. Raises `OSError`, `ssl.SSLError`."""
        for port, context in self.contexts.items():
            context.load_cert_chain(self._certificates[port])

    def admit(self, question: dict[str, Any]) -> None:
        """Agents show a token; users, who have none, are trusted. Raises `PermissionError`."""
        if self.secret and "token" in question:
            _ = check(self.secret, question["token"], time.time())


# -- permissions


def obey_permissions() -> None:
    """Gives up what lets root disregard the permissions of files, as a service that is well set up has given up.

    For this thread and those that it starts; call it first. Without root's rights there is nothing to give up.
    """
    if sys.platform != "linux" or os.geteuid() != 0:
        return
    library = ctypes.CDLL(None, use_errno=True)
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION, 0)
    # Effective, permitted and inheritable, of the lower 32 capabilities and then of the upper.
    sets = (ctypes.c_uint32 * 6)()
    if library.capget(header, sets) == 0:
        for index in range(3):
            sets[index] &= ~_OVERRIDES
        _ = library.capset(header, sets)
