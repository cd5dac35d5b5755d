"""`python -m tests.lab.detection`: how many faults that grow the health-monitor tells of before they have done harm.

The health-monitor runs alone with NATS and agents: nobody recovers anything. In each round some lean agents
(`tests.lab.victim`) work for a while with nothing wrong, which is what false alerts are counted in; then memory,
descriptors, the disk or the queue of each begins to run out, or answers get slower, or connections break. An exhaustion
is found when an alert names the agent and the resource before that has run out, a degradation when a worse status or
any alert names the agent before those who wait for it notice. Intervals are Wilson's, of 95 %. Exit status 1 when a
must is missed.
"""

import argparse
import asyncio
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path

from tests import results
from tests.bench.processes import Child, spawn
from tests.harness import Installation, installation
from tests.lab.detecting import AT_ONCE, RESOURCES, Case, Heard, content, plan, sums, table
from tests.lab.faults import drift
from tests.lab.judging import PATIENCE_SECONDS
from tests.lab.links import Link, Weather
from tests.lab.processes import end_in_order
from tests.lab.victim import KIND

from mendbus import codec
from mendbus.bus import Message
from mendbus.contracts.errors import Refused
from mendbus.contracts.messages import Alert, HealthStatus
from mendbus.service import run_loop

ROOT = Path(__file__).parents[2]
ROUNDS = 4
CALM_SECONDS = 45.0
QUIET_SECONDS = 120.0
_READY_SECONDS = 120.0
_AFTER_SECONDS = 10.0
_LONGER = 1.5
"""So many times what a fault should take it may take, on a machine that is slow."""
_STEP_SECONDS = 0.1


@dataclass
class Ear:
    """Hears statuses and alerts, by agent."""

    heard: dict[str, list[Heard]] = field(default_factory=dict)

    async def status(self, message: Message) -> None:
        """Notes a status."""
        with suppress(Refused):
            told = codec.decode(HealthStatus, message.body)
            self._note(Heard(time.time(), told.agent.id, told.status))

    async def alert(self, message: Message) -> None:
        """Notes an alert when it is raised; its key is RULE:AGENT:METRIC."""
        with suppress(Refused):
            told = codec.decode(Alert, message.body)
            if told.agent is not None and told.change == "raised":
                metric = told.key.split(":")[2] if told.key.count(":") == 2 else ""
                self._note(Heard(time.time(), told.agent.id, told.rule or "", metric, alert=True))

    def _note(self, heard: Heard) -> None:
        self.heard.setdefault(heard.agent, []).append(heard)


@dataclass
class Bed:
    """What agents of all rounds share."""

    system: Installation
    folder: Path
    ear: Ear
    upstream: int


async def _answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        writer.write(await reader.readline())
        await writer.drain()
    writer.close()


async def play(case: Case, bed: Bed, calm: float, seconds: float) -> None:
    """One agent from its start to its end; fills in what became of it. `seconds`: how long it goes on with no fault."""
    async with AsyncExitStack() as stack:
        link = Link(bed.upstream)
        await link.start()
        stack.push_async_callback(link.stop)
        home = bed.folder / case.agent
        home.mkdir()
        stack.callback(shutil.rmtree, home, ignore_errors=True)
        words = ["tests.lab.victim", case.agent, str(home), str(link.port)]
        child = await spawn(words, bed.system.environment, home)
        stack.push_async_callback(child.end)
        ready = await child.answer(_READY_SECONDS)
        case.known = ready["at"]
        listening = asyncio.create_task(_listen(child, case), name="listen")
        try:
            await asyncio.sleep(calm)
            if case.fault:
                case.began = time.time()
                await _bring(case, child, link)
            else:
                await asyncio.sleep(seconds)
            case.ended = time.time()
        finally:
            _ = listening.cancel()
            _ = await asyncio.wait((listening,))
    case.heard = bed.ear.heard.pop(case.agent, [])


async def _listen(child: Child, case: Case) -> None:
    with suppress(RuntimeError):
        while True:
            told = await child.answer(3600.0)
            if told["what"] == "over" and case.fault in RESOURCES:
                case.over = told["at"]
            elif told["what"] == "noticed":
                case.noticed = told["at"]


async def _bring(case: Case, child: Child, link: Link) -> None:
    """Brings the fault about, and returns a while after it has done harm, or when it must have."""
    begun = time.monotonic()
    case.noticed = None
    child.tell(fault="" if case.fault in ("delay", "drop") else case.fault, takes=case.takes, reach=1.0)
    while (now := time.monotonic()) < begun + _LONGER * case.takes:
        share = min(1.0, (now - begun) / case.takes)
        if case.fault == "delay":
            await link.set(Weather(delay=share * drift.DELAY_PATIENCES * PATIENCE_SECONDS[KIND]))
        elif case.fault == "drop":
            await link.set(Weather(drop=0.9 * share**3))
        harmed = case.over if case.fault in RESOURCES else case.noticed
        if harmed is not None and time.time() > harmed + _AFTER_SECONDS:
            break
        await asyncio.sleep(_STEP_SECONDS)


async def play_all(
    rounds: Sequence[Sequence[Case]], quiet: float, calm: float, folder: Path, played: list[Case]
) -> None:
    """Plays round after round, then one in which nothing happens; adds the cases that could be played to `played`."""
    async with AsyncExitStack() as stack:
        system = await stack.enter_async_context(installation(folder / "system", "health-monitor"))
        bus = await system.connect("ear")
        stack.push_async_callback(bus.close)
        ear = Ear()
        for family, hear in (("status", ear.status), ("alert", ear.alert)):
            _ = await bus.subscribe(system.subjects.everyone(family), hear)
        await bus.barrier()
        server = await asyncio.start_server(_answer, "127.0.0.1", 0)
        stack.callback(server.close)
        bed = Bed(system, folder, ear, server.sockets[0].getsockname()[1])
        last = [Case(f"q{place}", "") for place in range(len(rounds[0]) if rounds else len(AT_ONCE))]
        for number, cases in enumerate((*rounds, last)):
            longest = max((case.takes for case in cases), default=0.0)
            seconds = longest if number < len(rounds) else quiet
            begun = time.monotonic()
            found = await asyncio.gather(*(play(case, bed, calm, seconds) for case in cases), return_exceptions=True)
            for case, problem in zip(cases, found, strict=True):
                if isinstance(problem, RuntimeError | OSError):
                    print(f"NOT PLAYED {case.fault or 'nothing'}: {str(problem)[-400:]}", file=sys.stderr)
                elif isinstance(problem, BaseException):
                    raise problem
                else:
                    played.append(case)
            told = ", ".join(f"{c.fault} {'found' if c.found() else 'MISSED'}" for c in cases if c.began is not None)
            print(f"[{number + 1}/{len(rounds) + 1}, {time.monotonic() - begun:.0f} s] {told or 'nothing happened'}",
                  file=sys.stderr, flush=True)  # fmt: skip


def main() -> int:
    """Returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.lab.detection", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="of two to three minutes (default: %(default)s)")
    parser.add_argument("--agents", type=int, default=len(AT_ONCE), help="in each round (default: %(default)s)")
    parser.add_argument(
        "--calm", type=float, default=CALM_SECONDS, help="seconds before a fault (default: %(default)g)"
    )
    parser.add_argument(
        "--quiet",
        type=float,
        default=QUIET_SECONDS,
        help="seconds of a last round without faults (default: %(default)g)",
    )
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    for name in [name for name in os.environ if name.startswith(("MENDBUS_", "OTEL_", "NATS_"))]:
        del os.environ[name]
    end_in_order()
    begun = time.monotonic()
    rounds = plan(options.rounds, options.agents, options.seed)
    with tempfile.TemporaryDirectory(prefix="mendbus-detection-", ignore_cleanup_errors=True) as folder:
        Path(folder, "system").mkdir()
        played = list[Case]()
        run_loop(play_all(rounds, options.quiet, options.calm, Path(folder), played))
    found = sums(played)
    conditions = results.conditions(
        " ".join(["python -m tests.lab.detection", *sys.argv[1:]]),
        seed=options.seed,
        seconds=round(time.monotonic() - begun, 1),
        not_played=sum(map(len, rounds)) + options.agents - len(played),
    )
    print(table(found))
    if found.disturbed.hits:
        print(
            f"users noticed something where nothing was wrong: {found.disturbed}; the machine is too busy to judge on"
        )
    for sentence in found.missed:
        print(f"MISSED {sentence}")
    file = results.write("detection", content(played, found, conditions))
    print(f"written to {file.relative_to(ROOT)}")
    return 1 if found.missed else 0


if __name__ == "__main__":
    sys.exit(main())
