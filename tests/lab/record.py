"""`python -m tests.lab.record --runs N --seconds S --worlds W`: records health and errors of the lab's agents.

Runs go on in a toolchain with NATS and the health-monitor, which is all that agents need to be at work: nobody
recovers anything. After a while something may begin to go wrong in an agent, or something that only looks like it. Up
to three agents of a toolchain have a fault that grows; what is sudden has a toolchain to itself. What is recorded is
described in `tests.lab.recording`; the plan follows from the seed, and a recording that was broken off goes on.
"""

import argparse
import asyncio
import json
import os
import platform
import random
import signal
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from tests.harness import installation
from tests.lab import recording
from tests.lab.faults import Case, Fault
from tests.lab.faults.catalogue import FAULTS
from tests.lab.faults.drift import DRIFTS
from tests.lab.judging import noticed
from tests.lab.kinds import KINDS, ORDER
from tests.lab.planning import plan
from tests.lab.processes import end_in_order
from tests.lab.recording import INDEX, Names, Run, Told
from tests.lab.world import World, world

from mendbus import codec
from mendbus.bus import Message
from mendbus.contracts.errors import Refused
from mendbus.contracts.messages import ErrorReported, HealthSample
from mendbus.contracts.vocabulary import METRICS, SEVERITIES
from mendbus.server import die_with_parent

OUT = Path("results/recordings")
NAMES = Names(
    METRICS,
    ("worker_rss", "worker_cpu", "worker_threads", "worker_fds", "descriptors", "loop_lag_ms", "user_loop_lag_ms"),
    ORDER,
    (*SEVERITIES, "unknown"),
)
"""`outbox_events` is left out: without anybody to settle them events stay there, which says something of the lab."""
INJECTED = ("worker_threads",)
"""Gauges that show the injection itself: what grows by degrees is made to grow by a thread of its own."""
BATCH = 16
LINES = 1000
AFTER_SECONDS = 10.0
"""A run goes on for so long after users noticed, and is no use afterwards."""
_LOOK_SECONDS = 0.5
_CALM_SECONDS = 2.0
_SET_UP_SECONDS = 180.0
_END_SECONDS = 30.0


# -- one run


class Ear:
    """Hears what agents tell. Times are seconds since `zero_unix_nano`."""

    def __init__(self, zero_unix_nano: int) -> None:
        self.zero = zero_unix_nano
        self.told = Told()
        self._instances: dict[str, list[str | None]] = {}
        self._errors: set[str] = set()

    async def sample(self, message: Message) -> None:
        """Notes a health sample."""
        with suppress(Refused):
            sample = codec.decode(HealthSample, message.body)
            at = (sample.time_unix_nano - self.zero) / 1e9
            kind = sample.agent.kind
            known = self._instances.setdefault(kind, [])
            if sample.agent.instance not in known:
                known.append(sample.agent.instance)
            if at >= 0:
                process = known.index(sample.agent.instance)
                self.told.samples.append((kind, process, at, sample.metrics, sample.gauges))

    async def error(self, message: Message) -> None:
        """Notes an error, once, however often it is sent."""
        with suppress(Refused):
            error = codec.decode(ErrorReported, message.body)
            at = (error.time_unix_nano - self.zero) / 1e9
            if at >= 0 and error.id not in self._errors:
                self._errors.add(error.id)
                severity = error.severity or "unknown"
                self.told.errors.append((error.agent.kind, at, error.exception.type, severity, error.count))


async def record(runs: Sequence[Run], folder: Path) -> Told:
    """Does the runs of one world, fills in what came of them, and returns what agents told."""
    load = os.getloadavg()[0]
    first = runs[0]
    async with (
        installation(folder / "system", "health-monitor") as system,
        world(folder / "world", system.server.url, lines=LINES, seed=first.seed * 100_003 + first.number) as toolchain,
    ):
        bus = await system.connect("ear")
        for member in toolchain.members.values():
            await member.inside("drift.prepare")
        await asyncio.sleep(_CALM_SECONDS)
        ear = Ear(time.time_ns())
        begun = time.monotonic()
        for family, hear in (("health", ear.sample), ("error", ear.error)):
            await bus.subscribe(system.subjects.everyone(family), hear)
        await bus.barrier()
        await live_all(runs, toolchain, begun, load)
        await bus.close()
    return ear.told


async def live_all(runs: Sequence[Run], toolchain: World, begun: float, load: float) -> None:
    """The runs of a world at once, from `begun` on (monotonic); `load`: the machine's load average before it."""
    end = begun + max(run.seconds for run in runs)
    async with asyncio.TaskGroup() as group:
        for run in runs:
            _ = group.create_task(live(run, toolchain, begun, end))
    for run in runs:
        run.conditions = {"load_average": [round(load, 2), round(os.getloadavg()[0], 2)], "lines": LINES}


async def live(run: Run, toolchain: World, begun: float, end: float) -> None:
    """One run of a world, at most until `end` (monotonic)."""
    fault = (FAULTS | DRIFTS).get(run.name)
    if fault is None:
        await asyncio.sleep(max(0.0, end - time.monotonic()))
        run.disturbed = sorted(_noticed(toolchain, begun, begun))
        run.seconds = round(time.monotonic() - begun, 2)
        return
    case = Case(toolchain, toolchain.members[run.agent], run.parameters, random.Random(run.number))
    await asyncio.sleep(max(0.0, begun + (run.began or 0.0) - time.monotonic()))
    run.disturbed = sorted(_noticed(toolchain, begun, begun))
    at_work = time.monotonic()
    run.began = round(at_work - begun, 3)
    injecting = asyncio.create_task(_inject(fault, case), name="inject")
    try:
        while time.monotonic() < end:
            await asyncio.sleep(_LOOK_SECONDS)
            if injecting.done():
                injecting.result()
            run.noticed = _noticed(toolchain, at_work, begun)
            run.failed = min((run.noticed[k] for k in fault.felt_by(run.agent) if k in run.noticed), default=None)
            if run.failed is not None:
                end = min(end, begun + run.failed + AFTER_SECONDS)
        run.seconds = round(time.monotonic() - begun, 2)
    finally:
        if not injecting.done():
            _ = injecting.cancel()
            _ = await asyncio.wait((injecting,))
        await fault.end(case)


async def _inject(fault: Fault, case: Case) -> None:
    await fault.inject(case)


def _noticed(toolchain: World, since: float, begun: float) -> dict[str, float]:
    """When users of each kind first noticed anything since then, in seconds of the run."""
    found = {kind: noticed(user.since(since), kind) for kind, user in toolchain.users.items()}
    return {kind: round(at - begun, 3) for kind, at in found.items() if at is not None}


def one(text: str, parts: Sequence[Path]) -> None:
    """Does the runs of a world, described in JSON, and writes each as its part: arrays, and beside them the run."""
    runs = [Run(**run) for run in json.loads(text)]
    with tempfile.TemporaryDirectory(prefix="mendbus-record-", ignore_cleanup_errors=True) as name:
        told = asyncio.run(record(runs, Path(name)))
    for run, part in zip(runs, parts, strict=True):
        others = {other.agent for other in runs if other is not run}
        # Agents in which nothing was done are told of once, with the first run of the world.
        run.agents = [kind for kind in ORDER if kind not in others] if run is runs[0] else [run.agent]
        types: list[str] = []
        arrays = recording.pack(run.number, told.of(run.agents), NAMES, types)
        part.with_suffix(".json").write_text(json.dumps({"run": asdict(run), "types": types}))
        recording.write_arrays(part, arrays)


# -- many runs


class Shelf:
    """The folder of a recording: parts of runs that are done, and batches of them."""

    def __init__(self, folder: Path, index: dict[str, Any]) -> None:
        self.folder = folder
        self.index = index
        self.troubled: dict[int, Run] = {}

    @classmethod
    def open(cls, folder: Path, conditions: Mapping[str, Any]) -> "Shelf":
        """Raises `SystemExit` when what is there was planned otherwise."""
        (folder / "parts").mkdir(parents=True, exist_ok=True)
        if not (folder / INDEX).exists():
            return cls(folder, recording.new_index(NAMES, **conditions))
        index = json.loads((folder / INDEX).read_text())
        same = ("version", "metrics", "gauges", "seed", "seconds", "only", "faults")
        new = recording.new_index(NAMES, **conditions)
        for name in same:
            if index.get(name) != new[name]:
                raise SystemExit(f"{folder} holds a recording with {name} {index.get(name)}, not {new[name]}")
        return cls(folder, new | index)

    def part(self, number: int) -> Path:
        """Where a run's arrays are until they are in a batch."""
        return self.folder / "parts" / f"run-{number:05}.npz"

    def done(self) -> set[int]:
        """Numbers of the runs that are recorded."""
        packed = {number for numbers in self.index["batches"].values() for number in numbers}
        return packed | {int(part.stem.removeprefix("run-")) for part in (self.folder / "parts").glob("run-*.npz")}

    def pack(self, *, rest: bool) -> None:
        """Makes batches of parts; with `rest` also one of fewer than there should be."""
        while parts := sorted((self.folder / "parts").glob("run-*.npz"))[:BATCH]:
            if len(parts) < BATCH and not rest:
                break
            self._pack(parts)
        packed = [run for run in self.index["runs"] if not run["trouble"]]
        self.index["runs"] = sorted(
            [*packed, *(asdict(run) for run in self.troubled.values())], key=lambda run: run["number"]
        )
        recording.write_index(self.folder, self.index)

    def _pack(self, parts: Sequence[Path]) -> None:
        arrays: list[recording.Arrays] = []
        runs: list[dict[str, Any]] = []
        types: list[str] = self.index["types"]
        for part in parts:
            found = json.loads(part.with_suffix(".json").read_text())
            with np.load(part, allow_pickle=False) as file:
                one = {name: file[name] for name in file.files}
            types += [name for name in found["types"] if name not in types]
            places = np.array([types.index(name) for name in found["types"]], np.int16)
            one["error_type"] = places[one["error_type"]]
            arrays.append(one)
            runs.append(found["run"])
        name = f"batch-{len(self.index['batches']):04}.npz"
        recording.write_arrays(self.folder / name, recording.joined(arrays))
        numbers = [run["number"] for run in runs]
        self.index["batches"][name] = numbers
        self.index["runs"] = [run for run in self.index["runs"] if run["number"] not in numbers] + runs
        recording.write_index(self.folder, self.index)
        for part in parts:
            part.unlink()
            part.with_suffix(".json").unlink()


async def record_all(runs: Sequence[Run], worlds: int, shelf: Shelf) -> None:
    """Records runs, so many worlds at a time, each in a process of its own; one that fails is noted and passed over."""
    of: dict[int, list[Run]] = {}
    for run in runs:
        of.setdefault(run.world, []).append(run)
    waiting = iter(of.values())
    done = 0

    async def worker() -> None:
        nonlocal done
        for together in waiting:
            trouble = await _child(together, shelf)
            for run in together:
                run.trouble = trouble
                if trouble:
                    shelf.troubled[run.number] = run
                done += 1
                _say(f"{done}/{len(runs)} {_told(shelf, run)}")
            shelf.pack(rest=False)

    async with asyncio.TaskGroup() as group:
        for _ in range(worlds):
            _ = group.create_task(worker())


async def _child(runs: Sequence[Run], shelf: Shelf) -> str:
    """Does the runs of a world in a process; what was wrong, "" for nothing."""
    parts = [shelf.part(run.number) for run in runs]
    description = json.dumps([asdict(run) for run in runs])
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.lab.record", "--one", description, "--out", *map(str, parts)),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
        # Out of the terminal's reach: it is told once, by us, or by the kernel when we are no more.
        start_new_session=True,
        preexec_fn=die_with_parent(signal.SIGINT),
    )
    try:
        async with asyncio.timeout(max(run.seconds for run in runs) + _SET_UP_SECONDS):
            _, errors = await process.communicate()
    except TimeoutError:
        return "it took too long"
    finally:
        if process.returncode is None:
            # Asked first, so that it ends what it has started.
            process.send_signal(signal.SIGINT)
            with suppress(TimeoutError):
                await asyncio.wait_for(process.wait(), _END_SECONDS)
        if process.returncode is None:
            process.kill()
            _ = await process.wait()
    if process.returncode == 0 and all(part.exists() for part in parts):
        return ""
    return f"exit status {process.returncode}: {errors.decode(errors='replace').strip()[-800:]}"


def _told(shelf: Shelf, run: Run) -> str:
    if run.trouble:
        return f"run {run.number} {run.name or run.what} could not be recorded: {run.trouble.splitlines()[-1]}"
    found = json.loads(shelf.part(run.number).with_suffix(".json").read_text())["run"]
    failed = "not noticed" if found["failed"] is None else f"noticed after {found['failed'] - found['began']:.1f} s"
    what = f"{found['name']} {json.dumps(found['parameters'])} in {found['agent']}" if found["name"] else "nothing"
    return f"run {run.number}, {found['part']}, {found['what']}: {what}, {failed if found['name'] else 'undisturbed'}"


def _say(text: str) -> None:
    print(text, flush=True)


def summary(index: Mapping[str, Any]) -> str:
    """What a recording consists of."""
    runs = [run for run in index["runs"] if not run["trouble"]]
    lines = [f"{len(runs)} runs, {len(index['runs']) - len(runs)} could not be recorded"]
    for part in recording.PARTS:
        of = [run for run in runs if run["part"] == part]
        failed = [run for run in of if run["failed"] is not None]
        wait = sorted(run["failed"] - run["began"] for run in failed)
        middle = f", noticed after {wait[len(wait) // 2]:.1f} s in the median" if wait else ""
        kinds = len({run["name"] for run in of if run["name"]})
        hours = sum(run["seconds"] for run in of) * len(ORDER) / 3600
        lines.append(
            f"{part:14} {len(of)} runs of {kinds} kinds, {hours:.2f} agent hours, {len(failed)} failed{middle}"
        )
    return "\n".join(lines)


def main() -> int:
    """Returns the exit status: 1 when a run could not be recorded."""
    parser = argparse.ArgumentParser(prog="python -m tests.lab.record", description=__doc__)
    parser.add_argument("--runs", type=int, default=200, help="how many runs the recording has in the end")
    parser.add_argument("--seconds", type=float, default=150.0, help="the longest that a run takes")
    parser.add_argument("--worlds", type=int, default=max(1, (os.cpu_count() or 1) // 2), help="runs at a time")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", default="", metavar="FAULT,...", help="these faults alone")
    parser.add_argument("--out", type=Path, nargs="+", default=[OUT])
    parser.add_argument("--one", help=argparse.SUPPRESS)
    options = parser.parse_args()
    end_in_order()
    if options.one:
        one(options.one, options.out)
        return 0
    only = [name for name in options.only.split(",") if name]
    if unknown := set(only) - FAULTS.keys() - DRIFTS.keys():
        parser.error(f"there is no fault {', '.join(sorted(unknown))}; there are {', '.join(FAULTS | DRIFTS)}")
    conditions = {
        "seed": options.seed,
        "seconds": options.seconds,
        "only": only,
        "date": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "cores": os.cpu_count(),
        "worlds": options.worlds,
        "machine": platform.machine(),
        "python": platform.python_version(),
        "faults": sorted(FAULTS | DRIFTS),
        "injected": list(INJECTED),
        "needs": {kind: list(KINDS[kind].needs) for kind in ORDER},
    }
    shelf = Shelf.open(options.out[0], conditions)
    done = shelf.done()
    runs = [run for run in plan(options.runs, options.seconds, options.seed, only) if run.number not in done]
    _say(f"{len(done)} runs are there, {len(runs)} to come, {options.worlds} at a time, into {options.out[0]}")
    try:
        asyncio.run(record_all(runs, options.worlds, shelf))
    except KeyboardInterrupt:
        _say("broken off; the same command goes on from here")
    shelf.pack(rest=True)
    _say(summary(shelf.index))
    return 1 if shelf.troubled else 0


if __name__ == "__main__":
    sys.exit(main())
