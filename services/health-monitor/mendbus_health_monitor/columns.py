"""Statistics of each column of a table in which NaN is missing, without numpy's detour over masked arrays."""

import numpy as np
import numpy.typing as npt

Numbers = npt.NDArray[np.float64]


def at(ordered: Numbers, place: Numbers) -> Numbers:
    """The value at a place of each sorted column (NaN last); between two places, their mean in proportion."""
    most = np.maximum(np.isfinite(ordered).sum(axis=0) - 1, 0)
    place = np.clip(place, 0, most)
    below = place.astype(np.intp)
    above = np.minimum(below + 1, most)
    columns = np.arange(len(most))
    share = place - below
    low = ordered[below, columns]
    return low + share * (ordered[above, columns] - low)


def quantile(ordered: Numbers, share: float) -> Numbers:
    """A quantile of each sorted column (NaN last); NaN where nothing is known."""
    return at(ordered, share * (np.isfinite(ordered).sum(axis=0) - 1))


def median(values: Numbers) -> Numbers:
    """The median of each column; NaN where nothing is known."""
    return quantile(np.sort(values, axis=0), 0.5)


def mean(values: Numbers) -> Numbers:
    """The mean over the last axis but one; NaN where nothing is known."""
    known = np.isfinite(values)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(known, values, 0.0).sum(axis=-2) / known.sum(axis=-2)
