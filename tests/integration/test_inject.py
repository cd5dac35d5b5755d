"""`mendbus inject` against a real server, real agents, and the whole pipeline."""

import asyncio
import json
import os
import signal
import sys
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.harness import Installation, installation
from tests.integration.sdk_system import ID, KIND, System, in_thread

from mendbus import codec
from mendbus.contracts.errors import NoResponders, ServiceFailed
from mendbus.contracts.ids import new_id
from mendbus.contracts.journal import JournalRecord, Operated
from mendbus.contracts.messages import AgentRef, Rehearse, RehearseResult
from mendbus.contracts.subjects import MAX_SERVICE_BODY
from mendbus.testing import eventually

pytestmark = pytest.mark.usefixtures("traces")

_AGENT = """
import asyncio, os, socket, sys
from mendbus import Agent

async def main():
    agent = Agent("build_pipeline", "b1", interval_ms=50, rehearsal=True)

    @agent.operation("fetch", idempotent=True)
    async def fetch():
        return 1

    async with agent:
        assert await asyncio.to_thread(agent.wait_ready, 20)
        print(os.getpid(), flush=True)
        while True:
            await asyncio.sleep(0.05)
            try:
                await fetch()
            except Exception as error:
                print(type(error).__name__, flush=True)

asyncio.run(main())
"""


async def ask(system: System, **changes: Any) -> RehearseResult:
    """Asks the agent of a system."""
    values: dict[str, Any] = {
        "id": new_id(),
        "time_unix_nano": time.time_ns(),
        "agent": AgentRef(kind=KIND, id=ID),
        "action": "begin",
        "by": "test",
        "seconds": 5.0,
    }
    body = codec.encode(Rehearse(**(values | changes)))
    reply = await system.bus.request(system.subjects.rehearse(KIND, ID), body, timeout=5.0)
    return codec.decode(RehearseResult, reply.body)


async def _for_ever(function: Callable[[], Awaitable[Any]]) -> None:
    while True:
        _ = await function()
        await asyncio.sleep(0.01)


async def test_an_agent_that_has_not_opted_in_does_not_listen(system: System, monkeypatch: pytest.MonkeyPatch) -> None:
    """By default nobody is on the subject; the variable opts in, and the argument has the last word."""
    async with system.agent() as agent:
        assert await in_thread(agent.wait_ready)
        with pytest.raises(NoResponders):
            await ask(system, action="look")
    monkeypatch.setenv("MENDBUS_REHEARSAL", "1")
    async with system.agent(rehearsal=False) as agent:
        assert await in_thread(agent.wait_ready)
        with pytest.raises(NoResponders):
            await ask(system, action="look")
    async with system.agent() as agent:
        assert await in_thread(agent.wait_ready)
        found = await ask(system, action="look")
        assert (found.status, found.instance, found.pid) == ("ready", agent.instance, os.getpid())


async def test_calls_and_probes_meet_a_real_fault_until_it_is_over(system: System) -> None:
    """A refused connection reaches the caller, the report and the probe; after its calls all is well again."""
    agent = system.agent(rehearsal=True)

    @agent.operation("fetch", probe=lambda: True)
    async def fetch() -> int:
        return 1

    async with agent:
        assert await in_thread(agent.wait_ready)
        ref = AgentRef(kind=KIND, id=ID, instance=agent.instance)
        begun = await ask(system, agent=ref, fault="refused", calls=2)
        assert (begun.status, begun.operation) == ("begun", "fetch")
        # The answer goes out before the fault begins.
        with pytest.raises(ConnectionRefusedError):
            await _for_ever(fetch)
        probed = await system.probe("fetch")
        assert not probed.healthy
        assert "ConnectionRefusedError" in (probed.detail or "")
        assert await fetch() == 1
        assert (await system.probe("fetch")).healthy
        assert await in_thread(agent.flush)
        [error] = await system.errors()
        assert (error.exception.type, error.operation) == ("ConnectionRefusedError", "fetch")


async def test_only_the_process_that_is_meant_takes_a_fault(system: System) -> None:
    """Another boot id, none at all, and bytes that are no request are refused, and nothing happens."""
    agent = system.agent(rehearsal=True)

    @agent.operation("fetch")
    def fetch() -> int:
        return 1

    async with agent:
        assert await in_thread(agent.wait_ready)
        for instance in ("another", None):
            refused = await ask(system, agent=AgentRef(kind=KIND, id=ID, instance=instance), fault="refused")
            assert refused.status == "refused"
        with pytest.raises(ServiceFailed):
            await system.bus.request(system.subjects.rehearse(KIND, ID), b"\xc1", timeout=5.0)
        assert fetch() == 1


# -- the command


async def inject(*words: str, environment: dict[str, str]) -> tuple[int, str, str]:
    """`mendbus inject`, to its end."""
    process = await start(*words, environment=environment)
    out, err = await asyncio.wait_for(process.communicate(), 40.0)
    return process.returncode or 0, out.decode(), err.decode()


async def start(*words: str, environment: dict[str, str]) -> asyncio.subprocess.Process:
    """`mendbus inject`, under way."""
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", "from mendbus.cli import main; main()", "inject", *words),
        env=os.environ | environment,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


@asynccontextmanager
async def process_of(environment: dict[str, str]) -> AsyncIterator[tuple[asyncio.subprocess.Process, int]]:
    """A real agent in a process of its own."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", _AGENT),
        env=os.environ | environment,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        assert process.stdout is not None
        yield process, int(await asyncio.wait_for(process.stdout.readline(), 30.0))
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


@pytest.fixture
async def installed(tmp_path: Path) -> AsyncIterator[Installation]:
    """The whole pipeline on a server of its own."""
    async with installation(tmp_path) as found:
        yield found


async def operated(found: Installation) -> list[Operated]:
    """What the journal says that operators did."""
    bus = await found.connect()
    entries: list[Operated] = []
    async for stored in bus.read(found.subjects.stream("JOURNAL"), found.subjects.everyone("journal")):
        record = codec.decode(JournalRecord, stored.body, MAX_SERVICE_BODY)
        entries += [entry for entry in record.entries if isinstance(entry, Operated)]
    await bus.close()
    return entries


async def test_a_rehearsal_is_one_command(installed: Installation) -> None:
    """The fault is brought about, audited, recovered from and followed to its end, with its trace."""
    async with process_of(installed.environment):
        status, out, err = await inject(
            *("refused", "--agent", "build_pipeline/b1", "--calls", "2", "--by", "kim", "--yes", "--json"),
            environment=installed.environment,
        )
        assert status == 0, (out, err)
        told = json.loads(out)
        assert (told["verdict"], told["audited"]) == ("recovered", True)
        [last] = told["outcomes"]
        assert last["error"]["exception"]["type"] == "ConnectionRefusedError"
        [entry] = await operated(installed)
        assert (entry.verb, entry.by) == ("rehearse", "kim")
        assert entry.agent is not None
        assert entry.agent.key == "build_pipeline/b1"
        assert "refused" in (entry.reason or "")


def _state(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


async def test_a_fault_from_outside_is_taken_back(around: System, tmp_path: Path) -> None:
    """A stopped agent goes on when its time is up, at Ctrl-C, and when the command itself is killed."""
    here = {"NATS_URL": around.url, "MENDBUS_ROOT": around.subjects.root, "MENDBUS_TRACE": "false"}
    words = ("stop", "--agent", f"{KIND}/{ID}", "--timeout", "0")
    async with process_of(here) as (_, pid):
        begun = time.monotonic()
        status, _, err = await inject(*words, "--seconds", "0.5", environment=here)
        assert status == 0, err
        assert time.monotonic() - begun > 0.5
        assert _state(pid) != "T"
        for number in (signal.SIGINT, signal.SIGKILL):
            command = await start(*words, "--seconds", "30", "--pid", str(pid), environment=here)
            await eventually(lambda: _state(pid) == "T", 15.0)
            command.send_signal(number)
            await eventually(lambda: _state(pid) != "T", 5.0)
            await command.communicate()


async def test_a_segmentation_fault_ends_the_agent_after_its_answer(around: System) -> None:
    """The process dies of SIGSEGV, and the command that asked for it has been answered."""
    here = {"NATS_URL": around.url, "MENDBUS_ROOT": around.subjects.root, "MENDBUS_TRACE": "false"}
    async with process_of(here) as (process, _):
        status, out, err = await inject("segfault", "--agent", f"{KIND}/{ID}", "--timeout", "0", environment=here)
        assert status == 0, err
        assert "begun: segfault" in out
        assert "not in the audit trail" in out
        assert await asyncio.wait_for(process.wait(), 10.0) == -signal.SIGSEGV


async def test_the_event_loop_is_really_blocked(system: System) -> None:
    """While it lasts nothing runs on the loop that the agent was started on; then everything does again."""
    agent, loop, stop = system.agent(rehearsal=True), asyncio.new_event_loop(), asyncio.Event()

    async def live() -> None:
        async with agent:
            await stop.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(live(),))
    thread.start()
    try:
        assert await in_thread(agent.wait_ready)
        ref = AgentRef(kind=KIND, id=ID, instance=agent.instance)
        assert (await ask(system, agent=ref, fault="blocked_loop", seconds=0.6)).status == "begun"
        await eventually(lambda: not _answers(loop), 2.0)
        await eventually(lambda: _answers(loop), 5.0)
    finally:
        loop.call_soon_threadsafe(stop.set)
        await in_thread(thread.join)
        loop.close()


def _answers(loop: asyncio.AbstractEventLoop) -> bool:
    ran = threading.Event()
    loop.call_soon_threadsafe(ran.set)
    return ran.wait(0.1)
