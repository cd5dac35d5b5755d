"""What of an agent can run out, and when: the best supported forecast of several windows. Pure."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import inf, isfinite, sqrt
from typing import Any, Final, NamedTuple

import numpy as np

from mendbus_health_monitor.capacity import Forecast, discrete, first_passage, out_of_reach, told, wander_of
from mendbus_health_monitor.columns import Numbers
from mendbus_health_monitor.findings import DESCRIPTORS, shown
from mendbus_health_monitor.trend import Trend, rises

RESOURCES: Final = ("memory_bytes", "disk_percent", "queue_depth", DESCRIPTORS)
"""What of an agent can run out. Limits are the agent's own; of a disk, 100 per cent."""
SCALE: Final[Mapping[str, str]] = {
    "memory_bytes": "raise the memory limit of {agent}, or split its work; memory that never falls is leaking",
    "disk_percent": "free or add room on the disk of {agent}",
    "queue_depth": "add agents of the kind {kind} or raise their concurrency: work comes in faster than it is done",
    DESCRIPTORS: "raise the limit of open descriptors of {agent}; if they never fall, files or sockets stay open",
    "stream_bytes": "raise the size limit of the stream {id}, or find out why so much comes in",
    "recoveries_per_s": "add cores or machines for the services; the errors that come in cost more than they can do",
}
"""What to scale when it does."""
HORIZON_SPANS: Final = 5.0
"""A forecast looks ahead no further than so many times what was looked back at."""
CERTAIN: Final = 0.5
"""Probability within the horizon from which on a limit is told to be reached."""
UNCERTAIN: Final = 0.25
"""Below this it no longer is."""
SIGNIFICANT: Final = 1e-5
SIGNIFICANT_FEW: Final = 1e-3
"""A dozen values cannot be surer; but they count only where much of the limit is used."""
SIGNIFICANT_STRANGE: Final = 1e-2
"""Fewer still, of what is known to be strange."""
NEAR: Final = 0.85
"""Share of a limit from which on mere wandering may reach it."""
MOST: Final = 0.4
"""Share of a limit from which on a brief window counts."""
_FEW: Final = 12
_NEAR_SPANS: Final = 0.25
_LEAST_WAY: Final = 0.02
_NEVER_SURER: Final = 0.05
"""Of a drift, as a share of it: no line goes on for ever, however straight it was."""
_SEN: Final = 1.645
_AS_STEEP: Final = 0.75
"""A trend reaches back for as long as the level has risen at this share of its slope, on average since then."""
_NEVER: Final = Forecast(inf, inf, inf, 0.0)


Past = Callable[[], tuple[Numbers, float]] | None
"""What a column was, the oldest first, and the seconds from one value to the next."""


class Window(NamedTuple):
    """What was looked back at: rows `step` seconds apart, and their trend, one entry a column."""

    rows: Numbers
    step: float
    trend: Trend
    brief: bool = False
    """Whether it is so short that it only counts near a limit: much that rises for seconds stops again."""

    @property
    def span(self) -> float:
        """Its length in seconds."""
        return len(self.rows) * self.step


@dataclass(frozen=True, slots=True)
class Resource:
    """How full one resource of one agent is, and when it runs out. Times in seconds from now, infinite for never."""

    agent: str
    metric: str
    level: float
    limit: float
    per_second: float
    unsure: float
    """Standard deviation of `per_second`."""
    wander: float
    """Variance that the level gains a second beside that."""
    forecast: Forecast
    z: float
    p: float | None
    horizon: float
    lasts: float = inf
    """For how long it has risen so."""

    @property
    def share(self) -> float:
        """Level by limit."""
        return self.level / self.limit

    @property
    def scale(self) -> str:
        """What to scale, as a sentence."""
        return scale(self.metric, self.agent)

    @property
    def sentence(self) -> str:
        """For people."""
        full = (
            f"{self.metric} of {self.agent} is at {shown(self.metric, self.level)} of {shown(self.metric, self.limit)}"
        )
        if self.level >= self.limit:
            return f"{full}: it has run out"
        if self.forecast.chance < UNCERTAIN:
            return full
        if not isfinite(self.forecast.eta):
            return f"{full} and may run out, in {told(self.forecast.low)} at the earliest"
        return f"{full} and runs out in {within(self.forecast)}"

    def row(self) -> dict[str, Any]:
        """As plain values for the wire; never is left out."""
        found = self.forecast
        row: dict[str, Any] = {
            "agent": self.agent, "metric": self.metric, "level": self.level, "limit": self.limit, "share": self.share,
            "per_second": self.per_second, "chance": found.chance, "horizon_seconds": self.horizon,
            "eta_seconds": found.eta, "eta_low": found.low, "eta_high": found.high, "sentence": self.sentence,
        }  # fmt: skip
        if found.chance >= UNCERTAIN:
            row["scale"] = self.scale
        return {name: value for name, value in row.items() if not isinstance(value, float) or isfinite(value)}


def scale(metric: str, agent: str) -> str:
    """What to scale when a resource of an agent (`kind/id`) or of a kind runs out."""
    kind, _, name = agent.partition("/")
    return SCALE[metric].format(agent=agent if name != "*" else f"all {kind} agents", kind=kind, id=name)


def within(forecast: Forecast) -> str:
    """A forecast for people: `12 min (8 min to 20 min)`, or `12 min (8 min at the earliest)` where it may well not."""
    if not isfinite(forecast.high):
        return f"{told(forecast.eta)} ({told(forecast.low)} at the earliest)"
    return f"{told(forecast.eta)} ({told(forecast.low)} to {told(forecast.high)})"


def limit_of(metric: str, limits: Mapping[str, float]) -> float | None:
    """The limit of a resource, or None when it has none."""
    limit = 100.0 if metric == "disk_percent" else limits.get(metric, 0.0)
    return limit if limit > 0.0 else None


def running_out(
    agent: str,
    metric: str,
    column: int,
    level: float,
    limit: float,
    windows: Sequence[Window],
    *,
    known: float = -inf,
    past: Past = None,
    strange: bool = False,
) -> Resource | None:
    """When a column that is at `level` now reaches its limit, judged from windows of it, the shortest first.

    None for no data. Of the windows with a significant trend towards the limit the clearest decides, and of two equally
    clear the longer. Where none has one, a level that is near its limit may still wander there: the first window that
    is not brief tells how far it wanders. A limit is reached by the first value that touches it, so that the noise
    about a rising level counts as part of the way. `known`: how high it was before without running out; what rises
    below that is no sign of anything. `past`: asked for all that is remembered, when it is to be known for how long a
    rise has lasted. `strange`: that the column does something unusual is known already, so that a handful of values
    that rise one after the other is enough.
    """
    windows = [window for window in windows if isfinite(float(window.trend.slope[column]))]
    windows = [window for window in windows if strange or len(window.rows) >= _FEW]
    if not windows or not isfinite(level):
        return None

    def remembered() -> list[tuple[Numbers, float]]:
        rows = [(window.rows[:, column], window.step) for window in windows]
        return [*rows, past()] if past else rows

    shortest, steady = windows[0], next((window for window in windows if not window.brief), None)
    way = limit - level
    found: list[Resource] = []
    for window in windows:
        proof = _proof(window, column, level, limit, known)
        if proof is not None:
            left = max(way - float(shortest.trend.noise[column]), _LEAST_WAY * way)
            course = _rising(window, column, level, left, remembered)
        elif way <= 0.0 or (window is steady and level >= NEAR * limit):
            course = _wandering(window, column, way, shortest.step)
        else:
            course = _Course(horizon=window.span)
        z = float(window.trend.z[column])
        found.append(Resource(agent, metric, level, limit, z=z, p=proof, **course._asdict()))
    # Of equals the last, which is the longest, decides.
    return max(reversed(found), key=_clearness)


class _Course(NamedTuple):
    """How a level goes on, as far as one window tells, in the words of `Resource`; it stays if nothing else is said."""

    horizon: float
    per_second: float = 0.0
    unsure: float = 0.0
    wander: float = 0.0
    forecast: Forecast = _NEVER
    lasts: float = inf


def _proof(window: Window, column: int, level: float, limit: float, known: float) -> float | None:
    """The chance that what looks like a rise towards the limit is none; None where there is no significant one."""
    if not (level > known and window.trend.slope[column] > 0.0) or (window.brief and level < MOST * limit):
        return None
    p, enough = float(window.trend.p[column]), _enough(len(window.rows))
    if p >= enough and window.brief:
        # What fills up fast seldom does so in a straight line.
        p = rises(window.rows[:, column])
    return p if p < enough else None


def _enough(values: int) -> float:
    """How small that chance must be."""
    if values < _FEW:
        return SIGNIFICANT_STRANGE
    return SIGNIFICANT_FEW if values == _FEW else SIGNIFICANT


def _rising(
    window: Window, column: int, level: float, left: float, remembered: Callable[[], Sequence[tuple[Numbers, float]]]
) -> _Course:
    """It goes on as in the window, and is believed to for as long as it has done so by all that is remembered."""
    trend, span = window.trend, window.span
    slope, horizon = float(trend.slope[column]), HORIZON_SPANS * span
    wander = wander_of(window.rows[:, column], slope, window.step)
    spread = float(trend.high[column] - trend.low[column]) / (2.0 * _SEN)
    unsure = max(spread, float(trend.noise[column]) / span, _NEVER_SURER * slope)
    lasts = span
    if not out_of_reach(left, slope, unsure, wander, horizon):
        lasts = _lasts(remembered(), span, level, slope)
    forecast = first_passage(left, slope, unsure, wander, horizon, lasts)
    return _Course(horizon, slope, unsure, wander, forecast, lasts)


def _wandering(window: Window, column: int, way: float, step: float) -> _Course:
    """It goes nowhere, but may come as far as the limit by chance, looked at every `step` seconds."""
    horizon = _NEAR_SPANS * window.span
    wander = wander_of(window.rows[:, column], float(window.trend.slope[column]), window.step)
    left = discrete(way, wander, step) if way > 0.0 else 0.0
    return _Course(horizon, wander=wander, forecast=first_passage(left, 0.0, 0.0, wander, horizon, inf))


def _lasts(remembered: Sequence[tuple[Numbers, float]], least: float, level: float, slope: float) -> float:
    """For how many seconds a level has risen with a slope: `least`, or as far back as that fits what is remembered.

    `remembered`: values, the oldest first, and the seconds from one to the next.
    """
    lasts = least
    for values, step in remembered:
        ago = (len(values) - np.arange(len(values))) * step
        steep = level - values >= _AS_STEEP * slope * ago
        # What is missing neither fits nor contradicts.
        breaks = ~steep & np.isfinite(values) & (ago > lasts)
        fits = ago[steep & (ago < np.min(ago[breaks], initial=inf))]
        lasts = float(np.max(fits, initial=lasts))
    return lasts


def _clearness(found: Resource) -> tuple[bool, float]:
    certain = found.forecast.chance >= CERTAIN
    return certain, round(found.z, 1) if found.p is not None else 0.0


def of_kind(kind: str, metric: str, resources: Sequence[Resource]) -> dict[str, Any]:
    """The same resource of all agents of a kind together, and the first of them that runs out; as plain values."""
    level, limit = sum(r.level for r in resources), sum(r.limit for r in resources)
    drift, wander = sum(r.per_second for r in resources), sum(r.wander for r in resources)
    unsure = sqrt(sum(r.unsure**2 for r in resources))
    horizon = max(r.horizon for r in resources)
    lasts = max((r.lasts for r in resources if r.p is not None), default=inf)
    together = (
        first_passage(limit - level, drift, unsure, wander, horizon, lasts) if drift > 0.0 or level >= limit else _NEVER
    )
    out = [r for r in resources if r.forecast.chance >= CERTAIN]
    row: dict[str, Any] = {
        "kind": kind, "metric": metric, "agents": len(resources), "running_out": len(out), "level": level,
        "limit": limit, "share": level / limit, "per_second": drift, "chance": together.chance,
        "eta_seconds": together.eta, "eta_low": together.low, "eta_high": together.high,
    }  # fmt: skip
    if out:
        first = min(out, key=lambda r: r.forecast.eta)
        row["first"] = first.agent
        some = f"{len(out)} of {len(resources)} {kind} agents"
        row["sentence"] = f"{metric} runs out in {some}, first in {first.agent}, in {within(first.forecast)}"
        row["scale"] = first.scale if len(out) == 1 else scale(metric, f"{kind}/*")
    elif together.chance >= CERTAIN:
        row["sentence"] = (
            f"{metric} of all {len(resources)} agents of the kind {kind} together runs out in {within(together)}"
        )
        row["scale"] = scale(metric, f"{kind}/*").replace(f"{kind}/*", f"all {kind}")
    return {name: value for name, value in row.items() if not isinstance(value, float) or isfinite(value)}
