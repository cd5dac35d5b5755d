"""`python -m tests.bench`: measures, prints, writes, and judges by the exit status."""

import argparse
import os
import resource
import sys
import tempfile
import time
import traceback
from collections.abc import Awaitable, Callable, Iterator, Sequence
from pathlib import Path

import psutil
from tests.bench import alone, floor, life, load, report, restoring, together
from tests.bench.figures import ROWS, Book, Mode
from tests.bench.plan import QUICK, Plan

from mendbus.service import run_loop

MODES: tuple[Mode, ...] = ("traced", "untraced")

_SINGLE: dict[str, Callable[[Plan, Book, Mode, Path], Awaitable[None]]] = {
    "burst": together.measure_burst,
    "sustained": load.measure_sustained,
    "storm": load.measure_storm,
    "distinct": together.measure_distinct,
    "memory": life.measure_memory,
    "start": life.measure_start,
    "warm": restoring.measure_warm,
    "rollback": restoring.measure_rollback,
}


def steps(rows: Sequence[str], plan: Plan, book: Book, folder: Path) -> Iterator[tuple[str, Mode, Awaitable[None]]]:
    """What is to be measured, one installation after the other; selection and recovery share theirs."""
    if "floor" in rows or "selection" in rows:
        yield "floor", "untraced", floor.measure(plan, book, folder / "floor")
    alone_rows = {"selection", "recovery"} & set(rows)
    for agents in plan.agents if "recovery" in rows else plan.agents[:1] if alone_rows else ():
        for mode in MODES:
            name = f"{agents} agents, one at a time"
            yield name, mode, alone.measure(plan, book, mode, folder / f"alone-{agents}-{mode}", agents, alone_rows)
    for row in rows:
        for mode in MODES if row in _SINGLE else ():
            yield row, mode, _SINGLE[row](plan, book, mode, folder / f"{row}-{mode}")


async def measure(rows: Sequence[str], plan: Plan, book: Book, folder: Path) -> None:
    """Measures the rows; one that fails does not keep the others from it."""
    for name, mode, step in steps(rows, plan, book, folder):
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
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench", description="Measures the figures beside a floor measured in the same run."
    )
    parser.add_argument("--only", type=_rows, default=list(ROWS), metavar="ROW,...", help=f"of: {', '.join(ROWS)}")
    parser.add_argument("--quick", action="store_true", help="one short run each: shows that the bench works, no more")
    options = parser.parse_args()
    rows: list[str] = options.only
    plan = QUICK if options.quick else Plan()
    for name in [name for name in os.environ if name.startswith(("MENDBUS_", "OTEL_", "NATS_"))]:
        del os.environ[name]
    book = Book()
    with tempfile.TemporaryDirectory(prefix="mendbus-bench-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        found = report.conditions(plan, folder)
        for key, value in found.items():
            print(f"{key:17} {value}")
        try:
            run_loop(measure(rows, plan, book, folder))
        except KeyboardInterrupt:
            book.failures["what follows"] = "interrupted"
    print(f"\n{report.table(book, rows)}\n")
    missed = book.missed(rows)
    for sentence in missed:
        print(f"MISSED {sentence}")
    for row, reason in book.failures.items():
        print(f"NOT MEASURED {row}: {reason}")
    print(f"written to {report.write(book, rows, found)}")
    return 1 if missed or book.failures else 0


if __name__ == "__main__":
    sys.exit(main())
