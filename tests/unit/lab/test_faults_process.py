"""Faults inside one real worker of versioning: each does what it says, and goes away with what it should."""

import asyncio
import json
import random
import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from tests.lab.faults import Case, Fault
from tests.lab.faults.concurrency import CONCURRENCY
from tests.lab.faults.process import PROCESS
from tests.lab.faults.storage import STORAGE, may_mount
from tests.lab.judging import PATIENCE_SECONDS
from tests.lab.kinds import KINDS
from tests.lab.workers import Worker

from mendbus.contracts.vocabulary import CATEGORIES

FAULTS = {fault.name: fault for fault in (*PROCESS, *STORAGE, *CONCURRENCY)}
SOURCES = {f"part_{number}": f"number = {number}\n" * 20 for number in range(8)}
LATE = PATIENCE_SECONDS["versioning"]


class One:
    """A member with nothing around it but its worker."""

    kind = "versioning"

    def __init__(self, folder: Path, worker: Worker) -> None:
        self.folder = folder
        self.serving = worker

    async def ask(self, do: str) -> dict[str, Any]:
        assert do == "status"
        return {"site": "a", "pid": self.serving.pid}

    async def worker(self) -> int:
        return self.serving.pid

    async def inside(self, fault: str, **parameters: Any) -> Any:
        return await self.serving.ask("inside", 5.0, fault=fault, **parameters)

    async def use(self, number: int = 0, way: str = "") -> str:
        """One request of a user: what was wrong with it, "" for nothing."""
        name = f"part_{number % len(SOURCES)}"
        begun = time.monotonic()
        try:
            text = await self.serving.ask("call", 1.0, operation="get", arguments=[name], way=way)
        except Exception as error:
            return type(error).__name__
        if text != SOURCES[name]:
            return "wrong"
        return "late" if time.monotonic() - begun > LATE else ""

    async def uses(self, way: str = "") -> list[str]:
        return [await self.use(number, way) for number in range(5)]

    async def until_felt(self, seconds: float = 8.0) -> str:
        """Uses it until two of five requests in a row were bad; what was wrong with the last."""
        last: list[str] = []
        deadline = time.monotonic() + seconds
        while sum(bool(wrong) for wrong in last[-5:]) < 2:
            assert time.monotonic() < deadline, f"not felt: {last[-5:]}"
            last.append(await self.use(len(last)))
            await asyncio.sleep(0.01)
        return last[-1]

    async def put(self) -> None:
        await self.serving.ask("call", 2.0, operation="put", arguments=[SOURCES])


@asynccontextmanager
async def serving(folder: Path) -> AsyncIterator[One]:
    for site in ("a", "b"):
        (folder / site).mkdir()
        (folder / site / "config.json").write_text(json.dumps({"upstreams": {}, "workers": 4}))
    worker = await Worker.start("versioning")
    try:
        _ = await worker.warm
        await worker.open(str(folder / "a"))
        one = One(folder, worker)
        await one.put()
        assert await one.uses() == [""] * 5
        yield one
    finally:
        await worker.kill()


async def strike(one: One, name: str, **parameters: Any) -> None:
    world, member = cast("Any", SimpleNamespace()), cast("Any", one)
    await FAULTS[name].inject(Case(world, member, parameters, random.Random(1)))


@pytest.mark.parametrize("fault", FAULTS.values(), ids=list(FAULTS))
def test_cases_are_well_formed(fault: Fault) -> None:
    """Each fault says what it is in words of the vocabulary, for kinds that there are, in at most six cases."""
    assert fault.description.endswith(".")
    assert fault.category in CATEGORIES
    assert fault.kinds
    assert set(fault.kinds) | set(fault.feels) <= set(KINDS)
    assert all(1 <= len(values) <= 3 for values in fault.parameters.values())
    assert 1 <= len(fault.cases()) <= 6
    assert json.loads(json.dumps(fault.cases())) == fault.cases()


@pytest.mark.parametrize(("name", "number"), [("killed", signal.SIGKILL), ("segfault", signal.SIGSEGV)])
async def test_a_process_dies_of_what_it_should(tmp_path: Path, name: str, number: signal.Signals) -> None:
    """The worker is ended by the signal that such an end leaves behind."""
    async with serving(tmp_path) as one:
        await strike(one, name)
        death = await asyncio.wait_for(one.serving.death(), 5.0)
        assert number.name in str(death)


@pytest.mark.parametrize("how", FAULTS["hang"].parameters["how"])
async def test_a_hung_worker_answers_nothing_and_then_again(tmp_path: Path, how: str) -> None:
    """While it hangs no request is answered, and afterwards all are."""
    async with serving(tmp_path) as one:
        await strike(one, "hang", how=how, seconds=1.5)
        await asyncio.sleep(0.2)
        assert await one.use() == "TimeoutError"
        await asyncio.sleep(0.6)
        assert await one.uses() == [""] * 5


async def test_a_leak_meets_its_limit(tmp_path: Path) -> None:
    """Calls raise a real MemoryError, the other way as well, and work taken up anew does not help."""
    async with serving(tmp_path) as one:
        await strike(one, "memory_leak", where="core", megabytes_per_second=64)
        assert await one.until_felt() == "MemoryError"
        await one.serving.open(str(tmp_path / "a"))
        assert await one.uses() == ["MemoryError"] * 5
        assert await one.uses("history") == ["MemoryError"] * 5


async def test_a_leak_of_the_usual_way_spares_the_other(tmp_path: Path) -> None:
    """What goes another way does not leak, and has enough of what is left."""
    async with serving(tmp_path) as one:
        await strike(one, "memory_leak", where="usual_way", megabytes_per_second=64)
        assert await one.until_felt() == "MemoryError"
        assert await one.uses("history") == [""] * 5


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("memory_leak", {"megabytes_per_second": 64}),
        ("cpu_hog", {"times": 3}),
        ("descriptors", {"sort": "sockets"}),
        ("lock_contention", {"times": 2}),
    ],
)
async def test_a_fault_of_the_feature_ends_with_it(tmp_path: Path, name: str, parameters: dict[str, Any]) -> None:
    """Users feel it while the optional feature is on, and are served as soon as it is off."""
    async with serving(tmp_path) as one:
        await strike(one, name, where="feature", **parameters)
        _ = await one.until_felt()
        await one.serving.ask("set", 5.0, feature="deltas", on=False)
        await asyncio.sleep(0.6)
        assert await one.uses() == [""] * 5


async def test_a_hog_of_the_lanes_is_less_with_fewer_of_them(tmp_path: Path) -> None:
    """At one operation at a time the worker is so much less burdened that users are served."""
    async with serving(tmp_path) as one:
        await strike(one, "cpu_hog", where="lanes", times=2)
        _ = await one.until_felt()
        await one.serving.ask("set", 5.0, workers=1)
        await asyncio.sleep(0.6)
        assert (await one.uses()).count("") >= 4


@pytest.mark.parametrize("sort", FAULTS["descriptors"].parameters["sort"])
async def test_descriptors_run_out(tmp_path: Path, sort: str) -> None:
    """No file can be opened any more."""
    async with serving(tmp_path) as one:
        await strike(one, "descriptors", where="core", sort=sort)
        await asyncio.sleep(0.2)
        assert await one.uses() == ["OSError"] * 5


@pytest.mark.parametrize("limit", FAULTS["file_too_large"].parameters["bytes"])
async def test_no_file_can_be_written(tmp_path: Path, limit: int) -> None:
    """What is stored cannot be replaced, the process lives on, and reading goes on."""
    async with serving(tmp_path) as one:
        await strike(one, "file_too_large", bytes=limit)
        with pytest.raises(Exception, match="File too large"):
            await one.put()
        assert await one.uses() == [""] * 5


@pytest.mark.skipif(not may_mount(), reason="only who may mount has a disk to fill")
async def test_a_full_disk_is_full_until_room_is_made(tmp_path: Path) -> None:
    """Nothing can be written, not by another process either; what was there is there, then and afterwards."""
    async with serving(tmp_path) as one:
        case = Case(cast("Any", None), cast("Any", one), {}, random.Random(1))
        await FAULTS["disk_full"].inject(case)
        try:
            with pytest.raises(Exception, match="No space left on device"):
                await one.put()
            assert await one.uses() == [""] * 5
            with pytest.raises(OSError, match="No space left on device"):
                (tmp_path / "a" / "state" / "more").write_bytes(bytes(100))
        finally:
            await FAULTS["disk_full"].end(case)
        await one.put()
        assert await one.uses() == [""] * 5


@pytest.mark.parametrize("how", FAULTS["corrupted_state"].parameters["how"])
async def test_a_corrupted_index_is_no_json(tmp_path: Path, how: str) -> None:
    """Each request fails on it; the history still knows."""
    async with serving(tmp_path) as one:
        await strike(one, "corrupted_state", how=how)
        assert set(await one.uses()) <= {"JSONDecodeError", "UnicodeDecodeError"}
        assert await one.uses("history") == [""] * 5


@pytest.mark.parametrize("how", FAULTS["torn_write"].parameters["how"])
async def test_a_torn_write_keeps_the_next_worker_from_its_work(tmp_path: Path, how: str) -> None:
    """The worker dies, and another cannot take up the work in that site."""
    async with serving(tmp_path) as one:
        await strike(one, "torn_write", how=how)
        _ = await asyncio.wait_for(one.serving.death(), 5.0)
        other = await Worker.start("versioning")
        try:
            _ = await other.warm
            with pytest.raises(Exception, match=r"decode|Expecting|Unterminated|Extra data"):
                await other.open(str(tmp_path / "a"))
        finally:
            await other.kill()


@pytest.mark.parametrize("how", FAULTS["corrupted_objects"].parameters["how"])
async def test_corrupted_objects_are_told_and_the_other_site_has_them_whole(tmp_path: Path, how: str) -> None:
    """No wrong text is given out, and what both sites had in common is spoilt in one only."""
    async with serving(tmp_path) as one:
        objects, copies = (tmp_path / site / "state" / "objects" for site in ("a", "b"))
        copies.mkdir(parents=True)
        for path in objects.iterdir():
            (copies / path.name).hardlink_to(path)
        whole = {path.name: path.read_bytes() for path in copies.iterdir()}
        await strike(one, "corrupted_objects", how=how, share=1.0)
        assert await one.uses() == ["WrongAnswerError"] * 5
        assert {path.name: path.read_bytes() for path in copies.iterdir()} == whole


@pytest.mark.parametrize("where", FAULTS["deadlock"].parameters["where"])
async def test_a_deadlock_lasts(tmp_path: Path, where: str) -> None:
    """The worker still answers about itself, but no call ever comes back; taking up the work anew changes nothing."""
    async with serving(tmp_path) as one:
        await strike(one, "deadlock", where=where, every_ms=2)
        assert await one.until_felt(15.0) == "TimeoutError"
        await one.serving.open(str(tmp_path / "a"))
        assert await one.use() == "TimeoutError"
        assert (await one.serving.ask("ping", 1.0))["busy"] >= 1


async def test_a_lock_that_the_usual_way_needs_leaves_the_other_free(tmp_path: Path) -> None:
    """Users wait for the lock, those who are served another way do not."""
    async with serving(tmp_path) as one:
        await strike(one, "lock_contention", where="usual_way", times=4)
        assert await one.until_felt() in ("late", "TimeoutError")
        await asyncio.sleep(1.2)
        assert await one.uses("history") == [""] * 5
