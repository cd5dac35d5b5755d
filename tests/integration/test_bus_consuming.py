"""What every consumption must do, run against the bus in memory and the real one."""

import asyncio
from dataclasses import replace

import pytest
from tests.conftest import Connect
from tests.integration.streams import durable, fill, stored_stream, take

from mendbus.bus import Bus, ConsumerSpec, ToStore
from mendbus.contracts.errors import (
    BusClosed,
    BusError,
)
from mendbus.testing import eventually

# consuming


async def test_consume_takes_and_acknowledges(bus: Bus, root: str) -> None:
    """Each message is delivered once, as it was stored, and the floor follows the acknowledgements."""
    await stored_stream(bus, root)
    spec = await durable(bus, root)
    await fill(bus, f"{root}.x", 20)
    consumption = await bus.consume(spec)
    taken = await take(consumption, 20)
    assert [delivery.message.body for delivery in taken] == [b"%d" % n for n in range(20)]
    assert [delivery.message.sequence for delivery in taken] == list(range(1, 21))
    assert {delivery.attempt for delivery in taken} == {1}
    for delivery in taken[:5]:
        await delivery.ack()
    await eventually(lambda: _floor_is(bus, spec, 5))
    for delivery in taken[5:]:
        await delivery.ack()
        await delivery.ack()
    await eventually(lambda: _floor_is(bus, spec, 20))
    await consumption.stop()


async def _floor_is(bus: Bus, spec: ConsumerSpec, floor: int) -> bool:
    return await bus.ack_floor(spec) == floor


async def test_ack_floor_counts_what_the_consumer_does_not_want(bus: Bus, root: str) -> None:
    """A consumer with nothing left to do is done with the whole stream; one that is unknown is an error."""
    stream = await stored_stream(bus, root)
    spec = ConsumerSpec(stream, "narrow", (f"{root}.wanted",))
    await bus.ensure([], [spec])
    await fill(bus, f"{root}.other", 4)
    assert await bus.ack_floor(spec) == 4
    await fill(bus, f"{root}.wanted", 1)
    assert await bus.ack_floor(spec) < 5
    with pytest.raises(BusError, match="consumer not found"):
        await bus.ack_floor(replace(spec, name="unknown"))


async def test_consume_waits_for_messages(bus: Bus, root: str) -> None:
    """A taker waits, and is woken by the first message."""
    await stored_stream(bus, root)
    consumption = await bus.consume(await durable(bus, root))
    waiting = asyncio.create_task(take(consumption, 1))
    await bus.barrier()
    await bus.store(f"{root}.x", b"1")
    (delivery,) = await waiting
    assert delivery.message.body == b"1"
    await consumption.stop()


async def test_many_messages_pass(bus: Bus, root: str) -> None:
    """More than fit into one request are delivered once each, acknowledged as they come."""
    await stored_stream(bus, root, allow_atomic=True)
    spec = await durable(bus, root, pending=50)
    for part in range(3):
        await bus.store_batch([ToStore(f"{root}.x", b"", {}, f"{part}.{n}") for n in range(200)])
    consumption = await bus.consume(spec)
    seen: list[int] = []
    while len(seen) < 600:
        for delivery in await take(consumption, 1):
            seen.append(delivery.message.sequence)
            await delivery.ack()
    assert seen == list(range(1, 601))
    await eventually(lambda: _floor_is(bus, spec, 600))
    await consumption.stop()


async def test_unanswered_messages_are_bounded(bus: Bus, root: str) -> None:
    """Without acknowledgements no more than the consumer's limit is delivered."""
    await stored_stream(bus, root, allow_atomic=True)
    spec = await durable(bus, root, pending=10)
    await bus.store_batch([ToStore(f"{root}.x", b"", {}, "") for _ in range(30)])
    consumption = await bus.consume(spec)
    taken = await take(consumption, 10)
    with pytest.raises(TimeoutError):
        await take(consumption, 1, timeout=0.2)
    await taken[0].ack()
    await take(consumption, 1)
    await consumption.stop()


async def test_held_messages_are_kept_alive(bus: Bus, root: str) -> None:
    """What is held, taken or not, does not come again although the ack wait has long passed."""
    await stored_stream(bus, root)
    spec = await durable(bus, root, ack_wait=0.3)
    await fill(bus, f"{root}.x", 4)
    one, two = await bus.consume(spec), await bus.consume(spec)
    holder = one
    held = list(await take(holder, 2))
    with pytest.raises(TimeoutError):
        await take(two, 3, timeout=1.2)
    for delivery in held:
        await delivery.ack()
    await one.stop()
    await two.stop()


async def test_forgotten_messages_come_again(bus: Bus, root: str) -> None:
    """After `forget` the server delivers again after the ack wait, and late acknowledgements do nothing."""
    await stored_stream(bus, root)
    spec = await durable(bus, root, ack_wait=0.3)
    await fill(bus, f"{root}.x", 3)
    consumption = await bus.consume(spec)
    first = await take(consumption, 3)
    consumption.forget()
    for delivery in first:
        await delivery.ack()
    again = await take(consumption, 3)
    assert sorted(delivery.message.sequence for delivery in again) == [1, 2, 3]
    assert {delivery.attempt for delivery in again} == {2}
    await consumption.stop()


async def test_messages_of_a_lost_holder_go_to_another(connect_bus: Connect, root: str) -> None:
    """What a holder had when its connection closed is delivered to the next one after the ack wait."""
    one, two = await connect_bus("one"), await connect_bus("two")
    await stored_stream(one, root)
    spec = await durable(one, root, ack_wait=0.5)
    await fill(one, f"{root}.x", 5)
    await take(await one.consume(spec), 2)
    await one.close()
    consumption = await two.consume(spec)
    taken = await take(consumption, 5)
    assert sorted(delivery.message.sequence for delivery in taken) == [1, 2, 3, 4, 5]
    await consumption.stop()


async def test_stopped_consumption_ends_its_taker(bus: Bus, root: str) -> None:
    """`stop` wakes who waits in `take`, and it stays stopped."""
    await stored_stream(bus, root)
    consumption = await bus.consume(await durable(bus, root))
    waiting = asyncio.create_task(consumption.take(1))
    await bus.barrier()
    await consumption.stop()
    with pytest.raises(BusClosed):
        await waiting
    with pytest.raises(BusClosed):
        await consumption.take(1)
    await consumption.stop()


async def test_consumer_that_appears_later(bus: Bus, root: str, caplog: pytest.LogCaptureFixture) -> None:
    """A consumption of a consumer that is not there yet says so and goes on asking."""
    stream = await stored_stream(bus, root)
    spec = ConsumerSpec(stream, "late", (f"{root}.>",))
    consumption = await bus.consume(spec)
    await eventually(lambda: "late" in caplog.text)
    await bus.ensure([], [spec])
    await fill(bus, f"{root}.x", 1)
    await take(consumption, 1)
    await consumption.stop()
