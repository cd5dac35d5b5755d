"""How good predictions of failures are: by evaluation, by failure, and how early. Everything with what it is out of."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from mendbus_predictor.alarm import COOL_DOWN_SECONDS, EVALUATE_SECONDS, Alarm
from mendbus_predictor.offline.history import Track
from mendbus_predictor.reference import HORIZON_SECONDS

Floats = npt.NDArray[np.float64]
_NANO: Final = 1_000_000_000
_Z: Final = 1.959964
_BINS: Final = 10


@dataclass(frozen=True, slots=True)
class Judged:
    """A track with the probability that a model, which has not learned from it, said at each evaluation."""

    track: Track
    probability: Floats


def alarms(judged: Judged, level: float, persistence: int) -> list[float]:
    """When the policy would have raised an alarm, in seconds of the run."""
    alarm = Alarm()
    pairs = zip(judged.track.times.tolist(), judged.probability.tolist(), strict=True)
    return [at for at, said in pairs if alarm.judge(said, level, round(at * _NANO), persistence)]


def score(judged: Sequence[Judged], level: float, persistence: int) -> dict[str, Any]:
    """All figures at a level and a persistence of the alarm.

    `rows`: precision, recall, false positives of evaluations whose label is known. `events`: failures of gradual faults
    that were seen coming, by an alarm after the fault began and before users noticed; `chance`: the share that as many
    alarms at random moments would have met; `lead_seconds`: from the first such alarm to the failure.
    `false_alarms`: alarms with no failure of that agent within the horizon, by agent hour, and of those the ones of
    agents that never failed.
    """
    labels = np.concatenate([j.track.labels for j in judged])
    said = np.concatenate([j.probability for j in judged])
    known = labels >= 0
    truth, said = labels[known] == 1, said[known]
    raised = said >= level
    hits, positives = int((raised & truth).sum()), int(truth.sum())
    false, negatives = int((raised & ~truth).sum()), int((~truth).sum())
    hours = sum(len(j.track.times) for j in judged) * EVALUATE_SECONDS / 3600
    found = _events(judged, level, persistence, hours)
    return {
        "tracks": len(judged),
        "agent_hours": round(hours, 2),
        "evaluations": len(truth),
        "base_rate": _ratio(positives, len(truth)),
        "recall": share(hits, positives),
        "false_positives": share(false, negatives),
        "precision": share(hits, hits + false),
        "pr_auc": average_precision(truth, said),
        "brier": float(((said - truth) ** 2).mean()) if len(said) else math.nan,
        "calibration_error": calibration_error(truth, said),
        **found,
    }


def _events(judged: Sequence[Judged], level: float, persistence: int, hours: float) -> dict[str, Any]:
    leads: list[float] = []
    failures = warned = alarmed = false = quiet = 0
    misses = 0.0
    for one in judged:
        told = alarms(one, level, persistence)
        alarmed += len(told)
        track = one.track
        if track.failed is None or track.began is None or not track.gradual:
            false += len(told)
            quiet += len(told)
            continue
        failures += 1
        due = [at for at in told if track.began <= at < track.failed]
        false += sum(at < track.failed - HORIZON_SECONDS or at < track.began for at in told)
        if due:
            warned += 1
            leads.append(track.failed - due[0])
        room = min(HORIZON_SECONDS, track.failed - track.began)
        misses += 1.0 - math.exp(-alarmed_rate(judged, level, persistence, hours) * room)
    leads.sort()
    return {
        "failures": failures,
        "early_warning": share(warned, failures),
        "chance": _ratio(misses, failures),
        "alarms": alarmed,
        "false_alarms_per_agent_hour": rate(false, hours),
        "false_alarms_where_nothing_failed_per_agent_hour": rate(quiet, hours),
        "lead_seconds": {
            name: round(float(np.quantile(leads, q)), 1) if leads else math.nan
            for name, q in (("p10", 0.1), ("p50", 0.5), ("p90", 0.9))
        },
        "cool_down_seconds": COOL_DOWN_SECONDS,
    }


def alarmed_rate(judged: Sequence[Judged], level: float, persistence: int, hours: float) -> float:
    """Alarms per agent second, all of them."""
    return sum(len(alarms(one, level, persistence)) for one in judged) / max(hours * 3600, 1.0)


def share(part: int, whole: int) -> dict[str, Any]:
    """A share with its 95 % interval (Wilson) and what it is out of."""
    if whole == 0:
        return {"value": math.nan, "low": 0.0, "high": 1.0, "of": 0}
    p = part / whole
    middle = (p + _Z**2 / (2 * whole)) / (1 + _Z**2 / whole)
    half = _Z * math.sqrt(p * (1 - p) / whole + _Z**2 / (4 * whole**2)) / (1 + _Z**2 / whole)
    return {"value": p, "low": max(0.0, middle - half), "high": min(1.0, middle + half), "of": whole}


def rate(count: int, hours: float) -> dict[str, Any]:
    """Events an hour with a 95 % interval (of the square root of a Poisson count)."""
    low, high = max(0.0, math.sqrt(count) - _Z / 2) ** 2, (math.sqrt(count + 1) + _Z / 2) ** 2
    hours = max(hours, 1e-9)
    return {"value": count / hours, "low": low / hours, "high": high / hours, "of": count}


def average_precision(truth: npt.NDArray[np.bool_], said: Floats) -> float:
    """Area under precision over recall, equal scores taken together."""
    if not truth.any():
        return math.nan
    order = np.argsort(-said, kind="stable")
    hits = np.cumsum(truth[order])
    last = np.append(np.diff(said[order]) != 0, True)
    precision = hits[last] / (np.flatnonzero(last) + 1)
    return float((precision * np.diff(hits[last] / truth.sum(), prepend=0.0)).sum())


def calibration_error(truth: npt.NDArray[np.bool_], said: Floats) -> float:
    """By how much probability and frequency differ, over ten bins, weighted by what falls into each."""
    bins = np.minimum((said * _BINS).astype(int), _BINS - 1)
    gaps: Iterable[float] = (abs(float((said - truth)[bins == n].sum())) for n in range(_BINS))
    return sum(gaps) / max(len(truth), 1)


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole else math.nan
