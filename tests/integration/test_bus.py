"""What every bus must do, run against the one in memory and the real one."""

import asyncio
import hashlib
import os
from collections import Counter
from contextlib import suppress
from dataclasses import replace

import pytest
from tests.conftest import Connect

from mendbus.bus import Bus, ConsumerSpec, Consumption, Delivery, Message, StoredMessage, StreamSpec, ToStore
from mendbus.contracts.errors import (
    BatchDuplicate,
    BusClosed,
    BusError,
    BusTimeout,
    NoResponders,
    ServiceFailed,
    StoreRefused,
    WrongSequence,
)
from mendbus.testing import eventually


def stream_of(root: str, **settings: object) -> StreamSpec:
    return replace(StreamSpec(root.replace(".", "_"), (f"{root}.>",)), **settings)  # pyright: ignore[reportArgumentType]


async def stored_stream(bus: Bus, root: str, **settings: object) -> str:
    """A stream for all subjects below a root."""
    spec = stream_of(root, **settings)
    assert await bus.ensure([spec], []) == []
    return spec.name


async def durable(bus: Bus, root: str, *, ack_wait: float = 5.0, pending: int = 500) -> ConsumerSpec:
    spec = ConsumerSpec(root.replace(".", "_"), "worker", (f"{root}.>",), ack_wait, pending)
    assert await bus.ensure([], [spec]) == []
    return spec


async def fill(bus: Bus, subject: str, count: int) -> None:
    for number in range(count):
        await bus.store(subject, b"%d" % number)


async def bodies(bus: Bus, stream: str, subject: str, **how: int | bool) -> list[bytes]:
    return [message.body async for message in bus.read(stream, subject, **how)]  # pyright: ignore[reportArgumentType]


async def take(consumption: Consumption, count: int, timeout: float = 5.0) -> list[Delivery]:
    taken: list[Delivery] = []
    async with asyncio.timeout(timeout):
        while len(taken) < count:
            taken += await consumption.take(count - len(taken))
    return taken


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


@pytest.mark.parametrize("subject", ["with space", "", "line\nbreak"])
async def test_bad_subject_is_refused(bus: Bus, subject: str) -> None:
    """Text that is no subject is refused before anything is sent."""
    with pytest.raises(BusError):
        await bus.publish(subject, b"")


async def test_too_large_a_message_is_refused(bus: Bus, root: str) -> None:
    """A body over the server's limit is refused with both sizes, and the connection lives on."""
    with pytest.raises(BusError, match="1048576"):
        await bus.publish(f"{root}.x", bytes((1 << 20) + 1))
    await bus.barrier()


# storing


async def test_store_counts_sequences(bus: Bus, root: str) -> None:
    """Each stored message gets the next sequence, and can be read back as it was."""
    stream = await stored_stream(bus, root)
    first = await bus.store(f"{root}.a", b"1", {"traceparent": "00-a"}, id="one")
    second = await bus.store(f"{root}.b", b"2")
    assert (first.sequence, second.sequence) == (1, 2)
    kept = await bus.last(stream, f"{root}.a")
    assert kept is not None
    assert (kept.subject, kept.body, kept.sequence) == (f"{root}.a", b"1", 1)
    assert kept.headers["traceparent"] == "00-a"
    assert kept.headers["Nats-Msg-Id"] == "one"
    assert kept.time_unix_nano > 0


async def test_store_without_stream_fails_at_once(bus: Bus, root: str) -> None:
    """Where no stream listens, nobody answers."""
    with pytest.raises(NoResponders):
        await bus.store(f"{root}.x", b"", timeout=30)


async def test_store_where_no_stream_answers(bus: Bus, root: str) -> None:
    """An answer that is not a stream's is an error of its own, not a stored message."""

    async def handler(message: Message) -> None:
        await bus.publish(message.reply, b"hello")

    await bus.subscribe(f"{root}.x", handler)
    await bus.barrier()
    with pytest.raises(BusError, match="no stream"):
        await bus.store(f"{root}.x", b"")


async def test_repeated_id_is_a_duplicate(bus: Bus, root: str) -> None:
    """The same id twice is stored once, and the answer names the first one's sequence."""
    stream = await stored_stream(bus, root)
    await bus.store(f"{root}.x", b"1", id="same")
    again = await bus.store(f"{root}.x", b"2", id="same")
    assert (again.sequence, again.duplicate) == (1, True)
    assert await bodies(bus, stream, f"{root}.>") == [b"1"]


async def test_caller_keeps_its_headers(bus: Bus, root: str) -> None:
    """Storing does not write into the caller's headers."""
    await stored_stream(bus, root)
    headers = {"traceparent": "00-a"}
    await bus.store(f"{root}.x", b"", headers, id="1", expected_last=0)
    assert headers == {"traceparent": "00-a"}


async def test_fence_refuses_a_second_writer(bus: Bus, root: str) -> None:
    """Only who knows the last sequence of a subject may write to it; other subjects do not matter."""
    await stored_stream(bus, root)
    first = await bus.store(f"{root}.journal.0", b"1", expected_last=0)
    await bus.store(f"{root}.journal.1", b"other")
    second = await bus.store(f"{root}.journal.0", b"2", expected_last=first.sequence)
    assert second.sequence == 3
    for stale in (0, first.sequence):
        with pytest.raises(WrongSequence):
            await bus.store(f"{root}.journal.0", b"3", expected_last=stale)


async def test_fence_is_checked_before_the_id(bus: Bus, root: str) -> None:
    """A fenced write that is repeated after its success is refused: the writer must look at what is there."""
    stream = await stored_stream(bus, root)
    await bus.store(f"{root}.journal.0", b"1", id="record-1", expected_last=0)
    with pytest.raises(WrongSequence):
        await bus.store(f"{root}.journal.0", b"1", id="record-1", expected_last=0)
    kept = await bus.last(stream, f"{root}.journal.0")
    assert kept is not None
    assert kept.headers["Nats-Msg-Id"] == "record-1"


async def test_full_stream_refuses(bus: Bus, root: str) -> None:
    """A stream that must not forget refuses what has no room, with the server's reason."""
    await stored_stream(bus, root, discard="new", max_bytes=4000)
    await bus.store(f"{root}.x", bytes(3000))
    with pytest.raises(StoreRefused, match="maximum bytes") as caught:
        await bus.store(f"{root}.y", bytes(3000))
    assert caught.value.code == 10077


async def test_stream_forgets_the_oldest(bus: Bus, root: str) -> None:
    """A stream that may forget drops the oldest message for the newest."""
    stream = await stored_stream(bus, root, max_bytes=4000)
    for number in range(3):
        await bus.store(f"{root}.{number}", bytes(1500))
    assert await bus.subjects(stream, f"{root}.>") == {f"{root}.1": 1, f"{root}.2": 1}


async def test_time_to_live(bus: Bus, root: str) -> None:
    """A message with a time to live is gone afterwards, without a trace; others stay."""
    stream = await stored_stream(bus, root, allow_ttl=True, max_msgs_per_subject=1)
    await bus.store(f"{root}.lease", b"mine", expected_last=0, ttl=1)
    await bus.store(f"{root}.other", b"")
    assert await bus.last(stream, f"{root}.lease") is not None

    async def gone() -> bool:
        return await bus.last(stream, f"{root}.lease") is None

    await eventually(gone)
    taken = await bus.store(f"{root}.lease", b"yours", expected_last=0, ttl=1)
    assert taken.sequence == 3
    assert await bus.last(stream, f"{root}.other") is not None


async def test_time_to_live_must_be_allowed(bus: Bus, root: str) -> None:
    """A stream that does not know of times to live refuses them."""
    await stored_stream(bus, root)
    with pytest.raises(StoreRefused, match="TTL"):
        await bus.store(f"{root}.x", b"", ttl=1)


# batches


def batch_of(root: str, *ids: str) -> list[ToStore]:
    return [ToStore(f"{root}.batch.{number}", b"%d" % number, {"H": "v"}, name) for number, name in enumerate(ids)]


async def test_batch_is_stored_whole(bus: Bus, root: str) -> None:
    """A batch is stored in its order, and the answer is the sequence of its last message."""
    stream = await stored_stream(bus, root, allow_atomic=True)
    stored = await bus.store_batch(batch_of(root, "a", "b", "c"))
    assert stored.sequence == 3
    assert await bodies(bus, stream, f"{root}.>") == [b"0", b"1", b"2"]
    kept = await bus.last(stream, f"{root}.batch.1")
    assert kept is not None
    assert (kept.headers["Nats-Msg-Id"], kept.headers["H"]) == ("b", "v")


async def test_batch_with_a_duplicate_is_refused_whole(bus: Bus, root: str) -> None:
    """One id that is there already, or twice in the batch, and nothing of it is stored."""
    stream = await stored_stream(bus, root, allow_atomic=True)
    await bus.store_batch(batch_of(root, "a", "b"))
    with pytest.raises(BatchDuplicate):
        await bus.store_batch(batch_of(root, "c", "b"))
    with pytest.raises(BatchDuplicate):
        await bus.store_batch(batch_of(root, "d", "d"))
    assert len(await bodies(bus, stream, f"{root}.>")) == 2


async def test_batch_of_one_is_a_plain_store(bus: Bus, root: str) -> None:
    """One message needs no batch, and a duplicate of it is no error."""
    await stored_stream(bus, root)
    await bus.store_batch(batch_of(root, "a"))
    again = await bus.store_batch(batch_of(root, "a"))
    assert (again.sequence, again.duplicate) == (1, True)


async def test_batch_must_be_allowed(bus: Bus, root: str) -> None:
    """A stream without batches refuses them."""
    stream = await stored_stream(bus, root)
    with pytest.raises(StoreRefused):
        await bus.store_batch(batch_of(root, "a", "b"))
    assert await bodies(bus, stream, f"{root}.>") == []


async def test_batch_across_streams_is_refused(bus: Bus, root: str) -> None:
    """Messages of one batch that belong to two streams are stored in none."""
    for half in ("one", "two"):
        await stored_stream(bus, f"{root}.{half}", allow_atomic=True)
    mixed = [ToStore(f"{root}.{half}.x", b"", {}, half) for half in ("one", "two")]
    with pytest.raises(StoreRefused):
        await bus.store_batch(mixed)


@pytest.mark.parametrize("count", [0, 1001])
async def test_batch_size_is_bounded(bus: Bus, root: str, count: int) -> None:
    """An empty batch and one over 1000 messages are the caller's mistake."""
    with pytest.raises(ValueError, match=str(count)):
        await bus.store_batch([ToStore(f"{root}.x", b"", {}, "")] * count)


async def test_batches_at_the_same_time_do_not_mix(connect_bus: Connect, root: str) -> None:
    """Two senders' batches are each stored whole and in their order."""
    one, two = await connect_bus("one"), await connect_bus("two")
    stream = await stored_stream(one, root, allow_atomic=True)
    batches = [[ToStore(f"{root}.{name}", b"%d" % n, {}, f"{name}{n}") for n in range(100)] for name in "ab"]
    await asyncio.gather(one.store_batch(batches[0]), two.store_batch(batches[1]))
    for name in "ab":
        assert await bodies(one, stream, f"{root}.{name}") == [b"%d" % n for n in range(100)]


# reading


async def test_last_and_subjects(bus: Bus, root: str) -> None:
    """The last message of a subject, and how many messages each subject has."""
    stream = await stored_stream(bus, root)
    await fill(bus, f"{root}.a", 3)
    await fill(bus, f"{root}.b.c", 1)
    last = await bus.last(stream, f"{root}.a")
    assert last is not None
    assert last.body == b"2"
    assert await bus.last(stream, f"{root}.none") is None
    assert await bus.subjects(stream, f"{root}.>") == {f"{root}.a": 3, f"{root}.b.c": 1}
    assert await bus.subjects(stream, f"{root}.*") == {f"{root}.a": 3}
    assert await bus.subjects(stream, f"{root}.none") == {}


@pytest.mark.parametrize("headers_only", [False, True])
async def test_read_selects(bus: Bus, root: str, headers_only: bool) -> None:
    """Reading takes what matches from where it was told to start, oldest first, and ends by itself."""
    stream = await stored_stream(bus, root)
    for number in range(6):
        await bus.store(f"{root}.{'ab'[number % 2]}", b"%d" % number, {"N": str(number)})

    async def numbers(subject: str, *, start: int = 1, since: int | None = None) -> list[str]:
        found = bus.read(stream, subject, start=start, since_unix_nano=since, headers_only=headers_only)
        return [message.headers["N"] async for message in found]

    third = next(iter([m async for m in bus.read(stream, f"{root}.>", start=3)]))
    assert await numbers(f"{root}.>") == list("012345")
    assert await numbers(f"{root}.b") == list("135")
    assert await numbers(f"{root}.>", start=5) == list("45")
    assert await numbers(f"{root}.>", start=7) == []
    assert await numbers(f"{root}.none") == []
    assert await numbers(f"{root}.>", since=third.time_unix_nano) == list("2345")
    assert await numbers(f"{root}.>", since=third.time_unix_nano, start=5) == list("45")
    assert await numbers(f"{root}.>", since=third.time_unix_nano + 10**18) == []


async def test_read_headers_only(bus: Bus, root: str) -> None:
    """Headers without bodies, with everything else in place, and nothing added."""
    stream = await stored_stream(bus, root)
    await bus.store(f"{root}.x", b"large", {"H": "v"}, id="1")
    (message,) = [m async for m in bus.read(stream, f"{root}.>", headers_only=True)]
    assert message.body == b""
    assert (message.subject, message.sequence) == (f"{root}.x", 1)
    assert message.headers == {"H": "v", "Nats-Msg-Id": "1"}
    assert message.time_unix_nano > 0


@pytest.mark.parametrize("headers_only", [False, True])
async def test_read_goes_on_over_many_batches(bus: Bus, root: str, headers_only: bool) -> None:
    """More messages than fit into one answer of the server are all there, once and in order."""
    stream = await stored_stream(bus, root, allow_atomic=True)
    for part in range(3):
        await bus.store_batch([ToStore(f"{root}.x", b"%d" % n, {}, "") for n in range(part * 900, part * 900 + 900)])
    sequences = [m.sequence async for m in bus.read(stream, f"{root}.>", headers_only=headers_only)]
    assert sequences == list(range(1, 2701))


@pytest.mark.parametrize("headers_only", [False, True])
async def test_read_ends_although_the_stream_grows(bus: Bus, root: str, headers_only: bool) -> None:
    """Only what was stored when the reading began is read."""
    stream = await stored_stream(bus, root)
    await fill(bus, f"{root}.x", 10)
    count = 0
    async for _ in bus.read(stream, f"{root}.>", headers_only=headers_only):
        count += 1
        await bus.store(f"{root}.x", b"more")
    assert count == 10


async def test_reading_may_be_broken_off(bus: Bus, root: str) -> None:
    """A reader that stops early leaves nothing behind."""
    stream = await stored_stream(bus, root)
    await fill(bus, f"{root}.x", 10)
    async for message in bus.read(stream, f"{root}.>"):
        assert message.body == b"0"
        break


async def test_asking_for_a_stream_that_is_not_there(bus: Bus) -> None:
    """Every question about an unknown stream ends with an error of the bus, at once."""
    with pytest.raises(BusError):
        await bus.last("no_stream", "x")
    with pytest.raises(BusError):
        await bus.subjects("no_stream", "x")
    for headers_only in (False, True):
        with pytest.raises(BusError):
            _ = [m async for m in bus.read("no_stream", ">", headers_only=headers_only)]
    with pytest.raises(BusError):
        await bus.follow("no_stream", ">", _ignore, last_per_subject=False)
    with pytest.raises(BusError):
        await bus.get_object("no_bucket", "x")


async def _ignore(_: StoredMessage) -> None:
    return


# following


async def test_follow_begins_now(bus: Bus, root: str) -> None:
    """What was stored before is not seen, what is stored afterwards is seen in order, until it is stopped."""
    stream = await stored_stream(bus, root)
    await fill(bus, f"{root}.x", 3)
    seen: list[int] = []

    async def handler(message: StoredMessage) -> None:
        seen.append(message.sequence)

    following = await bus.follow(stream, f"{root}.x", handler, last_per_subject=False)
    await fill(bus, f"{root}.x", 50)
    await bus.store(f"{root}.other", b"")
    await eventually(lambda: len(seen) == 50)
    assert seen == list(range(4, 54))
    await following.stop()
    await following.stop()
    await bus.store(f"{root}.x", b"")
    await bus.barrier()
    assert len(seen) == 50


async def test_follow_begins_with_the_last_of_each_subject(bus: Bus, root: str) -> None:
    """The last message of each subject comes first, then what is stored afterwards."""
    stream = await stored_stream(bus, root)
    for body in (b"1", b"2"):
        await bus.store(f"{root}.a", body)
        await bus.store(f"{root}.b", body)
    seen: list[tuple[str, bytes]] = []

    async def handler(message: StoredMessage) -> None:
        seen.append((message.subject.rpartition(".")[2], message.body))

    await bus.follow(stream, f"{root}.>", handler, last_per_subject=True)
    await bus.store(f"{root}.a", b"3")
    await eventually(lambda: len(seen) == 3)
    assert seen == [("a", b"2"), ("b", b"2"), ("a", b"3")]


async def test_follow_survives_its_handler(bus: Bus, root: str) -> None:
    """A handler that raises is logged, and the next message comes."""
    stream = await stored_stream(bus, root)
    seen: list[bytes] = []

    async def handler(message: StoredMessage) -> None:
        seen.append(message.body)
        if message.body == b"0":
            raise ValueError

    await bus.follow(stream, f"{root}.x", handler, last_per_subject=False)
    await fill(bus, f"{root}.x", 2)
    await eventually(lambda: seen == [b"0", b"1"])


# streams and consumers


async def test_ensure_is_repeatable_and_updates(bus: Bus, root: str) -> None:
    """The same streams again change nothing, other settings are taken over."""
    spec = stream_of(root, max_age=3600.0, duplicate_window=120.0)
    consumer = ConsumerSpec(spec.name, "worker", (f"{root}.a", f"{root}.b"))
    assert await bus.ensure([spec], [consumer]) == []
    assert await bus.ensure([spec], [consumer]) == []
    assert await bus.ensure([replace(spec, max_age=60.0)], [replace(consumer, ack_wait=9.0)]) == []
    await fill(bus, f"{root}.a", 1)
    assert await bus.ensure([replace(spec, max_age=60.0)], [replace(consumer, filters=(f"{root}.b",))]) == []


async def test_ensure_says_what_cannot_be_changed(bus: Bus, root: str) -> None:
    """A stream that is there with another storage stays as it is, and one sentence says so."""
    spec = stream_of(root)
    await bus.ensure([spec], [])
    (sentence,) = await bus.ensure([replace(spec, storage="memory")], [])
    assert spec.name in sentence
    assert "storage is 'file', wanted 'memory'" in sentence


async def test_ensure_refuses_what_makes_no_sense(bus: Bus, root: str) -> None:
    """A consumer of a stream that is not there, and settings that exclude each other, are errors."""
    with pytest.raises(BusError, match="stream not found"):
        await bus.ensure([], [ConsumerSpec("no_stream", "worker", ())])
    with pytest.raises(BusError, match="not supported"):
        await bus.ensure([stream_of(root, persist_async=True, allow_atomic=True)], [])


async def test_ensure_at_the_same_time(connect_bus: Connect, root: str) -> None:
    """Services that start together may ensure the same streams."""
    buses = [await connect_bus(f"service{n}") for n in range(4)]
    spec, consumer = stream_of(root), ConsumerSpec(stream_of(root).name, "worker", (f"{root}.>",))
    found = await asyncio.gather(*(one.ensure([spec], [consumer]) for one in buses))
    assert found == [[], [], [], []]


async def test_partition_transform(bus: Bus, root: str) -> None:
    """The same kind and agent always land in the same partition, on whatever bus, and the subject says in which."""
    source = f"{root}.error.*.*.*"
    target = f"{root}.errors.{{{{partition(8,2,3)}}}}.{{{{wildcard(1)}}}}.{{{{wildcard(2)}}}}.{{{{wildcard(3)}}}}"
    spec = replace(stream_of(root), subjects=(f"{root}.error.>",), transform=(source, target))
    await bus.ensure([spec], [])
    for agent in ("a1", "a2", "a3", "worker-7", "x"):
        for severity in ("error", "fatal"):
            await bus.store(f"{root}.error.{severity}.runtime.{agent}", b"")
    stored = await bus.subjects(spec.name, f"{root}.errors.>")
    partitions = {subject.split(".", 4)[-1]: subject.split(".")[3] for subject in stored}
    # As the real server hashes them: FNV-1a over kind and agent, modulo 8.
    expected = {"a1": "5", "a2": "4", "a3": "7", "worker-7": "1", "x": "1"}
    severities = ("error", "fatal")
    assert partitions == {
        f"{severity}.runtime.{agent}": expected[agent] for severity in severities for agent in expected
    }


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


# objects


async def bucket_of(bus: Bus, root: str) -> str:
    bucket = root.replace(".", "_")
    subjects = (f"$O.{bucket}.C.>", f"$O.{bucket}.M.>")
    await bus.ensure([StreamSpec(f"OBJ_{bucket}", subjects, discard="new", allow_rollup=True)], [])
    return bucket


@pytest.mark.parametrize("size", [0, 1, 128 * 1024, 128 * 1024 + 1, 1 << 20, 9 << 20])
async def test_object_round_trip(bus: Bus, root: str, size: int) -> None:
    """Content of any size comes back as it was, with its digest, size and metadata."""
    bucket = await bucket_of(bus, root)
    content = os.urandom(size)
    kept = await bus.put_object(bucket, "runtime/a1/check point", content, {"version": "3", "good": "true"})
    found = await bus.get_object(bucket, "runtime/a1/check point")
    assert found is not None
    info, body = found
    assert body == content
    assert info == kept
    assert (info.size, info.sha256) == (size, hashlib.sha256(content).hexdigest())
    assert info.metadata == {"version": "3", "good": "true"}
    assert await bus.list_objects(bucket) == [info]


async def test_object_is_replaced(bus: Bus, root: str) -> None:
    """A second put under a name replaces the first, and its chunks do not stay."""
    bucket = await bucket_of(bus, root)
    await bus.put_object(bucket, "x", bytes(300_000))
    await bus.put_object(bucket, "x", b"new")
    found = await bus.get_object(bucket, "x")
    assert found is not None
    assert found[1] == b"new"
    assert sum((await bus.subjects(f"OBJ_{bucket}", f"$O.{bucket}.C.>")).values()) == 1


async def test_object_is_deleted(bus: Bus, root: str) -> None:
    """A deleted object is neither found nor listed, its chunks are gone, and it may be put again."""
    bucket = await bucket_of(bus, root)
    await bus.put_object(bucket, "x", b"content")
    await bus.put_object(bucket, "y", b"other")
    await bus.delete_object(bucket, "x")
    await bus.delete_object(bucket, "x")
    await bus.delete_object(bucket, "never there")
    assert await bus.get_object(bucket, "x") is None
    assert [info.name for info in await bus.list_objects(bucket)] == ["y"]
    assert len(await bus.subjects(f"OBJ_{bucket}", f"$O.{bucket}.C.>")) == 1
    await bus.put_object(bucket, "x", b"again")
    assert len(await bus.list_objects(bucket)) == 2


async def test_object_that_is_not_whole(bus: Bus, root: str) -> None:
    """Content that does not fit its digest, or of which a part is missing, is an error and never returned."""
    bucket = await bucket_of(bus, root)
    await bus.put_object(bucket, "x", b"content")
    (chunk,) = await bus.subjects(f"OBJ_{bucket}", f"$O.{bucket}.C.>")
    await bus.store(chunk, b"changed", {"Nats-Rollup": "sub"})
    with pytest.raises(BusError, match="digest"):
        await bus.get_object(bucket, "x")


async def test_object_that_has_no_room(bus: Bus, root: str) -> None:
    """A put that the bucket refuses raises, leaves what was there, and leaves no chunks behind."""
    bucket = root.replace(".", "_")
    subjects = (f"$O.{bucket}.C.>", f"$O.{bucket}.M.>")
    spec = StreamSpec(f"OBJ_{bucket}", subjects, discard="new", allow_rollup=True, max_bytes=500_000)
    await bus.ensure([spec], [])
    kept = await bus.put_object(bucket, "x", b"small")
    with pytest.raises(StoreRefused):
        await bus.put_object(bucket, "x", bytes(1 << 20))
    found = await bus.get_object(bucket, "x")
    assert found == (kept, b"small")
    assert sum((await bus.subjects(f"OBJ_{bucket}", f"$O.{bucket}.C.>")).values()) == 1


# the end


async def test_closed_bus(bus: Bus, root: str) -> None:
    """Closing is idempotent, ends everything that lived on the bus, and everything afterwards says so."""
    await stored_stream(bus, root)
    spec = await durable(bus, root)
    consumption = await bus.consume(spec)
    await bus.follow(spec.stream, f"{root}.>", _ignore, last_per_subject=False)
    assert (bus.closed, bus.connected) == (False, True)
    await bus.close()
    await bus.close()
    assert (bus.closed, bus.connected) == (True, False)
    with pytest.raises(BusClosed):
        await bus.publish(f"{root}.x", b"")
    with pytest.raises(BusClosed):
        await bus.request(f"{root}.x", b"", timeout=1)
    with pytest.raises(BusClosed):
        await bus.subscribe(f"{root}.x", lambda _: asyncio.sleep(0))
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
