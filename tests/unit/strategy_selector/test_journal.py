"""The journal: group commit, the fence, the hash chain, and a lost answer that must not write twice."""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress

import pytest

from mendbus import streams
from mendbus.bus import Bus, Stored
from mendbus.bus.memory import MemoryServer
from mendbus.contracts.errors import BusTimeout, StoreRefused
from mendbus.contracts.journal import Claimed, Counted, JournalRecord
from mendbus.contracts.subjects import Subjects
from mendbus_strategy_selector.journal import Fenced, Journal, Position, digest_of, read_record

SUBJECTS = Subjects()


class Moody:
    """A bus that stores, and sometimes says something else."""

    def __init__(self, bus: Bus, *moods: Exception) -> None:
        self.bus = bus
        self.moods = list(moods)

    async def store(
        self,
        subject: str,
        body: bytes,
        headers: Mapping[str, str] | None = None,
        *,
        id: str = "",  # noqa: A002 - the wire's own word
        expected_last: int | None = None,
        timeout: float = 5.0,
    ) -> Stored:
        mood = self.moods.pop(0) if self.moods else None
        if isinstance(mood, StoreRefused):
            raise mood
        stored = await self.bus.store(subject, body, headers, id=id, expected_last=expected_last, timeout=timeout)
        if mood is not None:
            raise mood
        return stored

    def __getattr__(self, name: str) -> object:
        return getattr(self.bus, name)


@asynccontextmanager
async def journal(bus: Bus, owner: str = "one", position: Position | None = None) -> AsyncIterator[Journal]:
    """A journal of partition 0 that is being written."""
    found = Journal(bus, SUBJECTS, 0, owner, position or Position(), time.time_ns)
    running = asyncio.create_task(found.run())
    try:
        yield found
    finally:
        running.cancel()
        with suppress(asyncio.CancelledError, Fenced):
            await running


@pytest.fixture
async def bus() -> AsyncIterator[Bus]:
    """A memory bus with the streams there are."""
    found = MemoryServer().connect("test")
    await streams.ensure(found, SUBJECTS, 1 << 30)
    yield found
    await found.close()


async def records(bus: Bus) -> list[tuple[JournalRecord, bytes]]:
    """All records of partition 0 with their bytes."""
    return [(read_record(m), m.body) async for m in bus.read(SUBJECTS.stream("JOURNAL"), SUBJECTS.journal(0))]


async def test_what_comes_while_a_write_is_under_way_shares_the_next_record(bus: Bus) -> None:
    """A hundred entries appended at once take two records at most, in order, chained by their hashes."""
    async with journal(bus) as written:
        commits = [written.append(Claimed(owner=str(n))) for n in range(100)]
        await asyncio.gather(*commits)
    stored = await records(bus)
    assert len(stored) <= 2
    assert [e.owner for r, _ in stored for e in r.entries if isinstance(e, Claimed)] == [str(n) for n in range(100)]
    assert [r.previous for r, _ in stored] == ["", *(digest_of(body) for _, body in stored[:-1])]
    assert [r.number for r, _ in stored] == list(range(1, len(stored) + 1))


async def test_a_cut_ends_its_record(bus: Bus) -> None:
    """The position of a cut is that of a record in which nothing later stands."""
    async with journal(bus) as written:
        written.append(Claimed(owner="a"))
        cut = written.append(Claimed(owner="b"), cut=True)
        after = written.append(Claimed(owner="c"))
        assert (await cut).number < (await after).number


async def test_a_large_group_is_split(bus: Bus) -> None:
    """Entries that do not fit into one record go into several."""
    async with journal(bus) as written:
        big = [Claimed(owner="x" * 250) for _ in range(1500)]
        await asyncio.gather(*(written.append(*big) for _ in range(3)))
    assert len(await records(bus)) == 3


async def test_what_is_too_large_for_a_record_goes_into_several(bus: Bus) -> None:
    """More than a record may hold, appended at once, is readable, in order, and committed when all of it is there."""
    ids = ["x" * 64] * 62
    big = [Counted(incident_id=f"i{n}", lane="normal", sequences=[n], event_ids=ids, error_count=1) for n in range(300)]
    async with journal(bus) as written:
        position = await written.append(*big)
        stored = await records(bus)
    assert len(stored) > 1
    assert [e for record, _ in stored for e in record.entries] == big
    assert position.number == len(stored)
    assert [record.previous for record, _ in stored] == ["", *(digest_of(body) for _, body in stored[:-1])]


async def test_a_second_owner_fences_the_first(bus: Bus) -> None:
    """After somebody else's write the next write of this owner raises `Fenced`, and nothing of it is stored."""
    first = Journal(bus, SUBJECTS, 0, "first", Position(), time.time_ns)
    async with journal(bus, "second") as second:
        await second.append(Claimed(owner="second"))
    lost = first.append(Claimed(owner="first"))
    with pytest.raises(Fenced):
        await first.run()
    assert lost.cancelled()
    assert [r.owner for r, _ in await records(bus)] == ["second"]


@pytest.mark.parametrize("answers", [1, 2])
async def test_a_lost_answer_writes_once(bus: Bus, answers: int) -> None:
    """When the server's word is lost the same record is sent again and stands in the journal once."""
    moody = Moody(bus, *(BusTimeout("journal", 1.0) for _ in range(answers)))
    async with journal(moody) as written:  # pyright: ignore[reportArgumentType]
        assert (await written.append(Claimed(owner="a"))).number == 1
        assert (await written.append(Claimed(owner="b"))).number == 2
    assert len(await records(bus)) == 2


async def test_a_full_disk_is_waited_for(bus: Bus, monkeypatch: pytest.MonkeyPatch) -> None:
    """A refusal of the server stops nothing but the writing, until it is gone."""
    monkeypatch.setattr("mendbus_strategy_selector.journal._REFUSED_SECONDS", 0.0)
    moody = Moody(bus, StoreRefused("journal", 10077, "no space"))
    async with journal(moody) as written:  # pyright: ignore[reportArgumentType]
        await written.append(Claimed(owner="a"))
    assert len(await records(bus)) == 1
