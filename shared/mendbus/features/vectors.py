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
_FEW: Final = 5
"""Values below which nothing is told of the last seconds."""


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
    values = window.values[:rows].astype(np.float64)
    present = np.equal(values, values)
    weights = present.astype(np.float64)
    np.copyto(values, 0.0, where=~present)
    seconds = (window.times[:rows] - window.newest_unix_nano).astype(np.float64) * 1e-9

    powers = np.empty((6, rows))
    powers[0] = 1.0
    powers[1] = seconds
    powers[2] = seconds * seconds
    np.multiply(powers[:3], seconds >= -TREND_SECONDS, out=powers[3:])
    counts, times_sum, squares, lately, times_lately, squares_lately = powers @ weights
    # No value at all makes 0 / 0, and the NaN that comes of it is what is wanted.
    with np.errstate(divide="ignore", invalid="ignore"):
        mean: Vector = (powers[0] @ values) / counts
        off = (values - mean) * weights
        _, along, _, off_lately, along_lately, _ = powers @ off
        varied, varied_lately = powers[::3] @ (off * off)
        few = counts < 2
        std = np.sqrt(varied / counts)
        std[few] = nan
        spread: Vector = squares - times_sum * times_sum / counts
        slope: Vector = along / spread
        slope[few | (spread <= 0.0)] = nan
        last = np.where(counts > 0, window.last, nan)
        flat = _FLAT * np.abs(mean)
        z = np.where((std > flat) | few, (last - mean) / std, 0.0)
        spread = squares_lately - times_lately * times_lately / lately
        along = along_lately - times_lately * off_lately / lately
        varied = varied_lately - off_lately * off_lately / lately
        recent = along / spread
        steady = np.where(varied > lately * flat * flat, np.minimum(along * recent / varied, 1.0), 0.0)
        few = (lately < _FEW) | (spread <= 0.0)
        recent[few] = nan
        steady[few] = nan
    columns[:] = last, mean, slope, recent, z, np.copysign(steady, recent)
    table = features[:_STATISTICS_END].reshape(len(METRICS), len(STATISTICS))
    for place, statistic in enumerate((last, mean, std, slope, z)):
        table[:, place] = statistic[: len(METRICS)]
    if counts[_ERRORS] > 0:
        features[_STATISTICS_END:] = _error_history(values[:, _ERRORS], present[:, _ERRORS], seconds)
    return Health(features, columns)


def _error_history(rates: Vector, present: npt.NDArray[np.bool_], seconds: Vector) -> tuple[float, float, float, float]:
    """What `errors_per_s` did over time. `rates`: 0 where missing; `seconds`: 0 for the newest, before it less."""
    total = float(rates.sum())
    if total <= 0.0:
        return 0.0, 0.0, 0.0, 0.0 - float(seconds.min())
    with_errors = rates > 0.0
    return (
        float(rates.max()),
        float(with_errors.sum() / present.sum()),
        float(rates[seconds >= -RECENT_SECONDS].sum()) / total,
        0.0 - float(seconds[with_errors].max()),
    )
