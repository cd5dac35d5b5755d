"""What is usual for one agent: the health features are seen against it, so that a model fits agents it never met."""

from typing import Final

import numpy as np
import numpy.typing as npt

from mendbus.contracts.vocabulary import METRICS, Metric
from mendbus.features.names import HEALTH_FEATURES, STATISTICS
from mendbus.features.vectors import COLUMN_STATISTICS, Health, Vector
from mendbus.features.window import MOST_GAUGES

VERSION: Final = 2
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
_OF_GAUGE: Final = (0.1, 2.0)
"""The same of any gauge: nothing is known of it but that it is a number."""
_ALL: Final = [*(_NOISE[metric] for metric in METRICS), *([_OF_GAUGE] * MOST_GAUGES)]
_SHARE: Final = np.array([share for share, _ in _ALL])
_FLOOR: Final = np.array([floor for _, floor in _ALL])
_FAR: Final = 3.0
"""Spreads from the mean beyond which a value counts as if it were there: what goes wrong does not become usual."""
_TABLE: Final = len(METRICS) * len(STATISTICS)
_BETTER_HIGH: Final = ("throughput_per_s", "availability_ratio", "cache_hit_ratio")
_BAD: Final = np.array([-1.0 if metric in _BETTER_HIGH else 1.0 for metric in METRICS] + [1.0] * MOST_GAUGES)
_LAST, _MEAN, _SLOPE, _RECENT, _Z, _STEADY = (COLUMN_STATISTICS.index(name) for name in COLUMN_STATISTICS)
_WORST: Final = 3
SIGNS: Final = ("last", "mean", "growth", "rise", "z", "steady")
"""In the order of `COLUMN_STATISTICS`."""
_POOLED: Final = tuple(f"{sign}_{rank}" for sign in SIGNS for rank in range(1, _WORST + 1))
NAMES: Final = (*_POOLED, *HEALTH_FEATURES[_TABLE:])
"""What a model reads, in the order of a row: the worst, second and third column by each sign, then error features."""


class Reference:
    """Mean and spread of each metric and gauge of one agent, with a long memory; what is missing changes nothing."""

    __slots__ = ("_bad", "_before", "_fell", "_rose", "count", "mean", "square")

    def __init__(self) -> None:
        self.count: npt.NDArray[np.int64] = np.zeros(len(METRICS), np.int64)
        self.mean: Vector = np.zeros(len(METRICS))
        self.square: Vector = np.zeros(len(METRICS))
        """Mean squared distance from the mean."""
        self._before: Vector = np.full(len(METRICS), np.nan)
        self._rose: npt.NDArray[np.int64] = np.zeros(len(METRICS), np.int64)
        self._fell: npt.NDArray[np.int64] = np.zeros(len(METRICS), np.int64)
        """How often it rose and fell from one value to the next while it was being learned."""
        self._bad: Vector = np.zeros(len(METRICS))
        """Which way is bad; 0 for what was never told, and for what only counts."""

    def add(self, values: npt.NDArray[np.float32]) -> None:
        """Takes a sample in: a value for each metric, in the order of `METRICS`, then each gauge; NaN is missing."""
        if len(values) > len(self.count):
            self._widen(len(values))
        known = values == values
        self.count += known
        learning = self.count <= LEARNT
        if learning.any():
            self._rose += learning & (values > self._before)
            self._fell += learning & (values < self._before)
            np.copyto(self._before, values, where=known)
            self._bad = _BAD[: len(self.count)] * ((self.count > 0) & ~self._counts())
        step = np.where(learning, 1.0 / np.maximum(self.count, 1), 1.0 / MEMORY)
        most = np.where(learning, np.inf, _FAR * self.spread)
        off = np.where(known, np.clip(values - self.mean, -most, most), 0.0)
        self.mean += step * off
        self.square += np.where(known, step * (off * off * (1.0 - step) - self.square), 0.0)

    @property
    def spread(self) -> Vector:
        """How far values usually are from the mean, never less than noise."""
        columns = len(self.count)
        least = np.maximum(_SHARE[:columns] * np.abs(self.mean), _FLOOR[:columns])
        return np.maximum(np.sqrt(self.square), least)

    def against(self, health: Health) -> Vector:
        """Health seen against what is usual, pooled over metrics and gauges; the order is `NAMES`.

        Each has six signs of distress: how far its last value and its mean are on the bad side of the usual mean, how
        much worse its slope makes it within 30 s, that of the whole window and that of the last seconds (each in units
        of the usual spread), z, and how steadily it got worse lately. Of gauges more is worse. How bad the worst, the
        second and the third are counts, whichever they are: a failure that shows elsewhere than any before is a failure
        all the same. Missing says nothing.
        """
        signs = health.columns.copy()
        columns = signs.shape[1]
        if columns > len(self.count):
            self._widen(columns)
        signs[: _MEAN + 1] -= self.mean[:columns]
        signs[_SLOPE : _RECENT + 1] *= HORIZON_SECONDS
        signs[: _RECENT + 1] /= self.spread[:columns]
        signs *= self._bad[:columns]
        # What is within a spread says nothing by being a new height, or by rising in a line.
        signs[_Z] *= np.abs(signs[_LAST]) > 1.0
        signs[_STEADY] *= np.abs(signs[_RECENT]) > 1.0
        np.copyto(signs, 0.0, where=signs != signs)
        signs.sort(axis=1)
        return np.concatenate((signs[:, : -_WORST - 1 : -1].ravel(), health.features[_TABLE:]))

    def _counts(self) -> npt.NDArray[np.bool_]:
        """Gauges that only rose, most of the time, while they were learned: they count, so that growth is usual."""
        found = (self._fell == 0) & (self._rose > LEARNT // 2)
        found[: len(METRICS)] = False
        return found

    def _widen(self, columns: int) -> None:
        more = columns - len(self.count)
        self.count, self._rose, self._fell = (np.append(of, [0] * more) for of in (self.count, self._rose, self._fell))
        self.mean, self.square, self._bad = (np.append(of, [0.0] * more) for of in (self.mean, self.square, self._bad))
        self._before = np.append(self._before, [np.nan] * more)
