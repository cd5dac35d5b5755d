"""The two vectors that models see: pure functions, the same for training and serving. Missing is NaN, never zero."""

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

_ONE_HOT: Final = {name: index for index, name in enumerate(ERROR_FEATURES[:20])}
_MEMORY: Final = METRICS.index("memory_bytes")
_CPU: Final = METRICS.index("cpu_percent")
_ERRORS: Final = METRICS.index("errors_per_s")
_STATISTICS_END: Final = len(METRICS) * len(STATISTICS)
_GIB: Final = float(1 << 30)
_FLAT: Final = 1e-9
"""A standard deviation below this share of the mean is rounding: the metric did not move."""


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


def health_features(window: Window) -> Vector:
    """The 64 features of an agent's health, in the order of `HEALTH_FEATURES`.

    Standard deviation (of the population), slope (least squares over the samples' own times, per second) and z need two
    values; the slope also two different times. A metric that did not move has z 0.
    """
    out = np.full(len(HEALTH_FEATURES), nan)
    rows = window.rows
    if rows == 0:
        return out
    values = window.values[:rows].astype(np.float64)
    present = np.equal(values, values)
    weights = present.astype(np.float64)
    np.copyto(values, 0.0, where=~present)
    seconds = (window.times[:rows] - window.newest_unix_nano).astype(np.float64) * 1e-9

    ones = np.ones(rows)
    counts: Vector = ones @ weights
    # No value at all makes 0 / 0, and the NaN that comes of it is what is wanted.
    with np.errstate(divide="ignore", invalid="ignore"):
        mean: Vector = (ones @ values) / counts
        off = (values - mean) * weights
        few = counts < 2
        std = np.sqrt((ones @ (off * off)) / counts)
        std[few] = nan
        times_sum: Vector = seconds @ weights
        spread: Vector = (seconds * seconds) @ weights - times_sum * times_sum / counts
        slope: Vector = (seconds @ off) / spread
        slope[few | (spread <= 0.0)] = nan
        last = np.where(counts > 0, window.last, nan)
        moved = std > _FLAT * np.abs(mean)
        z = np.where(moved | few, (last - mean) / std, 0.0)
    table = out[:_STATISTICS_END].reshape(len(METRICS), len(STATISTICS))
    table[:, 0] = last
    table[:, 1] = mean
    table[:, 2] = std
    table[:, 3] = slope
    table[:, 4] = z
    if counts[_ERRORS] > 0:
        out[_STATISTICS_END:] = _error_history(values[:, _ERRORS], present[:, _ERRORS], seconds)
    return out


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
