"""Slope with its significance: Theil and Sen's median of slopes, Mann and Kendall's test. Pure numpy.

`pymannkendall` and `scipy.stats` have both; each needs scipy, which alone takes more memory than this service may.
"""

from functools import lru_cache
from math import comb, erfc, sqrt
from statistics import NormalDist
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from mendbus_health_monitor.columns import Numbers, at, known, median

FEWEST: Final = 8
"""Values below which no trend is told."""
_MOST_CORRELATED: Final = 0.9


class Trend(NamedTuple):
    """One entry a column; NaN where there are too few values. Slopes per unit of the times."""

    slope: Numbers
    low: Numbers
    high: Numbers
    """Sen's interval."""
    level: Numbers
    """Of the fitted line at the newest time."""
    z: Numbers
    """Mann and Kendall's, corrected for ties and for autocorrelation."""
    p: Numbers
    """Two-sided probability of such a z without any trend."""
    noise: Numbers
    """Median distance from the line, as a standard deviation."""


def trends(times: Numbers, values: Numbers, confidence: float = 0.9) -> Trend:
    """The trend of each column of `values` (rows in the order of `times`; NaN is missing).

    Slope: Theil (1950), Sen (1968), with the interval of Sen as in Gilbert, "Statistical Methods for Environmental
    Pollution Monitoring" (1987), 16.5 to 16.7. Test: Mann (1945), Kendall (1975) with the correction for ties. Both
    the interval and the test count with the effective number of values of Yue and Wang (2004, after Bayley and
    Hammersley 1946): the residuals' autocorrelation at lag 1, its bias by the detrending put right.
    """
    rows, columns = values.shape
    first, second = _pairs(rows)
    present = known(values)
    counts = present.astype(np.float64)
    differences = values[second] - values[first]
    steps = (times[second] - times[first])[:, None]
    paired = np.isfinite(differences)
    slopes = np.sort(differences / steps, axis=0)
    pairs = paired.sum(axis=0, dtype=np.intp)

    enough = counts >= FEWEST
    if not enough.any():
        return Trend(*np.full((len(Trend._fields), columns), np.nan))
    slope = np.where(enough, at(slopes, (pairs - 1) / 2, pairs), np.nan)
    off = values - slope * (times - times[-1])[:, None]
    level = median(off, present)
    residuals = off - level
    noise = 1.4826 * median(np.abs(residuals), present)

    with np.errstate(invalid="ignore", divide="ignore"):
        score = np.sign(differences, where=paired, out=np.zeros_like(differences)).sum(axis=0)
        variance = counts * (counts - 1) * (2 * counts + 5) - _ties(values)
        variance = np.maximum(variance / 18.0, 0.0) * inflation(residuals)
        spread = np.sqrt(variance)
        z = np.where(spread > 0, np.sign(score) * np.maximum(np.abs(score) - 1.0, 0.0) / spread, 0.0)
    z = np.where(enough, z, np.nan)
    reach = NormalDist().inv_cdf(0.5 + confidence / 2) * spread
    low = np.where(enough, at(slopes, (pairs - reach) / 2 - 1, pairs), np.nan)
    high = np.where(enough, at(slopes, (pairs + reach) / 2, pairs), np.nan)
    return Trend(slope, low, high, level, z, np.array([two_sided(one) for one in z.tolist()]), noise)


def inflation(residuals: Numbers) -> Numbers:
    """By how much the variance of a mean (or a rank sum) grows because neighbours are alike; at least 1.

    Yue and Wang (2004); the bias of the estimate after a line was taken away, about -(2 + 4 rho) / n, from Marriott and
    Pope (1954).
    """
    present = np.isfinite(residuals)
    count = np.maximum(present.sum(axis=0), 5).astype(np.float64)
    centred = np.where(present, residuals, 0.0)
    with np.errstate(invalid="ignore", divide="ignore"):
        alike = (centred[1:] * centred[:-1]).sum(axis=0) / (centred * centred).sum(axis=0)
    alike = np.where(np.isfinite(alike), alike, 0.0)
    alike = np.minimum(np.maximum((count * alike + 2.0) / (count - 4.0), 0.0), _MOST_CORRELATED)
    # The sum over all lags of (1 - k / n) rho^k in closed form.
    sums = alike / (1 - alike) - alike * (1 - alike**count) / (count * (1 - alike) ** 2)
    return np.maximum(1.0 + 2.0 * sums, 1.0)


def two_sided(z: float) -> float:
    """The probability that a standard normal number is at least so far from 0."""
    return erfc(abs(z) / sqrt(2.0))


def rises(values: Numbers) -> float:
    """The one-sided probability that a series (NaN is missing) rises from value to value as often as it does by chance.

    The difference-sign test (Moore and Wallis, "Time series significance tests based on signs of differences", 1943),
    its signs taken for independent, as those of a random walk are: it asks how steadily a series rises, not how
    straight. Of a rise that bends, `trends` finds that neighbours lie on the same side of the line, and doubts it.
    """
    differences = np.diff(values)
    known = differences[np.isfinite(differences)]
    up, of = int((known > 0.0).sum()), len(known)
    return sum(comb(of, more) for more in range(up, of + 1)) / 2.0**of


@lru_cache(maxsize=64)
def _pairs(rows: int) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    return np.triu_indices(rows, 1)


def _ties(values: Numbers) -> Numbers:
    # Over groups of t equal values, t (t - 1) (2 t + 5), which is (t - 1) (2 t + 5) for each value in them.
    equal = (values[:, None, :] == values[None, :, :]).sum(axis=1)
    return np.where(equal > 1, (equal - 1) * (2 * equal + 5), 0).sum(axis=0).astype(np.float64)
