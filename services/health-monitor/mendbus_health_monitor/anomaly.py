"""How far out a value is, measured by what its series usually does. Pure numpy."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from mendbus_health_monitor.columns import Numbers, known, median, quantile

CLIP: Final = 12.0
"""Scores beyond this count as this: one value, however far out, is no anomaly."""
WEIGHT: Final = 0.4
"""Of the newest score in the running one."""
_TAIL: Final = 0.05
_TAIL_DEVIATIONS: Final = 1.645
_YOUNG: Final = 10.0


@dataclass(frozen=True, slots=True)
class Usual:
    """What each column usually is: its median, and how far from it is far, upwards and downwards."""

    centre: Numbers
    up: Numbers
    down: Numbers


def usual(values: Numbers, floor: Numbers) -> Usual:
    """What is usual for each column of values (NaN is missing); a column without any is NaN.

    Median and median absolute deviation, as Iglewicz and Hoaglin, "How to Detect and Handle Outliers" (1993), have it;
    on each side no less than the 5 % tail tells, because much of what machines do is skewed and heavy-tailed (the
    reason is in Hubert and Vandervieren 2008), and no less than `floor`, the least that matters. Of few values the
    scale is taken wider.
    """
    count = known(values)
    ordered = np.sort(values, axis=0)
    centre = quantile(ordered, 0.5, count)
    deviation = 1.4826 * median(np.abs(values - centre), count)
    least = np.maximum(deviation, floor)
    young = 1.0 + _YOUNG / np.maximum(count, 1)
    up = np.maximum((quantile(ordered, 1.0 - _TAIL, count) - centre) / _TAIL_DEVIATIONS, least) * young
    down = np.maximum((centre - quantile(ordered, _TAIL, count)) / _TAIL_DEVIATIONS, least) * young
    return Usual(centre, up, down)


def scores(values: Numbers, by: Usual) -> Numbers:
    """The robust score of each value: its distance from the usual, in usual deviations; NaN where it is missing."""
    off = values - by.centre
    return off / np.where(off >= 0.0, by.up, by.down)


def running(score: Numbers, before: Numbers) -> Numbers:
    """The running score after one more row: an exponentially weighted mean of scores clipped at `CLIP`.

    The robust EWMA chart of Croux, Gelper and Mahieu, "Robust control charts for time series data" (2011). A row that
    is missing leaves it as it was.
    """
    clipped = np.minimum(np.maximum(score, -CLIP), CLIP)
    return np.where(np.isfinite(score), (1.0 - WEIGHT) * before + WEIGHT * clipped, before)
