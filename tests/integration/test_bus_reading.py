"""What every bus must do when it reads and follows, run against the one in memory and the real one."""

import hashlib
import os

import pytest
from tests.integration.streams import fill, ignore, stored_stream

from mendbus.bus import Bus, StoredMessage, StreamSpec, ToStore
from mendbus.contracts.errors import (
    BusError,
    StoreRefused,
)
from mendbus.testing import eventually

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
        await bus.follow("no_stream", ">", ignore, last_per_subject=False)
    with pytest.raises(BusError):
        await bus.get_object("no_bucket", "x")


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
