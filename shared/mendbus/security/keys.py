"""Ed25519 key pairs in the text form of NATS (nkeys), and the key for signatures that follows from each."""

import base64
import binascii
import hashlib
import secrets
from dataclasses import dataclass
from functools import cached_property
from typing import Final, Self

from mendbus.contracts.errors import CredentialsError

_SEED: Final = 18 << 3
_USER: Final = 20 << 3
_SEED_BYTES: Final = 32
_SIGNING: Final = b"mendbus.sign.v1"
_MAX_NONCE: Final = 128


@dataclass(frozen=True)
class KeyPair:
    """One Ed25519 key pair. Needs PyNaCl, which is loaded with the first key."""

    raw: bytes
    """The 32 bytes from which everything follows; secret."""

    @classmethod
    def generate(cls) -> Self:
        """A new one."""
        return cls(secrets.token_bytes(_SEED_BYTES))

    @cached_property
    def _pair(self) -> tuple[bytes, bytes]:
        from nacl import bindings

        return bindings.crypto_sign_seed_keypair(self.raw)

    @property
    def public(self) -> bytes:
        """The 32 bytes that everybody may know."""
        return self._pair[0]

    def sign(self, message: bytes) -> bytes:
        """The signature of a message, 64 bytes."""
        from nacl import bindings

        return bindings.crypto_sign(message, self._pair[1])[:64]

    def for_signatures(self) -> "KeyPair":
        """The key pair for signatures on messages.

        Another one than for the connection: there the server chooses what is signed.
        """
        return KeyPair(hashlib.blake2b(self.raw, digest_size=_SEED_BYTES, person=_SIGNING).digest())

    @property
    def kid(self) -> str:
        """Names the public key: 16 hex digits of its SHA-256."""
        return hashlib.sha256(self.public).hexdigest()[:16]

    def answer(self, nonce: str) -> str:
        """What proves to a server that this key is ours. Raises `CredentialsError` for what is no nonce."""
        if not 0 < len(nonce) <= _MAX_NONCE or not nonce.isascii():
            raise CredentialsError("the server asked to sign something that is no nonce: it was not signed")
        return to_base64(self.sign(nonce.encode()))


def verify(public: bytes, message: bytes, signature: bytes) -> bool:
    """Whether a signature is that key's on that message."""
    from nacl import bindings, exceptions

    if len(signature) != 64 or len(public) != 32:
        return False
    try:
        _ = bindings.crypto_sign_open(signature + message, public)
    except exceptions.BadSignatureError:
        return False
    return True


def to_seed(pair: KeyPair) -> str:
    """The secret as text, as NATS tools read it: `SU...`."""
    return _base32(bytes((_SEED | _USER >> 5, (_USER & 31) << 3)) + pair.raw)


def from_seed(text: str) -> KeyPair:
    """The pair of a seed. Raises `CredentialsError` when it is none of a user."""
    try:
        decoded = base64.b32decode(text + "=" * (-len(text) % 8))
    except (ValueError, binascii.Error):
        decoded = b""
    body, check = decoded[:-2], decoded[-2:]
    right = len(decoded) == _SEED_BYTES + 4 and binascii.crc_hqx(body, 0).to_bytes(2, "little") == check
    if not right or body[:2] != bytes((_SEED | _USER >> 5, (_USER & 31) << 3)):
        raise CredentialsError("it is not the seed of a user: 58 letters and digits that begin with SU")
    return KeyPair(body[2:])


def to_public(pair: KeyPair) -> str:
    """The public key as text, as server configurations have it: `U...`."""
    return _base32(bytes((_USER,)) + pair.public)


def _base32(body: bytes) -> str:
    return base64.b32encode(body + binascii.crc_hqx(body, 0).to_bytes(2, "little")).decode().rstrip("=")


def to_base64(data: bytes) -> str:
    """URL-safe base64 without padding."""
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def from_base64(text: str) -> bytes:
    """Reads `to_base64`; nothing for what is none."""
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (ValueError, binascii.Error):
        return b""
