"""The demo's runtime agent: its workers, its probe and its restart, without a bus."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.unit.demo.recorded import Recorded

from mendbus import Agent, RecoveryCommand
from mendbus.contracts.messages import AgentRef
from mendbus.demo.builds import Build, Builder, sources_of
from mendbus.demo.faults import ENTRY, FAULTS, ORDER, SELFCHECK, make_project
from mendbus.demo.runtime_agent import RuntimeAgent, WrongAnswerError
from mendbus.demo.workers import FailedInWorker, WorkerDied
from mendbus.testing import eventually


class Running:
    """A runtime agent that serves the sample project, and what it is made of."""

    def __init__(self, folder: Path, group: asyncio.TaskGroup) -> None:
        self.builder = Builder(make_project(folder / "project"), folder / "out")
        self.agent = Agent("runtime", "test")
        self.runtime = RuntimeAgent(self.agent, folder / "out", SELFCHECK, Recorded(), group)  # pyright: ignore

    def build(self, number: int) -> Build:
        """The build of the sources as they are."""
        return self.builder.link(sources_of(self.builder.package), ["shop.rates"], number)

    async def worker(self) -> int:
        """The process that serves."""
        return (await self.runtime.status())["worker"]

    async def quote(self) -> Any:
        """What the loaded code gives."""
        return (await self.runtime.call(ENTRY, [ORDER]))["value"]


@asynccontextmanager
async def running(folder: Path) -> AsyncIterator[Running]:
    """A runtime agent that serves the first build."""
    async with asyncio.TaskGroup() as group:
        found = Running(folder, group)
        await found.runtime.start()
        try:
            await found.runtime._load(found.build(1))
            yield found
        finally:
            await found.runtime.stop()


def restart(mode: str) -> RecoveryCommand:
    """An order to restart."""
    return RecoveryCommand(
        command_id="c1",
        incident_id="i1",
        attempt=1,
        agent=AgentRef(kind="runtime", id="test"),
        action="apply",
        strategy="restart",
        parameters={"mode": mode},
        timeout_ms=1000,
        deadline_unix_nano=0,
        fence=1,
    )


async def test_the_death_of_the_worker_is_reported_at_once_and_a_warm_restart_serves_on(tmp_path: Path) -> None:
    """One fatal report without anybody asking; then the worker that stood by gives what the dead one gave."""
    async with running(tmp_path) as found:
        expected, dead = await found.quote(), await found.worker()
        os.kill(dead, signal.SIGKILL)
        await eventually(lambda: found.agent.stats().reported == 1)
        with pytest.raises(WrongAnswerError):
            await found.runtime._probe()
        assert (await found.runtime._restart(restart("warm"))).startswith("the warm standby")
        await found.runtime._probe()
        assert await found.worker() != dead
        assert await found.quote() == expected


async def test_without_a_standby_a_restart_starts_a_new_worker(tmp_path: Path) -> None:
    """The death of the worker that stands by is no failure, and costs the next restart a start."""
    async with running(tmp_path) as found:
        expected, standby = await found.quote(), found.runtime._standby
        assert standby is not None
        os.kill(standby.pid, signal.SIGKILL)
        await eventually(lambda: not standby.alive)
        assert (await found.runtime._restart(restart("warm"))).startswith("a new worker")
        assert await found.quote() == expected
        assert (await found.runtime._restart(restart("cold"))).startswith("a new worker")
        assert await found.quote() == expected
        assert found.agent.stats().reported == 0


async def test_a_standby_that_cannot_follow_is_given_up(tmp_path: Path) -> None:
    """It would serve code that is not the last good one."""
    async with running(tmp_path) as found:
        standby = found.runtime._standby
        assert standby is not None
        os.kill(standby.pid, signal.SIGKILL)
        await found.runtime._load(found.build(2))
        await eventually(lambda: found.runtime._standby is None)


async def test_the_probe_runs_the_loaded_code_and_knows_what_it_must_answer(tmp_path: Path) -> None:
    """Half loaded code is not healthy, and neither is code that answers otherwise; a rollback heals both."""
    async with running(tmp_path) as found:
        await found.runtime._probe()
        good = found.runtime._snapshot()
        edit = FAULTS[2].edit
        assert edit is not None
        edit.save(found.builder.package)
        with pytest.raises(FailedInWorker):
            await found.runtime._load(found.build(2))
        with pytest.raises(WrongAnswerError, match="no build is loaded as a whole"):
            await found.runtime._probe()
        await found.runtime._restore(good, None)
        await found.runtime._probe()
        found.runtime._answers = {Build.from_json(good).id: ["another"]}
        with pytest.raises(WrongAnswerError, match="answers"):
            await found.runtime._probe()


async def test_before_anything_is_loaded_there_is_nothing_to_serve_or_keep(tmp_path: Path) -> None:
    """It says so instead of making something up."""
    async with asyncio.TaskGroup() as group:
        found = Running(tmp_path, group)
        with pytest.raises(WorkerDied, match="has not been started"):
            _ = await found.runtime.status()
        with pytest.raises(LookupError):
            _ = found.runtime._snapshot()
