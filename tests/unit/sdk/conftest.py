"""What the tests of the agent SDK share: failures to report, and a bus that does as it is told."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field

import pytest

from mendbus.bus import Message, Stored, ToStore
from mendbus.contracts.errors import NoResponders
from mendbus.contracts.messages import AgentRef
from mendbus.sdk.reports import Captured, Link, Place, Words

Answer = Callable[[bytes], Awaitable[bytes]]


def failure(message: str = "boom", severity: str | None = None, frames: int = 1) -> Captured:
    """A captured failure."""
    places = tuple(Place("app.py", number, "work") for number in range(frames))
    return Captured((Link("ValueError", message, places, "", ""),), Words(severity), {})  # type: ignore[arg-type]


@dataclass
class ScriptedBus:
    """Stores like a stream with a dedupe window; `errors` are raised, one for each attempt, before anything else."""

    connected: bool = True
    closed: bool = False
    stored: dict[str, ToStore] = field(default_factory=dict)
    attempts: list[list[str]] = field(default_factory=list)
    errors: list[Exception | None] = field(default_factory=list)
    lose_answers: int = 0
    answers: dict[str, Answer] = field(default_factory=dict)

    def _fail(self) -> None:
        if self.errors:
            error = self.errors.pop(0)
            if error is not None:
                raise error

    async def store(self, subject: str, body: bytes, headers: Mapping[str, str], *, id: str, timeout: float) -> Stored:
        """See Bus."""
        from mendbus.contracts.errors import BusTimeout

        await asyncio.sleep(0)
        self.attempts.append([id])
        self._fail()
        duplicate = id in self.stored
        self.stored.setdefault(id, ToStore(subject, body, headers, id))
        if self.lose_answers:
            self.lose_answers -= 1
            raise BusTimeout(subject, timeout)
        return Stored(list(self.stored).index(id) + 1, duplicate)

    async def store_batch(self, messages: Sequence[ToStore], *, timeout: float) -> Stored:
        """See Bus."""
        from mendbus.contracts.errors import BatchDuplicate, BusTimeout

        await asyncio.sleep(0)
        self.attempts.append([message.id for message in messages])
        self._fail()
        if any(message.id in self.stored for message in messages):
            raise BatchDuplicate("errors", 10201, "duplicate")
        for message in messages:
            self.stored[message.id] = message
        if self.lose_answers:
            self.lose_answers -= 1
            raise BusTimeout("errors", timeout)
        return Stored(len(self.stored))

    async def request(self, subject: str, body: bytes, headers: Mapping[str, str], *, timeout: float) -> Message:
        """See Bus."""
        for family, answer in self.answers.items():
            if family in subject:
                return Message(subject, await answer(body), {})
        raise NoResponders(subject)


@pytest.fixture
def ref() -> AgentRef:
    """An agent."""
    return AgentRef(kind="build_pipeline", id="b1", instance="boot-1")
