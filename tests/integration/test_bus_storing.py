"""What every bus must do when it stores, run against the one in memory and the real one."""

import asyncio
from dataclasses import replace

import pytest
from tests.conftest import Connect
from tests.integration.streams import bodies, fill, stored_stream, stream_of

from mendbus.bus import Bus, ConsumerSpec, Message, StreamSpec, ToStore
from mendbus.contracts.errors import (
    BatchDuplicate,
    BusError,
    NoResponders,
    StoreRefused,
    WrongSequence,
)
from mendbus.testing import eventually

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


async def test_missing_streams_are_named(bus: Bus, root: str) -> None:
    """Of the streams asked for, those are named that are not on the server."""
    there = StreamSpec(await stored_stream(bus, root), ())
    assert await bus.missing([there]) == []
    assert await bus.missing([there, StreamSpec("elsewhere", ())]) == ["elsewhere"]


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


async def test_full_subject_refuses_and_others_do_not(bus: Bus, root: str) -> None:
    """Where a subject may hold so many messages, one more is refused on it alone; lifted in place, nothing is lost."""
    stream = await stored_stream(bus, root, discard="new")
    await fill(bus, f"{root}.x", 5)
    limited = stream_of(root, discard="new", max_msgs_per_subject=5, full_subject="new")
    assert await bus.ensure([limited], []) == []
    with pytest.raises(StoreRefused, match="per subject") as caught:
        await bus.store(f"{root}.x", b"")
    assert caught.value.code == 10077
    await fill(bus, f"{root}.y", 5)
    assert await bus.ensure([stream_of(root, discard="new")], []) == []
    await fill(bus, f"{root}.x", 1)
    assert await bus.subjects(stream, f"{root}.>") == {f"{root}.x": 6, f"{root}.y": 5}


async def test_too_large_a_message_is_refused(bus: Bus, root: str) -> None:
    """A stream that bounds its messages counts their headers, too."""
    await stored_stream(bus, root, max_msg_size=1000)
    await bus.store(f"{root}.x", bytes(1000))
    for body, headers in ((bytes(1001), None), (bytes(1000), {"a": "b"})):
        with pytest.raises(StoreRefused, match="size exceeds") as caught:
            await bus.store(f"{root}.x", body, headers)
        assert caught.value.code == 10054


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


async def test_purge_of_a_subject_leaves_the_others(bus: Bus, root: str) -> None:
    """Of the subject that is named what is below the sequence goes; the first that is left is found from any place."""
    stream = await stored_stream(bus, root)
    for _ in range(3):
        await fill(bus, f"{root}.x", 1)
        await fill(bus, f"{root}.y", 1)
    assert await bus.purge(stream, 4, f"{root}.x") == 2
    assert await bus.subjects(stream, f"{root}.>") == {f"{root}.x": 1, f"{root}.y": 3}
    found = [await bus.first(stream, f"{root}.*", start) for start in (0, 1, 5, 6, 7)]
    assert [None if one is None else one.sequence for one in found] == [2, 2, 5, 6, None]
