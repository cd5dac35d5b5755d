"""The performance score: 100 per cent, less what each metric costs. Pure; README.md has the table for people."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Literal

from mendbus.contracts.vocabulary import Health, Metric

Gauge = Literal["descriptors", "loop_lag_ms", "user_loop_lag_ms"]
"""Numbers beside the twelve metrics that agents of the SDK tell, and that cost."""


@dataclass(frozen=True, slots=True)
class Cost:
    """A metric costs nothing at `free`, all its `points` at `full`, and in between in proportion.

    `of_limit`: the metric counts as a share of the agent's own limit of that name, and not at all without one.
    """

    metric: Metric | Gauge
    free: float
    full: float
    points: float
    of_limit: bool = False


NOTHING: Final[Mapping[str, float]] = MappingProxyType({})

# How much work there is (CPU, network, throughput, power, cache hits) is no sickness and costs nothing.
COSTS: Final[tuple[Cost, ...]] = (
    Cost("availability_ratio", 1.0, 0.5, 50.0),
    Cost("errors_per_s", 0.0, 5.0, 35.0),
    Cost("response_time_ms", 1000.0, 10_000.0, 15.0),
    Cost("memory_bytes", 0.8, 1.0, 25.0, of_limit=True),
    Cost("queue_depth", 0.5, 1.0, 20.0, of_limit=True),
    Cost("disk_percent", 85.0, 98.0, 25.0),
    Cost("temperature_celsius", 80.0, 100.0, 15.0),
)
GAUGE_COSTS: Final[tuple[Cost, ...]] = (
    Cost("descriptors", 0.8, 1.0, 15.0, of_limit=True),
    Cost("loop_lag_ms", 500.0, 5000.0, 15.0),
    Cost("user_loop_lag_ms", 500.0, 5000.0, 15.0),
)
LATE_POINTS: Final = 20.0
"""What samples cost that keep coming late."""
UNRECOVERED_POINTS: Final = 20.0
"""What incidents cost that recovery could not end and that wait for a person."""

BOUNDS: Final[tuple[tuple[Health, float], ...]] = (("good", 85.0), ("fair", 70.0), ("poor", 50.0))
"""Least score of these statuses; above 95 is `excellent`, below 50 `critical`."""
EXCELLENT_ABOVE: Final = 95.0


@dataclass(frozen=True, slots=True)
class Score:
    """A score in per cent, and a sentence that says what it lost most to."""

    value: float
    reason: str


def score(
    metrics: Mapping[Metric, float],
    limits: Mapping[str, float],
    lateness: float,
    gauges: Mapping[str, float] = NOTHING,
    *,
    heard_errors_per_s: float = 0.0,
    unrecovered: int = 0,
) -> Score:
    """Scores one agent; what is missing costs nothing. `lateness`: 0 for samples in time, 1 for far too late.

    `heard_errors_per_s`: counted by others, for an agent that does not tell its own. `unrecovered`: its incidents that
    wait for a person.
    """
    costs: list[tuple[float, str]] = []
    for told, table in ((metrics, COSTS), (gauges, GAUGE_COSTS)):
        for cost in table:
            value = told.get(cost.metric)  # pyright: ignore[reportArgumentType, reportCallIssue] - one name, two tables
            if value is None:
                if cost.metric != "errors_per_s" or heard_errors_per_s <= 0.0:
                    continue
                value = heard_errors_per_s
            share = _share(cost, value, limits)
            if share > 0.0:
                costs.append((cost.points * share, f"{cost.metric} {value:.4g}"))
    if lateness > 0.0:
        costs.append((LATE_POINTS * min(1.0, lateness), "samples that come late"))
    if unrecovered:
        costs.append((UNRECOVERED_POINTS, f"{unrecovered} not recovered"))
    if not costs:
        return Score(100.0, "nothing speaks against it")
    costs.sort(reverse=True)
    reason = ", ".join(f"{what} (-{points:.1f})" for points, what in costs[:3])
    return Score(max(0.0, 100.0 - sum(points for points, _ in costs)), reason)


def _share(cost: Cost, value: float, limits: Mapping[str, float]) -> float:
    """How much of its points it costs; at most 1, not above 0 where it costs nothing."""
    level = value
    if cost.of_limit:
        limit = limits.get(cost.metric, 0.0)
        if limit <= 0.0:
            return 0.0
        level = value / limit
    return min(1.0, (level - cost.free) / (cost.full - cost.free))


def status_of(value: float) -> Health:
    """The status that belongs to a score by itself."""
    if value > EXCELLENT_ABOVE:
        return "excellent"
    for status, least in BOUNDS:
        if value >= least:
            return status
    return "critical"
