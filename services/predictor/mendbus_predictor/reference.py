"""What is usual for one agent: the health features are seen against it, so that a model fits agents it never met."""

from typing import Final

import numpy as np
import numpy.typing as npt

from mendbus.contracts.vocabulary import METRICS, Metric
from mendbus.features.names import HEALTH_FEATURES, STATISTICS
from mendbus.features.vectors import Vector

VERSION: Final = 1
"""Goes into every model card: a model made for other references must be refused."""

LEARNT: Final = 30
"""Samples of which each counts the same; from then on the memory is long."""
MEMORY: Final = 1200
"""Samples after which what was usual is forgotten to a third: ten minutes at the default interval, far longer than the
window, so that what grows for a minute is not taken for usual."""
HORIZON_SECONDS: Final = 30.0

_NOISE: Final[dict[Metric, tuple[float, float]]] = {
    "cpu_percent": (0.3, 2.0),
    "memory_bytes": (0.05, float(1 << 20)),
    "disk_percent": (0.02, 0.5),
    "network_bytes_per_s": (0.5, 1000.0),
    "errors_per_s": (0.5, 0.5),
    "response_time_ms": (0.5, 5.0),
    "throughput_per_s": (0.3, 1.0),
    "availability_ratio": (0.02, 0.02),
    "temperature_celsius": (0.05, 1.0),
    "power_watts": (0.1, 1.0),
    "cache_hit_ratio": (0.05, 0.02),
    "queue_depth": (0.5, 2.0),
}
"""The least spread of each metric, as a share of its mean and as it is: what varies less is noise."""
_SHARE: Final = np.array([_NOISE[metric][0] for metric in METRICS])
_FLOOR: Final = np.array([_NOISE[metric][1] for metric in METRICS])
_FAR: Final = 3.0
"""Spreads from the mean beyond which a value counts as if it were there: what goes wrong does not become usual."""
_TABLE: Final = len(METRICS) * len(STATISTICS)
_BETTER_HIGH: Final = ("throughput_per_s", "availability_ratio", "cache_hit_ratio")
_BAD: Final = np.array([-1.0 if metric in _BETTER_HIGH else 1.0 for metric in METRICS])
_SIGNS: Final = [STATISTICS.index(name) for name in ("last", "mean", "slope", "z")]
_WORST: Final = 3
_POOLED: Final = tuple(f"{sign}_{rank}" for sign in ("last", "mean", "growth", "z") for rank in range(1, _WORST + 1))
NAMES: Final = (*_POOLED, *HEALTH_FEATURES[_TABLE:])
"""What a model reads, in the order of a row: the worst, second and third metric by each sign, then error features."""


class Reference:
    """Mean and spread of each metric of one agent, with a long memory; what is missing changes nothing."""

    __slots__ = ("count", "mean", "square")

    def __init__(self) -> None:
        self.count: npt.NDArray[np.int64] = np.zeros(len(METRICS), np.int64)
        self.mean: Vector = np.zeros(len(METRICS))
        self.square: Vector = np.zeros(len(METRICS))
        """Mean squared distance from the mean."""

    def add(self, values: npt.NDArray[np.float32]) -> None:
        """Takes a sample in: one value a metric, in the order of `METRICS`, NaN is missing."""
        known = values == values
        self.count += known
        learning = self.count <= LEARNT
        step = np.where(learning, 1.0 / np.maximum(self.count, 1), 1.0 / MEMORY)
        most = np.where(learning, np.inf, _FAR * self.spread)
        off = np.where(known, np.clip(values - self.mean, -most, most), 0.0)
        self.mean += step * off
        self.square += np.where(known, step * (off * off * (1.0 - step) - self.square), 0.0)

    @property
    def spread(self) -> Vector:
        """How far values usually are from the mean, never less than noise."""
        return np.maximum(np.maximum(np.sqrt(self.square), _SHARE * np.abs(self.mean)), _FLOOR)

    def against(self, features: Vector) -> Vector:
        """The 64 features seen against what is usual, pooled over the metrics; the order is `NAMES`.

        Each metric has four signs of distress: how far its last value and its mean are on the bad side of the usual
        mean, how much worse its slope makes it within 30 s (each in units of the usual spread), and z. How bad the
        worst, the second and the third metric are counts, whichever they are: a failure that shows in another metric
        than any before is a failure all the same. Missing says nothing.
        """
        table = features[:_TABLE].reshape(len(METRICS), len(STATISTICS))
        spread = self.spread
        signs = table.T[_SIGNS]
        signs[:2] -= self.mean
        signs[2] *= HORIZON_SECONDS
        signs[:3] /= spread
        signs *= _BAD
        np.copyto(signs[3], 0.0, where=np.abs(signs[0]) <= 1.0)
        np.copyto(signs, 0.0, where=signs != signs)
        signs.sort(axis=1)
        return np.concatenate((signs[:, : -_WORST - 1 : -1].ravel(), features[_TABLE:]))
