"""Windows that look back only: row i of each result depends on rows up to i.

Every function takes rows x metrics and gives the same shape.
"""

import numpy as np
from scipy.signal import lfilter


def faded(x: np.ndarray, span: float, start: np.ndarray | None = None) -> np.ndarray:
    """The exponentially weighted mean with a weight of 2 / (span + 1) for the newest row."""
    weight = 2.0 / (span + 1.0)
    first = x[0] if start is None else start
    return lfilter([weight], [1.0, weight - 1.0], x, axis=0, zi=(1.0 - weight) * first[None])[0]


def before(x: np.ndarray) -> np.ndarray:
    """The row before; the first row stands for its own."""
    return np.concatenate([x[:1], x[:-1]])


def mean(x: np.ndarray, width: int) -> np.ndarray:
    """The mean of the last `width` rows, of fewer at the start."""
    total = np.concatenate([np.zeros((1, x.shape[1])), np.cumsum(x, axis=0)])
    end = np.arange(1, len(x) + 1)
    start = np.maximum(0, end - width)
    return (total[end] - total[start]) / (end - start)[:, None]


def deviation(x: np.ndarray, width: int) -> np.ndarray:
    """The standard deviation of the last `width` rows."""
    centred = x - x[:1]
    return np.sqrt(np.maximum(0.0, mean(centred * centred, width) - mean(centred, width) ** 2))


def highest(x: np.ndarray, width: int) -> np.ndarray:
    """The largest of the last `width` rows."""
    padded = np.concatenate([np.repeat(x[:1], width - 1, axis=0), x])
    return np.lib.stride_tricks.sliding_window_view(padded, width, axis=0).max(axis=-1)


def moved(x: np.ndarray, width: int) -> np.ndarray:
    """How far the row is from the one `width` rows earlier (from the first where there is none)."""
    return x - x[np.maximum(0, np.arange(len(x)) - width)]
