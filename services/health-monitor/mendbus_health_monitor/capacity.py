"""When something runs out: the first time at which a drifting, wandering level reaches its limit. Pure."""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from math import erfc, exp, inf, isfinite, pi, sqrt
from typing import Final

import numpy as np

from mendbus_health_monitor.columns import Numbers

CONFIDENCE: Final = 0.8
"""Share of the cases in which a limit is reached within the interval that is told."""
_POWERS: Final = (-2.0, -1.0, -0.6, -0.4, -0.3, -0.2, -0.1, -0.05, 0.0, 0.05, 0.1, 0.2, 0.3, 0.4, 0.6, 1.0, 2.0, 3.0)
"""Of ten: when a forecast is reckoned, by the time that the drift alone, and the wandering alone, takes."""
PERSISTENCE: Final = 0.7
"""1 is Gott's, of which nothing is known but for how long it has lasted; less believes in it for longer. Chosen on half
the jobs of a public cluster trace, as the least that gave no more false alarms than 1 did, and checked with the others.
"""
_DISCRETE: Final = 0.5826
"""By how many steps' deviations a limit seems further away because it is only looked at once a step."""
_NODES, _WEIGHTS = np.polynomial.hermite_e.hermegauss(5)
_LARGE: Final = 5.0
_SURELY: Final = 3.0
_TAILS: Final = (1.0 - CONFIDENCE) / 2.0
_LONGEST: Final = 1e12
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


def first_passage(
    distance: float, drift: float, unsure: float, wander: float, horizon: float, lasts: float = inf
) -> Forecast:
    """When a level that is `distance` below its limit reaches it.

    `drift`: by how much it rises a second; `unsure`: standard deviation of that estimate; `wander`: variance that the
    level gains a second beside the drift; `horizon`: seconds; `lasts`: seconds for which the drift has gone on so far,
    infinite for one that does not end.

    The level is taken for a Brownian motion with drift, whose first passage has the inverse Gaussian distribution (Cox
    and Miller, "The Theory of Stochastic Processes", 1965, 5.7; Chhikara and Folks 1989); the drift being known only
    with an error, it is averaged over that by Gauss-Hermite quadrature. What has gone on so far goes on for a time `t`
    more with the probability (lasts / (lasts + t)) ** PERSISTENCE, the Pareto distribution of Gott, "Implications of
    the Copernican principle for our future prospects", Nature 363 (1993). So an interval has no end as long as it is
    likelier than a tenth that the limit is never reached.
    """
    if distance <= 0.0:
        return Forecast(0.0, 0.0, 0.0, 1.0)
    if out_of_reach(distance, drift, unsure, wander, horizon):
        # The drift alone says when, and the work below is spared.
        eta, low, high = (_straight(distance, drift + step * unsure) for step in (0.0, _TAIL, -_TAIL))
        likely = (_goes_on(lasts, time) for time in (eta, low, high))
        told = zip((eta, low, high), likely, (0.5, _TAILS, 1.0 - _TAILS), strict=True)
        eta, low, high = (time if share >= least else inf for time, share, least in told)
        return Forecast(eta, low, high, 0.0)
    wander = max(wander, (1e-6 * distance) ** 2 / horizon)
    rates = [(drift + float(node) * unsure, float(weight)) for node, weight in zip(_NODES, _WEIGHTS, strict=True)]
    whole = float(_WEIGHTS.sum())
    alone = [distance * distance / wander] + ([distance / drift] if drift > 0.0 else [])
    times = sorted({horizon, *(min(time * 10.0**power, _LONGEST) for time in alone for power in _POWERS)})
    shares: list[float] = []
    before, share, since = 0.0, 0.0, 0.0
    for time in times:
        now = max(before, sum(weight * _reached(time, distance, rate, wander) for rate, weight in rates) / whole)
        share += (now - before) * _goes_on(lasts, sqrt(since * time) if since else time)
        shares.append(share)
        before, since = now, time
    low, eta, high = (_when(times, shares, wanted) for wanted in (_TAILS, 0.5, 1.0 - _TAILS))
    return Forecast(eta, low, high, shares[times.index(horizon)])


def out_of_reach(distance: float, drift: float, unsure: float, wander: float, horizon: float) -> bool:
    """Whether a limit is as good as never reached within the horizon; the arguments are those of `first_passage`."""
    return (drift + _SURELY * unsure) * horizon + _SURELY * sqrt(wander * horizon) < distance


def discrete(distance: float, wander: float, step: float) -> float:
    """The distance to a limit that is looked at only once a `step` (seconds), as `first_passage` has to see it.

    Broadie, Glasserman and Kou, "A continuity correction for discrete barrier options" (1997).
    """
    return distance + _DISCRETE * sqrt(wander * step)


def _goes_on(lasts: float, time: float) -> float:
    if not isfinite(lasts):
        return 1.0
    return (lasts / (lasts + time)) ** PERSISTENCE if isfinite(time) else 0.0


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


def _when(times: Sequence[float], shares: Sequence[float], share: float) -> float:
    """The time by which a share has arrived, between two of the `times` in proportion of their logarithms."""
    place = bisect_left(shares, share)
    if place == len(shares):
        return inf
    if place == 0:
        return times[0]
    part = (share - shares[place - 1]) / (shares[place] - shares[place - 1])
    return times[place - 1] * (times[place] / times[place - 1]) ** part


def told(seconds: float) -> str:
    """A length of time for people: `40 s`, `12 min`, `3.5 h`, `2 d`, or `more than ...` where it has no bound."""
    if not isfinite(seconds):
        return "never"
    for unit, size in (("d", 86400.0), ("h", 3600.0), ("min", 60.0)):
        if seconds >= 2 * size:
            return f"{seconds / size:.2g} {unit}" if seconds < 10 * size else f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"
