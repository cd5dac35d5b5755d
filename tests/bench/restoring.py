"""What it takes to restore an agent, from the command to a healthy probe: warm restarts, and rollbacks of 1 MiB.

The executor gives the command, asked as the strategy-selector asks it.
"""

import asyncio
import itertools
import json
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from tests.bench.bed import Bed, bed
from tests.bench.figures import Book, Mode
from tests.bench.plan import Plan
from tests.bench.processes import spawn

from mendbus import codec
from mendbus.bus import Message
from mendbus.contracts.asks import AttemptResult, Execute
from mendbus.contracts.errors import BusError
from mendbus.contracts.ids import new_id
from mendbus.contracts.messages import AgentRef, HealthSample, Probe, ProbeResult, RecoveryCommand
from mendbus.contracts.vocabulary import Strategy

KIND = "runtime"
_SUPERVISOR, _INNER, _HOLDER = "supervisor", "inner", "holder"
_ATTEMPT_MS = 5000
_START_SECONDS = 60.0
_STORED_SECONDS = 0.5
"""After a rollback the state before it is stored: the next one must not be measured beside that."""
_IDLE_SECONDS = 0.5
_fences = itertools.count(1)


async def measure_warm(plan: Plan, book: Book, mode: Mode, folder: Path) -> None:
    """Restarts an agent under `mendbus supervise` again and again, each time by a standby that has had time."""
    async with bed(folder, plan, mode, 0) as made:
        standby = _Standby()
        subjects = made.system.subjects
        _ = await made.bus.subscribe(subjects.health(KIND, _SUPERVISOR), standby.hear)
        child = await spawn(["mendbus.supervise", _options(made)], made.system.environment, folder)
        try:
            await _well(made, _INNER)
            _ = await _restart(made, standby)
            for _ in range(plan.runs):
                taken = [await _restart(made, standby) for _ in range(plan.restarts)]
                book.note_times("warm", mode, [verified for verified, _, _ in taken])
                book.note_times("warm.agent", mode, [answered for _, answered, _ in taken])
                book.describe("warm", mode, restarts=[said for _, _, said in taken])
        finally:
            await child.terminate()
            await child.end()


def _options(made: Bed) -> str:
    """What the command line hands over to a supervisor."""
    return json.dumps(
        {
            "kind": KIND,
            "id": _SUPERVISOR,
            "nats_url": made.system.server.url,
            "root": made.system.subjects.root,
            "depends_on": [],
            "argv": [sys.executable, "-m", "tests.bench.served", f"{KIND}/{_INNER}"],
            "standby": True,
            "scale_down": None,
            "scale_up": None,
        }
    )


class _Standby:
    """Whether a standby waits warm, by the supervisor's health samples."""

    def __init__(self) -> None:
        self._warm = asyncio.Event()

    async def hear(self, message: Message) -> None:
        """Takes a sample in."""
        if codec.decode(HealthSample, message.body).gauges.get("standby_warm"):
            self._warm.set()
        else:
            self._warm.clear()

    async def wait(self) -> None:
        """Raises `TimeoutError`. The samples tell what was true up to two intervals ago."""
        await asyncio.sleep(1.2)
        async with asyncio.timeout(_START_SECONDS):
            _ = await self._warm.wait()
        await asyncio.sleep(_IDLE_SECONDS)


async def _restart(made: Bed, standby: _Standby) -> tuple[float, float, str]:
    """One warm restart: milliseconds to the supervisor's healthy probe and to the agent's own; what was said of it."""
    await standby.wait()
    result = await _execute(made, _SUPERVISOR, "restart", mode="warm", grace_ms=500)
    # Its predecessor is gone by now: who answers is the new one.
    answered = await _well(made, _INNER)
    if not result.verified or result.commanded_unix_nano is None or result.probed_unix_nano is None:
        msg = f"a warm restart did not help: {result}"
        raise RuntimeError(msg)
    begun = result.commanded_unix_nano
    return (result.probed_unix_nano - begun) / 1e6, (answered - begun) / 1e6, result.detail or ""


async def measure_rollback(plan: Plan, book: Book, mode: Mode, folder: Path) -> None:
    """Spoils the state of an agent and has it rolled back: to the last good checkpoint, then to one of the bucket."""
    async with bed(folder, plan, mode, 0) as made:
        child = await spawn(["tests.bench.served", f"{KIND}/{_HOLDER}", "--told"], made.system.environment, folder)

        async def tell(order: str) -> dict[str, Any]:
            child.tell(do=order)
            return await child.answer(_START_SECONDS)

        async def restored(checkpoint: str | None) -> float:
            _ = await tell("spoil")
            result = await _execute(made, _HOLDER, "rollback", checkpoint_id=checkpoint, version=None)
            if not result.verified or result.commanded_unix_nano is None or result.probed_unix_nano is None:
                msg = f"a rollback did not help: {result}"
                raise RuntimeError(msg)
            await asyncio.sleep(_STORED_SECONDS)
            return (result.probed_unix_nano - result.commanded_unix_nano) / 1e6

        try:
            _ = await child.answer(_START_SECONDS)
            for run in range(plan.runs + 1):
                last, stored = list[float](), list[float]()
                for _ in range(plan.rollbacks if run else 2):
                    older, _ = (await tell("checkpoint"))["checkpoints"]
                    last.append(await restored(None))
                    stored.append(await restored(older))
                if run:
                    book.note_times("rollback", mode, last)
                    book.note_times("rollback.bucket", mode, stored)
        finally:
            await child.end()


async def _execute(made: Bed, agent: str, strategy: Strategy, **parameters: Any) -> AttemptResult:
    """One attempt, carried out and verified by the executor."""
    incident = new_id()
    command = RecoveryCommand(
        command_id=new_id(),
        incident_id=incident,
        attempt=1,
        agent=AgentRef(kind=KIND, id=agent),
        action="apply",
        strategy=strategy,
        parameters=parameters,
        timeout_ms=_ATTEMPT_MS,
        deadline_unix_nano=time.time_ns() + 2 * _ATTEMPT_MS * 10**6,
        fence=next(_fences),
    )
    question = Execute(incident_id=incident, agent_kind=KIND, agent_id=agent, command=command, timeout_ms=_ATTEMPT_MS)
    reply = await made.bus.request(
        made.system.subjects.execute, codec.encode(question), codec.headers(), timeout=2 * _ATTEMPT_MS / 1000
    )
    return codec.decode(AttemptResult, reply.body)


async def _well(made: Bed, agent: str) -> int:
    """When an agent answered a probe well, in nanoseconds since 1970: at once, or as soon as it does."""
    subject = made.system.subjects.probe(KIND, agent)
    async with asyncio.timeout(_START_SECONDS):
        while True:
            probe = Probe(deadline_unix_nano=time.time_ns() + 10**9)
            with suppress(BusError):
                reply = await made.bus.request(subject, codec.encode(probe), codec.headers(), timeout=1.0)
                if codec.decode(ProbeResult, reply.body).healthy:
                    return time.time_ns()
            await asyncio.sleep(0.001)
