"""What each strategy is worth on each case, measured: `python -m tests.lab.oracle`.

A case is a fault with its parameters, a kind of agent, and a state of the toolchain. On each, every strategy and doing
nothing are tried `--repetitions` times (see `trial`), in as many toolchains at once as `--worlds` says. Each trial
is a line of `results/oracle/*.jsonl` as soon as it is done, and is not done again: a run that was stopped goes on where
it was. Trials of a fault that has changed since must be deleted there by hand. What they add up to (see `utility`) is
folded into `tests/lab/oracle.json`, together with the conditions.
"""

import argparse
import asyncio
import contextlib
import json
import os
import shutil
import signal
import sys
import tempfile
import time
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil
from tests.lab import folding
from tests.lab.dealing import deal
from tests.lab.faults import Fault
from tests.lab.faults.catalogue import FAULTS
from tests.lab.trial import STATES, TRIED, Trial, case_key

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "results" / "oracle"
FOLDED = Path(__file__).with_name("oracle.json")
COMMAND = (sys.executable, "-m", "tests.lab.trial")
REPETITIONS = 3
TRIES = 3
"""Of a trial that does not come about; after that it is left out of this run."""
START_SECONDS = 120.0
TRIAL_SECONDS = 180.0
STOP_SECONDS = 30.0
TRIALS_EACH = 150
"""After so many trials a toolchain is put up anew, so that nothing piles up over hours."""
_TOLD_SECONDS = 15.0
_LINE_BYTES = 1 << 22


@dataclass(frozen=True, slots=True)
class Situation:
    """One case."""

    fault: str
    parameters: Mapping[str, Any]
    kind: str
    state: str

    @property
    def key(self) -> str:
        """The case as text."""
        return case_key(self.fault, self.parameters, self.kind, self.state)


def situations(
    faults: Mapping[str, Fault], names: Sequence[str] = (), kinds: Sequence[str] = (), states: Sequence[str] = ()
) -> list[Situation]:
    """Every case of the named faults, kinds and states; of all where none is named."""
    return [
        Situation(name, parameters, kind, state)
        for name, fault in faults.items()
        if not names or name in names
        for parameters in fault.cases()
        for kind in fault.kinds
        if not kinds or kind in kinds
        for state in STATES
        if not states or state in states
    ]


def some(every: Sequence[Situation], faults: Mapping[str, Fault], number: int) -> list[Situation]:
    """So many of them, the same ones each time: three quarters calm, in the order in which the pipeline meets them;
    then the first of those again while the agent is busy.
    """
    order = {
        (fault.name, kind, str(parameters)): place
        for place, (fault, kind, parameters) in enumerate(deal(list(faults.values())))
    }
    dealt = sorted(every, key=lambda one: order[one.fault, one.kind, str(one.parameters)])
    calm, busy = ([one for one in dealt if one.state == state] for state in STATES)
    few = min(len(busy), max(number // 4, number - len(calm)))
    return calm[: number - few] + busy[:few]


def trials(cases: Sequence[Situation], repetitions: int, strategies: Sequence[str] = ()) -> list[Trial]:
    """What is to be tried, of all strategies where none is named; first everything once, so that what there is after
    a while says something of every case.
    """
    return [
        Trial(case.fault, case.parameters, case.kind, case.state, strategy, repetition)
        for repetition in range(1, repetitions + 1)
        for case in cases
        for strategy in TRIED
        if not strategies or strategy in strategies
    ]


def recorded(folder: Path) -> dict[str, dict[str, Any]]:
    """The records of trials done, by the trial's key. What a crash left of a line is passed over."""
    found: dict[str, dict[str, Any]] = {}
    for file in sorted(folder.glob("*.jsonl")):
        for line in file.read_text(errors="replace").splitlines():
            with contextlib.suppress(ValueError, KeyError, TypeError):
                record = json.loads(line)
                found[record["key"]] = record
    return found


def append(file: Path, record: Mapping[str, Any]) -> None:
    """Adds a line; what a crash may have left of the one before stays a line of its own."""
    with file.open("ab+") as lines:
        if lines.tell():
            _ = lines.seek(-1, os.SEEK_END)
            if lines.read(1) != b"\n":
                lines.write(b"\n")
        lines.write(json.dumps(record, separators=(",", ":")).encode() + b"\n")


class Failed(Exception):
    """A trial, or the toolchain that it needs, did not come about."""


class Place:
    """A process with a toolchain of its own, in a folder of its own."""

    def __init__(self, command: Sequence[str], folder: Path) -> None:
        self._command = command
        self._folder = folder
        self._process: asyncio.subprocess.Process | None = None
        self.done = 0

    async def perform(self, trial: Trial) -> dict[str, Any]:
        """Has a trial done, in a new toolchain if there is none. Raises `Failed`."""
        if self._process is None:
            await self._start()
        assert self._process is not None
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(asdict(trial)).encode() + b"\n")
            found = await self._read(TRIAL_SECONDS)
        except ConnectionError as error:
            await self.stop()
            raise Failed("the toolchain's process went away") from error
        if found.get("unwell"):
            await self.stop()
        if "error" in found:
            raise Failed(str(found["error"]))
        self.done += 1
        if self.done >= TRIALS_EACH:
            await self.stop()
        return found

    async def _start(self) -> None:
        await asyncio.to_thread(shutil.rmtree, self._folder, ignore_errors=True)
        self._folder.mkdir(parents=True)
        with self._log.open("wb") as log:
            self._process = await asyncio.create_subprocess_exec(
                *self._command,
                str(self._folder / "stage"),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
                cwd=ROOT,
                limit=_LINE_BYTES,
                # Ctrl-C is for the one who began it all, and who ends this one in order.
                start_new_session=True,
            )
        self.done = 0
        _ = await self._read(START_SECONDS)

    @property
    def _log(self) -> Path:
        return self._folder / "log"

    async def _read(self, seconds: float) -> dict[str, Any]:
        assert self._process is not None
        assert self._process.stdout is not None
        try:
            async with asyncio.timeout(seconds):
                line = await self._process.stdout.readline()
            found: dict[str, Any] = json.loads(line)
        except (TimeoutError, ValueError) as error:
            log = self._log.read_text(errors="replace")[-1500:]
            await self.stop()
            what = f"no answer within {seconds:g} s" if isinstance(error, TimeoutError) else "its process ended"
            raise Failed(f"{what}; its log ends:\n{log}") from error
        return found

    async def stop(self) -> None:
        """Ends the process and whatever it left behind."""
        process, self._process = self._process, None
        if process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        try:
            async with asyncio.timeout(STOP_SECONDS):
                _ = await process.wait()
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            _ = await process.wait()
        await asyncio.to_thread(sweep, self._folder)


def sweep(folder: Path) -> None:
    """Ends the processes that were started for a folder of ours: those that have it in their command line."""
    for process in psutil.process_iter(["cmdline"]):
        if any(part.startswith(f"{folder}/") for part in process.info["cmdline"] or ()):
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()


class Run:
    """A run over what is not recorded yet."""

    def __init__(
        self, wanted: Iterable[Trial], results: Path, worlds: int, command: Sequence[str] = COMMAND, commit: str = ""
    ) -> None:
        known = recorded(results)
        self._left = deque((trial, 1) for trial in wanted if trial.key not in known)
        self._results = results
        self._worlds = worlds
        self._command = command
        self._commit = commit
        self._busy = 0
        self._told = 0.0
        self._begun = time.monotonic()
        self.planned = len(self._left)
        self.done = 0
        self.failed: dict[str, str] = {}

    async def run(self) -> None:
        """Does all of it; on SIGINT or SIGTERM ends in order, with every trial recorded that was done."""
        self._results.mkdir(parents=True, exist_ok=True)
        loop, task = asyncio.get_running_loop(), asyncio.current_task()
        assert task is not None
        stopping = False

        def stop() -> None:
            # Once: a second Ctrl-C must not interrupt the clearing up.
            nonlocal stopping
            if not stopping:
                stopping = True
                _ = task.cancel()

        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, stop)
        folder = Path(tempfile.mkdtemp(prefix="mendbus-oracle-"))
        try:
            async with asyncio.TaskGroup() as group:
                for world in range(min(self._worlds, self.planned)):
                    _ = group.create_task(self._work(world, folder / f"world-{world}"), name=f"world {world}")
        finally:
            for number in (signal.SIGINT, signal.SIGTERM):
                _ = loop.remove_signal_handler(number)
            await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)

    async def _work(self, world: int, folder: Path) -> None:
        place = Place(self._command, folder)
        try:
            while self._left or self._busy:
                if not self._left:
                    # One that is under way elsewhere may have to be tried again.
                    await asyncio.sleep(0.2)
                    continue
                trial, tried = self._left.popleft()
                self._busy += 1
                try:
                    self._record(world, trial, await place.perform(trial))
                except Failed as failure:
                    self._fail(trial, tried, str(failure))
                finally:
                    self._busy -= 1
                self._tell()
        finally:
            await place.stop()

    def _record(self, world: int, trial: Trial, found: Mapping[str, Any]) -> None:
        at = datetime.now(UTC).isoformat(timespec="seconds")
        circumstances = {"at": at, "load": round(os.getloadavg()[0], 2), "worlds": self._worlds, "commit": self._commit}
        record = {"key": trial.key, "case": trial.case} | asdict(trial) | dict(found) | circumstances
        append(self._results / f"world-{world}.jsonl", record)
        self.done += 1

    def _fail(self, trial: Trial, tried: int, why: str) -> None:
        if tried < TRIES:
            self._left.append((trial, tried + 1))
        else:
            self.failed[trial.key] = why
        print(f"\n{trial.key}, try {tried} of {TRIES}: {why}", file=sys.stderr)

    def _tell(self) -> None:
        now = time.monotonic()
        everyone_sees = sys.stderr.isatty()
        if not everyone_sees and now - self._told < _TOLD_SECONDS and self._left:
            return
        self._told = now
        each = (now - self._begun) / max(1, self.done)
        left = each * (self.planned - self.done - len(self.failed))
        line = (
            f"{self.done} of {self.planned} trials, {each:.1f} s each, {len(self.failed)} left out, "
            f"{_duration(left)} to go"
        )
        print(f"\r{line}\x1b[K" if everyone_sees else line, end="" if everyone_sees else "\n", file=sys.stderr)
        sys.stderr.flush()


def _duration(seconds: float) -> str:
    minutes = int(seconds) // 60
    return f"{minutes // 60} h {minutes % 60:02} min" if minutes >= 60 else f"{minutes} min {int(seconds) % 60:02} s"


def _arguments(given: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.lab.oracle", description="measures what strategies are worth"
    )
    parser.add_argument("--fault", action="append", default=[], choices=list(FAULTS), help="only this one; repeatable")
    parser.add_argument("--kind", action="append", default=[], help="only agents of this kind; repeatable")
    parser.add_argument("--state", action="append", default=[], choices=list(STATES), help="only this state")
    parser.add_argument("--strategy", action="append", default=[], choices=TRIED, help="only this one; repeatable")
    parser.add_argument("--cases", type=int, default=0, help="so many cases, evenly over the faults; 0: all")
    parser.add_argument("--worlds", type=int, default=2, help="toolchains at once; each takes about half a core")
    parser.add_argument("--repetitions", type=int, default=REPETITIONS)
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder of the trials' records")
    parser.add_argument("--output", type=Path, default=FOLDED, help="file that they are folded into")
    parser.add_argument("--list", action="store_true", help="only say what would be done")
    parser.add_argument("--fold", action="store_true", help="only fold what is recorded")
    return parser.parse_args(given)


def main(given: Sequence[str] | None = None) -> int:
    """Runs, folds and shows; the exit status: 0, 1 when trials were left out, 130 when it was stopped."""
    arguments = _arguments(given)
    cases = situations(FAULTS, arguments.fault, arguments.kind, arguments.state)
    if arguments.cases:
        cases = some(cases, FAULTS, arguments.cases)
    wanted = trials(cases, arguments.repetitions, arguments.strategy)
    run = Run(wanted, arguments.results, arguments.worlds, commit=folding.commit_of(ROOT))
    faults = len({case.fault for case in cases})
    print(f"{len(cases)} cases of {faults} faults, {len(wanted)} trials, {run.planned} to do")
    if arguments.list:
        for case in cases:
            print(f"  {case.key}")
        return 0
    status = 0
    if not arguments.fold:
        try:
            asyncio.run(run.run())
        except (asyncio.CancelledError, KeyboardInterrupt):
            status = 130
        print(f"\n{run.done} trials done, {len(run.failed)} left out")
        status = status or (1 if run.failed else 0)
    chosen = {case.key for case in cases}
    records = [record for record in recorded(arguments.results).values() if record["case"] in chosen]
    if records:
        folded = folding.fold(records, FAULTS, arguments.repetitions)
        folding.write(folded, arguments.output)
        folding.show(folded)
        print(f"\nwritten to {arguments.output}")
    return status


if __name__ == "__main__":
    sys.exit(main())
