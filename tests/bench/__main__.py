"""`python -m tests.bench`: measures, prints, writes, and judges by the exit status."""

import argparse
import os
import sys
import tempfile
import time
import traceback
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

from mendbus.service import run_loop

from tests.bench import alone, floor, life, load, report, together
from tests.bench.figures import ROWS, Book, Mode
from tests.bench.plan import QUICK, Plan

MODES: tuple[Mode, ...] = ("traced", "untraced")
Measure = Callable[[Plan, Book, Mode, Path], Awaitable[None]]

_SINGLE: dict[str, Measure] = {
    "burst": together.measure_burst,
    "sustained": load.measure_sustained,
    "storm": load.measure_storm,
    "distinct": together.measure_distinct,
    "memory": life.measure_memory,
    "start": life.measure_start,
}


async def measure(rows: Sequence[str], plan: Plan, book: Book, folder: Path) -> None:
    """Measures the rows, each on an installation of its own; one that fails does not keep the others from it."""
    if "floor" in rows:
        await _try("floor", "untraced", book, floor.measure(plan, book, folder / "floor"))
    for row in rows:
        for mode in MODES:
            if row == "selection" or (row == "recovery" and "selection" not in rows):
                for agents in plan.agents if "recovery" in rows else plan.agents[:1]:
                    home = folder / f"alone-{agents}-{mode}"
                    await _try(row, mode, book, alone.measure(plan, book, mode, home, agents, set(rows)))
            elif row in _SINGLE:
                await _try(row, mode, book, _SINGLE[row](plan, book, mode, folder / f"{row}-{mode}"))


async def _try(row: str, mode: Mode, book: Book, measuring: Awaitable[None]) -> None:
    begun = time.monotonic()
    try:
        await measuring
    except Exception as error:  # noqa: BLE001 - whatever went wrong, the row was not measured
        book.failures[f"{row} {mode}"] = f"{type(error).__name__}: {error}"[:2000]
        traceback.print_exc()
    took, load_average = time.monotonic() - begun, os.getloadavg()[0]
    print(f"{row} ({mode}): {took:.0f} s, load average {load_average:.2f}", file=sys.stderr, flush=True)


def _rows(text: str) -> list[str]:
    wanted = text.split(",")
    unknown = [row for row in wanted if row not in ROWS]
    if unknown:
        msg = f"there is no row {', '.join(unknown)}; there are {', '.join(ROWS)}"
        raise argparse.ArgumentTypeError(msg)
    return [row for row in ROWS if row in wanted]


def main() -> int:
    """Returns the exit status: 1 when a must was missed or not measured."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=report.__doc__)
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
        run_loop(measure(rows, plan, book, folder))
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
