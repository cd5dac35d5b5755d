"""When something runs out: the first time at which a drifting, wandering level reaches its limit. Pure."""

from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass
from itertools import accumulate
from math import erfc, exp, inf, isfinite, pi, sqrt
from typing import Final

import numpy as np

from mendbus_health_monitor.columns import Numbers

CONFIDENCE: Final = 0.8
"""Share of the cases in which a limit is reached within the interval that is told."""
_POWERS: Final = (-3.0, -2.0, -1.5, -1.0, -0.5, 0.0, 0.5, 1.0, 1.7)
"""Of ten, by the horizon: the times at which a forecast is first reckoned."""
_HALVINGS: Final = 6
_NODES, _WEIGHTS = np.polynomial.hermite_e.hermegauss(5)
_LARGE: Final = 5.0
_SURELY: Final = 3.0
_TAIL: Final = 1.2816
"""Standard deviations that leave a tenth on one side."""
_WANDER_PARTS: Final = 6


@dataclass(frozen=True, slots=True)
class Forecast:
    """When a limit is reached: seconds from now, the median and the bounds of the interval; infinite for never."""

    eta: float
    low: float
    high: float
    chance: float
    """Probability that it is reached within the horizon asked about."""


def first_passage(distance: float, drift: float, unsure: float, wander: float, horizon: float) -> Forecast:
    """When a level that is `distance` below its limit reaches it.

    `drift`: by how much it rises a second; `unsure`: standard deviation of that estimate; `wander`: variance that the
    level gains a second beside the drift; `horizon`: seconds.

    The level is taken for a Brownian motion with drift, whose first passage has the inverse Gaussian distribution (Cox
    and Miller, "The Theory of Stochastic Processes", 1965, 5.7; Chhikara and Folks 1989); the drift being known only
    with an error, it is averaged over that by Gauss-Hermite quadrature.
    """
    if distance <= 0.0:
        return Forecast(0.0, 0.0, 0.0, 1.0)
    most = (drift + _SURELY * unsure) * horizon + _SURELY * sqrt(wander * horizon)
    if most < distance:
        # Out of reach within the horizon: the drift alone says when, and the work below is spared.
        eta, low, high = (_straight(distance, drift + step * unsure) for step in (0.0, _TAIL, -_TAIL))
        return Forecast(eta, low, high, 0.0)
    wander = max(wander, (1e-6 * distance) ** 2 / horizon)
    rates = [(drift + float(node) * unsure, float(weight)) for node, weight in zip(_NODES, _WEIGHTS, strict=True)]
    whole = float(_WEIGHTS.sum())

    def reached(time: float) -> float:
        return sum(weight * _reached(time, distance, rate, wander) for rate, weight in rates) / whole

    times = [horizon * 10.0**power for power in _POWERS]
    shares = list(accumulate((reached(time) for time in times), max))
    tail = (1.0 - CONFIDENCE) / 2.0
    low, eta, high = (_when(times, shares, share, reached) for share in (tail, 0.5, 1.0 - tail))
    return Forecast(eta, low, high, reached(horizon))


def _straight(distance: float, drift: float) -> float:
    return distance / drift if drift > 0.0 else inf


def wander_of(values: Numbers, slope: float, step: float) -> float:
    """The variance that a series (NaN is missing, rows `step` seconds apart) gains a second beside its slope.

    From differences over a sixth of it, so that noise about a line, which does not add up, counts little.
    """
    lag = max(1, len(values) // _WANDER_PARTS)
    differences = values[lag:] - values[:-lag] - slope * lag * step
    known = differences[np.isfinite(differences)]
    return float(np.mean(known * known)) / (lag * step) if len(known) else 0.0


def _reached(time: float, distance: float, rate: float, wander: float) -> float:
    spread = sqrt(wander * time)
    ahead, back = (rate * time - distance) / spread, (rate * time + distance) / spread
    # exp(2 rate distance / wander) Phi(-back), written so that neither factor overflows.
    return min(1.0, 0.5 * erfc(-ahead / sqrt(2.0)) + 0.5 * _scaled(ahead, back / sqrt(2.0)))


def _scaled(ahead: float, x: float) -> float:
    if x > _LARGE:
        square = x * x
        return exp(-ahead * ahead / 2.0) / (x * sqrt(pi)) * (1.0 - 0.5 / square + 0.75 / (square * square))
    return exp(min(0.0, x * x - ahead * ahead / 2.0)) * erfc(x)


def _when(times: list[float], shares: list[float], share: float, reached: Callable[[float], float]) -> float:
    """The time by which a share has arrived: bracketed by `times`, then halved."""
    if shares[-1] < share:
        return inf
    above = bisect_left(shares, share)
    if above == 0:
        return times[0]
    low, high = times[above - 1], times[above]
    for _ in range(_HALVINGS):
        middle = sqrt(low * high)
        low, high = (middle, high) if reached(middle) < share else (low, middle)
    return sqrt(low * high)


def told(seconds: float) -> str:
    """A length of time for people: `40 s`, `12 min`, `3.5 h`, `2 d`, or `more than ...` where it has no bound."""
    if not isfinite(seconds):
        return "never"
    for unit, size in (("d", 86400.0), ("h", 3600.0), ("min", 60.0)):
        if seconds >= 2 * size:
            return f"{seconds / size:.2g} {unit}" if seconds < 10 * size else f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"
