"""The demo's worker processes: real reloads, real damage, real deaths."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from mendbus.demo import workers
from mendbus.demo.builds import Build, Builder, sources_of
from mendbus.demo.faults import ENTRY, FAULTS, GOOD_CHANGE, ORDER, SELFCHECK, make_project
from mendbus.demo.workers import FailedInWorker, Worker, WorkerDied


@pytest.fixture
def builder(tmp_path: Path) -> Builder:
    """A builder of the sample project."""
    return Builder(make_project(tmp_path / "project"), tmp_path / "out")


@pytest.fixture
async def worker(tmp_path: Path) -> AsyncIterator[Worker]:
    """A worker on the builder's objects."""
    (tmp_path / "out" / "objects").mkdir(parents=True, exist_ok=True)
    found = await Worker.start(tmp_path / "out" / "objects")
    yield found
    await found.retire()


def build_of(builder: Builder, number: int, *changed: str) -> Build:
    """The build of the sources as they are now."""
    return builder.link(sources_of(builder.package), changed, number)


async def test_a_change_reloads_the_module_and_all_that_import_it(builder: Builder, worker: Worker) -> None:
    """What does not depend on the change stays as it is, and calls give what the new code gives."""
    assert len(await worker.load(build_of(builder, 1))) == 8
    before = await worker.call(ENTRY, ORDER)
    GOOD_CHANGE.save(builder.package)
    done = await worker.load(build_of(builder, 2))
    assert done == ["shop.rates", "shop.pricing", "shop.shipping", "shop.invoice", "shop.selfcheck"]
    after = await worker.call(ENTRY, ORDER)
    assert after["discount"] > before["discount"]


async def test_a_reload_that_raises_does_damage_that_loading_the_last_good_build_heals(
    builder: Builder, worker: Worker
) -> None:
    """Half reloaded code does not work; after the last good build is loaded again it answers as before."""
    good = build_of(builder, 1)
    _ = await worker.load(good)
    answers = await worker.call(SELFCHECK)
    edit = FAULTS[2].edit
    assert edit is not None
    edit.save(builder.package)
    with pytest.raises(FailedInWorker, match=r"KeyError: 'standard' \(rates\.py, line 7\)"):
        _ = await worker.load(build_of(builder, 2, "shop.rates"))
    with pytest.raises(FailedInWorker, match="KeyError"):
        _ = await worker.call(SELFCHECK)
    assert "shop.rates" in await worker.load(good)
    assert await worker.call(SELFCHECK) == answers


async def test_the_death_of_a_worker_is_known_by_its_signal(worker: Worker) -> None:
    """Whoever waits learns how it died, and whoever asks is told at once that it is gone."""
    death = asyncio.create_task(worker.death())
    os.kill(worker.pid, signal.SIGKILL)
    assert str(await asyncio.wait_for(death, 5.0)) == f"worker process {worker.pid} was ended by SIGKILL"
    with pytest.raises(WorkerDied, match="is not there any more"):
        _ = await worker.call(SELFCHECK)


async def test_a_worker_that_dies_at_work_is_missed(worker: Worker) -> None:
    """A call that ends the process raises, and the status is told."""
    with pytest.raises(WorkerDied, match="went away while it was at work"):
        _ = await worker.call("os:_exit", 3)
    assert str(await worker.death()).endswith("ended with status 3")


async def test_a_worker_that_hangs_is_killed(worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    """No answer in time ends it, so that a late answer is never taken for another one."""
    _ = await worker.call("math:sqrt", 4)
    monkeypatch.setattr(workers, "ASK_SECONDS", 0.1)
    with pytest.raises(WorkerDied, match="is killed"):
        _ = await worker.call("time:sleep", 60)
    assert str(await worker.death()).endswith("was ended by SIGKILL")


async def test_what_the_code_prints_does_not_get_among_the_answers(worker: Worker) -> None:
    """A module that prints is no reason to lose an answer."""
    assert await worker.call("builtins:print", "hello") is None
    assert await worker.call("math:sqrt", 9) == 3.0
