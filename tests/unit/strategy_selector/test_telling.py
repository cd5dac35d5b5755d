"""Telling outcomes: many at once, those of one incident in order, and each until the server has it."""

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager, suppress
from typing import cast

from mendbus import codec
from mendbus.bus import Bus, Stored
from mendbus.contracts.errors import BusTimeout
from mendbus.contracts.messages import AgentRef, RecoveryOutcome
from mendbus.contracts.subjects import Subjects
from mendbus.testing import eventually
from mendbus_strategy_selector.telling import Teller


def outcome(incident: str, sequence: int = 0) -> RecoveryOutcome:
    """An outcome with nothing in it but its names."""
    return RecoveryOutcome(
        incident_id=incident,
        sequence=sequence,
        agent=AgentRef(kind="runtime", id="a"),
        fingerprint="f",
        outcome="recovered",
        error_count=1,
        event_count=1,
        event_ids=["e"],
        trace_id="",
    )


class SlowBus:
    """Stores what it is given when it is let, and can lose an answer."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.stored: list[str] = []
        self.bodies: list[bytes] = []
        self.may = asyncio.Event()
        self.losses = 0

    async def store(
        self,
        subject: str,
        body: bytes,
        headers: Mapping[str, str],
        *,
        id: str,  # noqa: A002 - the wire's own word
        timeout: float,
    ) -> Stored:
        self.begun.append(id)
        await self.may.wait()
        if self.losses:
            self.losses -= 1
            raise BusTimeout("outcome", 2.0)
        self.stored.append(id)
        self.bodies.append(body)
        return Stored(len(self.stored), duplicate=False)


@asynccontextmanager
async def telling(bus: SlowBus) -> AsyncGenerator[Teller]:
    """A teller at work."""
    teller = Teller(cast("Bus", bus), Subjects())
    running = asyncio.create_task(teller.run())
    try:
        yield teller
    finally:
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running


async def test_outcomes_of_several_incidents_are_on_their_way_together() -> None:
    """One slow store holds up no other incident's, and never the next of its own."""
    bus = SlowBus()
    async with telling(bus) as teller:
        for told in (outcome("a"), outcome("b"), outcome("c"), outcome("a", 1)):
            teller.tell(told)
        await eventually(lambda: len(bus.begun) == 3)
        assert bus.begun == ["a-0", "b-0", "c-0"]
        bus.may.set()
        await asyncio.wait_for(teller.finish(), 5.0)
        assert bus.stored == ["a-0", "b-0", "c-0", "a-1"]


async def test_an_outcome_whose_answer_was_lost_is_told_again_before_the_next() -> None:
    """A lost answer is no loss, and the order of an incident stays."""
    bus = SlowBus()
    bus.losses = 1
    bus.may.set()
    async with telling(bus) as teller:
        teller.tell(outcome("a"))
        teller.tell(outcome("a", 1))
        await asyncio.wait_for(teller.finish(), 5.0)
        assert bus.stored == ["a-0", "a-1"]


async def test_what_was_packed_before_goes_out_as_it_is() -> None:
    """The bytes that the journal holds are those that are told."""
    bus = SlowBus()
    bus.may.set()
    packed = codec.encode(outcome("a"))
    async with telling(bus) as teller:
        teller.tell(outcome("a"), packed)
        await asyncio.wait_for(teller.finish(), 5.0)
        assert bus.bodies[0] is packed
