"""A supervised program that dies again and again is not restarted for ever: recurrences climb, budgets hold."""

import asyncio
import json
import os
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from tests.harness import Installation, installation

from mendbus import codec
from mendbus.bus import Bus
from mendbus.contracts.messages import RecoveryOutcome
from mendbus.contracts.subjects import MAX_SERVICE_BODY
from mendbus.testing import eventually

PROGRAM = """
import os, sys, time
name, words = sys.argv[1], sys.argv[2].split()
with open(name, "a") as file:
    file.write("started\\n")
started = len(open(name).readlines())
end = time.monotonic() + 1.0
while time.monotonic() < end:
    os.write(int(os.environ["MENDBUS_HEARTBEAT_FD"]), b".")
    time.sleep(0.02)
print(f"out of {words[(started - 1) % len(words)]}", file=sys.stderr, flush=True)
os._exit(3)
"""


@asynccontextmanager
async def supervised(system: Installation, agent: str, words: str) -> AsyncGenerator[None]:
    """The program under a real supervisor, which is said to die of one of these words after the other."""
    options = {
        "kind": "runtime",
        "id": agent,
        "nats_url": system.server.url,
        "root": system.subjects.root,
        "depends_on": [],
        "argv": [sys.executable, str(system.folder / "program.py"), str(system.folder / agent), words],
        "standby": True,
        "heartbeat_ms": 200,
        "scale_down": None,
        "scale_up": None,
    }
    with (system.folder / f"{agent}.err").open("wb") as errors:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "mendbus.supervise", json.dumps(options)),
            env={**os.environ, **system.environment},
            stderr=errors,
        )
    try:
        yield
    finally:
        if process.returncode is None:
            process.terminate()
        assert await asyncio.wait_for(process.wait(), 10.0) == 0


async def outcomes_of(bus: Bus, system: Installation, agent: str) -> list[RecoveryOutcome]:
    """How each incident of the agent stands, oldest first."""
    newest: dict[str, RecoveryOutcome] = {}
    subjects = system.subjects
    async for message in bus.read(subjects.stream("RECOVERIES"), subjects.outcome("runtime", agent)):
        outcome = codec.decode(RecoveryOutcome, message.body, MAX_SERVICE_BODY)
        newest[outcome.incident_id] = outcome
    return list(newest.values())


@pytest.mark.timeout(90)
async def test_a_crash_loop_ends_with_a_person(tmp_path: Path) -> None:
    """The same death twice within 60 s is cured by one restart and then escalated; ever new deaths by three restarts.

    What was escalated stays as it is: no process is started any more.
    """
    (tmp_path / "program.py").write_text(PROGRAM)
    async with installation(tmp_path) as system:
        bus = await system.connect()
        async with (
            supervised(system, "same", "memory"),
            supervised(system, "other", "memory disk sockets patience luck time"),
        ):

            async def ended(agent: str) -> list[RecoveryOutcome]:
                found = await outcomes_of(bus, system, agent)
                return found if found and found[-1].outcome == "escalated" else []

            same = await eventually(lambda: ended("same"), 30.0, every=0.2)
            assert [(found.outcome, found.strategy) for found in same] == [
                ("recovered", "restart"),
                ("escalated", None),
            ]
            assert "restart" not in [attempt.strategy for attempt in same[-1].attempts]
            other = await eventually(lambda: ended("other"), 30.0, every=0.2)
            assert [found.outcome for found in other] == ["recovered"] * 3 + ["escalated"]
            assert [found.strategy for found in other[:3]] == ["restart"] * 3
            decision = other[-1].decision
            assert decision is not None
            why = {alternative.strategy: alternative.why_not for alternative in decision.alternatives}
            assert why["restart"] == "over budget: 3 restarts of the agent in 60 s"
            starts = {agent: (tmp_path / agent).read_text().split() for agent in ("same", "other")}
            assert {agent: len(lines) for agent, lines in starts.items()} == {"same": 2, "other": 4}
            await asyncio.sleep(1.0)
            assert {agent: (tmp_path / agent).read_text().split() for agent in starts} == starts
        await bus.close()
