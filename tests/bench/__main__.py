"""`python -m tests.bench`: measures, prints, writes, and judges by the exit status.

With `--validate` the same for the rows that one promise is made of: only traced, which is what counts, and what falls
short by no more than the machine's noise (see `judge`) is let pass.
"""

import argparse
import json
import os
import resource
import sys
import tempfile
import time
import traceback
from collections.abc import Awaitable, Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

import psutil
from tests.bench import alone, floor, health, judge, life, load, replicas, report, restoring, together
from tests.bench.figures import ASKED_FOR, ROWS, Book, Mode
from tests.bench.plan import QUICK, Plan

from mendbus.service import run_loop

MODES: tuple[Mode, ...] = ("traced", "untraced")
_QUIET_CORES = 0.2
VALIDATIONS: dict[str, tuple[str, ...]] = {
    "recovery-time": ("floor", "selection", "recovery", "burst", "warm", "rollback"),
    "stress": ("floor", "sustained"),
}

_DEFAULT = [row for row in ROWS if row not in ASKED_FOR]
_ONLY = f"of: {', '.join(ROWS)}; all but {', '.join(ASKED_FOR)} when none is named"

_SINGLE: dict[str, Callable[[Plan, Book, Mode, Path], Awaitable[None]]] = {
    "burst": together.measure_burst,
    "sustained": load.measure_sustained,
    "storm": load.measure_storm,
    "distinct": together.measure_distinct,
    "memory": life.measure_memory,
    "start": life.measure_start,
    "warm": restoring.measure_warm,
    "rollback": restoring.measure_rollback,
    "health": health.measure_health,
    "replicas": replicas.measure_replicas,
}


def steps(
    rows: Sequence[str], modes: Sequence[Mode], plan: Plan, book: Book, folder: Path
) -> Iterator[tuple[str, Mode, Awaitable[None]]]:
    """What is to be measured, one installation after the other; selection and recovery share theirs.

    The floor comes first and last, so that its spread shows how the machine's pace changed in between.
    """
    beside_floor = not {"floor", "selection"}.isdisjoint(rows)
    if beside_floor:
        yield "floor", "untraced", floor.measure(plan, book, folder / "floor-first")
    alone_rows = {"selection", "recovery"} & set(rows)
    for agents in plan.agents if "recovery" in rows else plan.agents[:1] if alone_rows else ():
        for mode in modes:
            name = f"{agents} agents, one at a time"
            yield name, mode, alone.measure(plan, book, mode, folder / f"alone-{agents}-{mode}", agents, alone_rows)
    for row in rows:
        for mode in modes if row in _SINGLE else ():
            yield row, mode, _SINGLE[row](plan, book, mode, folder / f"{row}-{mode}")
    if beside_floor:
        yield "floor", "untraced", floor.measure(plan, book, folder / "floor-last")


async def measure(rows: Sequence[str], modes: Sequence[Mode], plan: Plan, book: Book, folder: Path) -> None:
    """Measures the rows; one that fails does not keep the others from it."""
    for name, mode, step in steps(rows, modes, plan, book, folder):
        begun, busy, own, pace = time.monotonic(), _busy(), _own(), _pace()
        try:
            await step
        except Exception as error:
            book.failures[f"{name}, {mode}"] = f"{type(error).__name__}: {error}"[:2000]
            traceback.print_exc()
        took = time.monotonic() - begun
        others = max(0.0, _busy() - busy - (_own() - own)) / took
        paces = (round(pace, 2), round(_pace(), 2))
        facts = {"seconds": round(took, 1), "cores_used_by_others": round(others, 2), "pace_ms": paces}
        book.describe("disturbance", mode, step=name, **facts)
        print(
            f"{name}, {mode}: {', '.join(f'{key} {fact}' for key, fact in facts.items())}", file=sys.stderr, flush=True
        )


def _pace() -> float:
    """Milliseconds that a fixed piece of Python takes now: on a shared machine this may change to twice as much."""
    taken: list[float] = []
    for _ in range(5):
        begun = time.perf_counter()
        _ = sum(number * number for number in range(200_000))
        taken.append((time.perf_counter() - begun) * 1000)
    return min(taken)


def _busy() -> float:
    """CPU seconds that this machine has worked."""
    idle = ("idle", "iowait", "guest", "guest_nice", "steal")
    return sum(seconds for kind, seconds in psutil.cpu_times()._asdict().items() if kind not in idle)


def _own() -> float:
    """CPU seconds of this process and of all its children that have ended."""
    found = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in found)


def _rows(text: str) -> list[str]:
    wanted = text.split(",")
    unknown = [row for row in wanted if row not in ROWS]
    if unknown:
        msg = f"there is no row {', '.join(unknown)}; there are {', '.join(ROWS)}"
        raise argparse.ArgumentTypeError(msg)
    return [row for row in ROWS if row in wanted]


def main() -> int:
    """Returns the exit status: 1 when a must was missed or not measured."""
    options = _options()
    validation: str | None = options.validate
    rows: Sequence[str] = VALIDATIONS[validation] if validation else options.only
    modes = MODES[:1] if validation else MODES
    plan = QUICK if options.quick else Plan()
    for name in [name for name in os.environ if name.startswith(("MENDBUS_", "OTEL_", "NATS_"))]:
        del os.environ[name]
    book = Book()
    say = partial(print, file=sys.stderr if options.json else sys.stdout, flush=True)
    with tempfile.TemporaryDirectory(prefix="mendbus-bench-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        found = report.conditions(plan, folder)
        for key, value in found.items():
            say(f"{key:17} {value}")
        try:
            run_loop(measure(rows, modes, plan, book, folder))
        except KeyboardInterrupt:
            book.failures["what follows"] = "interrupted"
    missed = judge.missed(book, rows, excuse_noise=validation is not None)
    say(f"\n{report.table(book, rows)}\n")
    for sentence in missed:
        say(f"MISSED {sentence}")
    for row, reason in book.failures.items():
        say(f"NOT MEASURED {row}: {reason}")
    busy = max(
        (fact["cores_used_by_others"] for facts in book.details["disturbance"].values() for fact in facts), default=0
    )
    if missed and busy > _QUIET_CORES:
        say(f"others used up to {busy:g} cores meanwhile: a quieter machine may show other figures")
    everything = report.content(book, rows, found, missed)
    if options.json:
        print(json.dumps(everything, indent=1))
    else:
        say(f"written to {report.write(everything)}")
    return 1 if missed or book.failures else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench", description="Measures the figures beside a floor measured in the same run."
    )
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--only", type=_rows, default=_DEFAULT, metavar="ROW,...", help=_ONLY)
    what.add_argument("--validate", choices=VALIDATIONS, help="judge one promise, beyond the machine's noise")
    parser.add_argument("--quick", action="store_true", help="one short run each: shows that the bench works, no more")
    parser.add_argument("--json", action="store_true", help="JSON on standard output instead of in a file")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
