"""`mendbus supervise` with real processes: deaths, hangs, restarts warm and cold, isolation, the way out."""

import asyncio
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.integration.sdk_system import ID, KIND, System

from mendbus import Agent
from mendbus.contracts.messages import ErrorReported
from mendbus.supervise.program import Program
from mendbus.supervise.supervisor import Supervisor
from mendbus.testing import eventually

TALE = """
import os, sys, time, signal, json, argparse
import helper
print("alive", file=sys.stderr, flush=True)
def beat():
    os.write(int(os.environ["MENDBUS_HEARTBEAT_FD"]), b".")
signal.signal(signal.SIGTTOU, lambda *_: open("level", "w").write("down"))
signal.signal(signal.SIGTTIN, lambda *_: open("level", "w").write("up"))
while True:
    command = open("command").read() if os.path.exists("command") else ""
    if command == "exit":
        sys.exit(0)
    if command == "die":
        print("the last words", file=sys.stderr, flush=True)
        os._exit(3)
    if command != "hang":
        beat()
    time.sleep(0.005)
"""
CLI = "from mendbus.cli.app import run; run()"
AGENT = """
import asyncio
from mendbus import Agent
async def main():
    async with Agent("runtime", "inner"):
        await asyncio.sleep(3600)
asyncio.run(main())
"""


@pytest.fixture
def system(around: System, tmp_path: Path) -> System:
    """A root of its own on the shared server, and a folder with a program in it."""
    (tmp_path / "tale.py").write_text(TALE)
    (tmp_path / "helper.py").write_text("import decimal, time\ntime.sleep(0.1)\n")
    return around


@dataclass
class Stage:
    """A supervisor at work."""

    supervisor: Supervisor
    stop: asyncio.Event
    running: "asyncio.Task[int]"

    @property
    def pid(self) -> int:
        """Of the process that serves."""
        process = self.supervisor.process
        return 0 if process is None or process.status is not None else process.pid


@asynccontextmanager
async def supervised(system: System, *argv: str, **changes: Any) -> AsyncIterator[Stage]:
    """A program under supervision for the length of a block, as agent `KIND/ID`."""
    agent: Agent = system.agent()
    stop = asyncio.Event()
    program = Program(argv or (sys.executable, "tale.py"), heartbeat_ms=50, grace_seconds=0.5, **changes)
    async with agent:
        supervisor = Supervisor(agent, program)
        stage = Stage(supervisor, stop, asyncio.create_task(supervisor.run(stop)))
        assert await asyncio.to_thread(agent.wait_ready)
        await eventually(lambda: supervisor.process)
        try:
            yield stage
        finally:
            stop.set()
            await asyncio.wait_for(stage.running, 10.0)


async def errors(system: System, number: int) -> list[ErrorReported]:
    """So many errors, as soon as they are stored."""

    async def stored() -> list[ErrorReported]:
        found = await system.errors()
        return found if len(found) >= number else []

    return await eventually(stored)


def beating(stage: Stage) -> Callable[[], bool]:
    """Whether the serving process has beaten."""
    return lambda: stage.supervisor.process is not None and stage.supervisor.process.beats > 0


async def test_a_death_is_reported_at_once_and_cured_cold(system: System, tmp_path: Path) -> None:
    """Exit status and last lines are in a fatal error, the probe fails until a restart has taken over."""
    async with supervised(system) as stage:
        await eventually(beating(stage))
        assert (await system.probe()).healthy
        before = stage.pid
        (tmp_path / "command").write_text("die")
        [error] = await errors(system, 1)
        assert (error.severity, error.exception.type.rpartition(".")[2]) == ("fatal", "ProcessDied")
        assert error.category == "runtime"
        assert "status 3" in error.exception.message
        assert "the last words" in error.exception.message
        assert not (await system.probe()).healthy
        (tmp_path / "command").unlink()
        done = await system.command("restart", parameters={"mode": "warm", "grace_ms": 100}, timeout_ms=5000)
        assert (done.status, (done.detail or "").split(" restart")[0]) == ("done", "cold")
        assert (await system.probe()).healthy
        assert stage.pid not in (0, before)


async def test_a_signal_is_named(system: System) -> None:
    """What killed the process is in the error."""
    async with supervised(system) as stage:
        await eventually(beating(stage))
        process = stage.supervisor.process
        assert process is not None
        process.signal(signal.SIGKILL)
        [error] = await errors(system, 1)
        assert "SIGKILL" in error.exception.message


async def test_a_hang_is_reported_and_a_warm_standby_takes_over(
    system: System, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Missed heartbeats are an error and an unhealthy probe; the standby has its imports behind it."""
    async with supervised(system, standby=True) as stage:
        await eventually(beating(stage))
        standby = await eventually(lambda: stage.supervisor.standby)
        before = stage.pid
        (tmp_path / "command").write_text("hang")
        [error] = await errors(system, 1)
        assert (error.severity, error.exception.type.rpartition(".")[2]) == ("critical", "ProcessHung")
        assert not (await system.probe()).healthy
        (tmp_path / "command").unlink()
        done = await system.command("restart", parameters={"mode": "warm", "grace_ms": 500}, timeout_ms=5000)
        assert (done.status, (done.detail or "").split(" restart")[0]) == ("done", "warm")
        assert stage.pid == standby.pid != before
        assert (await system.probe()).healthy
        with capsys.disabled():
            print(f"\n{done.detail}")
        await eventually(lambda: stage.supervisor.standby)


async def test_a_real_agent_is_restarted_warm(
    system: System, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A Python agent beats by itself, and a standby of it takes over in milliseconds, again and again."""
    (tmp_path / "inner.py").write_text(AGENT)
    async with supervised(system, sys.executable, "-m", "inner", standby=True) as stage:
        times: list[str] = []
        for _ in range(3):
            await eventually(beating(stage), 10.0)
            standby = await eventually(lambda: stage.supervisor.standby, 10.0)
            done = await system.command("restart", parameters={"mode": "warm", "grace_ms": 0}, timeout_ms=5000)
            assert (done.status, stage.pid) == ("done", standby.pid)
            times.append(done.detail or "")
        assert (await system.probe()).healthy
        done = await system.command("restart", parameters={"mode": "cold", "grace_ms": 0}, timeout_ms=5000)
        with capsys.disabled():
            print("", *times, done.detail, sep="\n")


async def test_failover_fences_the_former_and_takes_a_standby_only(system: System) -> None:
    """One that was stopped is dead before its standby serves; without a standby, or to another agent, it has failed."""
    async with supervised(system, standby=True) as stage:
        await eventually(beating(stage))
        former, standby = stage.supervisor.process, await eventually(lambda: stage.supervisor.standby)
        assert former is not None
        wrong = await system.command("failover", parameters={"to": "b2"})
        assert (wrong.status, wrong.code, stage.pid) == ("failed", "no_standby", former.pid)
        former.signal(signal.SIGSTOP)
        done = await system.command("failover", parameters={"to": None}, timeout_ms=5000)
        assert (done.status, done.code, stage.pid, former.status) == ("done", "in_place", standby.pid, -signal.SIGKILL)
        assert (await system.probe()).healthy
        early = await system.command("failover")
        assert (early.status, early.code, stage.pid) == ("failed", "no_standby", standby.pid)
        assert (await system.command("failover", "restore")).status == "done"
        assert (stage.pid, await system.errors()) == (standby.pid, [])


async def test_isolate_stops_and_restore_goes_on(system: System) -> None:
    """An isolated process is stopped, which is healthy as ordered and no hang, and goes on when it is lifted."""
    async with supervised(system) as stage:
        await eventually(beating(stage))
        process = stage.supervisor.process
        assert process is not None
        assert (await system.command("isolate")).status == "done"
        await eventually(lambda: process.stopped)
        assert (await system.probe()).healthy
        beats = process.beats
        await asyncio.sleep(0.3)
        assert process.beats <= beats + 1
        assert (await system.command("isolate", "restore")).status == "done"
        await eventually(lambda: process.beats > beats + 1)
        assert (await system.probe()).healthy
        assert not await system.errors()


async def test_scale_down_is_a_signal_to_the_program(system: System, tmp_path: Path) -> None:
    """With both signals given it is supported, and taken back by the second."""
    changes = {"scale_down": signal.SIGTTOU, "scale_up": signal.SIGTTIN}
    async with supervised(system, **changes) as stage:
        await eventually(beating(stage))
        assert (await system.command("scale_down", parameters={"factor": 0.5})).status == "done"
        level = tmp_path / "level"
        await eventually(lambda: level.exists() and level.read_text() == "down")
        assert (await system.command("scale_down", "restore")).status == "done"
        await eventually(lambda: level.read_text() == "up")


@pytest.mark.parametrize("probe", [("false",), ("/no/such/program",), ("sleep", "9")])
async def test_a_probe_command_has_the_last_word(system: System, probe: tuple[str, ...]) -> None:
    """A failing, a missing and a hanging probe command are unhealthy within the deadline."""
    async with supervised(system, probe=probe) as stage:
        await eventually(beating(stage))
        assert not (await system.probe(seconds=0.5)).healthy


async def test_it_ends_when_the_program_ends_well(system: System, tmp_path: Path) -> None:
    """Status 0 is the end of the work and no error."""
    async with supervised(system, probe=("true",)) as stage:
        await eventually(beating(stage))
        assert (await system.probe()).healthy
        (tmp_path / "command").write_text("exit")
        assert await asyncio.wait_for(stage.running, 5.0) == 0
        assert not await system.errors()


async def test_a_restart_into_death_has_failed(system: System, tmp_path: Path) -> None:
    """A successor that dies before it beats is a failed command, not a recovery."""
    async with supervised(system) as stage:
        await eventually(beating(stage))
        (tmp_path / "command").write_text("die")
        _ = await errors(system, 1)
        done = await system.command("restart", parameters={"grace_ms": 0}, timeout_ms=5000)
        assert (done.status, done.code) == ("failed", "mendbus.supervise.program.ProcessDied")
        assert not (await system.probe()).healthy
        assert (await system.command("isolate")).status == "failed"


async def test_the_command_line_supervises(system: System, tmp_path: Path) -> None:
    """`mendbus supervise` ends its program and itself on SIGTERM, and takes only what makes sense."""
    arguments = ("-c", CLI, "supervise", "--agent", f"{KIND}/{ID}")
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *arguments,
        "--heartbeat-ms",
        "50",
        "--",
        sys.executable,
        "tale.py",
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stderr is not None
    assert b"alive" in await asyncio.wait_for(process.stderr.readuntil(b"alive"), 10.0)

    async def healthy() -> bool:
        return (await system.probe()).healthy

    await eventually(lambda: any(type(body).__name__ == "AgentHello" for body in system.heard), 10.0)
    await eventually(healthy)
    process.terminate()
    _ = await asyncio.wait_for(process.stderr.read(), 10.0)
    assert await asyncio.wait_for(process.wait(), 10.0) == 0
