"""Where a level shifted: the rank scan for one change point. Pure numpy.

`ruptures` and `river` find changes too; both need scipy, which alone is more memory than this service may take.
"""

from dataclasses import dataclass
from math import exp, log, pi, sqrt
from typing import Final

import numpy as np

from mendbus_health_monitor.columns import Numbers
from mendbus_health_monitor.trend import inflation

LEAST_SIDE: Final = 8
"""Values that must lie on either side of a change."""


@dataclass(frozen=True, slots=True)
class Shift:
    """The likeliest change point of one series: `index` is of the first row after it; `p` counts all places tried."""

    index: int
    z: float
    p: float
    before: float
    after: float
    """Medians."""
    noise: float
    """Median distance from them, as a standard deviation."""


def shift(values: Numbers, least: int = LEAST_SIDE) -> Shift | None:
    """The likeliest shift of level in a series (NaN is missing), or None when it is too short or never moves.

    The largest standardised Wilcoxon rank sum over all splits: Pettitt (1979), standardised as in Hawkins and Deng, "A
    Nonparametric Change-Point Control Chart" (2010), so that a change near either end is found as well. Its probability
    is Miller and Siegmund's for a maximally selected statistic (1982). The variance is corrected for ties, and for
    autocorrelation around the two levels (Yue and Wang 2004).
    """
    rows = np.flatnonzero(np.isfinite(values))
    known = values[rows]
    n = len(known)
    if n < 2 * least:
        return None
    ordered = np.sort(known)
    left, right = np.searchsorted(ordered, known, "left"), np.searchsorted(ordered, known, "right")
    ranks = (left + right + 1) / 2.0
    tied = (right - left).astype(np.float64)
    fraction = 1.0 - float((tied * tied - 1.0).sum()) / (n**3 - n)
    if fraction <= 0.0:
        return None
    sums = np.cumsum(ranks - (n + 1) / 2.0)[least - 1 : n - least]
    before = np.arange(least, n - least + 1, dtype=np.float64)
    variance = before * (n - before) * (n + 1) / 12.0 * fraction
    standard = np.abs(sums) / np.sqrt(variance)
    place = int(np.argmax(standard)) + least
    levels = float(np.median(known[:place])), float(np.median(known[place:]))
    residuals = known - np.where(np.arange(n) < place, *levels)
    # Ranks again, so that one outlier does not decide how alike neighbours are.
    ranked = np.argsort(np.argsort(residuals)).astype(np.float64) - (n - 1) / 2.0
    z = float(standard[place - least]) / sqrt(float(inflation(ranked[:, None])[0]))
    noise = 1.4826 * float(np.median(np.abs(residuals)))
    return Shift(int(rows[place]), z, _largest_of(z, least / n), *levels, noise)


def _largest_of(z: float, margin: float) -> float:
    """Miller and Siegmund's probability that the largest of all standardised splits is at least `z`."""
    if z <= 1.5 or margin >= 0.5:
        return 1.0
    density = exp(-z * z / 2.0) / sqrt(2.0 * pi)
    return min(1.0, density * (z - 1.0 / z) * 2.0 * log((1.0 - margin) / margin) + 4.0 * density / z)
