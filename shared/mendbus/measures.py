"""Shares with their uncertainty, how far probabilities are off, and durations in constant memory."""

from collections.abc import Iterable
from math import ceil, log, sqrt
from typing import Final, NamedTuple

Z_95: Final = 1.959963984540054
"""Two-sided 95 % of the normal distribution."""
ERROR: Final = 0.01
"""How far a quantile of `Durations` may be off, as a share of itself."""

_BINS: Final = 10
_GAMMA: Final = (1 + ERROR) / (1 - ERROR)
_LOG_GAMMA: Final = log(_GAMMA)


class Share(NamedTuple):
    """`hits` of `of`; `low` and `high` bound the true share with 95 % confidence. None, all three, of nothing."""

    hits: int
    of: int
    share: float | None
    low: float | None
    high: float | None


def share(hits: int, of: int) -> Share:
    """A share with its Wilson score interval (Wilson 1927), which also holds for few trials and at 0 and 1."""
    if of <= 0:
        return Share(hits, of, None, None, None)
    p, z2 = hits / of, Z_95 * Z_95
    middle = (p + z2 / (2 * of)) / (1 + z2 / of)
    half = Z_95 / (1 + z2 / of) * sqrt(p * (1 - p) / of + z2 / (4 * of * of))
    return Share(hits, of, p, max(0.0, middle - half) if hits else 0.0, min(1.0, middle + half) if hits < of else 1.0)


def calibration_error(foretold: Iterable[tuple[float, bool]]) -> float:
    """How far probabilities (0 to 1) and what came of them are apart: the mean gap over ten equal bins, each weighted
    by what falls into it (Naeini et al. 2015). 0 of nothing.
    """
    gaps, of = [0.0] * _BINS, 0
    for probability, came in foretold:
        gaps[min(int(probability * _BINS), _BINS - 1)] += probability - came
        of += 1
    return sum(map(abs, gaps)) / max(of, 1)


class Spread(NamedTuple):
    """Durations in milliseconds: how many (`n`), their mean, and median and 90th percentile to within 1 %."""

    n: int
    mean_ms: float | None
    median_ms: float | None
    p90_ms: float | None


class Durations:
    """Durations in nanoseconds, counted in buckets whose bounds grow by 2 % (DDSketch, Masson et al. 2019)."""

    def __init__(self) -> None:
        self._buckets: dict[int, int] = {}
        self._count = 0
        self._sum = 0

    def add(self, nanoseconds: int, times: int = 1) -> None:
        """Counts a duration; with a negative number of times, takes one out that was counted before."""
        at = ceil(log(max(1, nanoseconds)) / _LOG_GAMMA)
        count = self._buckets.pop(at, 0) + times
        if count:
            self._buckets[at] = count
        self._count += times
        self._sum += nanoseconds * times

    def quantile(self, q: float) -> float | None:
        """The duration (ns) that so many (0 to 1) of all do not exceed, to within 1 %."""
        wanted, seen = max(1, ceil(q * self._count)), 0
        for bucket in sorted(self._buckets):
            seen += self._buckets[bucket]
            if seen >= wanted:
                return 2 * _GAMMA**bucket / (_GAMMA + 1)
        return None

    def spread(self) -> Spread:
        """What is known of them."""
        median, p90 = self.quantile(0.5), self.quantile(0.9)
        if median is None or p90 is None:
            return Spread(0, None, None, None)
        mean = self._sum / self._count
        return Spread(self._count, round(mean / 1e6, 3), round(median / 1e6, 3), round(p90 / 1e6, 3))
