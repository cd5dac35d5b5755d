"""What an adapter makes of a pack: samples to score, with what is known at each."""

from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np


@dataclass(frozen=True)
class Events:
    """What is to be warned of or noticed; `end` is exclusive, None for events that are a moment."""

    entity: np.ndarray
    start: np.ndarray
    end: np.ndarray | None = None


@dataclass(frozen=True)
class Task:
    """One question asked of one pack: samples sorted by entity and time, and columns known at each of them."""

    name: str
    kind: Literal["ahead", "now"]
    entity: np.ndarray
    t: np.ndarray
    y: np.ndarray
    events: Events
    horizon: int
    """How long before the start (ahead) or after it (now) an alarm counts, in the unit of t."""
    unit_s: float
    """Seconds in one unit of t."""
    step_s: float
    """Seconds that one sample stands for."""
    plain: np.ndarray
    """What the plain LightGBM gets."""
    rich: np.ndarray
    """What ours gets."""
    simple: dict[str, np.ndarray]
    """Baselines that nothing is fitted for: the larger, the more suspicious."""
    hints: dict[str, np.ndarray] = field(default_factory=dict)
    """Scores of the same kind that are ours."""
    folds: int = 5
    thin: int = 1
    """Every how manieth negative sample is learned from; neighbours in time say the same."""
    settles: int | None = None
    """Samples after which a level that is high half of the time counts as the machine's new normal; None: never."""
    category: int | None = None
    """The column of `rich` that names a kind instead of measuring."""

    def part(self, mask: np.ndarray) -> "Task":
        """The samples under the mask alone; the events stay, those without samples are not counted."""
        return replace(
            self,
            entity=self.entity[mask],
            t=self.t[mask],
            y=self.y[mask],
            plain=self.plain[mask],
            rich=self.rich[mask],
            simple={name: score[mask] for name, score in self.simple.items()},
            hints={name: score[mask] for name, score in self.hints.items()},
        )


def folded(entity: np.ndarray, folds: int) -> np.ndarray:
    """The fold of each sample: entities are never divided, the largest go first to the emptiest fold."""
    _, group, sizes = np.unique(entity, return_inverse=True, return_counts=True)
    chosen, load = np.zeros(len(sizes), int), np.zeros(min(folds, len(sizes)))
    for one in np.argsort(-sizes, kind="stable"):
        chosen[one] = int(np.argmin(load))
        load[chosen[one]] += sizes[one]
    return chosen[group]
