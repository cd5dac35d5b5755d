"""One acts, others stand by: real processes that are told to hand over, killed, and stopped to wake up late."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.integration.sdk_system import ID, KIND, System

from mendbus.contracts.messages import AgentHello
from mendbus.sdk.standby import LEASE_SECONDS
from mendbus.testing import eventually

WORKER = """
import asyncio, json, os, sys
from mendbus import Agent, Isolated
id_, of = sys.argv[1], sys.argv[2] or None

async def main():
    agent = Agent("build_pipeline", id_)
    log = os.open("log", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    def write(*words):
        os.write(log, (json.dumps([id_, *words]) + "\\n").encode())
    standby = agent.standby(of, activate=lambda: write("activate"), deactivate=lambda: write("deactivate"))

    @agent.operation("build", probe=lambda: True)
    async def build():
        write("build", standby.fence)

    async with agent:
        while not os.path.exists(f"stop-{id_}"):
            try:
                await build()
            except Isolated as error:
                assert "stands by" in str(error)
            await asyncio.sleep(0.005)
asyncio.run(main())
"""


@dataclass
class Pair:
    """A primary and its standbys as processes, and the log of what they did."""

    folder: Path
    processes: dict[str, asyncio.subprocess.Process]

    async def start(self, name: str, of: str = "") -> None:
        """Starts one of them."""
        self.processes[name] = await asyncio.create_subprocess_exec(sys.executable, "worker.py", name, of)

    def log(self) -> list[list[object]]:
        """Who did what, in order; a build with its fence."""
        file = self.folder / "log"
        return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []

    def builds(self, name: str) -> int:
        """How many builds one has done."""
        return sum(1 for line in self.log() if line[:2] == [name, "build"])

    async def acts(self, name: str) -> None:
        """Returns when it goes on building."""
        before = self.builds(name)
        await eventually(lambda: self.builds(name) > before + 3, 15.0)

    def send(self, name: str, number: signal.Signals) -> None:
        """Sends a signal."""
        os.kill(self.processes[name].pid, number)


@pytest.fixture
async def pair(around: System, tmp_path: Path) -> AsyncIterator[Pair]:
    """The primary acts, and one stands by."""
    (tmp_path / "worker.py").write_text(WORKER)
    pair = Pair(tmp_path, {})
    try:
        await pair.start(ID)
        await pair.start("b2", f"{KIND}/{ID}")
        await pair.acts(ID)
        await eventually(lambda: len({hello.agent.id for hello in around.told(AgentHello)}) == 2)
        yield pair
    finally:
        for process in pair.processes.values():
            if process.returncode is None:
                process.kill()
            _ = await process.wait()


def interleaved(log: list[list[object]]) -> list[list[object]]:
    """Builds that were made under a lower fence than one before: what a store that looks at fences refuses."""
    late, highest = list[list[object]](), 0
    for line in log:
        if line[1] == "build":
            fence = line[2]
            assert isinstance(fence, int)
            if fence < highest:
                late.append(line)
            highest = max(highest, fence)
    return late


async def test_failover_hands_over_and_restore_takes_back(system: System, pair: Pair) -> None:
    """On command the standby acts and the primary does not, its probe says who does, and back again; never both."""
    hellos = {hello.agent.id: hello for hello in system.told(AgentHello)}
    assert (hellos[ID].standby_for, hellos["b2"].standby_for) == (None, f"{KIND}/{ID}")
    assert "failover" in hellos[ID].strategies
    assert (await system.probe("build")).healthy

    async def told() -> bool:
        done = await system.command("failover", parameters={"to": None})
        assert done.status == "done" or done.code == "no_standby", done
        return done.status == "done"

    await eventually(told)
    await pair.acts("b2")
    before = pair.builds(ID)
    probed = await system.probe("build")
    assert probed.healthy
    assert probed.detail == f"{KIND}/b2 acts as {KIND}/{ID}"
    again = await system.command("failover")
    assert (again.status, again.detail) == ("done", f"{KIND}/b2 acts as {KIND}/{ID} already")
    assert pair.builds(ID) == before
    assert (await system.command("failover", "restore")).status == "done"
    await pair.acts(ID)
    assert not interleaved(pair.log())
    assert [line for line in pair.log() if line[1] != "build"] == [
        [ID, "activate"],
        [ID, "deactivate"],
        ["b2", "activate"],
        ["b2", "deactivate"],
        [ID, "activate"],
    ]


async def test_one_that_wakes_up_late_does_not_act_any_more(system: System, pair: Pair) -> None:
    """A primary stopped in its tracks is replaced without a command, and does no work when it wakes up."""
    pair.send(ID, signal.SIGSTOP)
    await pair.acts("b2")
    before = pair.builds(ID)
    pair.send(ID, signal.SIGCONT)
    await eventually(lambda: [ID, "deactivate"] in pair.log())
    await pair.acts("b2")
    # One operation may have been under way when it was stopped; its fence tells.
    assert len(interleaved(pair.log())) == pair.builds(ID) - before <= 1
    [error] = [error for error in await system.errors() if error.agent.id == "b2"]
    assert (error.severity, error.exception.type) == ("warning", "TookOver")
    assert (await system.probe("build")).detail == f"{KIND}/b2 acts as {KIND}/{ID}"


async def test_a_dead_one_is_replaced_and_one_that_ends_hands_on(pair: Pair) -> None:
    """After SIGKILL the lease runs out; who stops in good order lets the other act at once."""
    pair.send(ID, signal.SIGKILL)
    await pair.acts("b2")
    await pair.start(ID)
    (pair.folder / "stop-b2").touch()
    await pair.acts(ID)
    assert ["b2", "deactivate"] in pair.log()
    assert not interleaved(pair.log())


async def test_without_a_standby_it_goes_on(system: System, pair: Pair) -> None:
    """Failover without anybody to take over has failed, and the primary has never stopped."""
    pair.send("b2", signal.SIGKILL)
    await asyncio.sleep(2.5 * LEASE_SECONDS)
    done = await system.command("failover")
    assert (done.status, done.code) == ("failed", "no_standby")
    wrong = await system.command("failover", parameters={"to": "nobody"})
    assert (wrong.status, wrong.code) == ("failed", "no_standby")
    assert [line for line in pair.log() if line[1] != "build"] == [[ID, "activate"]]
    await pair.acts(ID)
