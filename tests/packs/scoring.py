"""The rules of scoring. An alarm is a score above the threshold, and a threshold comes from development data only."""

from dataclasses import dataclass

import numpy as np
from tests.packs.reading import spans
from tests.packs.task import Task

from mendbus.measures import calibration_error
from mendbus_predictor.offline.scoring import average_precision


@dataclass(frozen=True)
class Figures:
    """What one score is worth on one task; leads and delays in seconds, NaN where there is none."""

    pr_auc: float
    roc_auc: float
    macro_ap: float
    precision: float
    recall: float
    f1: float
    fpr: float
    accuracy: float
    brier: float
    ece: float
    events: int
    event_recall: float
    chance: float
    lead_or_delay_s: float
    false_alarms_per_hour: float


def threshold(y: np.ndarray, score: np.ndarray, share: float = 0.05) -> float:
    """The smallest score above which at most this share of the negatives lies."""
    negatives = np.sort(score[y == 0])
    allowed = int(np.floor(share * len(negatives)))
    return float(negatives[len(negatives) - allowed - 1]) if allowed < len(negatives) else float(negatives[0]) - 1e-12


def roc_area(y: np.ndarray, score: np.ndarray) -> float:
    """The share of pairs (positive, negative) in the right order, ties counted half."""
    _, place, sizes = np.unique(score, return_inverse=True, return_counts=True)
    rank = (np.cumsum(sizes) - (sizes - 1) / 2)[place]
    positives = int((y == 1).sum())
    pairs = positives * (len(y) - positives)
    return float((rank[y == 1].sum() - positives * (positives + 1) / 2) / pairs) if pairs else float("nan")


def scored(task: Task, score: np.ndarray, limit: float, probability: bool = False) -> Figures:
    """Every figure of a score on a task, alarms being what is above `limit`."""
    y, alarm = task.y, score > limit
    hit, false = int((alarm & (y == 1)).sum()), int((alarm & (y == 0)).sum())
    positives, negatives = int((y == 1).sum()), int((y == 0).sum())
    precision, recall = hit / max(1, hit + false), hit / max(1, positives)
    fpr = false / max(1, negatives)
    each = [average_precision(y[s], score[s]) for _, s in spans(task.entity) if 0 < y[s].sum() < s.stop - s.start]
    return Figures(
        pr_auc=average_precision(y, score),
        roc_auc=roc_area(y, score),
        macro_ap=float(np.mean(each)) if each else float("nan"),
        precision=precision,
        recall=recall,
        f1=2 * precision * recall / (precision + recall) if hit else 0.0,
        fpr=fpr,
        accuracy=(hit + negatives - false) / max(1, len(y)),
        brier=float(np.mean((score - y) ** 2)) if probability else float("nan"),
        ece=calibration_error(zip(score.tolist(), y.tolist(), strict=True)) if probability else float("nan"),
        **_events(task, alarm, fpr),
    )


def _events(task: Task, alarm: np.ndarray, fpr: float) -> dict[str, float]:
    where = dict(spans(task.entity))
    caught: list[float] = []
    chances: list[float] = []
    ends = task.events.start if task.events.end is None else task.events.end
    for entity, start, end in zip(task.events.entity, task.events.start, ends, strict=True):
        span = where.get(str(entity))
        if span is None:
            continue
        first, last = (start - task.horizon, start) if task.kind == "ahead" else (start, min(end, start + task.horizon))
        low, high = np.searchsorted(task.t[span], (first, last)) + span.start
        if low == high:
            continue
        chances.append(1 - (1 - fpr) ** (high - low))
        at = np.flatnonzero(alarm[low:high])
        if len(at):
            caught.append(abs(float(task.t[low + at[0]] - start)) * task.unit_s)
    episodes = 0
    for span in where.values():
        false = task.t[span][alarm[span] & (task.y[span] == 0)]
        episodes += bool(len(false)) + int((np.diff(false) > task.horizon).sum())
    nothing = float("nan")
    return {
        "events": len(chances),
        "event_recall": len(caught) / len(chances) if chances else nothing,
        "chance": float(np.mean(chances)) if chances else nothing,
        "lead_or_delay_s": float(np.median(caught)) if caught else nothing,
        "false_alarms_per_hour": episodes / max(1e-9, len(task.t) * task.step_s / 3600),
    }
