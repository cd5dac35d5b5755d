"""Whether the oracle still holds: a tenth of what it measured is tried once more. `python -m tests.lab.recheck`."""

import argparse
import asyncio
import json
import random
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests import results
from tests.lab.dealing import SEED
from tests.lab.faults.catalogue import FAULTS
from tests.lab.folding import PERSON
from tests.lab.oracle import FOLDED, ROOT, Run, recorded
from tests.lab.sums import Share
from tests.lab.tables import grid
from tests.lab.trial import Trial

SHARE = 0.1
AGREES_AT_LEAST = 0.85
"""The share of trials that must come out as most of the oracle's did; a fault of chance differs by chance."""
AGAIN = 0
"""Number of the repetition, which seeds the fault's chance: none of those that the oracle has had."""
WORLDS = 3

Cell = tuple[Mapping[str, Any], str]
"""A case of the oracle, and a strategy."""


def cells(oracle: Mapping[str, Any], share: float, seed: int) -> list[Cell]:
    """So many of the oracle's cases with a strategy, by chance; none whose fault is no more, or often unnoticed."""
    every = [
        (case, strategy)
        for case in oracle["cases"]
        for strategy in case["strategies"]
        if strategy != PERSON and case["counts"] and case["fault"] in FAULTS
    ]
    return random.Random(seed).sample(every, round(share * len(every)))


def trial_of(cell: Cell) -> Trial:
    """What is tried of it."""
    case, strategy = cell
    return Trial(case["fault"], case["parameters"], case["kind"], case["state"], strategy, AGAIN)


def compared(chosen: Sequence[Cell], found: Mapping[str, Mapping[str, Any]]) -> tuple[Share, list[tuple[str, ...]]]:
    """How many came out as most of the oracle's trials did, and a row for each that did not."""
    hits, differing = 0, list[tuple[str, ...]]()
    told = [(cell, found[key]) for cell in chosen if (key := trial_of(cell).key) in found]
    for (case, strategy), record in told:
        recovered = case["strategies"][strategy][1]
        # Where as many helped as not, either is as it was.
        if recovered == 0.5 or record["recovered"] == (recovered > 0.5):
            hits += 1
        else:
            differing.append((case["case"], strategy, f"{recovered:.2f}", "yes" if record["recovered"] else "no"))
    return Share(hits, len(told)), differing


def main(given: Sequence[str] | None = None) -> int:
    """Returns the exit status: 1 when the oracle does not hold, or trials did not come about."""
    parser = argparse.ArgumentParser(prog="python -m tests.lab.recheck", description=__doc__)
    parser.add_argument("--share", type=float, default=SHARE, help="of the oracle (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--worlds", type=int, default=WORLDS, help="toolchains at once (default: %(default)s)")
    options = parser.parse_args(given)
    if not FOLDED.exists():
        print(f"there is no {FOLDED.relative_to(ROOT)} yet: make oracle")
        return 1
    chosen = cells(json.loads(FOLDED.read_text()), options.share, options.seed)
    with tempfile.TemporaryDirectory(prefix="mendbus-recheck-") as folder:
        run = Run([trial_of(cell) for cell in chosen], Path(folder), options.worlds)
        try:
            asyncio.run(run.run())
        except (asyncio.CancelledError, KeyboardInterrupt):
            return 130
        agreed, differing = compared(chosen, recorded(Path(folder)))
    print(f"\nthe oracle, tried again: {agreed} came out as before; seed {options.seed}")
    if differing:
        print(grid([("case", "strategy", "recovered before", "now"), *differing]))
    held = agreed.value is not None and agreed.value >= AGREES_AT_LEAST and not run.failed
    if not held:
        print(f"MISSED at least {AGREES_AT_LEAST:.0%} must, and {len(run.failed)} trials did not come about")
    told = {"agreed": agreed.values(), "differing": differing, "left_out": run.failed, "seed": options.seed}
    _ = results.write("recheck", told)
    return 0 if held else 1


if __name__ == "__main__":
    sys.exit(main())
