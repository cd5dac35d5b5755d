"""What is usual for one agent: the health features are seen against it, so that a model fits agents it never met."""

from typing import Final

import numpy as np
import numpy.typing as npt

from mendbus.contracts.vocabulary import METRICS
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

_SHARE: Final = 0.05
"""What varies by less than this share of itself is noise."""
_FLOORS: Final = {
    "cpu_percent": 2.0,
    "memory_bytes": float(1 << 20),
    "disk_percent": 0.5,
    "network_bytes_per_s": 1000.0,
    "errors_per_s": 0.5,
    "response_time_ms": 5.0,
    "throughput_per_s": 1.0,
    "availability_ratio": 0.02,
    "temperature_celsius": 1.0,
    "power_watts": 1.0,
    "cache_hit_ratio": 0.02,
    "queue_depth": 2.0,
}
"""The least spread of each metric: less is noise, whatever its mean is."""
_FLOOR: Final = np.array([_FLOORS[metric] for metric in METRICS])
_TABLE: Final = len(METRICS) * len(STATISTICS)
assert len(HEALTH_FEATURES) > _TABLE


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
        step = np.where(self.count <= LEARNT, 1.0 / np.maximum(self.count, 1), 1.0 / MEMORY)
        off = np.where(known, values - self.mean, 0.0)
        self.mean += step * off
        self.square += np.where(known, step * (off * off * (1.0 - step) - self.square), 0.0)

    def against(self, features: Vector) -> Vector:
        """The 64 features seen against what is usual, in the order of `HEALTH_FEATURES`.

        Last value and mean: distance from the usual mean; standard deviation; slope: change within 30 s; each in units
        of the usual spread. z and the error features stay as they are. Of a metric never seen all is missing.
        """
        out = features.copy()
        table = out[:_TABLE].reshape(len(METRICS), len(STATISTICS))
        spread = np.maximum(np.maximum(np.sqrt(self.square), _SHARE * np.abs(self.mean)), _FLOOR)
        table[:, 0] = (table[:, 0] - self.mean) / spread
        table[:, 1] = (table[:, 1] - self.mean) / spread
        table[:, 2] /= spread
        table[:, 3] *= HORIZON_SECONDS / spread
        return out
