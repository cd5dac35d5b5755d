"""One agent's share of ERRORS: who holds too much, and the limit that refuses him and nobody else."""

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support import memory_runtime

import mendbus_strategy_selector
from mendbus import instruments, streams
from mendbus.contracts.errors import StoreRefused
from mendbus.contracts.messages import SettledQuery
from mendbus.contracts.subjects import partition_of
from mendbus.runtime import Runtime
from mendbus_strategy_selector import shares
from mendbus_strategy_selector.settled import answer_settled
from mendbus_strategy_selector.shares import Held
from mendbus_strategy_selector.sharing import Sharing
from mendbus_strategy_selector.state import PartitionState

LIMIT = 64 << 20
BODY = b"x" * 60_000
NUMBERS = st.integers(0, 100_000)


@given(NUMBERS, NUMBERS, NUMBERS, st.integers(1 << 20, 1 << 40))
def test_a_limit_removes_nothing_and_leaves_the_others_room(now: int, highest: int, others: int, size: int) -> None:
    """No subject holds more than the limit, and others may hold twice what they do."""
    highest = max(highest, others)
    most = shares.most_of_a_subject(now, highest, others, size)
    assert most >= highest
    assert most > 2 * others
    if not now:
        assert most > highest


def test_a_refused_agent_does_not_raise_its_own_limit() -> None:
    """While the limit stands in its way it stays as it is, and sinks as what the agent holds is counted."""
    first = shares.most_of_a_subject(0, 4000, 10, 1 << 30)
    assert shares.most_of_a_subject(first, first, 10, 1 << 30) == first
    assert shares.most_of_a_subject(first, 2000, 10, 1 << 30) < first


def test_a_storm_of_small_errors_is_nobody_s_to_look_at() -> None:
    """Six agents that send 2500 errors a second for a minute, none of them counted, hold no more than their shares."""
    held = [Held(f"runtime/a{number}", {"s": 25_000}) for number in range(6)]
    assert len(shares.suspects(held, 1 << 30)) == 6, "by their number alone they might"
    assert not any(shares.too_much(one.count * 1500, 1 << 30, refused=False) for one in held)


def test_what_has_not_grown_is_not_looked_at() -> None:
    """A stream that is nearly empty, or as full as it was, needs no look."""
    assert not shares.worth_a_look(100, 0, 1000)
    assert not shares.worth_a_look(500, 495, 1000)
    assert shares.worth_a_look(500, 450, 1000)


@pytest.fixture
async def runtime() -> AsyncIterator[Runtime]:
    """A runtime whose ERRORS is small; no service runs on it."""

    async def idle(_: Runtime) -> object:
        async def drain() -> None:
            """Nothing to finish."""

        return drain

    service = replace(mendbus_strategy_selector.build(), start=idle)  # pyright: ignore[reportArgumentType]
    async with memory_runtime(service) as found:
        await streams.ensure(found.bus, found.subjects, LIMIT)
        yield found


async def fill(runtime: Runtime, agent: str, body: bytes, number: int, severity: str = "error") -> int:
    """Stores errors until one is refused; how many were stored."""
    subject = runtime.subjects.error(severity, "runtime", agent)
    for stored in range(number):
        try:
            await runtime.bus.store(subject, body)
        except StoreRefused:
            return stored
    return number


async def count(runtime: Runtime, agent: str) -> None:
    """Acknowledges what is stored in the agent's partition."""
    spec = streams.lane_consumer(runtime.subjects, partition_of("runtime", agent), "normal")
    consumption = await runtime.bus.consume(spec)
    while await runtime.bus.ack_floor(spec) < (await runtime.bus.usage(spec.stream)).last_sequence:
        for delivery in await consumption.take(250):
            await delivery.ack()
        await runtime.bus.barrier()
    await consumption.stop()


async def stored(runtime: Runtime, agent: str) -> int:
    """How many of an agent's errors are stored."""
    subject = f"{runtime.subjects.root}.errors.*.*.runtime.{agent}"
    return sum((await runtime.bus.subjects(runtime.subjects.stream("ERRORS"), subject)).values())


def refused(runtime: Runtime) -> list[tuple[str, ...]]:
    """Agents that the metric names."""
    return [one.values for one in runtime.meter.collect() if one.instrument is instruments.AGENTS_REFUSED]


async def test_one_that_fills_the_stream_is_refused_and_nobody_else(
    runtime: Runtime, caplog: pytest.LogCaptureFixture
) -> None:
    """With nothing counted the flood ends, under any severity; small errors, however many, go on; all stay stored."""
    sharing = Sharing(runtime)
    assert await fill(runtime, "small", b"x" * 100, 400) == 400
    await sharing.look()
    assert refused(runtime) == []
    flooded = await fill(runtime, "flood", BODY, 200)
    assert flooded == 200
    await sharing.look()
    assert refused(runtime) == [("runtime/flood",)]
    assert "runtime/flood fills ERRORS" in caplog.text
    for severity in ("error", "warning", "unknown", "critical", "fatal"):
        more = await fill(runtime, "flood", b"x", 2000, severity)
        assert more < 2000
        flooded += more
    await sharing.look()
    assert await fill(runtime, "small", b"x" * 100, 300) == 300
    assert await stored(runtime, "flood") == flooded
    assert await stored(runtime, "small") == 700


async def test_what_is_counted_of_it_goes_first_however_young(runtime: Runtime) -> None:
    """An agent whose errors have been counted is refused nothing: they make room. Those of others stay."""
    sharing = Sharing(runtime)
    await fill(runtime, "small", b"x", 20)
    await fill(runtime, "flood", BODY, 200)
    await count(runtime, "flood")
    await sharing.look()
    assert refused(runtime) == []
    assert (await stored(runtime, "flood"), await stored(runtime, "small")) == (0, 20)


async def test_a_refused_agent_may_go_on_once_it_is_counted(runtime: Runtime) -> None:
    """The limit is lifted when what the agent holds has been counted; the next owner lifts what it does not need."""
    sharing = Sharing(runtime)
    await fill(runtime, "flood", BODY, 200)
    await sharing.look()
    assert await fill(runtime, "flood", BODY, 2000) < 2000
    await count(runtime, "flood")
    after = Sharing(runtime)
    await after.look()
    assert refused(runtime) == []
    assert await fill(runtime, "flood", b"x", 2000) == 2000


async def test_what_was_removed_counts_as_settled_by_its_sequence(runtime: Runtime) -> None:
    """An agent that knows under which sequence an error was stored is not told to send it again; others are."""
    state = PartitionState()
    state.sequences["normal"].add(7)
    state.floors.update(urgent=3, normal=5)
    query = SettledQuery(event_ids=["a", "b", "c", "d"], sequences={"a": 7, "b": 3, "c": 4})
    reply = await answer_settled(runtime.bus, runtime.subjects, state, "runtime", "r1", query)
    assert (reply.settled, reply.unknown) == (["a", "b"], ["c", "d"])


async def test_an_oversize_error_is_refused_by_the_server(runtime: Runtime) -> None:
    """Whatever is larger than an error may be is not stored, its headers counted."""
    subject = runtime.subjects.error("error", "runtime", "r1")
    await runtime.bus.store(subject, b"x" * (64 << 10), {"traceparent": "00-a"}, id="whole")
    with pytest.raises(StoreRefused, match="size") as caught:
        await runtime.bus.store(subject, b"x" * (64 << 10), {"more": "x" * 4096})
    assert caught.value.code == 10054
