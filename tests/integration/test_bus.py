"""What every bus must do by subject, run against the one in memory and the real one."""

import asyncio
from collections import Counter
from contextlib import suppress

import pytest
from tests.conftest import Connect
from tests.integration.streams import durable, ignore, stored_stream

from mendbus.bus import Bus, Message
from mendbus.contracts.errors import (
    BusClosed,
    BusError,
    BusTimeout,
    NoResponders,
    ServiceFailed,
)
from mendbus.testing import eventually

# by subject


async def test_message_arrives_with_body_headers_and_subject(bus: Bus, root: str) -> None:
    """A subscriber sees what was published, and header names and values as the sender wrote them."""
    seen: list[Message] = []

    async def handler(message: Message) -> None:
        seen.append(message)

    await bus.subscribe(f"{root}.*", handler)
    await bus.barrier()
    await bus.publish(f"{root}.a", b"\x00body", {"traceparent": "00-a", "Mendbus-Code": "x: y"})
    await eventually(lambda: seen)
    assert seen == [Message(f"{root}.a", b"\x00body", {"traceparent": "00-a", "Mendbus-Code": "x: y"})]


async def test_messages_are_handled_in_order(connect_bus: Connect, root: str) -> None:
    """With a concurrency of one a slow handler still gets everything in the order of sending."""
    sender, receiver = await connect_bus("sender"), await connect_bus("receiver")
    seen: list[bytes] = []

    async def handler(message: Message) -> None:
        if int(message.body) % 50 == 0:
            await asyncio.sleep(0.001)
        seen.append(message.body)

    await receiver.subscribe(f"{root}.>", handler)
    await receiver.barrier()
    for number in range(500):
        await sender.publish(f"{root}.x", b"%d" % number)
    await eventually(lambda: len(seen) == 500)
    assert seen == [b"%d" % number for number in range(500)]


async def test_queue_group_shares_messages(connect_bus: Connect, root: str) -> None:
    """Each message reaches exactly one member of a queue group, and every plain subscriber."""
    sender = await connect_bus("sender")
    seen: Counter[str] = Counter()

    def handler_of(name: str):
        async def handler(_: Message) -> None:
            seen[name] += 1

        return handler

    for name in ("one", "two"):
        await (await connect_bus(name)).subscribe(f"{root}.work", handler_of(name), queue="workers")
    await (await connect_bus("plain")).subscribe(f"{root}.work", handler_of("plain"))
    await eventually(lambda: _all_hear(sender, root))
    for _ in range(200):
        await sender.publish(f"{root}.work", b"")
    await eventually(lambda: seen["plain"] >= 200 and seen["one"] + seen["two"] >= 200)
    assert seen["plain"] == 200
    assert seen["one"] + seen["two"] == 200
    assert min(seen["one"], seen["two"]) > 0


async def _all_hear(sender: Bus, root: str) -> bool:
    """Other connections' subscriptions are there once this one has been to the server and back."""
    with suppress(NoResponders):
        await sender.request(f"{root}.nobody", b"", timeout=1)
    return True


async def test_concurrent_handlers_are_bounded(bus: Bus, root: str) -> None:
    """With a concurrency of three, three handlers run at a time, never four."""
    running, most, done = 0, 0, 0

    async def handler(_: Message) -> None:
        nonlocal running, most, done
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.01)
        running -= 1
        done += 1

    await bus.subscribe(f"{root}.x", handler, concurrency=3)
    await bus.barrier()
    for _ in range(12):
        await bus.publish(f"{root}.x", b"")
    await eventually(lambda: done == 12)
    assert most == 3


@pytest.mark.parametrize("concurrency", [1, 4])
@pytest.mark.parametrize("failure", [ValueError("boom"), asyncio.CancelledError()])
async def test_failing_handler_does_not_end_the_subscription(
    bus: Bus, root: str, concurrency: int, failure: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    """What a handler raises is logged with its subject, and the next message is handled."""
    seen: list[bytes] = []

    async def handler(message: Message) -> None:
        if message.body == b"bad":
            raise failure
        seen.append(message.body)

    await bus.subscribe(f"{root}.x", handler, concurrency=concurrency)
    await bus.barrier()
    await bus.publish(f"{root}.x", b"bad")
    await bus.publish(f"{root}.x", b"good")
    await eventually(lambda: seen == [b"good"])
    assert f"{root}.x" in caplog.text


async def test_stopped_subscription_finishes_what_has_arrived(bus: Bus, root: str) -> None:
    """After `stop` nothing new is delivered, and everything that was sent before it has been handled."""
    seen: list[bytes] = []

    async def handler(message: Message) -> None:
        await asyncio.sleep(0.001)
        seen.append(message.body)

    subscription = await bus.subscribe(f"{root}.x", handler, concurrency=2)
    await bus.barrier()
    for number in range(50):
        await bus.publish(f"{root}.x", b"%d" % number)
    await subscription.stop()
    assert len(seen) == 50
    await bus.publish(f"{root}.x", b"late")
    await bus.barrier()
    await subscription.stop()
    assert len(seen) == 50


# requests


async def test_request_is_answered(connect_bus: Connect, root: str) -> None:
    """A request gets the body and the headers of its own answer, many at a time."""
    asker, answerer = await connect_bus("asker"), await connect_bus("answerer")

    async def handler(message: Message) -> None:
        await answerer.publish(message.reply, message.body * 2, {"Name": message.headers["Name"]})

    await answerer.subscribe(f"{root}.ask", handler, concurrency=8)
    await answerer.barrier()
    answers = await asyncio.gather(
        *(asker.request(f"{root}.ask", b"%d" % n, {"Name": f"n{n}"}, timeout=5) for n in range(100))
    )
    assert [answer.body for answer in answers] == [b"%d" % n * 2 for n in range(100)]
    assert [answer.headers["Name"] for answer in answers] == [f"n{n}" for n in range(100)]


async def test_request_without_responder_fails_at_once(bus: Bus, root: str) -> None:
    """Nobody there is known without waiting for the time-out."""
    loop = asyncio.get_running_loop()
    begun = loop.time()
    with pytest.raises(NoResponders) as caught:
        await bus.request(f"{root}.nobody", b"", timeout=30)
    assert loop.time() - begun < 1
    assert caught.value.subject == f"{root}.nobody"


async def test_request_times_out(bus: Bus, root: str) -> None:
    """A responder that never answers costs the time-out and no more, and says which subject."""

    async def silent(_: Message) -> None:
        return

    await bus.subscribe(f"{root}.silent", silent)
    await bus.barrier()
    with pytest.raises(BusTimeout) as caught:
        await bus.request(f"{root}.silent", b"", timeout=0.05)
    assert caught.value.subject == f"{root}.silent"


async def test_service_error_is_raised(bus: Bus, root: str) -> None:
    """An answer with the services' error headers becomes an error with code and reason."""

    async def handler(message: Message) -> None:
        headers = {"Nats-Service-Error": "not a map", "Nats-Service-Error-Code": "400"}
        await bus.publish(message.reply, b"", headers)

    await bus.subscribe(f"{root}.ask", handler)
    await bus.barrier()
    with pytest.raises(ServiceFailed) as caught:
        await bus.request(f"{root}.ask", b"", timeout=5)
    assert (caught.value.code, caught.value.reason) == (400, "not a map")


@pytest.mark.parametrize("subject", ["with space", "", "line\nbreak", "a..b", ".a", "a.", "a.*", "a.>", "a" * 1001])
async def test_bad_subject_is_refused(bus: Bus, subject: str) -> None:
    """Text that is no subject is refused before anything is sent, for it would cost the connection."""
    with pytest.raises(BusError, match="no subject to send to"):
        await bus.publish(subject, b"")
    await bus.barrier()
    assert bus.connected


async def test_too_large_a_message_is_refused(bus: Bus, root: str) -> None:
    """A body over the server's limit is refused with both sizes, and the connection lives on."""
    with pytest.raises(BusError, match="1048576"):
        await bus.publish(f"{root}.x", bytes((1 << 20) + 1))
    for value in ("v" * (1 << 20), "\u20ac" * (1 << 19)):
        with pytest.raises(BusError, match="1048576"):
            await bus.publish(f"{root}.x", b"", {"H": value})
    await bus.publish(f"{root}.x", bytes((1 << 20) - 200), {"H": "\u20ac" * 50})
    await bus.barrier()
    assert bus.connected


# the end


async def test_closed_bus(bus: Bus, root: str) -> None:
    """Closing is idempotent, ends everything that lived on the bus, and everything afterwards says so."""
    await stored_stream(bus, root)
    spec = await durable(bus, root)
    consumption = await bus.consume(spec)
    await bus.follow(spec.stream, f"{root}.>", ignore, last_per_subject=False)
    assert (bus.closed, bus.connected) == (False, True)
    await bus.close()
    await bus.close()
    assert (bus.closed, bus.connected) == (True, False)
    with pytest.raises(BusClosed):
        await bus.publish(f"{root}.x", b"")
    with pytest.raises(BusClosed):
        await bus.request(f"{root}.x", b"", timeout=1)
    with pytest.raises(BusClosed):
        await bus.subscribe(f"{root}.x", ignore)
    with pytest.raises(BusClosed):
        await bus.barrier()
    with pytest.raises(BusClosed):
        await consumption.take(1)


async def test_closing_sends_what_was_published(connect_bus: Connect, root: str) -> None:
    """Everything published before `close` reaches its subscribers."""
    sender, receiver = await connect_bus("sender"), await connect_bus("receiver")
    seen: list[bytes] = []

    async def handler(message: Message) -> None:
        seen.append(message.body)

    await receiver.subscribe(f"{root}.x", handler)
    await receiver.barrier()
    for number in range(300):
        await sender.publish(f"{root}.x", b"%d" % number)
    await sender.close()
    await eventually(lambda: len(seen) == 300)


async def test_closing_lets_handlers_finish(connect_bus: Connect, root: str) -> None:
    """A handler at work when its bus is closed finishes, and may still answer."""
    asker, answerer = await connect_bus("asker"), await connect_bus("answerer")
    at_work = asyncio.Event()

    async def handler(message: Message) -> None:
        at_work.set()
        await asyncio.sleep(0.05)
        await answerer.publish(message.reply, b"done")

    await answerer.subscribe(f"{root}.ask", handler, concurrency=2)
    await answerer.barrier()
    asking = asyncio.create_task(asker.request(f"{root}.ask", b"", timeout=5))
    await at_work.wait()
    await answerer.close()
    assert (await asking).body == b"done"
