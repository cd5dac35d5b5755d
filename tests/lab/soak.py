"""`python -m tests.lab.soak [--minutes M]`: one installation at real mixed work, with faults, for a long time.

A toolchain of six agents and its users, and beside it agents that report errors of many kinds at a steady rate with
bursts, go on while one fault after the other is brought about; a person closes what is escalated. Watched are private
memory, descriptors and CPU of every service and of the server, streams and consumers, and how long recoveries take. At
the end everything that was acknowledged must be counted once, told, and over. With `--simulated-hours H` hours of
simulated time pass instead.

Exit status 1 when the memory of a service rises (the whole interval of its slope is above zero) or something was lost.
"""

import argparse
import asyncio
import json
import os
import platform
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any
from urllib.request import urlopen

from tests.harness import Installation, Ledger, ProtocolAgent, installation, load, make_agents, read_ledger
from tests.lab.faults import Case, Fault
from tests.lab.faults.catalogue import FAULTS
from tests.lab.judging import felt, noticed, over
from tests.lab.person import Person
from tests.lab.processes import Watch, end_in_order
from tests.lab.soaked import (
    JUDGED_MINUTES,
    MIB,
    WARM_SHARE,
    Diary,
    drift,
    latencies,
    note_streams,
    slopes,
    table,
    wrongs,
)
from tests.lab.world import World, world
from tests.simulation.long import ERROR_SECONDS, SAMPLE_SECONDS, draw, simulate_hours

from mendbus import codec
from mendbus.bus import Bus, Message
from mendbus.contracts.errors import BusError, Refused
from mendbus.contracts.messages import AgentRef, ErrorReported, HealthSample
from mendbus.contracts.vocabulary import SERVICES

RESULTS = Path("results")
_LOOK_SECONDS = 2.0
_STREAMS_SECONDS = 10.0
_LEAN = 8
_FINGERPRINTS = 40
_ROUND_SECONDS = 10.0
_BURST = 60
_FAULT_SECONDS = 20.0
_CALM_SECONDS = (5.0, 15.0)
_REST_SECONDS = 120.0


# -- watching


async def _look(watch: Watch) -> None:
    while True:
        watch.look()
        await asyncio.sleep(_LOOK_SECONDS)


async def _look_at_streams(system: Installation, diary: Diary) -> None:
    while True:
        with suppress(OSError, ValueError, KeyError):
            status = await asyncio.to_thread(_jsz, system.server.monitor_url)
            note_streams(status, diary)
        await asyncio.sleep(_STREAMS_SECONDS)


def _jsz(url: str) -> dict[str, Any]:
    with urlopen(f"{url}/jsz?streams=1&consumers=1", timeout=5.0) as answer:
        found: dict[str, Any] = json.load(answer)
    return found


# -- work


async def _beat(bus: Bus, system: Installation, agents: Sequence[ProtocolAgent]) -> None:
    """Health samples of the lean agents, once a second."""
    number = 0
    while True:
        for agent in agents:
            sample = HealthSample(
                agent=AgentRef(kind=agent.kind, id=agent.id, instance=agent.instance),
                time_unix_nano=time.time_ns(),
                sequence=number,
                interval_ms=1000,
                metrics={"cpu_percent": 5.0 + number % 11, "response_time_ms": 3.0 + number % 5},
            )
            with suppress(BusError):
                await bus.publish(system.subjects.health(agent.kind, agent.id), codec.encode(sample))
        number += 1
        await asyncio.sleep(1.0)


async def _report(agents: Sequence[ProtocolAgent], rate: float, seed: int, end: float) -> None:
    """Errors of many kinds at a steady rate; every sixth round a burst, some of them repeats told in one message."""
    number = 0
    while (left := end - time.monotonic()) > 0:
        number += 1
        await load(agents, rate, min(_ROUND_SECONDS, left), _FINGERPRINTS, seed * 10_007 + number)
        if number % 6 == 0:
            chance = random.Random(f"burst {seed} {number}")
            names = [f"Burst{chr(65 + chance.randrange(6))}" for _ in range(_BURST)]
            await asyncio.gather(
                *(chance.choice(agents).report(name, count=chance.choice((1, 1, 2, 10))) for name in names)
            )


async def _break(toolchain: World, faults: Mapping[str, Fault], diary: Diary, seed: int, end: float) -> None:
    """One fault after the other, each ended and its agent set up anew, until there is no time for another."""
    chance = random.Random(f"soak {seed}")
    rounds: list[tuple[str, str]] = []
    while time.monotonic() + _CALM_SECONDS[0] + 5.0 < end:
        if not rounds:
            rounds = [(name, chance.choice(fault.kinds)) for name, fault in faults.items()]
            chance.shuffle(rounds)
        await asyncio.sleep(min(chance.uniform(*_CALM_SECONDS), max(0.0, end - time.monotonic() - 5.0)))
        name, kind = rounds.pop()
        try:
            diary.faults.append(await _one_fault(toolchain, faults[name], kind, chance, diary, end))
        except Exception as error:
            diary.troubles.append(f"{name} in {kind} after {diary.now():.0f} s: {type(error).__name__}: {error}"[:500])
            with suppress(Exception):
                await toolchain.renew(kind)


async def _one_fault(
    toolchain: World, fault: Fault, kind: str, chance: random.Random, diary: Diary, end: float
) -> dict[str, Any]:
    begun, at = time.monotonic(), diary.now()
    case = Case(toolchain, toolchain.members[kind], chance.choice(fault.cases()), chance)
    try:
        async with asyncio.timeout(_FAULT_SECONDS + 10.0):
            await fault.inject(case)
        last = min(begun + _FAULT_SECONDS, max(begun + 5.0, end))
        while time.monotonic() < last:
            await asyncio.sleep(0.5)
            uses = toolchain.users[kind].since(begun)
            if noticed(uses, kind) is not None and over(uses, kind) is not None and time.monotonic() > begun + 8.0:
                break
    finally:
        await fault.end(case)
    uses = toolchain.users[kind].since(begun)
    seen, ended = noticed(uses, kind), over(uses, kind)
    await toolchain.renew(kind)
    return {
        "at": at,
        "fault": fault.name,
        "agent": kind,
        "parameters": dict(case.parameters),
        "noticed_after": None if seen is None else round(seen - begun, 2),
        "served_again_after": None if seen is None or ended is None else round(ended - begun, 2),
        "users": asdict(felt(uses, kind)),
    }


# -- at the end


async def _rest(
    bus: Bus, system: Installation, diary: Diary, agents: Sequence[ProtocolAgent]
) -> tuple[Ledger, list[str]]:
    """The books once nothing is to come any more, or as they are after a while, and what is wrong with them."""
    deadline = time.monotonic() + _REST_SECONDS
    while True:
        stored = await _stored(bus, system)
        ledger = await read_ledger(bus, system.subjects)
        found = wrongs(ledger, stored, agents, diary)
        if not found or time.monotonic() > deadline:
            return ledger, found
        await asyncio.sleep(2.0)


async def _stored(bus: Bus, system: Installation) -> dict[str, int]:
    """The errors that the server acknowledged: `count` by event id."""
    found: dict[str, int] = {}
    async for message in bus.read(system.subjects.stream("ERRORS"), f"{system.subjects.root}.errors.>"):
        with suppress(Refused):
            error = codec.decode(ErrorReported, message.body)
            found[error.id] = error.count
    return found


# -- all of it


async def soak(folder: Path, minutes: float, rate: float, seed: int, names: Sequence[str]) -> dict[str, Any]:
    """Runs it, and returns what was found."""
    async with installation(folder / "system") as system, world(folder / "world", system.server.url) as toolchain:
        bus = await system.connect("soak")
        agents = await make_agents(bus, system.subjects, _LEAN, "lean")
        diary, seconds, began_nano = Diary(), minutes * 60, time.time_ns()

        async def hear(message: Message) -> None:
            with suppress(Refused):
                sample = codec.decode(HealthSample, message.body)
                if "outbox_events" in sample.gauges:
                    diary.waiting[sample.agent.key] = sample.gauges["outbox_events"]

        await bus.subscribe(system.subjects.everyone("health"), hear)
        person = Person(bus, system.subjects)
        await bus.subscribe(system.subjects.everyone("outcome"), person.hear)
        watch = Watch(lambda: {s.name: s.process.pid for s in system.services} | {"nats-server": system.server.pid})
        end = diary.began + seconds
        faults = {name: FAULTS[name] for name in names or FAULTS}
        always = [
            asyncio.create_task(work, name="soak")
            for work in (_look(watch), _look_at_streams(system, diary), _beat(bus, system, agents), person.work())
        ]
        try:
            async with asyncio.TaskGroup() as group:
                _ = group.create_task(_report(agents, rate, seed, end))
                _ = group.create_task(_break(toolchain, faults, diary, seed, end))
                _ = group.create_task(_tell(diary, watch, end))
            took = diary.now()
            ledger, lost = await _rest(bus, system, diary, agents)
            for task in always:
                if task.done():
                    diary.troubles.append(f"watching ended early: {task.exception()!r}")
        finally:
            for task in always:
                _ = task.cancel()
            _ = await asyncio.wait(always)
        ended = [s.name for s in system.services if s.process.returncode is not None]
        await bus.close()
        stored = sum(ledger.errors.values())
        users = {
            kind: drift([(use.at - diary.began, use.seconds * 1000) for use in user.uses], took)
            for kind, user in toolchain.users.items()
        }
    use = slopes(watch, diary.began, took)
    judged = minutes >= JUDGED_MINUTES
    rising = [name for name, found in use.items() if found["rises"] and name in SERVICES]
    return {
        "kind": "soak",
        "minutes": minutes,
        "seconds": took,
        "conditions": conditions(rate, seed, list(faults)),
        "errors": {"counted": stored, "incidents": len(ledger.opened), "outcomes": _outcomes(ledger)},
        "closed_by_a_person": person.closed,
        "lost": lost,
        "services_that_ended": ended,
        "memory_judged": judged,
        "rising": rising,
        "processes": use,
        "latency_ms": {
            "lean": drift(latencies(ledger, began_nano, "lean"), took),
            "users": users,
        },
        "streams": {"first": diary.streams[:1], "last": diary.streams[-1:]},
        "streams_over_time": diary.streams[:: max(1, len(diary.streams) // 60)],
        "consumer_lag": {"most": _most(diary.consumers), "last": diary.consumers[-1:]},
        "faults": diary.faults,
        "troubles": diary.troubles,
        "failed": bool(lost or ended or (judged and rising)),
    }


async def _tell(diary: Diary, watch: Watch, end: float) -> None:
    """A line a minute for those who wait."""
    while time.monotonic() < end:
        await asyncio.sleep(min(60.0, max(0.1, end - time.monotonic())))
        memory = ", ".join(f"{name} {uses[-1].memory / MIB:.1f}" for name, uses in watch.seen.items())
        print(f"{diary.now():6.0f} s, {len(diary.faults)} faults, MiB: {memory}", file=sys.stderr, flush=True)


def _outcomes(ledger: Ledger) -> dict[str, int]:
    return dict(Counter(outcome.outcome for outcome in ledger.told.values()))


def _most(lags: Sequence[Mapping[str, float]]) -> dict[str, float]:
    names = {name for lag in lags for name in lag if name != "at"}
    return {name: max(lag.get(name, 0) for lag in lags) for name in sorted(names)}


def conditions(rate: float, seed: int, faults: Sequence[str]) -> dict[str, Any]:
    """What it was found under."""
    return {
        "date": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "cores": os.cpu_count(),
        "load_average": [round(load, 2) for load in os.getloadavg()],
        "machine": platform.machine(),
        "python": platform.python_version(),
        "errors_per_s": rate,
        "seed": seed,
        "faults": faults,
        "warm_up_share": WARM_SHARE,
    }


def write(found: Mapping[str, Any], folder: Path) -> Path:
    """Writes the result as JSON; returns where."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{found['kind']}-{time.strftime('%Y%m%dT%H%M%S')}.json"
    _ = path.write_text(json.dumps(found, indent=1) + "\n")
    return path


def _simulated(hours: float, seed: int, out: Path) -> int:
    """Hours of simulated time; the exit status."""
    begun = os.times().elapsed
    long = simulate_hours(hours, seed, lambda line: print(line, file=sys.stderr, flush=True))
    found = {
        "kind": "soak-simulated",
        "hours": hours,
        "seconds": round(os.times().elapsed - begun, 1),
        "conditions": conditions(0.0, seed, [])
        | {
            "agents": len(draw(hours, seed).agents),
            "error_seconds": ERROR_SECONDS,
            "sample_seconds": SAMPLE_SECONDS,
            "crashes": len(draw(hours, seed).crashes),
        },
        "messages": long.result.messages,
        "wrong": long.result.wrong[:50],
        "rising": long.rising,
        "levels": long.levels,
        "sizes": {"hours": long.sizes.at, "services": long.sizes.services, "streams": long.sizes.streams},
        "kept": {service: dict(kinds.most_common(15)) for service, kinds in long.sizes.kept.items()},
        "failed": long.failed,
    }
    print(f"{hours:g} simulated hours in {found['seconds']} s, {long.result.messages} messages")
    for service, of in long.levels.items():
        print(
            f"{service:18} {of['kib']:8.1f} KiB, at most {of['most_kib']:.1f}; per hour {of['kib_per_hour']:+.3f} KiB "
            f"[{of['low']:.3f}, {of['high']:.3f}]"
        )
    for name, sizes in long.sizes.streams.items():
        if sizes:
            print(f"{name:18} {sizes[-1][1]} messages, {sizes[-1][0] / 1024:.0f} KiB in the end")
    for what in [*long.result.wrong[:20], *(f"{service} {how}" for service, how in long.rising.items())]:
        print(f"WRONG {what}")
    print(f"written to {write(found, out)}")
    return 1 if long.failed else 0


def main() -> int:
    """Returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.lab.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--simulated-hours", type=float, metavar="H", help="hours of simulated time instead")
    parser.add_argument("--rate", type=float, default=4.0, help="errors a second, beside those of the toolchain")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", default="", metavar="FAULT,...", help="these faults alone")
    parser.add_argument("--out", type=Path, default=RESULTS)
    options = parser.parse_args()
    names = [name for name in options.only.split(",") if name]
    if unknown := set(names) - FAULTS.keys():
        parser.error(f"there is no fault {', '.join(sorted(unknown))}; there are {', '.join(FAULTS)}")
    end_in_order()
    for name in [name for name in os.environ if name.startswith(("MENDBUS_", "OTEL_", "NATS_"))]:
        del os.environ[name]
    if options.simulated_hours is not None:
        return _simulated(options.simulated_hours, options.seed, options.out)
    with tempfile.TemporaryDirectory(prefix="mendbus-soak-", ignore_cleanup_errors=True) as folder:
        found = asyncio.run(soak(Path(folder), options.minutes, options.rate, options.seed, names))
    print(table(found))
    print(f"written to {write(found, options.out)}")
    return 1 if found["failed"] else 0


if __name__ == "__main__":
    if "--simulated-hours" in " ".join(sys.argv) and os.environ.get("PYTHONHASHSEED") != "0":
        # Sets of text would have another order in each process.
        os.execve(
            sys.executable,
            [sys.executable, "-m", "tests.lab.soak", *sys.argv[1:]],
            os.environ | {"PYTHONHASHSEED": "0"},
        )
    sys.exit(main())
