"""`python -m tests.lab.visible DIR`: of the seconds before failures, in how many anything is to be seen at all.

No predictor: it is told when each fault began, what was usual in that agent before, and in which of its numbers this
kind of fault shows most. It asks whether these are farther from what was usual than all but a few (`MOST_FALSE`) of
those of agents in which nothing was done, had something begun there at such a moment. What it cannot tell from noise
is hard to foresee for anybody; what it can tell may still be far from failing, or never fail.
"""

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from tests.lab import recording
from tests.lab.recording import Recording, Run

from mendbus_predictor.offline import history

Floats = npt.NDArray[np.float64]

MOST_FALSE: Final = 0.032
HORIZON_SECONDS: Final = 30.0
_LATELY_SECONDS: Final = 5.0
_MOST_COLUMNS: Final = 3
_EVERY: Final = 5
"""One in so many moments of an agent in which nothing was done is looked at."""
_FLOOR: Final = 0.01
"""The least spread, as a share of the mean."""


def seen(times: Floats, values: Floats, began: float, at: Floats) -> Floats:
    """How far each column is from what it was before `began`, at each moment: in units of what it varied by then.

    The farthest of the newest value, the mean of the last seconds and the mean since it began.
    """
    usual = values[times < began]
    out = np.zeros((len(at), values.shape[1]))
    present = np.isfinite(usual).sum(axis=0) >= 2
    mean, spread = np.zeros(values.shape[1]), np.ones(values.shape[1])
    mean[present] = np.nanmean(usual[:, present], axis=0)
    spread[present] = np.nanstd(usual[:, present], axis=0) + _FLOOR * np.abs(mean[present]) + 1e-9
    for place, moment in enumerate(at.tolist()):
        for since in (moment - 0.6, max(began, moment - _LATELY_SECONDS), began):
            some = values[(times >= since) & (times <= moment)]
            known = np.isfinite(some)
            counts = known.sum(axis=0)
            far = np.abs(np.where(known, some - mean, 0.0).sum(axis=0)) / np.maximum(counts, 1) / spread
            # The error of a mean, that of what was usual included.
            far /= np.sqrt(1.0 / np.maximum(counts, 1) + 1.0 / max(len(usual), 1))
            out[place] = np.maximum(out[place], np.where(present & (counts > 0), far, 0.0))
    return out


def best(ahead: Floats, quiet: Floats) -> tuple[int, tuple[int, ...]]:
    """Most rows of `ahead` that are above all but a few of `quiet` by the best few columns, and which those are."""
    chosen: tuple[int, ...] = ()
    most = 0
    for _ in range(_MOST_COLUMNS):
        tried = [(above(ahead, quiet, (*chosen, one)), one) for one in range(ahead.shape[1]) if one not in chosen]
        count, one = max(tried)
        if count <= most:
            break
        most, chosen = count, (*chosen, one)
    return most, chosen


def above(ahead: Floats, quiet: Floats, columns: Sequence[int]) -> int:
    """How many rows of `ahead` are farther in one of the columns than all but `MOST_FALSE` of `quiet`."""
    scale = np.quantile(quiet[:, list(columns)], 0.9, axis=0) + 1e-9
    level = np.quantile((quiet[:, list(columns)] / scale).max(axis=1), 1.0 - MOST_FALSE)
    return int(((ahead[:, list(columns)] / scale).max(axis=1) > level).sum())


def samples(found: Recording, run: int, agent: str) -> tuple[Floats, Floats]:
    """Times, and metrics and gauges, of one agent in one run."""
    rows = found.of(run, agent)
    return found.time[rows], np.concatenate((found.samples[rows], found.gauges[rows]), axis=1).astype(np.float64)


def untouched(found: Recording, began: Sequence[float]) -> Iterator[Floats]:
    """What is seen of agents in which nothing was done and whose users noticed nothing, as if something had begun."""
    chance = np.random.default_rng(1)
    touched = {(run.world, run.agent) for run in found.runs.values() if run.name}
    for run in found.runs.values():
        for agent in run.agents or found.index["agents"]:
            if run.disturbed or agent in run.noticed or (run.world, agent) in touched:
                continue
            times, values = samples(found, run.number, agent)
            if len(times):
                start = float(chance.choice(began))
                yield seen(times, values, start, times[(times >= start) & (times < start + HORIZON_SECONDS)][::_EVERY])


def look(folder: Path) -> dict[str, Any]:
    """Of each kind of gradual fault: seconds before failures, those in which it is to be seen, and in which numbers."""
    found = recording.read(folder)
    runs: dict[tuple[str, float | None], Run] = {(run.agent, run.began): run for run in found.runs.values() if run.name}
    ahead: dict[str, list[Floats]] = {}
    waits: list[float] = []
    for track in history.read(folder):
        if track.gradual and track.began is not None and track.failed is not None and (track.labels == 1).any():
            run = runs[track.agent, track.began]
            times, values = samples(found, run.number, track.agent)
            ahead.setdefault(track.family, []).append(seen(times, values, track.began, track.times[track.labels == 1]))
            waits.append(track.failed - track.began)
    began = [run.began for run in runs.values() if run.began is not None]
    quiet = np.concatenate(list(untouched(found, began)))
    names = [*found.index["metrics"], *found.index["gauges"]]
    asked = [column for column, name in enumerate(names) if name not in found.index.get("injected", ())]
    kinds: dict[str, Any] = {}
    for kind, parts in sorted(ahead.items()):
        count, columns = best(np.concatenate(parts)[:, asked], quiet[:, asked])
        kinds[kind] = {"ahead": sum(map(len, parts)), "seen": count, "in": [names[asked[column]] for column in columns]}
    return {"kinds": kinds, "quiet": len(quiet), "waits": sorted(waits)}


def main() -> int:
    """Prints a row a kind, and all together."""
    parser = argparse.ArgumentParser(prog="python -m tests.lab.visible", description=__doc__)
    parser.add_argument("folder", type=Path, nargs="?", default=Path("tests/lab/recorded"))
    found = look(parser.parse_args().folder)
    for kind, row in found["kinds"].items():
        print(f"{kind:16} {row['seen']:4} of {row['ahead']:4}  {', '.join(row['in'])}")
    seen_of, of = (sum(row[name] for row in found["kinds"].values()) for name in ("seen", "ahead"))
    print(f"{'all':16} {seen_of:4} of {of:4}  {seen_of / max(of, 1):.1%}, and {MOST_FALSE:.1%} where nothing was done")
    waits = found["waits"]
    print(f"from its beginning to the failure: {waits[len(waits) // 2]:.1f} s in the median of {len(waits)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
