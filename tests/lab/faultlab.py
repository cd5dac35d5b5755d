"""`python -m tests.lab.faultlab`: every fault through the whole pipeline; exit status 1 when a must is missed."""

import argparse
import asyncio
import json
import os
import platform
import signal
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from tests import results
from tests.lab import tables
from tests.lab.dealing import SEED, deal
from tests.lab.faults import Fault
from tests.lab.faults.catalogue import FAULTS
from tests.lab.rounds import Plan, play_all
from tests.lab.stories import Observed, Story, optimal_of, story
from tests.lab.sums import Summary, summary

from mendbus.contracts.errors import SettingsError
from mendbus.service import run_loop
from mendbus_strategy_selector.policy import read_policy

ROOT = Path(__file__).parents[2]
ORACLE = Path(__file__).parent / "oracle.json"
DEFAULT_POLICY = "# nothing here: every setting has its default\n"
CASES = 60
TOOLCHAINS = 2
_STAGGER_SECONDS = 4.0


@dataclass(slots=True)
class Run:
    """All cases under one policy, and what has come of them."""

    name: str
    policy: str
    plans: Sequence[Plan]
    oracle: Mapping[str, Any] | None
    stories: dict[int, Story] = field(default_factory=dict[int, Story])
    broken: dict[int, str] = field(default_factory=dict[int, str])
    begun: float = field(default_factory=time.monotonic)

    def tell(self, plan: Plan, seen: Observed | None, why: str) -> None:
        """Takes in what became of a case, and says so."""
        if seen is None:
            self.broken[plan.number] = f"{plan.fault.name} on {plan.kind}: {why}"[:1000]
            line = f"NOT PLAYED {self.broken[plan.number]}"
        else:
            best = optimal_of(self.oracle, plan.fault.name, plan.kind, plan.parameters)
            told = self.stories[plan.number] = story(seen, best)
            tried = " ".join(one.strategy for one in told.tried) or "nothing done"
            line = f"{told.name}: {told.verdict} ({tried})"
        done = len(self.stories) + len(self.broken)
        clock = f"{time.monotonic() - self.begun:.0f} s"
        print(f"[{self.name} {done}/{len(self.plans)}, {clock}] {line}", file=sys.stderr, flush=True)

    @property
    def told(self) -> list[Story]:
        """The stories in the order of the plan."""
        return [self.stories[number] for number in sorted(self.stories)]

    def summary(self) -> Summary:
        """What they come to; a case that nobody came to is one that was not played."""
        missing = len(self.plans) - len(self.stories) - len(self.broken)
        return summary(self.told, [*self.broken.values(), *(["never begun"] * missing)])


def make_plans(faults: Sequence[Fault], cases: int, seed: int) -> list[Plan]:
    """Which faults meet whom, with which parameters: each fault once at least, then in turn, the agents evenly.

    Fewer than `cases` if there are no more; the same seed gives the same plans, and `--fault` the same for that fault.
    """
    dealt = enumerate(islice(deal(faults, seed), max(cases, len(faults))))
    return [
        Plan(number, fault, kind, parameters, f"{seed}:{fault.name}:{kind}:{parameters}")
        for number, (fault, kind, parameters) in dealt
    ]


async def play(runs: Sequence[Run], toolchains: int, seed: int, folder: Path, traces: Path) -> None:
    """Plays all runs at once, each in its share of the toolchains, at least one."""
    each = max(1, toolchains // len(runs))
    async with asyncio.TaskGroup() as group:
        for number, run in enumerate(runs):
            waiting: asyncio.Queue[Plan] = asyncio.Queue()
            for plan in run.plans:
                waiting.put_nowait(plan)
            for place in range(min(each, len(run.plans))):
                where = folder / f"{number}-{place}"
                _ = group.create_task(play_all(waiting, where, run.policy, seed, traces, run.tell))
                # Starting costs the most: two toolchains that start together would both be late.
                await asyncio.sleep(_STAGGER_SECONDS)


def conditions(options: argparse.Namespace, run: Run, command: str) -> dict[str, Any]:
    """What the stories were played under."""
    return results.conditions(
        command,
        policy=read_policy(run.policy, run.name).digest,
        policy_file=run.name,
        seed=options.seed,
        cases=len(run.plans),
        faults=len({plan.fault.name for plan in run.plans}),
        toolchains=options.toolchains,
        oracle="there" if run.oracle else "not measured",
        kernel=platform.release(),
    )


def main() -> int:
    """Returns the exit status: 1 when a must is missed, or a case could not be played."""
    options = _options()
    for name in [name for name in os.environ if name.startswith(("MENDBUS_", "OTEL_", "NATS_"))]:
        del os.environ[name]
    oracle = json.loads(ORACLE.read_text()) if ORACLE.exists() else None
    faults = [FAULTS[name] for name in options.fault] if options.fault else list(FAULTS.values())
    plans = make_plans(faults, options.cases, options.seed)
    files = [options.policy] + ([options.against] if options.against else [])
    runs = [Run(file.name if file else "default", _policy(file), plans, oracle) for file in files]
    name = time.strftime("fault-lab-%Y-%m-%dT%H-%M-%S")
    traces = results.RESULTS / f"{name}-traces"
    traces.mkdir(parents=True)
    begun = time.monotonic()
    interrupted = False
    with tempfile.TemporaryDirectory(prefix="mendbus-lab-", ignore_cleanup_errors=True) as folder:
        try:
            # Whoever ends this, be it a timer, must not leave twenty processes behind.
            _ = signal.signal(signal.SIGTERM, lambda *_: os.kill(os.getpid(), signal.SIGINT))
            run_loop(play(runs, options.toolchains, options.seed, Path(folder), traces / "cases.jsonl"))
        except KeyboardInterrupt:
            interrupted = True
    took = time.monotonic() - begun
    found = [run.summary() for run in runs]
    command = " ".join(["python -m tests.lab.faultlab", *sys.argv[1:]])
    if interrupted:
        print("\nINTERRUPTED: what follows is of the cases that were played before")
    for number, (run, total) in enumerate(zip(runs, found, strict=True)):
        print(f"\n== policy {run.name}, seed {options.seed}, {len(run.stories)} cases in {took / 60:.1f} minutes\n")
        if run.stories:
            print(f"{tables.table(run.told)}\n\n{tables.sums(total)}\n")
        for sentence in (*total.missed, *run.broken.values()):
            print(f"MISSED {sentence}")
        told = {"seconds": round(took, 1)} | conditions(options, run, command)
        file = results.RESULTS / f"{name}{f'-{number + 1}' if number else ''}.json"
        everything = tables.content(run.told, total, told, list(run.broken.values()))
        _ = file.write_text(json.dumps(everything, indent=1) + "\n", encoding="utf-8")
        title = f"{len(run.stories)} faults through the pipeline, policy {run.name}, seed {options.seed}"
        _ = file.with_suffix(".svg").write_text(tables.picture(run.told, total, title), encoding="utf-8")
        print(f"written to {file.relative_to(ROOT)} and {file.with_suffix('.svg').name}")
    if len(runs) > 1:
        print(f"\n== {runs[0].name} and {runs[1].name}\n")
        print(tables.comparison(runs[0].told, runs[1].told, (found[0], found[1])))
    shown = traces.relative_to(ROOT)
    print(f"a recovery's trace: MENDBUS_TRACE_DIR={shown} .venv/bin/mendbus trace TRACE")
    # Of two policies only the first one is judged: the other is what it is compared with.
    return 1 if found[0].missed or interrupted else 0


def _policy(file: Path | None) -> str:
    return file.read_text("utf-8") if file else DEFAULT_POLICY


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.lab.faultlab", description="Plays every fault through the whole pipeline."
    )
    parser.add_argument("--fault", type=_faults, metavar="FAULT,...", help=f"of: {', '.join(FAULTS)}")
    parser.add_argument("--cases", type=int, default=CASES, help="each fault once at least (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=SEED, help="whom a fault meets, and how (default: %(default)s)")
    parser.add_argument("--policy", type=_file, metavar="FILE", help="TOML file; the default policy if none is named")
    parser.add_argument("--against", type=_file, metavar="FILE", help="a second policy, played on the same cases")
    parser.add_argument("--toolchains", type=int, default=TOOLCHAINS, help="at a time (default: %(default)s)")
    return parser.parse_args()


def _faults(text: str) -> list[str]:
    wanted = text.split(",")
    unknown = [name for name in wanted if name not in FAULTS]
    if unknown:
        msg = f"there is no fault {', '.join(unknown)}; there are {', '.join(FAULTS)}"
        raise argparse.ArgumentTypeError(msg)
    return wanted


def _file(text: str) -> Path:
    file = Path(text)
    if not file.is_file():
        msg = f"there is no file {text}"
        raise argparse.ArgumentTypeError(msg)
    try:
        _ = read_policy(file.read_text("utf-8"), text)
    except SettingsError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    return file


if __name__ == "__main__":
    sys.exit(main())
