"""Keys as NATS writes them, and the credentials files that hold them."""

from pathlib import Path

import pytest

from mendbus.contracts.errors import CredentialsError
from mendbus.security import credentials, keys
from mendbus.security.credentials import Identity
from mendbus.security.keys import KeyPair
from mendbus.settings import Settings

ZERO = KeyPair(bytes(32))
ZERO_SEED = "SUAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"


def test_a_seed_is_read_back_and_begins_as_nats_has_it() -> None:
    """Seeds of users begin with SU, public keys with U, 58 and 56 characters long, and both say which pair they are."""
    pair = KeyPair.generate()
    seed, public = keys.to_seed(pair), keys.to_public(pair)
    assert (seed[:2], public[0], len(seed), len(public)) == ("SU", "U", 58, 56)
    assert keys.from_seed(seed).public == pair.public
    # RFC 8032 gives the public key of 32 zero bytes.
    assert ZERO.public.hex() == "3b6a27bcceb6a42d62a3a8d02a6f0d73653215771de243a63ac048a18b59da29"
    assert keys.to_seed(ZERO).startswith(ZERO_SEED[:50])


@pytest.mark.parametrize("text", ["", ZERO_SEED, keys.to_seed(ZERO)[:-1] + "!", "SO" + keys.to_seed(ZERO)[2:]])
def test_what_is_no_seed_is_refused(text: str) -> None:
    """Nothing, one with a wrong check, one with a character that is none, and one of an operator."""
    with pytest.raises(CredentialsError, match="not the seed of a user"):
        _ = keys.from_seed(text)


def test_messages_are_signed_with_another_key_than_connections() -> None:
    """A server that chooses what it has signed gets no signature that counts for a message."""
    pair = KeyPair.generate()
    message = b"mendbus.v1\nsubject\nid\nbody"
    assert pair.for_signatures().public != pair.public
    assert keys.verify(pair.public, message, pair.sign(message))
    assert not keys.verify(pair.for_signatures().public, message, pair.sign(message))
    assert not keys.verify(pair.public, message + b"!", pair.sign(message))
    assert not keys.verify(pair.public, message, b"")
    with pytest.raises(CredentialsError, match="no nonce"):
        _ = pair.answer("x" * 200)


def test_credentials_are_written_for_their_owner_alone(tmp_path: Path) -> None:
    """What was written is read back, by nobody else, and NATS tools find the seed on a line of its own."""
    file = tmp_path / "agent" / "runtime" / "r1.nk"
    credentials.write(file, Identity("agent/runtime/r1", ZERO))
    assert file.stat().st_mode & 0o777 == 0o600
    assert credentials.read(file) == Identity("agent/runtime/r1", ZERO)
    assert keys.to_seed(ZERO) in file.read_text().splitlines()
    settings = Settings(nats_credentials=tmp_path)
    found = credentials.of(settings, "agent/runtime/r1")
    assert found is not None
    assert (found.user, found.inbox) == ("agent/runtime/r1", "_INBOX.agent.runtime.r1")


def test_bad_credentials_are_told_apart(tmp_path: Path) -> None:
    """Missing, open to everybody, without a user or without a key: each error says which, and what to do."""
    file = tmp_path / "x.nk"
    with pytest.raises(CredentialsError, match="nats-config add"):
        _ = credentials.read(file)
    _ = file.write_text("# user: agent/a/b\n")
    file.chmod(0o644)
    with pytest.raises(CredentialsError, match="chmod 600"):
        _ = credentials.read(file)
    file.chmod(0o600)
    with pytest.raises(CredentialsError, match="hold no key"):
        _ = credentials.read(file)
    _ = file.write_text(keys.to_seed(ZERO))
    with pytest.raises(CredentialsError, match="do not say whose they are"):
        _ = credentials.read(file)


@pytest.mark.parametrize(
    ("one", "other"),
    [("agent/a/b_c", "agent/a_b/c"), ("agent/executor/x", "service/executor"), ("agent/a/b", "agent/a/bc")],
)
def test_no_inbox_lies_within_another(one: str, other: str) -> None:
    """Names that look alike have inboxes apart."""
    first, second = credentials.inbox_of(one) + ".", credentials.inbox_of(other) + "."
    assert not first.startswith(second)
    assert not second.startswith(first)
