"""Room for errors: only what is counted and old goes, and only when the stream is half full."""

import time
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
from tests.support import memory_runtime

import mendbus_strategy_selector
from mendbus import streams
from mendbus.bus import Bus
from mendbus.bus.memory import MemoryServer
from mendbus.contracts.subjects import LANES, PARTITIONS
from mendbus.runtime import Runtime
from mendbus_strategy_selector.housekeeping import make_room

LIMIT = 1 << 20


class Clock:
    """The server's time of day, which a test may set."""

    ahead = 0

    def __call__(self) -> int:
        return time.time_ns() + self.ahead


@pytest.fixture
def clock() -> Clock:
    """Time for server and service alike."""
    return Clock()


@pytest.fixture
async def runtime(clock: Clock) -> AsyncIterator[Runtime]:
    """A runtime whose ERRORS holds a mebibyte; no service runs on it."""

    async def idle(_: Runtime) -> object:
        async def drain() -> None:
            """Nothing to finish."""

        return drain

    service = replace(mendbus_strategy_selector.build(), start=idle)  # pyright: ignore[reportArgumentType]
    server = MemoryServer(clock)
    async with memory_runtime(service, server, now=clock) as found:
        await streams.ensure(found.bus, found.subjects, LIMIT)
        yield found


async def fill(bus: Bus, runtime: Runtime, number: int) -> None:
    """Stores errors of ten kilobytes each."""
    for index in range(number):
        subject = runtime.subjects.error("error", "runtime", f"a{index % 20}")
        await bus.store(subject, b"x" * 10_000)


async def count_all(runtime: Runtime) -> None:
    """Acknowledges everything that is stored."""
    for partition in range(PARTITIONS):
        for lane in LANES:
            spec = streams.lane_consumer(runtime.subjects, partition, lane)
            while await runtime.bus.ack_floor(spec) < (await runtime.bus.usage(spec.stream)).last_sequence:
                consumption = await runtime.bus.consume(spec)
                for delivery in await consumption.take(100):
                    await delivery.ack()
                await runtime.bus.barrier()
                await consumption.stop()


async def test_a_stream_with_room_is_left_alone(runtime: Runtime, clock: Clock) -> None:
    """Below half its size nothing is removed, however old."""
    await fill(runtime.bus, runtime, 10)
    await count_all(runtime)
    clock.ahead = int(1e9 * (streams.DUPLICATE_WINDOW + 60))
    assert await make_room(runtime) == 0


async def test_only_what_is_counted_and_old_goes(runtime: Runtime, clock: Clock) -> None:
    """Uncounted errors stay, young errors stay, old and counted ones go."""
    await fill(runtime.bus, runtime, 60)
    clock.ahead = int(1e9 * (streams.DUPLICATE_WINDOW + 60))
    assert await make_room(runtime) == 0, "nothing is counted yet"
    await count_all(runtime)
    await fill(runtime.bus, runtime, 10)
    assert await make_room(runtime) > 0
    usage = await runtime.bus.usage(runtime.subjects.stream("ERRORS"))
    assert usage.last_sequence - usage.first_sequence + 1 >= 10, "the young ones are there"
