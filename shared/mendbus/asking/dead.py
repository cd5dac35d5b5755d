"""Dead letters: what services had to refuse, and how to send it again."""

import contextlib
import time
from collections import deque
from typing import Any, NamedTuple

from mendbus import codec
from mendbus.asking.errors import Declined, NotFound
from mendbus.asking.orders import Order, answer_to
from mendbus.bus import Bus, StoredMessage
from mendbus.contracts.errors import MendbusError, NoResponders, NoStream, Refused
from mendbus.contracts.journal import AUDIT, REDRIVE
from mendbus.contracts.subjects import HEADER_CODE, HEADER_REASON, HEADER_SIZE, HEADER_SUBJECT, Subjects
from mendbus.redacted import redact_bytes, redact_plain
from mendbus.redaction import Redaction, redact

_NOTE_SECONDS = 3.0
_OURS = frozenset((HEADER_CODE, HEADER_REASON, HEADER_SIZE, HEADER_SUBJECT, "Mendbus-Original-Id"))


class Letter(NamedTuple):
    """A dead letter: why it is one, and what the sender had sent."""

    sequence: int
    time_unix_nano: int
    service: str
    code: str
    reason: str
    subject: str
    size: int
    headers: dict[str, str]
    body: bytes

    @property
    def cut(self) -> bool:
        """Whether the service kept only the beginning of the body."""
        return self.size > len(self.body)

    @property
    def readable(self) -> Any:
        """The body as plain values, or None where it is none."""
        with contextlib.suppress(Refused):
            return codec.unpack(self.body)
        return None

    def facts(self) -> dict[str, Any]:
        """For programs, without headers and body."""
        return {name: value for name, value in self._asdict().items() if name not in ("headers", "body")}

    def whole(self) -> dict[str, Any]:
        """For programs."""
        return self.facts() | {"headers": self.headers, "body_hex": self.body.hex(), "body": self.readable}

    def shown(self, rules: Redaction) -> dict[str, Any]:
        """As `whole`, for who need not know secrets: all of it redacted, and bytes where nothing can be read.

        `kept`: how many bytes of the body the service kept.
        """
        body = self.readable
        raw = redact_bytes(self.body, rules).hex() if body is None else ""
        told = redact_plain({"headers": self.headers, "body": body}, rules)
        return redacted(self.facts(), rules) | told | {"kept": len(self.body), "body_hex": raw}


def redacted(facts: dict[str, Any], rules: Redaction) -> dict[str, Any]:
    """The facts of a letter, its texts redacted: why a message is refused may quote it."""
    return {name: redact(value, rules) if isinstance(value, str) else value for name, value in facts.items()}


async def newest(bus: Bus, subjects: Subjects, limit: int) -> list[dict[str, Any]]:
    """The facts of the newest so many, the newest last."""
    # What is not told is not held: bodies may be large, and the stream is.
    facts: deque[dict[str, Any]] = deque(maxlen=limit)
    async for stored in bus.read(subjects.stream("DEAD"), subjects.everyone("dead")):
        facts.append(letter_of(stored).facts())
    return list(facts)


async def read_one(bus: Bus, subjects: Subjects, sequence: int) -> Letter:
    """The one with this number. Raises `NotFound`."""
    async for stored in bus.read(subjects.stream("DEAD"), subjects.everyone("dead"), start=sequence):
        if stored.sequence == sequence:
            return letter_of(stored)
        break
    raise NotFound(f"there is no dead letter {sequence}: see `mendbus dead list`")


def sendable(letter: Letter) -> Letter:
    """The letter, when it can be sent again as it was. Raises `Declined` when it cannot, with the reason."""
    if letter.cut:
        raise Declined(f"dead letter {letter.sequence} has {letter.size} bytes, of which {len(letter.body)} were kept")
    if not letter.subject:
        raise Declined(f"dead letter {letter.sequence} does not say to which subject it was sent")
    return letter


async def send(bus: Bus, subjects: Subjects, letter: Letter, by: str | None = None) -> dict[str, Any]:
    """Sends a letter again, as it was, and has that noted; what was done, for programs.

    `sequence`: None where no stream took it. `unnoted`: why it does not stand in the audit trail, if it does not.
    """
    try:
        stored = (await bus.store(letter.subject, letter.body, letter.headers)).sequence
    except NoResponders:
        # No stream listens there: it was a plain message.
        await bus.publish(letter.subject, letter.body, letter.headers)
        await bus.barrier()
        stored = None
    except NoStream:
        # A plain message too, and whoever listens has answered it.
        stored = None
    order = Order(AUDIT, (None, None), f"sent again to {letter.subject}", by)
    noted = {"verb": REDRIVE, "key": f"dead:{letter.sequence}"}
    facts: dict[str, Any] = {"subject": letter.subject, "bytes": len(letter.body), "sequence": stored}
    try:
        _ = await answer_to(bus, subjects, order, noted, _NOTE_SECONDS)
    except MendbusError as error:
        # It is sent all the same: that nobody notes it may be why there are dead letters.
        facts["unnoted"] = str(error)
    return facts


def letter_of(stored: StoredMessage) -> Letter:
    """A dead letter from the message in which a service keeps it."""
    said = stored.headers
    size = said.get(HEADER_SIZE, "")
    return Letter(
        sequence=stored.sequence,
        time_unix_nano=stored.time_unix_nano or time.time_ns(),
        service=stored.subject.rsplit(".", 1)[-1],
        code=said.get(HEADER_CODE, ""),
        reason=said.get(HEADER_REASON, ""),
        subject=said.get(HEADER_SUBJECT, ""),
        size=int(size) if size.isdigit() else len(stored.body),
        headers={name: value for name, value in said.items() if name not in _OURS and not name.startswith("Nats-")},
        body=stored.body,
    )
