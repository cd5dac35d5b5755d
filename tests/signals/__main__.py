"""`python -m tests.signals DATA`: public packs of health data through exactly the class that runs live, at their rate.

Prints false findings per agent and day on the quiet parts, how many degradations and exhaustions were found beside how
many chance would have found, how long that took (for exhaustions: how far ahead), and how often a limit was reached
within the interval that was told.
"""

import argparse
import hashlib
import sys
import time
from pathlib import Path

import numpy as np
from tests.lab.sums import Share
from tests.signals.packs import PACKS
from tests.signals.replaying import Tally, replay

from mendbus_health_monitor.capacity import CONFIDENCE

HALVES = ("chosen", "checked")
"""What was chosen looking at one half is checked with the other."""


def half_of(name: str) -> str:
    """In which half an agent is, by its name alone."""
    return HALVES[int(hashlib.sha1(name.encode(), usedforsecurity=False).hexdigest(), 16) % 2]


def report(pack: str, tally: Tally, seconds: float) -> str:
    """The figures of a pack as lines of text."""
    days = max(tally.quiet_days, 1e-9)
    false = ", ".join(f"{kind} {count / days:.3f}" for kind, count in sorted(tally.false.items()))
    delay = f"{np.median(tally.delays):.0f} s" if tally.delays else "-"
    lines = [
        f"{pack}: {tally.agents} agents, {tally.quiet_days:.2f} quiet agent-days, "
        f"{tally.looks} looks of {seconds / max(tally.looks, 1) * 1000:.2f} ms",
        f"  false per agent-day: {false or '-'}",
        f"  most of them: {', '.join(f'{name} {count}' for name, count in tally.metrics.most_common(6)) or '-'}",
        f"  events found: {tally.found} of {tally.events} ({tally.found / max(tally.events, 1):.3f}, "
        f"by chance {tally.chance / max(tally.events, 1):.3f}), median {delay}",
    ]
    if tally.intervals:
        held, false = Share(tally.covered, tally.intervals), tally.false["exhaustion"]
        lines += [
            f"  within the interval told ({CONFIDENCE:.0%}): {held}, {tally.endless} of them without an upper end",
            f"  exhaustions told of a quiet agent: {false / days:.3f} per agent-day, {false} in all; "
            f"{tally.came_true} of them came true later, within their interval",
        ]
    return "\n".join(lines)


def main() -> int:
    """Returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.signals", description=__doc__)
    parser.add_argument("data", type=Path, help="the folder with the packs")
    parser.add_argument("--packs", default=",".join(PACKS), metavar="NAME,...")
    parser.add_argument("--every", type=int, default=1, metavar="N", help="of agents without events, every N-th only")
    parser.add_argument("--most", type=int, default=10**6, metavar="N", help="no more agents of a pack than so many")
    parser.add_argument(
        "--half", choices=("all", *HALVES), default="all", help="agents by their names: to choose by, or to check with"
    )
    parser.add_argument("--seconds", type=float, default=float("inf"), help="no more of the processor for a pack")
    options = parser.parse_args()
    for pack in options.packs.split(","):
        tally, begun = Tally(), time.process_time()
        for number, entity in enumerate(PACKS[pack](options.data / pack)):
            if tally.agents == options.most or time.process_time() - begun > options.seconds:
                break
            if options.half in ("all", half_of(entity.name)) and (entity.events or number % options.every == 0):
                replay(entity, tally)
        print(report(pack, tally, time.process_time() - begun), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
