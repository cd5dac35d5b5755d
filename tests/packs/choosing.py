"""Which members speak, and how loud: chosen by what they were worth on entities that they had not seen.

The way is forward selection with replacement: start from the member that is best alone, add the one that helps most,
stop when none helps. A score is the mean of the log-odds of those chosen.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from tests.packs.scoring import average_precision

_PICKS = 6
_GAIN = 0.002


def chosen(y: np.ndarray, members: Mapping[str, np.ndarray]) -> list[str]:
    """The names of the members to average, one perhaps several times."""
    picks: list[str] = []
    total, best = np.zeros(len(y)), -1.0
    for _ in range(_PICKS):
        worth = {name: average_precision(y, total + score) for name, score in members.items()}
        name = max(worth, key=lambda one: worth[one])
        if worth[name] < best + _GAIN:
            break
        picks, total, best = [*picks, name], total + members[name], worth[name]
    return picks


def averaged(picks: Sequence[str], members: Mapping[str, np.ndarray]) -> np.ndarray:
    """The chance that the chosen members give together."""
    odds = sum((members[name] for name in picks), start=np.zeros(len(members[picks[0]]))) / len(picks)
    return 1 / (1 + np.exp(-np.clip(odds, -30, 30)))


def chosen_across(y: np.ndarray, members: Mapping[str, np.ndarray], fold: np.ndarray) -> np.ndarray:
    """The score of every sample, its members having been chosen on the other folds."""
    score = np.empty(len(y))
    for one in np.unique(fold):
        inside = fold == one
        picks = chosen(y[~inside], {name: member[~inside] for name, member in members.items()})
        score[inside] = averaged(picks, {name: member[inside] for name, member in members.items()})
    return score
