"""Scores one task: every member out of fold on development data, and, once fitted on all of it, on held-out data."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from tests.packs import choosing, learning, scoring
from tests.packs.scoring import Figures
from tests.packs.task import Task, folded

from mendbus_predictor.offline.scoring import average_precision

OURS = "ours"
_LEARNED: dict[str, Callable[[Task], learning.Member]] = {
    "lightgbm": learning.plain,
    "boosted": learning.boosted,
    "forest": learning.forest,
}


@dataclass(frozen=True)
class Result:
    """The figures of ours and of each baseline on one task; `part` says on which data."""

    task: str
    part: str
    positives: float
    at: dict[float, dict[str, Figures]]
    """Share of false positives allowed on development data -> score -> figures."""
    picks: list[str]
    alone: dict[str, float]
    """Development PR-AUC of each member by itself."""

    def pr_auc(self) -> dict[str, float]:
        """The area under precision and recall of each score."""
        return {name: figures.pr_auc for name, figures in next(iter(self.at.values())).items()}


SHARES = (0.05, 0.01)


def run(task: Task, held_out: Sequence[Task]) -> list[Result]:
    """Development figures out of fold, and those of the held-out tasks, on which nothing is fitted."""
    fold = folded(task.entity, task.folds)
    raw = {name: score.astype(float) for name, score in task.simple.items()}
    needs_pca = "pca" not in raw
    curves = {name: learning.simple(task, name) for name in (*task.simple, *task.hints)}
    members = {name: curve(task) for name, curve in curves.items()}
    members |= {name: np.empty(len(task.y)) for name in _LEARNED}
    if needs_pca:
        raw["pca"] = np.empty(len(task.y))
    for one in np.unique(fold):
        inside = fold == one
        known, asked = task.part(~inside), task.part(inside)
        for name, fit in _LEARNED.items():
            members[name][inside] = fit(known)(asked)
        if needs_pca:
            raw["pca"][inside] = learning.residual(known)(asked)
    kept, shares = learning.thinned(task)
    weight = np.zeros(len(task.y))
    weight[kept] = shares
    odds = choosing.chosen_across(task.y, members, fold, weight)
    settling = choosing.Settling.learned(task.settles, odds) if task.settles else None
    ours = choosing.chance(settling.applied(task.entity, odds) if settling else odds)
    scores = {**raw, "lightgbm": choosing.chance(members["lightgbm"]), OURS: ours}
    picks = choosing.chosen(task.y, members, weight)
    limits = {
        share: {name: scoring.threshold(task.y, score, share) for name, score in scores.items()} for share in SHARES
    }
    alone = {name: average_precision(task.y, member) for name, member in members.items()}
    results = [_result(task, "dev", scores, limits, picks, alone)]
    if held_out:
        fitted = curves | {name: fit(task) for name, fit in _LEARNED.items()}
        unlike = learning.residual(task)
        for hidden in held_out:
            spoken = {name: member(hidden) for name, member in fitted.items()}
            shown = {name: score.astype(float) for name, score in hidden.simple.items()}
            if needs_pca:
                shown["pca"] = unlike(hidden)
            odds = choosing.averaged(picks, spoken)
            ours = choosing.chance(settling.applied(hidden.entity, odds) if settling else odds)
            shown |= {"lightgbm": choosing.chance(spoken["lightgbm"]), OURS: ours}
            results.append(_result(hidden, "holdout", shown, limits, picks, alone))
    return results


def _result(
    task: Task,
    part: str,
    scores: dict[str, np.ndarray],
    limits: dict[float, dict[str, float]],
    picks: list[str],
    alone: dict[str, float],
) -> Result:
    probable = {"lightgbm", OURS}
    figures = {
        share: {name: scoring.scored(task, score, limit[name], name in probable) for name, score in scores.items()}
        for share, limit in limits.items()
    }
    return Result(task.name, part, float(task.y.mean()), figures, picks, alone)
