"""Signatures on commands and operators' orders: made by a `Signer`, checked by a `Guard`.

Signed is `mendbus.v1`, the subject, the id (`command_id`, else `id`, else nothing), each followed by a line feed, and
the body as it is sent. What is signed can therefore neither be altered nor be sent to somebody else. That it is not
sent again, or much later, is for the `Guard` and for the agent's memory of its commands.
"""

import json
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, cast

from mendbus import codec
from mendbus.bus import Handler, Message
from mendbus.contracts.errors import CredentialsError, Refused
from mendbus.contracts.messages import CommandResult
from mendbus.contracts.subjects import (
    HEADER_KEY,
    HEADER_SERVICE_ERROR,
    HEADER_SERVICE_ERROR_CODE,
    HEADER_SIGNATURE,
    MAX_SERVICE_BODY,
    Subjects,
)
from mendbus.filestamp import Watched
from mendbus.security import keys
from mendbus.security.credentials import Credentials
from mendbus.security.roles import may_order, may_sign

log = logging.getLogger("mendbus.security")

LATE_SECONDS: Final = 60.0
"""How far clocks may be apart: a command so long after its deadline, or an order so old, is refused. An agent remembers
its commands ten times as long, so that a repeat in between is recognised by its id."""
_REMEMBERED: Final = 10_000
_NANO: Final = 1_000_000_000
_SIGNED: Final = ("command", "rehearse", "control")

Answer = Callable[[str, bytes, Mapping[str, str]], Awaitable[None]]


def payload(subject: str, id_: str, body: bytes) -> bytes:
    """The bytes that are signed."""
    return f"mendbus.v1\n{subject}\n{id_}\n".encode() + body


def id_of(content: Mapping[str, Any]) -> str:
    """The id that is signed."""
    found = content.get("command_id", content.get("id"))
    return found if isinstance(found, str) else ""


def family_of(subject: str, subjects: Subjects) -> str:
    """`command`, `rehearse` or `control`, whose messages are signed; nothing for any other subject."""
    root, rest = subjects.root + ".", subject
    family = rest.removeprefix(root).split(".", 1)[0] if rest.startswith(root) else ""
    return family if family in _SIGNED else ""


class Signer:
    """Signs with the key in a credentials file, read again whenever it has changed."""

    def __init__(self, credentials: Credentials, subjects: Subjects) -> None:
        """Raises `CredentialsError` when the file cannot be used."""
        self._credentials = credentials
        self._subjects = subjects
        self._watched = Watched(credentials.file)
        self._pair = self._from_file()

    def headers(self, subject: str, body: bytes, headers: Mapping[str, str] | None) -> Mapping[str, str] | None:
        """The headers of a message with its signature, if it is one to be signed."""
        if not family_of(subject, self._subjects):
            return headers
        pair = self._read()
        signature = pair.sign(payload(subject, id_of(codec.unpack(body, MAX_SERVICE_BODY)), body))
        return {**(headers or {}), HEADER_KEY: pair.kid, HEADER_SIGNATURE: keys.to_base64(signature)}

    def _read(self) -> keys.KeyPair:
        if self._watched.changed():
            try:
                self._pair = self._from_file()
            except CredentialsError as error:
                log.error("what is signed is signed with the key of before: %s", error)
        return self._pair

    def _from_file(self) -> keys.KeyPair:
        return self._credentials.identity().pair.for_signatures()


@dataclass(frozen=True, slots=True)
class TrustedKey:
    """A public key that may sign; `until_unix_nano`: not after."""

    public: bytes
    user: str
    role: str
    until_unix_nano: int | None = None


class Trust:
    """The keys that may sign, by `kid`, from a file that is read again whenever it has changed: so keys are rotated."""

    def __init__(self, file: Path) -> None:
        """Raises `CredentialsError` when the file cannot be used."""
        self._file = file
        self._watched = Watched(file)
        self._keys = read_trust(file)

    def key(self, kid: str) -> TrustedKey | None:
        """The key of that name as the file has it now; what was known before where it cannot be read."""
        if self._watched.changed():
            try:
                self._keys = read_trust(self._file)
            except CredentialsError as error:
                log.error("the trusted keys stay as they were: %s", error)
        return self._keys.get(kid)


def read_trust(file: Path) -> dict[str, TrustedKey]:
    """The keys in a file of trusted keys. Raises `CredentialsError`."""
    try:
        listed = cast("list[dict[str, Any]]", json.loads(file.read_bytes())["keys"])
        found = {
            str(one["kid"]): TrustedKey(
                keys.from_base64(one["public"]), str(one["user"]), str(one["role"]), one.get("until_unix_nano")
            )
            for one in listed
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise CredentialsError(
            f"trusted keys {file} cannot be read ({error!r}): `mendbus nats-config` writes keys.json"
        ) from None
    return found


class Unauthorized(Refused):
    """A message that must be signed is not, or not well enough. `code` and `reason` as in `Refused`."""


class Guard:
    """Lets through only what somebody signed who may."""

    def __init__(self, trust: Trust, subjects: Subjects, now: Callable[[], int] = time.time_ns) -> None:
        self._trust = trust
        self._subjects = subjects
        self._now = now
        self._born = now()

    def before(self, subject: str, handler: Handler, answer: Answer) -> Handler:
        """A handler that hears only good messages; the same one for subjects whose messages are not signed."""
        if not family_of(subject, self._subjects):
            return handler
        seen: dict[str, int] = {}

        async def guarded(message: Message) -> None:
            try:
                good = self.check(message, seen)
            except Refused as refused:
                log.warning("refused a message on %s: %s", message.subject, refused)
                if message.reply:
                    await answer(message.reply, *_refusal(message, refused))
                return
            await handler(good)

        return guarded

    def check(self, message: Message, seen: dict[str, int] | None = None) -> Message:
        """The message, with the signer as its author where it names one. Raises `Unauthorized`, `Refused`.

        `seen`: orders that came before, each with the time at which it was made.
        """
        content = codec.unpack(message.body, MAX_SERVICE_BODY)
        family = family_of(message.subject, self._subjects)
        key = self._signer_of(message, content)
        if family == "control":
            verb = message.subject.rsplit(".", 1)[1]
            if not may_order(key.role, verb):
                raise Unauthorized("not_allowed", f"{key.user} ({key.role}) may not order {verb}")
        elif not may_sign(key.role, family):
            raise Unauthorized("not_allowed", f"{key.user} ({key.role}) may not sign a {family}")
        if family == "command":
            self._in_time(content)
        else:
            self._fresh(content, {} if seen is None else seen)
        said = content.get("by")
        if family != "control" or said is None or said == key.user or key.role == "health-monitor":
            # The health-monitor notes what operators did whose signatures it has checked itself.
            return message
        body = codec.pack({**content, "by": f"{key.user} ({said})"[:64]})
        return Message(message.subject, body, message.headers, message.reply)

    def _signer_of(self, message: Message, content: Mapping[str, Any]) -> TrustedKey:
        kid, text = message.headers.get(HEADER_KEY, ""), message.headers.get(HEADER_SIGNATURE, "")
        if not kid or not text:
            raise Unauthorized("unsigned", "it is not signed, and here only signed messages count")
        key = self._trust.key(kid)
        if key is None:
            raise Unauthorized("unknown_key", f"key {kid[:64]!r} is not among the trusted keys")
        if key.until_unix_nano is not None and self._now() > key.until_unix_nano:
            raise Unauthorized("expired_key", f"key {kid} of {key.user} is no longer valid")
        signed = payload(message.subject, id_of(content), message.body)
        if not keys.verify(key.public, signed, keys.from_base64(text)):
            raise Unauthorized("bad_signature", f"the signature of {key.user} does not fit subject, id and body")
        return key

    def _in_time(self, content: Mapping[str, Any]) -> None:
        deadline, timeout = content.get("deadline_unix_nano"), content.get("timeout_ms")
        if not isinstance(deadline, int) or not isinstance(timeout, int):
            raise Refused("invalid", "a command without deadline_unix_nano and timeout_ms")
        late = (self._now() - deadline) / _NANO
        if late > LATE_SECONDS:
            raise Unauthorized("late", f"its deadline passed {late:.0f} s ago")
        if content.get("instance") is None and deadline - timeout * 1_000_000 < self._born:
            raise Unauthorized("late", "it names no instance and was made before this process began")

    def _fresh(self, content: Mapping[str, Any], seen: dict[str, int]) -> None:
        made, id_ = content.get("time_unix_nano"), id_of(content)
        if not isinstance(made, int) or not id_:
            raise Refused("invalid", "an order without time_unix_nano and id")
        age = (self._now() - made) / _NANO
        if abs(age) > LATE_SECONDS:
            raise Unauthorized("late", f"it was made {age:.0f} s ago by this clock, {LATE_SECONDS:g} s are allowed")
        if made < self._born:
            # Whether it came before is forgotten.
            raise Unauthorized("late", "it was made before this process began, which cannot know it: give it again")
        # An id alone is not enough: what ends a rehearsal has the id of what began it.
        one = f"{id_}/{made}"
        if one in seen:
            raise Unauthorized("replayed", f"{id_} came before")
        if len(seen) >= _REMEMBERED:
            oldest = self._now() - int(LATE_SECONDS * _NANO)
            for known in [name for name, its in seen.items() if its < oldest]:
                del seen[known]
        if len(seen) >= _REMEMBERED:
            # Orders come from people: one that sends so many in a minute is not obeyed.
            raise Unauthorized("too_many", f"more than {_REMEMBERED} orders within {LATE_SECONDS:g} s")
        seen[one] = made


def _refusal(message: Message, refused: Refused) -> tuple[bytes, dict[str, str]]:
    headers = codec.headers()
    command_id = ""
    if isinstance(refused, Unauthorized):
        command_id = str(codec.unpack(message.body, MAX_SERVICE_BODY).get("command_id") or "")
    if command_id:
        result = CommandResult(
            command_id=command_id, status="unauthorized", code=refused.code, detail=refused.reason[:1000]
        )
        return codec.encode(result), headers
    code = "403" if isinstance(refused, Unauthorized) else "400"
    return b"", {HEADER_SERVICE_ERROR: " ".join(str(refused).split())[:400], HEADER_SERVICE_ERROR_CODE: code}
