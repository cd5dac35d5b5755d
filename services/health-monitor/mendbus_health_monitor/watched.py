"""What is known of one agent, and how long it may be silent."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Final, Literal

from mendbus.contracts.messages import AgentHello, AgentRef
from mendbus.contracts.vocabulary import Health, Metric
from mendbus.features.samples import Order
from mendbus_health_monitor.score import Score
from mendbus_health_monitor.steady import Relapses, Steady

Reason = Literal["taken", "late", "doubled", "restarted", "after_goodbye", "skewed", "absurd"]
"""What may be said of a sample. `restarted`: its sequence or clock began anew. `skewed`: its clock is over a minute
off. `absurd`: it has numbers that cannot be. All but `late`, `doubled` and `after_goodbye` are taken in all the same,
without such numbers.
"""

SILENT_INTERVALS: Final = 2.8
SILENT_SECONDS: Final = 1.4
"""An agent has failed when nothing was heard of it for so many of its intervals, or this long if that is longer: with
the next look and the way over the bus, it is told of within 1.5 s.
"""

NANO: Final = 1_000_000_000
MILLI: Final = 1_000_000
_DEFAULT_INTERVAL_MS: Final = 500
_NOTHING_KNOWN: Final = Score(100.0, "nothing is known yet")
_ON_TIME_INTERVALS: Final = 1.5
_LATE_INTERVALS: Final = 3.5


@dataclass(slots=True)
class Watched:
    """One agent; times in nanoseconds of the monitor's clock unless they say otherwise."""

    agent: AgentRef
    heard_unix_nano: int
    interval_ms: int = _DEFAULT_INTERVAL_MS
    order: Order = field(default_factory=Order)
    status: Health | None = None
    """None: nothing has been told of it yet."""
    steady: Steady | None = None
    score: Score = _NOTHING_KNOWN
    metrics: dict[Metric, float] = field(default_factory=dict[Metric, float])
    limits: dict[str, float] = field(default_factory=dict[str, float])
    """Of its hello, and over them those of its last sample."""
    lateness: float = 0.0
    """0 for samples in time, 1 for far too late; each new one counts a fifth."""
    hello: AgentHello | None = None
    stored_sequence: int = 0
    """Of the stored hello, in its bucket."""
    counts: Counter[Reason] = field(default_factory=Counter[Reason])
    """Samples with which something was the matter."""
    sampled: bool = False
    """Whether a sample has come since it last failed."""

    failures: Relapses = field(default_factory=Relapses)
    """When it fell silent."""
    back_unix_nano: int = 0
    """Since when it has spoken in time again."""

    goodbye_unix_nano: int = 0
    """By the agent's clock."""
    goodbye_instance: str | None = None
    left_unix_nano: int = 0

    down: str = ""
    """Why the process that the agent stands for does not live, although its samples may come; empty: it lives."""
    down_unix_nano: int = 0
    died_unix_nano: int = 0
    """By the agent's clock."""
    died_instance: str | None = None
    gone: bool = False
    """Whether the last sample said that the process does not run."""

    @property
    def patience_nano(self) -> int:
        """Silence after which it has failed."""
        return int(max(SILENT_INTERVALS * self.interval_ms * MILLI, SILENT_SECONDS * NANO))

    def die(self, died_unix_nano: int, reason: str, now: int) -> None:
        """The process has died, by the agent's clock at `died_unix_nano`."""
        self.died_unix_nano, self.died_instance = died_unix_nano, self.agent.instance
        self.down, self.down_unix_nano = reason, now


def late(silence: int, interval_ms: int) -> float:
    """0 for a sample in time, 1 for one far too late; `silence` in nanoseconds before it."""
    intervals = silence / (interval_ms * MILLI)
    return min(1.0, max(0.0, (intervals - _ON_TIME_INTERVALS) / (_LATE_INTERVALS - _ON_TIME_INTERVALS)))
