"""Replays an agent through the live class, and counts what it found, and when."""

from collections import Counter
from dataclasses import dataclass, field
from math import isfinite

import numpy as np
from tests.signals.packs import Entity

from mendbus_health_monitor.findings import Finding
from mendbus_health_monitor.watch import Watch

STEP_ZERO = 1_000_000
"""Steps before the first, so that no time is 0."""
DEGRADATIONS = ("trend", "change", "anomaly")
SLACK_STEPS = 10
"""Steps after its beginning in which a degradation must be found, or until it ends, if that is later."""
AHEAD_STEPS = 6
"""Steps before an exhaustion in which it must be foretold."""


@dataclass
class Tally:
    """Sums over agents."""

    agents: int = 0
    quiet_days: float = 0.0
    false: Counter[str] = field(default_factory=Counter[str])
    """Findings that began while nothing happened, by kind; `degradation` counts the agent's episodes of any."""
    metrics: Counter[str] = field(default_factory=Counter[str])
    """The same by kind and metric."""
    events: int = 0
    found: int = 0
    chance: float = 0.0
    """How many would have been found had they begun at some other moment."""
    delays: list[float] = field(default_factory=list[float])
    """Seconds; before an exhaustion: its lead."""
    intervals: int = 0
    """Exhaustions told whose record goes on for long enough to say whether the interval held."""
    covered: int = 0
    endless: int = 0
    """Of those the intervals without an upper end: it was told that the limit may never be reached."""
    came_true: int = 0
    """Of the exhaustions told while nothing happened those whose limit was reached within the interval after all."""
    looks: int = 0


def replay(entity: Entity, tally: Tally) -> None:
    """One agent, from its first row to its last."""
    watch = Watch(entity.name, entity.step_seconds * 1000, entity.rules)
    nano = entity.step_seconds * 10**9
    count = len(entity.times)
    active = {"degradation": np.zeros(count, np.bool_), "exhaustion": np.zeros(count, np.bool_)}
    begun: list[tuple[int, Finding]] = []
    standing: dict[tuple[str, str], Finding] = {}
    columns = list(entity.values.items())
    for row in range(count):
        now = int(entity.times[row] + STEP_ZERO) * nano
        values = {name: float(column[row]) for name, column in columns if isfinite(column[row])}
        if watch.add(values, entity.limits, now):
            watch.look(now)
            tally.looks += 1
            fresh = {(found.metric, found.finding): found for found in watch.findings if found.harmful}
            begun += [(row, found) for key, found in fresh.items() if key not in standing]
            standing = fresh
        active["degradation"][row] = any(kind in DEGRADATIONS for _, kind in standing)
        active["exhaustion"][row] = any(kind == "exhaustion" for _, kind in standing)
    _count(entity, tally, active, begun)


def _count(entity: Entity, tally: Tally, active: dict[str, np.ndarray], begun: list[tuple[int, Finding]]) -> None:
    quiet = entity.quiet & entity.scored
    tally.agents += 1
    tally.quiet_days += float(quiet.sum()) * entity.step_seconds / 86400.0
    for row, found in begun:
        if quiet[row]:
            tally.false[found.finding] += 1
            tally.metrics[f"{found.finding} {found.metric}"] += 1
        if found.finding == "exhaustion":
            _interval(entity, tally, row, found)
    for kind, rows in active.items():
        starts = np.flatnonzero(rows & ~np.concatenate(([False], rows[:-1])))
        tally.false[f"{kind} episodes"] += int(quiet[starts].sum())
    exhaustion = bool(entity.limits)
    rows = active["exhaustion" if exhaustion else "degradation"]
    for start, end in entity.events:
        first, last = (start - AHEAD_STEPS, start) if exhaustion else (start, max(end, start + SLACK_STEPS))
        inside = np.flatnonzero((entity.times >= first) & (entity.times < last) & entity.scored)
        if not len(inside) or (exhaustion and not entity.quiet.any()):
            continue
        tally.events += 1
        hits = inside[rows[inside]]
        if len(hits):
            tally.found += 1
            at = int(entity.times[hits[0]])
            tally.delays.append((start - at if exhaustion else at - start) * entity.step_seconds)
        tally.chance += _elsewhere(rows, quiet, len(inside))


def _elsewhere(rows: np.ndarray, quiet: np.ndarray, length: int) -> float:
    """The share of windows of that length, all of it quiet, in which something was found."""
    sums, calm = (np.concatenate(([0], np.cumsum(of))) for of in (rows, quiet))
    whole = calm[length:] - calm[:-length] == length
    some = sums[length:] - sums[:-length] > 0
    return float(some[whole].mean()) if whole.any() else 0.0


def _interval(entity: Entity, tally: Tally, row: int, found: Finding) -> None:
    """Whether the limit was reached within the interval; not counted when the record ends before it could be told."""
    column, limit = entity.values[found.metric], entity.limits[found.metric]
    if found.eta_low is None or found.eta_high is None or not found.eta_seconds:
        return
    later = np.flatnonzero((entity.times > entity.times[row]) & (column >= limit))
    left = float(entity.times[-1] - entity.times[row]) * entity.step_seconds
    endless = not isfinite(found.eta_high)
    if len(later):
        took = float(entity.times[later[0]] - entity.times[row]) * entity.step_seconds
        covered = found.eta_low - entity.step_seconds <= took <= found.eta_high + entity.step_seconds
        tally.came_true += covered and bool(entity.quiet[row] & entity.scored[row])
    elif left < (found.eta_low if endless else found.eta_high):
        return
    else:
        # That it may never be reached was part of what was told.
        covered = endless
    tally.intervals += 1
    tally.covered += covered
    tally.endless += endless
