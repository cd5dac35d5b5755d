"""`python -m tests.fuzz [--seconds N] [--seed S] [--target NAME]...`: tries for so long, tells what it tried and found.

Each target gets its share of the time. Exit status 1 when something was found: the line says target, seed and case, and
`--seed S --target NAME --case N` tries that one again, up to which case the targets that hold services begin anew.
"""

import argparse
import asyncio
import logging
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from tests.fuzz import listening, reading, requesting
from tests.fuzz.finding import Going, Tally


def _really(tally: Tally, going: Going) -> None:
    with tempfile.TemporaryDirectory(prefix="mendbus-fuzz-") as folder:
        asyncio.run(listening.for_real(tally, going, Path(folder)))


TARGETS: dict[str, tuple[float, Callable[[Tally, Going], None]]] = {
    "codec": (0.2, reading.bytes_of_messages),
    "policy": (0.1, reading.policy_files),
    "settings": (0.05, reading.environments),
    "http": (0.1, lambda tally, going: asyncio.run(requesting.endpoint(tally, going))),
    "subjects": (0.25, lambda tally, going: asyncio.run(listening.in_memory(tally, going))),
    "processes": (0.3, _really),
}
"""Share of the time, and what is tried: `subjects` in this process, `processes` against real ones on a real server."""


def main() -> int:
    """Runs what was asked for."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--seconds", type=float, default=600.0, help="for all targets together")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--target", choices=sorted(TARGETS), action="append", help="only these")
    parser.add_argument("--case", type=int, help="cases up to this number, whatever the time")
    options = parser.parse_args()
    # What is refused is logged, thousands of times here.
    logging.getLogger().addHandler(logging.NullHandler())
    chosen = {name: TARGETS[name] for name in options.target or TARGETS}
    shares = sum(share for share, _ in chosen.values())
    found = 0
    for name, (share, run) in chosen.items():
        tally = Tally(name, options.seed)
        run(tally, _until(options.seconds * share / shares, options.case))
        print(tally.line(), flush=True)
        for text in tally.found:
            print(text, flush=True)
        found += len(tally.found)
    print(f"seed {options.seed}: {found} findings")
    return 1 if found else 0


def _until(seconds: float, case: int | None) -> Going:
    deadline = time.monotonic() + seconds
    return lambda number: number <= case if case is not None else time.monotonic() < deadline


if __name__ == "__main__":
    sys.exit(main())
