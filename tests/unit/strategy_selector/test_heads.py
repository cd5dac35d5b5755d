"""Heads: published when they are due, and what a verifier needs to confirm the journal of a living service."""

from collections.abc import AsyncIterator

import pytest
from tests.support import Clock, memory_runtime

import mendbus_strategy_selector
from mendbus import streams
from mendbus.audit_reading import published, verify
from mendbus.bus import Bus
from mendbus.bus.memory import MemoryServer
from mendbus.contracts.journal import Operated
from mendbus.contracts.subjects import PARTITIONS, Subjects
from mendbus.testing import eventually
from mendbus_strategy_selector.control_journal import write_control
from mendbus_strategy_selector.heads import EVERY_RECORDS, Heads
from mendbus_strategy_selector.journal import Position

SUBJECTS = Subjects()


@pytest.fixture
async def bus() -> AsyncIterator[Bus]:
    """A memory bus with the streams there are."""
    found = MemoryServer().connect("test")
    await streams.ensure(found, SUBJECTS, 1 << 30)
    yield found
    await found.close()


async def numbers(bus: Bus) -> list[int]:
    return [head.number for head in await published(bus, SUBJECTS)]


async def test_a_head_is_published_each_minute_and_each_thousand_records(bus: Bus) -> None:
    """The first head at once, then one when a minute has passed or the chain has grown enough; never one twice."""
    clock, heads = Clock(), Heads(bus, SUBJECTS, "3")
    await heads.publish(Position(), clock())
    assert await numbers(bus) == []
    await heads.publish(Position(1, 10, "a"), clock())
    await heads.publish(Position(2, 11, "b"), clock.pass_seconds(59))
    assert await numbers(bus) == [1]
    await heads.publish(Position(2, 11, "b"), clock.pass_seconds(1))
    await heads.publish(Position(2, 11, "b"), clock.pass_seconds(600))
    assert await numbers(bus) == [1, 2]
    await heads.publish(Position(2 + EVERY_RECORDS, 5000, "c"), clock())
    assert await numbers(bus) == [1, 2, 2 + EVERY_RECORDS]
    assert {head.chain for head in await published(bus, SUBJECTS)} == {"3"}


async def test_a_head_that_cannot_be_published_is_tried_again() -> None:
    """Without the bucket nothing fails, and the head goes out as soon as there is one."""
    found = MemoryServer().connect("test")
    heads = Heads(found, SUBJECTS, "3")
    await heads.publish(Position(1, 10, "a"), 1)
    assert await numbers(found) == []
    await streams.ensure(found, SUBJECTS, 1 << 30)
    await heads.publish(Position(1, 10, "a"), 2)
    assert await numbers(found) == [1]
    await found.close()


async def test_a_service_s_heads_confirm_its_journal() -> None:
    """Every partition's owner publishes a head that the verifier finds in the journal."""
    server = MemoryServer()
    async with memory_runtime(mendbus_strategy_selector.build(), server) as runtime:

        async def every_head() -> bool:
            return len(await published(runtime.bus, SUBJECTS)) >= PARTITIONS

        await eventually(every_head)
        report = await verify(runtime.bus, SUBJECTS, [], runtime.now)
    assert report.whole
    assert [chain.confirmed for chain in report.chains] == [1] * PARTITIONS


async def test_the_head_of_what_operators_did_is_published_with_each_record() -> None:
    """Orders that name no agent have a chain of their own, whose head is there at once."""
    server = MemoryServer()
    async with memory_runtime(mendbus_strategy_selector.build(), server) as runtime:
        for verb in ("pause", "resume"):
            await write_control(runtime, Operated(verb=verb, by="test"))
        heads = [head for head in await published(runtime.bus, SUBJECTS) if head.chain == "control"]
        assert [head.number for head in heads] == [1, 2]
