"""The agent SDK when things go away: the server, the streams, the process itself."""

import asyncio
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from tests.integration.sdk_system import ID, KIND, System, in_thread

from mendbus import Agent
from mendbus.bus.nats import connect
from mendbus.contracts.messages import AgentGoodbye, AgentHello
from mendbus.server import NatsServer
from mendbus.testing import eventually

pytestmark = pytest.mark.usefixtures("traces")


async def test_nats_away_and_back(doomed_server: NatsServer, root: str) -> None:
    """Through a killed server, and one that was never there at the start, every failure arrives, counted exactly."""
    doomed_server.kill()
    agent = Agent(KIND, ID, nats_url=doomed_server.url, root=root)
    with agent:
        for _ in range(10):
            agent.report(ValueError("before the first connection"))
        await in_thread(doomed_server.restart)
        bus = await connect(doomed_server.url, name="system")
        system = System(bus, doomed_server.url, root)
        await system.prepare()
        assert await in_thread(agent.wait_ready, 10.0)
        assert await in_thread(agent.flush, 10.0)
        for number in range(300):
            agent.report(ValueError("during"))
            if number == 100:
                doomed_server.kill()
            if number == 200:
                await in_thread(doomed_server.restart)
            await asyncio.sleep(0.002)
        assert await in_thread(agent.flush, 15.0)
        hellos = len(system.told(AgentHello))
        await eventually(lambda: agent.stats().connected)
        assert await system.counts() == {"before the first connection": 10, "during": 300}
        assert hellos >= 1
    await bus.close()


async def test_missing_streams_only_delay(nats_server: NatsServer, root: str) -> None:
    """Errors reported before the system was ever set up wait until its streams are there."""
    agent = Agent(KIND, ID, nats_url=nats_server.url, root=root)
    with agent:
        agent.report(ValueError("early"))
        await eventually(lambda: agent.stats().connected)
        assert not await in_thread(agent.flush, 0.3)
        bus = await connect(nats_server.url, name="system")
        system = System(bus, nats_server.url, root)
        await system.prepare()
        assert await in_thread(agent.flush, 15.0)
        assert await system.counts() == {"early": 1}
        await bus.close()


def run_script(text: str, *arguments: str) -> "subprocess.Popen[str]":
    return subprocess.Popen([sys.executable, "-c", text, *arguments], stdout=subprocess.PIPE, text=True)


async def test_a_disk_outbox_survives_kill_9(system: System, tmp_path: Path) -> None:
    """What a process reported before SIGKILL, with NATS out of reach, its successor delivers, counted exactly."""
    script = """
import sys, time
from mendbus import Agent
agent = Agent("build_pipeline", "b1", nats_url="nats://127.0.0.1:1", root=sys.argv[1], outbox_dir=sys.argv[2]).start()
for number in range(60):
    agent.report(message=f"message {number % 3}", severity="critical")
time.sleep(1)  # the agent writes what changed ten times a second
print("reported", flush=True)
time.sleep(60)
"""
    child = run_script(script, system.subjects.root, str(tmp_path))
    assert child.stdout is not None
    assert (await in_thread(child.stdout.readline)).strip() == "reported"
    child.send_signal(signal.SIGKILL)
    await in_thread(child.wait)
    child.stdout.close()
    with system.agent(outbox_dir=tmp_path) as agent:
        agent.report(message="new")
        assert await in_thread(agent.flush)
        counts = await system.counts()
    assert counts == {"message 0": 20, "message 1": 20, "message 2": 20, "new": 1}


async def test_a_process_that_just_ends_still_delivers(system: System) -> None:
    """An uncaught exception ends the process after its report left, without anybody calling stop."""
    script = """
import sys
from mendbus import Agent
agent = Agent("build_pipeline", "b1", nats_url=sys.argv[1], root=sys.argv[2]).start()
with agent.watch(severity="fatal"):
    raise SystemError("the end")
"""
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-c", script, system.url, system.subjects.root, stderr=asyncio.subprocess.DEVNULL
    )
    assert await child.wait() == 1
    [error] = await system.errors()
    assert (error.exception.message, error.severity) == ("the end", "fatal")
    await eventually(lambda: system.told(AgentGoodbye))
