"""How good predictions of failures are: by evaluation, by failure, and how early. Everything with what it is out of."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from mendbus import measures
from mendbus.measures import Z_95
from mendbus_predictor.alarm import COOL_DOWN_SECONDS, EVALUATE_SECONDS, Alarm
from mendbus_predictor.offline.history import Track
from mendbus_predictor.reference import HORIZON_SECONDS

Floats = npt.NDArray[np.float64]
_NANO: Final = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Judged:
    """A track with the probability that a model, which has not learned from it, said at each evaluation.

    `level`: of the alarm.
    """

    track: Track
    probability: Floats
    level: float


def alarms(judged: Judged, persistence: int) -> list[float]:
    """When the policy would have raised an alarm, in seconds of the run."""
    alarm = Alarm()
    pairs = zip(judged.track.times.tolist(), judged.probability.tolist(), strict=True)
    return [at for at, said in pairs if alarm.judge(said, judged.level, round(at * _NANO), persistence)]


def score(judged: Sequence[Judged], persistence: int) -> dict[str, Any]:
    """All figures, each track at its level of the alarm, at a persistence.

    `rows`: precision, recall, false positives of evaluations whose label is known. `events`: failures of gradual faults
    that were seen coming, by an alarm after the fault began and before users noticed; `chance`: the share that as many
    alarms at random moments would have met; `lead_seconds`: from the first such alarm to the failure.
    `false_alarms`: alarms with no failure of that agent within the horizon, by agent hour, and of those the ones of
    agents that never failed.
    """
    labels = np.concatenate([j.track.labels for j in judged])
    said = np.concatenate([j.probability for j in judged])
    above = np.concatenate([j.probability >= j.level for j in judged])
    known = labels >= 0
    truth, said, raised = labels[known] == 1, said[known], above[known]
    hits, positives = int((raised & truth).sum()), int(truth.sum())
    false, negatives = int((raised & ~truth).sum()), int((~truth).sum())
    hours = sum(len(j.track.times) for j in judged) * EVALUATE_SECONDS / 3600
    found = _events(judged, persistence, hours)
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
        "calibration_error": measures.calibration_error(zip(said.tolist(), truth.tolist(), strict=True)),
        **found,
    }


def _events(judged: Sequence[Judged], persistence: int, hours: float) -> dict[str, Any]:
    leads: list[float] = []
    failures = warned = false = quiet = 0
    misses = 0.0
    raised = [alarms(one, persistence) for one in judged]
    alarmed = sum(map(len, raised))
    for one, told in zip(judged, raised, strict=True):
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
        misses += 1.0 - math.exp(-alarmed / max(hours * 3600, 1.0) * room)
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


def share(part: int, whole: int) -> dict[str, Any]:
    """A share with its 95 % interval (Wilson) and what it is out of."""
    found = measures.share(part, whole)
    if found.share is None:
        return {"value": math.nan, "low": 0.0, "high": 1.0, "of": 0}
    return {"value": found.share, "low": found.low, "high": found.high, "of": whole}


def rate(count: int, hours: float) -> dict[str, Any]:
    """Events an hour with a 95 % interval (of the square root of a Poisson count)."""
    low, high = max(0.0, math.sqrt(count) - Z_95 / 2) ** 2, (math.sqrt(count + 1) + Z_95 / 2) ** 2
    hours = max(hours, 1e-9)
    return {"value": count / hours, "low": low / hours, "high": high / hours, "of": count}


def average_precision(truth: npt.NDArray[Any], said: Floats, weight: Floats | None = None) -> float:
    """Area under precision over recall, in steps at the distinct scores; NaN without a positive.

    `truth`: 1 or true for a positive; `weight`: what each row counts for, one unless told.
    """
    order = np.argsort(-said, kind="stable")
    falling, counts = said[order], np.ones(len(said)) if weight is None else weight[order]
    hits, seen = np.cumsum(counts * (truth[order] == 1)), np.cumsum(counts)
    if not len(hits) or not hits[-1]:
        return math.nan
    last = np.append(np.flatnonzero(np.diff(falling)), len(falling) - 1)
    found = hits[last]
    return float(np.sum(np.diff(found, prepend=0.0) * found / seen[last]) / found[-1])


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole else math.nan
