"""The two vectors that models see: pure functions, the same for training and serving. Missing is NaN, never zero."""

from dataclasses import dataclass
from math import log1p, nan
from typing import Final

import numpy as np
import numpy.typing as npt

from mendbus.contracts.asks import Assess
from mendbus.contracts.vocabulary import METRICS
from mendbus.features.names import ERROR_FEATURES, HEALTH_FEATURES, STATISTICS
from mendbus.features.window import Window

Vector = npt.NDArray[np.float64]

RECENT_SECONDS: Final = 10.0
"""How far back `errors_share_recent` looks."""

COLUMN_STATISTICS: Final = ("last", "mean", "slope", "recent", "z", "steady")
"""Of each metric and of each gauge."""
TREND_SECONDS: Final = 20.0
"""How far back `recent` and `steady` look: what begins to grow is diluted by a whole window."""

_ONE_HOT: Final = {name: index for index, name in enumerate(ERROR_FEATURES[:20])}
_MEMORY: Final = METRICS.index("memory_bytes")
_CPU: Final = METRICS.index("cpu_percent")
_ERRORS: Final = METRICS.index("errors_per_s")
_STATISTICS_END: Final = len(METRICS) * len(STATISTICS)
_GIB: Final = float(1 << 30)
_FLAT: Final = 1e-9
"""A standard deviation below this share of the mean is rounding: the metric did not move."""
_MOMENT: Final = 1e-9
"""Sum of squared distances in time (s2) up to which all values are of one moment."""
_FEWEST: Final = np.array([[2], [5]])
"""Values below which nothing is told of how a window's values vary, and of how those of its last seconds do."""


def error_features(ask: Assess, window: Window | None) -> Vector:
    """The 32 features of an error, in the order of `ERROR_FEATURES`.

    Memory and CPU are the error's own metrics, else the newest of the agent's window.
    """
    error = ask.error
    out = np.zeros(len(ERROR_FEATURES))
    for name in (
        f"kind_{error.agent.kind}",
        f"severity_{ask.classification.severity}",
        f"category_{ask.classification.category}",
    ):
        slot = _ONE_HOT.get(name)
        if slot is not None:
            out[slot] = 1.0
    memory = error.metrics.get("memory_bytes", nan if window is None else float(window.last[_MEMORY]))
    cpu = error.metrics.get("cpu_percent", nan if window is None else float(window.last[_CPU]))
    out[20:] = (
        memory / _GIB,
        cpu / 100.0,
        ask.errors_per_minute,
        ask.classification.confidence,
        ask.recurrences,
        ask.open_incidents,
        log1p(error.count),
        sum(frame.in_app for frame in error.exception.frames),
        len(error.exception.causes),
        log1p(len(error.exception.message)),
        error.operation is not None,
        error.checkpoint_id is not None,
    )
    return out


@dataclass(frozen=True, slots=True)
class Health:
    """What a window of an agent's health comes to. `features`: the 64, in the order of `HEALTH_FEATURES`.

    `columns`: a row for each of `COLUMN_STATISTICS`, a column for each metric and then for each gauge of the window.
    """

    features: Vector
    columns: Vector


def health_features(window: Window) -> Health:
    """The features of an agent's health.

    Standard deviation (of the population), slope (least squares over the samples' own times, per second) and z need two
    values; the slope also two different times. A column that did not move has z 0. `recent`: the slope of the last
    `TREND_SECONDS`; `steady`: the share of what varied in them that a line explains, negative where it falls; both need
    five values.
    """
    features, columns = np.full(len(HEALTH_FEATURES), nan), np.full((len(COLUMN_STATISTICS), len(window.last)), nan)
    rows = window.rows
    if rows == 0:
        return Health(features, columns)
    values = window.values[:rows]
    present = np.equal(values, values)
    weights = present.astype(np.float64)
    # Seen from the newest value: sums of squares of what is far from 0 and hardly moves would be rounded away.
    pivot = np.where(window.last == window.last, window.last, np.float32(0.0))
    off = np.subtract(values, pivot, dtype=np.float64)
    np.copyto(off, 0.0, where=~present)
    seconds: Vector = (window.times[:rows] - window.newest_unix_nano).astype(np.float64) * 1e-9
    # Of the whole window, and of its last seconds: how many, their times, their squares.
    powers = np.empty((6, rows))
    powers[0] = 1.0
    powers[1] = seconds
    np.multiply(seconds, seconds, out=powers[2])
    np.multiply(powers[:3], seconds >= -TREND_SECONDS, out=powers[3:])
    counted, summed = powers @ weights, powers @ off
    known, times, total = counted[0], counted[1::3], summed[::3]
    # No value at all makes 0 / 0, and the NaN that comes of it is what is wanted.
    with np.errstate(divide="ignore", invalid="ignore"):
        mean: Vector = pivot + total[0] / known
        counts = counted[::3]
        counts[counts < _FEWEST] = nan
        shares = times / counts
        spread = counted[2::3] - times * shares
        spread[spread <= _MOMENT] = nan
        along = summed[1::3] - shares * total
        slopes = along / spread
        varied = np.maximum(powers[::3] @ (off * off) - total * total / counts, 0.0)
        std = np.sqrt(varied[0] / counts[0])
        flat = _FLAT * np.abs(mean)
        z = (window.last - mean) / std
        z[std <= flat] = 0.0
        varied[1, varied[1] <= counts[1] * flat * flat] = np.inf
        steady = np.copysign(np.minimum(along[1] * slopes[1] / varied[1], 1.0), slopes[1])
    columns[0] = window.last
    columns[0, mean != mean] = nan
    columns[1] = mean
    columns[2:4] = slopes
    columns[4] = z
    columns[5] = steady
    table = features[:_STATISTICS_END].reshape(len(METRICS), len(STATISTICS))
    for place, statistic in enumerate((columns[0], mean, std, slopes[0], z)):
        table[:, place] = statistic[: len(METRICS)]
    if mean[_ERRORS] == mean[_ERRORS]:
        rates = np.where(present[:, _ERRORS], values[:, _ERRORS].astype(np.float64), 0.0)
        features[_STATISTICS_END:] = _error_history(rates, present[:, _ERRORS], seconds)
    return Health(features, columns)


def _error_history(rates: Vector, present: npt.NDArray[np.bool_], seconds: Vector) -> tuple[float, float, float, float]:
    """What `errors_per_s` did over time. `rates`: 0 where missing; `seconds`: 0 for the newest, before it less."""
    with_errors = rates > 0.0
    errors = np.count_nonzero(with_errors)
    if not errors:
        return 0.0, 0.0, 0.0, 0.0 - float(seconds.min())
    return (
        float(rates.max()),
        errors / np.count_nonzero(present),
        float(rates @ (seconds >= -RECENT_SECONDS)) / float(rates.sum()),
        0.0 - float(seconds[with_errors].max()),
    )
