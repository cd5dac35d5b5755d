"""How fast something grows, and how sure that is: slopes that a few outliers do not bend, with their interval.

Sources: the median of all slopes between two points, H. Theil, A rank-invariant method of linear and polynomial
regression analysis (1950), and P. K. Sen, Estimates of the regression coefficient based on Kendall's tau, J. Am. Stat.
Assoc. 63 (1968), who gives the interval from the variance of Kendall's S. That variance is for independent points;
what a process uses now is much like what it used a moment ago, so it is widened by what K. H. Hamed and A. R. Rao,
A modified Mann-Kendall trend test for autocorrelated data, J. Hydrology 204 (1998), derive from the autocorrelation of
the ranks.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import floor, sqrt
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

MOST_POINTS = 400
"""More are made so many by taking medians of neighbours: the slopes of all pairs are looked at."""

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Slope:
    """A slope in units a second, the interval around it, and how much wider that is than for independent points."""

    slope: float
    low: float
    high: float
    points: int
    widened: float

    @property
    def rises(self) -> bool:
        """Whether zero and everything below is outside of the interval."""
        return self.low > 0.0


def theil_sen(times: Sequence[float] | Floats, values: Sequence[float] | Floats, confidence: float = 0.95) -> Slope:
    """The slope of values over times (seconds). Raises `ValueError` for fewer than four points at different times."""
    x, y = thinned(np.asarray(times, np.float64), np.asarray(values, np.float64), MOST_POINTS)
    first, second = np.triu_indices(len(x), 1)
    apart = x[second] - x[first]
    slopes = np.sort((y[second] - y[first])[apart > 0] / apart[apart > 0])
    if len(x) < 4 or not len(slopes):
        msg = f"a slope needs four points at different times, there are {len(x)}"
        raise ValueError(msg)
    slope = float(np.median(slopes))
    widened = _widened(y - slope * x)
    reach = NormalDist().inv_cdf((1 + confidence) / 2) * sqrt(_variance(y) * widened)
    low, high = floor((len(slopes) - reach) / 2), floor((len(slopes) + reach) / 2) + 1
    return Slope(
        slope, float(slopes[max(0, low)]), float(slopes[min(len(slopes) - 1, high)]), len(x), round(widened, 3)
    )


def thinned(times: Floats, values: Floats, most: int) -> tuple[Floats, Floats]:
    """At most so many points in the order of time: medians of neighbours, without what is not a number."""
    known = np.isfinite(times) & np.isfinite(values)
    order = np.argsort(times[known], kind="stable")
    x, y = times[known][order], values[known][order]
    if len(x) <= most:
        return x, y
    groups = np.array_split(np.arange(len(x)), most)
    return np.array([np.median(x[group]) for group in groups]), np.array([np.median(y[group]) for group in groups])


def _variance(values: Floats) -> float:
    """Of Kendall's S, with ties among the values as Sen has them."""
    n = len(values)
    _, ties = np.unique(values, return_counts=True)
    tied = float(np.sum(ties * (ties - 1) * (2 * ties + 5)))
    return max(0.0, (n * (n - 1) * (2 * n + 5) - tied) / 18)


def _widened(residuals: Floats) -> float:
    """What the variance of S is multiplied by, 1 at least: from the significant autocorrelations of the ranks."""
    n = len(residuals)
    ranks = _ranks(residuals)
    ranks -= ranks.mean()
    power = float(ranks @ ranks)
    if power <= 0.0:
        return 1.0
    lags = np.arange(1, n - 2)
    correlations = np.array([float(ranks[lag:] @ ranks[:-lag]) / power for lag in lags])
    # A lag counts when it is beyond what chance gives; the sum ends where nothing is left of the correlation, since the
    # far lags of a short series are noise.
    significant = np.abs(correlations) > NormalDist().inv_cdf(0.975) / sqrt(n)
    gone = np.flatnonzero(~significant)
    end = int(gone[0]) if len(gone) else len(lags)
    near = lags[:end].astype(np.float64)
    factor = 1 + 2 / (n * (n - 1) * (n - 2)) * float(
        np.sum((n - near) * (n - near - 1) * (n - near - 2) * correlations[:end])
    )
    return max(1.0, factor)


def _ranks(values: Floats) -> Floats:
    """Ranks, equal values sharing theirs."""
    _, where, counts = np.unique(values, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts).astype(np.float64)
    shared: Floats = ends - (counts - 1) / 2
    return shared[where]
