"""What can be found in an agent's metrics, as typed rows; and what of each metric matters."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from math import isfinite
from typing import Any, Final, Literal

FindingKind = Literal["trend", "change", "anomaly", "exhaustion"]
Worse = Literal["up", "down", "neither"]

DESCRIPTORS: Final = "descriptors"
"""The gauge that says how many descriptors an agent has open."""


@dataclass(frozen=True, slots=True)
class Rule:
    """What of a metric matters. `worse`: in which direction it gets worse; `neither`: it is only told.

    A difference smaller than `floor` (in the metric's unit) plus `share` of its level is none that anybody cares about.
    """

    worse: Worse
    floor: float
    share: float
    unit: str = ""

    def matters(self, level: float) -> float:
        """The least difference that matters at a level."""
        return self.floor + self.share * abs(level)


RULES: Final[Mapping[str, Rule]] = {
    "cpu_percent": Rule("up", 10.0, 0.15, " %"),
    "memory_bytes": Rule("up", float(4 << 20), 0.05, " B"),
    "disk_percent": Rule("up", 0.5, 0.01, " %"),
    "network_bytes_per_s": Rule("neither", 20_000.0, 0.25, " B/s"),
    "errors_per_s": Rule("up", 0.2, 0.1, "/s"),
    "response_time_ms": Rule("up", 10.0, 0.25, " ms"),
    "throughput_per_s": Rule("neither", 1.0, 0.25, "/s"),
    "availability_ratio": Rule("down", 0.02, 0.0),
    "temperature_celsius": Rule("up", 3.0, 0.02, " °C"),
    "power_watts": Rule("neither", 5.0, 0.1, " W"),
    "cache_hit_ratio": Rule("down", 0.05, 0.0),
    "queue_depth": Rule("up", 3.0, 0.2),
    DESCRIPTORS: Rule("up", 8.0, 0.1),
}
"""Of the twelve metrics, and of the descriptors."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is so now. `agent` is `kind/id`; times in nanoseconds of the monitor's clock."""

    agent: str
    metric: str
    finding: FindingKind
    since_unix_nano: int
    harmful: bool
    """Whether it is in the direction in which the metric gets worse."""
    score: float
    """Of an anomaly, in usual deviations; else the statistic of the test."""
    p: float | None
    from_: float
    to: float
    """Levels: of a trend at the start and the end of what was looked at, of a change before and after it, of an anomaly
    the usual one and now's, of an exhaustion now's and the limit."""
    sentence: str
    per_second: float | None = None
    eta_seconds: float | None = None
    eta_low: float | None = None
    eta_high: float | None = None

    def row(self) -> dict[str, Any]:
        """As plain values for the wire; what is not known, or not finite, is left out."""
        values = {name: value for name, value in asdict(self).items() if value is not None}
        values["from"] = values.pop("from_")
        return {name: value for name, value in values.items() if not isinstance(value, float) or isfinite(value)}


def shown(metric: str, value: float, rules: Mapping[str, Rule] = RULES) -> str:
    """A metric's value for people, with its unit."""
    rule = rules.get(metric)
    unit = rule.unit if rule else ""
    if unit.startswith(" B"):
        for prefix, size in (("Gi", 1 << 30), ("Mi", 1 << 20), ("Ki", 1 << 10)):
            if abs(value) >= size:
                return f"{value / size:.1f} {prefix}{unit.strip()}"
    return f"{value:.4g}{unit}"
