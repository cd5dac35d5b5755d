"""The order and the sense of health samples: what is new, what is a repeat, and which numbers cannot be."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final, Literal

from mendbus.contracts.messages import HealthSample
from mendbus.contracts.vocabulary import Metric

Arrival = Literal["next", "restarted", "late", "doubled"]
"""How a sample stands to those before it. `restarted`: nothing before it is comparable."""

_LARGEST: Final = 1e15
RANGES: Final[Mapping[Metric, tuple[float, float]]] = {
    "cpu_percent": (0.0, 409_600.0),
    "memory_bytes": (0.0, _LARGEST),
    "disk_percent": (0.0, 100.0),
    "network_bytes_per_s": (0.0, _LARGEST),
    "errors_per_s": (0.0, _LARGEST),
    "response_time_ms": (0.0, _LARGEST),
    "throughput_per_s": (0.0, _LARGEST),
    "availability_ratio": (0.0, 1.0),
    "temperature_celsius": (-273.15, 10_000.0),
    "power_watts": (0.0, _LARGEST),
    "cache_hit_ratio": (0.0, 1.0),
    "queue_depth": (0.0, _LARGEST),
}
"""Least and largest value each metric can have."""
_OF_HOST: Final = "host_"
_OF_OUTBOX: Final = "outbox_events"


def sensible(metrics: Mapping[str, float]) -> dict[Metric, float]:
    """The metrics among the twelve whose values can be; the rest is missing, never zero."""
    kept: dict[Metric, float] = {}
    for metric, (least, largest) in RANGES.items():
        value = metrics.get(metric)
        if value is not None and least <= value <= largest:
            kept[metric] = value
    return kept


def levels(gauges: Mapping[str, float]) -> Iterator[tuple[str, float]]:
    """The gauges that tell of the agent itself, not of its machine or of its way to us; no number is without bounds."""
    for name, value in gauges.items():
        if -_LARGEST <= value <= _LARGEST and not name.startswith(_OF_HOST) and name != _OF_OUTBOX:
            yield name, value


def absurd(metrics: Mapping[str, float]) -> list[str]:
    """Names of those of the twelve whose values cannot be: not finite, negative bytes, a ratio over one."""
    return [
        metric
        for metric, (least, largest) in RANGES.items()
        if (value := metrics.get(metric)) is not None and not least <= value <= largest
    ]


@dataclass(slots=True)
class Order:
    """Follows the samples of one agent.

    The agent's sequence decides; its clock only where a sequence begins anew, because clocks are set back.
    """

    instance: str | None = None
    sequence: int = -1
    time_unix_nano: int = 0
    _previous_instance: str | None = None

    def place(self, sample: HealthSample) -> Arrival:
        """Where the sample belongs; remembers it when it is the newest."""
        arrival = self._place(sample)
        if arrival in ("next", "restarted"):
            if sample.agent.instance != self.instance:
                self._previous_instance = self.instance
                self.instance = sample.agent.instance
            self.sequence = sample.sequence
            self.time_unix_nano = sample.time_unix_nano
        return arrival

    def _place(self, sample: HealthSample) -> Arrival:
        instance = sample.agent.instance
        if self.sequence < 0:
            return "next"
        if instance != self.instance:
            return "late" if instance is not None and instance == self._previous_instance else "restarted"
        if sample.sequence == self.sequence:
            return "doubled"
        if sample.sequence > self.sequence:
            return "next" if sample.time_unix_nano >= self.time_unix_nano else "restarted"
        return "restarted" if sample.time_unix_nano > self.time_unix_nano else "late"
