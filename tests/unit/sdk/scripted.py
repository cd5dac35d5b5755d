"""A bus that stores like a stream with a dedupe window, and fails as it is told to."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field

from mendbus.bus import Message, Stored, ToStore
from mendbus.contracts.errors import BatchDuplicate, BusTimeout, NoResponders


@dataclass
class ScriptedBus:
    """`errors` are raised by the next attempts to store, one each (None: none); so many answers are lost.

    `answers` are those to requests, by a part of the subject; `subjects_refused` are never stored.
    """

    connected: bool = True
    closed: bool = False
    stored: dict[str, ToStore] = field(default_factory=dict[str, ToStore])
    attempts: list[list[str]] = field(default_factory=list[list[str]])
    errors: list[Exception | None] = field(default_factory=list["Exception | None"])
    lose_answers: int = 0
    seconds: float = 0.0
    answers: dict[str, Callable[[bytes], Awaitable[bytes]]] = field(default_factory=dict)

    async def store(self, subject: str, body: bytes, headers: Mapping[str, str], *, id: str, timeout: float) -> Stored:  # noqa: A002
        """See `Bus`."""
        await self._attempt([id])
        duplicate = id in self.stored
        self.stored.setdefault(id, ToStore(subject, body, headers, id))
        self._answer(subject, timeout)
        return Stored(list(self.stored).index(id) + 1, duplicate)

    async def store_batch(self, messages: Sequence[ToStore], *, timeout: float) -> Stored:
        """See `Bus`."""
        await self._attempt([message.id for message in messages])
        if any(message.id in self.stored for message in messages):
            raise BatchDuplicate("errors", 10201, "duplicate in batch")
        self.stored.update({message.id: message for message in messages})
        self._answer("errors", timeout)
        return Stored(len(self.stored))

    async def request(self, subject: str, body: bytes, headers: Mapping[str, str], *, timeout: float) -> Message:
        """See `Bus`."""
        for part, answer in self.answers.items():
            if part in subject:
                return Message(subject, await answer(body), {})
        raise NoResponders(subject)

    async def _attempt(self, ids: list[str]) -> None:
        await asyncio.sleep(self.seconds)
        self.attempts.append(ids)
        error = self.errors.pop(0) if self.errors else None
        if error is not None:
            raise error

    def _answer(self, subject: str, timeout: float) -> None:
        if self.lose_answers:
            self.lose_answers -= 1
            raise BusTimeout(subject, timeout)


@dataclass
class RecordedSpan:
    """A span, and how it ended."""

    name: str
    kind: str
    parent: str | None
    traceparent: str
    attributes: dict[str, object]
    ended: bool = False
    error: str | None = None

    def end(
        self, attributes: Mapping[str, object] | None = None, error: str | None = None, end_unix_nano: int | None = None
    ) -> None:
        """See `Span`."""
        assert not self.ended
        self.ended = True
        self.error = error
        self.attributes |= attributes or {}


@dataclass
class RecordingTracer:
    """Keeps the spans it starts."""

    spans: list[RecordedSpan] = field(default_factory=list[RecordedSpan])

    def start(
        self,
        name: str,
        kind: str = "internal",
        parent: str | None = None,
        attributes: Mapping[str, object] | None = None,
    ) -> RecordedSpan:
        """See `Tracer`."""
        number = len(self.spans) + 1
        self.spans.append(
            RecordedSpan(name, kind, parent, f"00-{number:032x}-{number:016x}-01", dict(attributes or {}))
        )
        return self.spans[-1]

    async def close(self, timeout: float = 5.0) -> None:
        """See `Tracer`."""
