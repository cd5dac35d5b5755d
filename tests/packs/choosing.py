"""Which members speak, and how loud: chosen by what they were worth on entities that they had not seen.

The way is forward selection with replacement: start from the member that is best alone, add the one that helps most,
stop when none helps. A score is the mean of the log-odds of those chosen.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from tests.packs.reading import spans

from mendbus_predictor.offline.scoring import average_precision

_PICKS = 6
_HIGH = 0.95
_LOOKS = 100


def chosen(y: np.ndarray, members: Mapping[str, np.ndarray], weight: np.ndarray | None = None) -> list[str]:
    """The names of the members to average, one perhaps several times; samples of no weight are left out."""
    if weight is not None:
        kept = weight > 0
        y, weight, members = y[kept], weight[kept], {name: member[kept] for name, member in members.items()}
    picks: list[str] = []
    total, best = np.zeros(len(y)), -1.0
    for _ in range(_PICKS):
        worth = {name: average_precision(y, total + score, weight) for name, score in members.items()}
        name = max(worth, key=lambda one: worth[one])
        if worth[name] <= best:
            break
        picks, total, best = [*picks, name], total + members[name], worth[name]
    return picks


def averaged(picks: Sequence[str], members: Mapping[str, np.ndarray]) -> np.ndarray:
    """The log-odds that the chosen members give together."""
    return sum((members[name] for name in picks), start=np.zeros(len(members[picks[0]]))) / len(picks)


def chosen_across(
    y: np.ndarray, members: Mapping[str, np.ndarray], fold: np.ndarray, weight: np.ndarray | None = None
) -> np.ndarray:
    """The log-odds of every sample, its members having been chosen on the other folds."""
    odds = np.empty(len(y))
    for one in np.unique(fold):
        inside = fold == one
        elsewhere = np.where(inside, 0.0, 1.0 if weight is None else weight)
        picks = chosen(y, members, elsewhere)
        odds[inside] = averaged(picks, {name: member[inside] for name, member in members.items()})
    return odds


@dataclass(frozen=True)
class Settling:
    """Takes back what has lasted: a shift of level that stays for days is the new normal, not an anomaly for ever."""

    width: int
    usual: float
    high: float

    @classmethod
    def learned(cls, width: int, odds: np.ndarray) -> "Settling":
        """What is usual and what is high, from development scores."""
        usual, high = np.quantile(odds, (0.5, _HIGH))
        return cls(width, float(usual), float(high))

    def applied(self, entity: np.ndarray, odds: np.ndarray) -> np.ndarray:
        """The log-odds less what the median of the machine's last samples lies above the usual, where that is high."""
        settled = odds.copy()
        step = max(1, self.width // _LOOKS)
        for _, span in spans(entity):
            own = odds[span]
            for start in range(self.width // 2, len(own), step):
                lasting = float(np.median(own[max(0, start - self.width) : start : step]))
                if lasting > self.high:
                    settled[span][start : start + step] -= lasting - self.usual
        return settled


def chance(odds: np.ndarray) -> np.ndarray:
    """The probability of these log-odds."""
    return 1 / (1 + np.exp(-np.clip(odds, -30, 30)))
