"""Statistics of each column of a table in which NaN is missing, without numpy's detour over masked arrays.

Tables here are small and many: a call of numpy costs more than what it computes, so what is known is counted once.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

Numbers = npt.NDArray[np.float64]
Counts = npt.NDArray[np.intp]


def known(values: Numbers) -> Counts:
    """How many values of each column are not missing."""
    return np.isfinite(values).sum(axis=0, dtype=np.intp)


def at(ordered: Numbers, place: npt.NDArray[np.floating[Any]], count: Counts) -> Numbers:
    """The value at a place of each sorted column (NaN last), of which `count` are known; between two, in proportion."""
    most = np.maximum(count - 1, 0)
    place = np.minimum(np.maximum(place, 0), most)
    below = place.astype(np.intp)
    columns = np.arange(len(most))
    low = ordered[below, columns]
    return low + (place - below) * (ordered[np.minimum(below + 1, most), columns] - low)


def quantile(ordered: Numbers, share: float, count: Counts) -> Numbers:
    """A quantile of each sorted column (NaN last), of which `count` are known; NaN where nothing is."""
    return at(ordered, share * (count - 1), count)


def median(values: Numbers, count: Counts | None = None) -> Numbers:
    """The median of each column, of which `count` are known (counted unless told); NaN where nothing is."""
    return quantile(np.sort(values, axis=0), 0.5, known(values) if count is None else count)


def mean(values: Numbers) -> Numbers:
    """The mean over the last axis but one; NaN where nothing is known."""
    present = np.isfinite(values)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(present, values, 0.0).sum(axis=-2) / present.sum(axis=-2)
