"""What a guard lets through and what not."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
from tests.support import SECOND, Clock

from mendbus import codec
from mendbus.bus import Message
from mendbus.contracts.errors import CredentialsError, Refused
from mendbus.contracts.messages import CommandResult
from mendbus.contracts.subjects import HEADER_KEY, HEADER_SIGNATURE, Subjects
from mendbus.security import credentials, keys
from mendbus.security.credentials import Credentials, Identity
from mendbus.security.keys import KeyPair
from mendbus.security.signing import LATE_SECONDS, Guard, Signer, Trust, Unauthorized

SUBJECTS = Subjects()
COMMAND = SUBJECTS.command("runtime", "r1")
PAUSE = SUBJECTS.control("pause")


class Site:
    """Users with keys, the trust file that names them, and a guard."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.clock = Clock()
        self.listed: list[dict[str, Any]] = []
        self.signers: dict[str, Signer] = {}
        for user, role in (
            ("service/executor", "executor"),
            ("service/classifier", "classifier"),
            ("service/health-monitor", "health-monitor"),
            ("operator/vi", "viewer"),
            ("operator/op", "operator"),
            ("operator/ad", "admin"),
        ):
            self.signers[user] = self.enrol(user, role)
        self.guard = Guard(Trust(self.write()), SUBJECTS, self.clock)

    def enrol(self, user: str, role: str, **more: Any) -> Signer:
        """A user with a new key."""
        pair = KeyPair.generate()
        file = self.folder / f"{user.replace('/', '-')}.nk"
        credentials.write(file, Identity(user, pair))
        signing = pair.for_signatures()
        public = keys.to_base64(signing.public)
        self.listed.append({"kid": signing.kid, "public": public, "user": user, "role": role, **more})
        return Signer(Credentials(file, user), SUBJECTS)

    def write(self) -> Path:
        """The trust file as it is now."""
        file = self.folder / "keys.json"
        _ = file.write_text(json.dumps({"keys": self.listed}))
        return file

    def command(self, **changes: Any) -> dict[str, Any]:
        """A command that is in time."""
        deadline = self.clock() + 5 * SECOND
        return {"command_id": "c1", "deadline_unix_nano": deadline, "timeout_ms": 5000, "instance": "i"} | changes

    def order(self, **changes: Any) -> dict[str, Any]:
        """An order made now."""
        return {"id": "o1", "time_unix_nano": self.clock(), "verb": "pause", "by": "jo"} | changes

    def signed(self, user: str, subject: str, content: dict[str, Any]) -> Message:
        """A message with that user's signature."""
        body = codec.pack(content)
        return Message(subject, body, dict(self.signers[user].headers(subject, body, {}) or {}), "reply")

    def code(self, message: Message, seen: dict[str, int] | None = None) -> str:
        """Why a message is refused; nothing when it is not."""
        try:
            _ = self.guard.check(message, seen)
        except Refused as refused:
            return refused.code
        return ""


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """A site."""
    return Site(tmp_path)


def test_a_command_of_the_executor_counts(site: Site) -> None:
    """Its signature fits, it is in time, and it is handed on as it came."""
    message = site.signed("service/executor", COMMAND, site.command())
    assert site.guard.check(message) is message


def test_altered_misaddressed_and_unsigned_commands_do_not(site: Site) -> None:
    """Another body, another subject, another id, another signature, another key or none: each has a code."""
    good = site.signed("service/executor", COMMAND, site.command())
    altered = codec.pack(site.command(timeout_ms=5001))
    other = SUBJECTS.command("runtime", "r2")
    flipped = good.headers[HEADER_SIGNATURE]
    flipped = ("A" if flipped[0] != "A" else "B") + flipped[1:]
    assert site.code(Message(COMMAND, altered, good.headers)) == "bad_signature"
    assert site.code(Message(other, good.body, good.headers)) == "bad_signature"
    assert site.code(Message(COMMAND, good.body, {**good.headers, HEADER_SIGNATURE: flipped})) == "bad_signature"
    assert site.code(Message(COMMAND, good.body, {**good.headers, HEADER_SIGNATURE: "?"})) == "bad_signature"
    assert site.code(Message(COMMAND, good.body, {**good.headers, HEADER_KEY: "0" * 16})) == "unknown_key"
    assert site.code(Message(COMMAND, good.body, {})) == "unsigned"


def test_a_late_command_is_refused_and_one_within_the_skew_of_clocks_is_not(site: Site) -> None:
    """As long as it might still count, the agent remembers its id: what it forgets is too late by then."""
    message = site.signed("service/executor", COMMAND, site.command())
    site.clock.pass_seconds(5 + LATE_SECONDS)
    assert site.code(message) == ""
    site.clock.pass_seconds(1)
    assert site.code(message) == "late"


def test_a_command_without_instance_from_before_this_process_is_refused(site: Site) -> None:
    """A restarted agent has forgotten its commands: those that name no instance must be newer than itself."""
    old = site.signed("service/executor", COMMAND, site.command(instance=None))
    site.clock.pass_seconds(2)
    restarted = Guard(Trust(site.folder / "keys.json"), SUBJECTS, site.clock)
    with pytest.raises(Unauthorized, match="before this process began"):
        _ = restarted.check(old)
    new = site.signed("service/executor", COMMAND, site.command(instance=None))
    assert restarted.check(new) is new


@pytest.mark.parametrize(
    ("user", "subject", "code"),
    [
        ("service/classifier", COMMAND, "not_allowed"),
        ("operator/ad", COMMAND, "not_allowed"),
        ("operator/vi", PAUSE, "not_allowed"),
        ("operator/op", PAUSE, ""),
        ("operator/ad", PAUSE, ""),
        ("operator/vi", SUBJECTS.control("status"), ""),
        ("operator/op", SUBJECTS.control("profile"), "not_allowed"),
        ("operator/ad", SUBJECTS.control("profile"), ""),
        ("operator/op", SUBJECTS.rehearse("runtime", "r1"), "not_allowed"),
        ("operator/ad", SUBJECTS.rehearse("runtime", "r1"), ""),
        ("service/executor", PAUSE, "not_allowed"),
        ("service/health-monitor", SUBJECTS.control("audit"), ""),
        ("service/health-monitor", PAUSE, "not_allowed"),
    ],
)
def test_roles(site: Site, user: str, subject: str, code: str) -> None:
    """Viewers look, operators order, admins break things on purpose, and only the executor commands."""
    assert site.code(site.signed(user, subject, site.command() | site.order())) == code


def test_an_order_counts_once_and_soon(site: Site) -> None:
    """A replayed order, an old one and one from the future are refused; another one with the same id is another."""
    seen: dict[str, int] = {}
    message = site.signed("operator/op", PAUSE, site.order())
    assert site.code(message, seen) == ""
    assert site.code(message, seen) == "replayed"
    assert site.code(site.signed("operator/op", PAUSE, site.order(time_unix_nano=site.clock() + 1)), seen) == ""
    for seconds in (LATE_SECONDS + 1, -LATE_SECONDS - 1):
        late = site.order(id="o2", time_unix_nano=site.clock() + int(seconds * SECOND))
        assert site.code(site.signed("operator/op", PAUSE, late), seen) == "late"


@pytest.mark.parametrize(
    ("user", "subject"), [("operator/op", PAUSE), ("operator/ad", SUBJECTS.rehearse("runtime", "r1"))]
)
def test_an_order_from_before_this_process_is_refused(site: Site, user: str, subject: str) -> None:
    """A restarted process has forgotten which orders it had: what was given to the one before counts no second time."""
    old = site.signed(user, subject, site.order())
    assert site.code(old) == ""
    site.clock.pass_seconds(2)
    restarted = Guard(Trust(site.folder / "keys.json"), SUBJECTS, site.clock)
    with pytest.raises(Unauthorized, match="before this process began"):
        _ = restarted.check(old)
    new = site.signed(user, subject, site.order())
    assert restarted.check(new).headers == new.headers


def test_the_author_of_an_order_is_its_signer(site: Site) -> None:
    """Whatever name stands in it; the health-monitor alone passes on the names of those whom it checked."""
    heard = site.guard.check(site.signed("operator/op", PAUSE, site.order(by="root")))
    assert codec.unpack(heard.body)["by"] == "operator/op (root)"
    audit = site.signed("service/health-monitor", SUBJECTS.control("audit"), site.order(by="operator/op (jo)"))
    assert site.guard.check(audit) is audit


def test_keys_are_rotated_by_the_file_alone(site: Site) -> None:
    """Two keys of a user count at once; one that was taken out, or is past its end, does not."""
    old = site.signers["service/executor"]
    content = site.command()
    body = codec.pack(content)
    headers = dict(old.headers(COMMAND, body, {}) or {})
    site.signers["service/executor"] = site.enrol("service/executor", "executor", until_unix_nano=site.clock() + 1)
    _touch(site.write(), 1)
    assert site.code(Message(COMMAND, body, headers)) == ""
    assert site.code(site.signed("service/executor", COMMAND, content)) == ""
    # The file of the credentials is the same: the old signer signs with the new key from now on.
    assert (old.headers(COMMAND, body, {}) or {})[HEADER_KEY] == site.listed[-1]["kid"]
    site.clock.pass_seconds(1)
    assert site.code(site.signed("service/executor", COMMAND, content)) == "expired_key"
    _ = site.listed.pop(0)
    _touch(site.write(), 2)
    assert site.code(Message(COMMAND, body, headers)) == "unknown_key"


def test_a_spoilt_file_of_keys_changes_nothing(site: Site) -> None:
    """What was trusted stays so until the file can be read again; at the start it is an error."""
    file = site.folder / "keys.json"
    _ = file.write_text("{")
    _touch(file, 3)
    assert site.code(site.signed("service/executor", COMMAND, site.command())) == ""
    with pytest.raises(CredentialsError, match=r"keys\.json"):
        _ = Trust(file)


async def test_a_refused_command_is_answered_and_not_done(site: Site) -> None:
    """The handler hears nothing; who asked is told `unauthorized` with the code, or an error if it was no command."""
    heard: list[Message] = []
    answers: list[tuple[bytes, dict[str, str]]] = []

    async def hear(message: Message) -> None:
        heard.append(message)

    async def answer(_: str, body: bytes, headers: Any) -> None:
        answers.append((body, dict(headers)))

    handler = site.guard.before(COMMAND, hear, answer)
    await handler(Message(COMMAND, codec.pack(site.command()), {}, "reply"))
    await handler(Message(COMMAND, b"\x81", {}, "reply"))
    await handler(Message(COMMAND, codec.pack(site.command()), {}))
    assert heard == []
    result = codec.decode(CommandResult, answers[0][0])
    assert (result.command_id, result.status, result.code) == ("c1", "unauthorized", "unsigned")
    assert answers[1][1]["Nats-Service-Error-Code"] == "400"
    assert len(answers) == 2
    health = SUBJECTS.health("runtime", "r1")
    assert site.guard.before(health, hear, answer) is hear


def _touch(file: Path, step: int) -> None:
    """Gives the file another time of change, whatever the clock of the disk has for steps."""
    os.utime(file, ns=(step * SECOND, step * SECOND))
