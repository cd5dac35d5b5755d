"""Every agent that was heard of: its last sample, how it is, and whether it still speaks. Knows no bus."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from mendbus.contracts.ids import new_id
from mendbus.contracts.messages import AgentGoodbye, AgentHello, AgentRef, HealthSample, HealthStatus
from mendbus.contracts.vocabulary import Health, Metric
from mendbus.features.samples import Order, sensible
from mendbus_health_monitor.score import Score, score, status_of
from mendbus_health_monitor.steady import Steady

MAX_AGENTS: Final = 10_000
"""Agents remembered; the one silent for longest is forgotten first."""
SILENT_INTERVALS: Final = 3
SILENT_SECONDS: Final = 1.5
"""An agent has failed when nothing was heard of it for three of its intervals, or this long if that is longer."""
BACK_INTERVALS: Final = 2
"""An agent that failed is back with its second sample within so many intervals: one sign of life is none."""

_DEFAULT_INTERVAL_MS: Final = 500
_NOTHING_KNOWN: Final = Score(100.0, "nothing is known yet")
_ON_TIME_INTERVALS: Final = 1.5
_LATE_INTERVALS: Final = 3.5
_LATE_WEIGHT: Final = 0.2
_NANO: Final = 1_000_000_000
_MILLI: Final = 1_000_000


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
    lateness: float = 0.0
    """0 for samples in time, 1 for far too late; each new one counts a fifth."""
    hello: AgentHello | None = None
    stored_sequence: int = 0
    """Of the stored hello, in its bucket."""
    goodbye_unix_nano: int = 0
    """By the agent's clock."""
    sampled: bool = False
    """Whether a sample has come since it last failed."""

    @property
    def patience_nano(self) -> int:
        """Silence after which it has failed."""
        return max(SILENT_INTERVALS * self.interval_ms * _MILLI, int(SILENT_SECONDS * _NANO))


class Agents:
    """All agents, by key (`kind/id`)."""

    def __init__(self, now: Callable[[], int]) -> None:
        """`now`: nanoseconds since 1970."""
        self._now = now
        self._watched: dict[str, Watched] = {}
        self.ignored = 0
        """Samples that were doubled, late, or from before a goodbye."""

    def get(self, key: str) -> Watched | None:
        """One agent, if it is known."""
        return self._watched.get(key)

    def hear(self, sample: HealthSample) -> HealthStatus | None:
        """Takes a sample in; returns the status to tell when it changed."""
        now = self._now()
        watched = self._of(sample.agent, now)
        arrival = watched.order.place(sample)
        if arrival in ("late", "doubled") or (
            watched.status == "retired" and sample.time_unix_nano <= watched.goodbye_unix_nano
        ):
            self.ignored += 1
            return None
        silence, watched.heard_unix_nano = now - watched.heard_unix_nano, now
        watched.agent = sample.agent
        watched.interval_ms = sample.interval_ms
        watched.metrics = sensible(sample.metrics)
        limits = {**watched.hello.limits, **sample.limits} if watched.hello else sample.limits
        if watched.sampled and arrival == "next":
            watched.lateness += _LATE_WEIGHT * (_late(silence, sample.interval_ms) - watched.lateness)
        watched.score = score(watched.metrics, limits, watched.lateness)
        if watched.status == "failed":
            in_time = watched.sampled and silence <= BACK_INTERVALS * sample.interval_ms * _MILLI
            watched.sampled = True
            if not in_time:
                return None
            watched.steady = None
        watched.sampled = True
        if watched.steady is None or watched.status == "retired":
            watched.steady = Steady(status_of(watched.score.value))
            watched.lateness = 0.0
        return self._change(watched, watched.steady.step(watched.score.value, now), watched.score, now)

    def greet(self, hello: AgentHello, stored_sequence: int) -> None:
        """Takes a stored hello in: of a new agent, or what is known of an old one."""
        now = self._now()
        watched = self._of(hello.agent, now)
        if stored_sequence <= watched.stored_sequence:
            return
        watched.hello = hello
        watched.agent = hello.agent
        watched.stored_sequence = stored_sequence
        watched.interval_ms = hello.interval_ms
        if watched.status == "retired" and (hello.time_unix_nano or now) > watched.goodbye_unix_nano:
            # It is awaited again; its first sample tells how it is.
            watched.status, watched.steady, watched.sampled = None, None, False
            watched.heard_unix_nano = now

    def leave(self, goodbye: AgentGoodbye) -> HealthStatus | None:
        """Takes a goodbye in; None when it is not of the process that is known, or repeated."""
        now = self._now()
        watched = self._of(goodbye.agent, now)
        known, leaving = watched.agent.instance, goodbye.agent.instance
        if watched.status == "retired" or (known and leaving and known != leaving):
            return None
        watched.goodbye_unix_nano = goodbye.time_unix_nano
        reason = goodbye.reason or "it said goodbye"
        return self._change(watched, "retired", Score(watched.score.value, reason), now)

    def overdue(self) -> list[HealthStatus]:
        """The agents that have fallen silent since the last look."""
        now = self._now()
        told: list[HealthStatus] = []
        for watched in self._watched.values():
            silence = now - watched.heard_unix_nano
            if silence > watched.patience_nano and watched.status not in ("failed", "retired"):
                watched.sampled = False
                due = watched.interval_ms / 1000
                heard = f"nothing heard for {silence / _NANO:.1f} s, a sample is due every {due:g} s"
                watched.score = Score(0.0, heard)
                change = self._change(watched, "failed", watched.score, now)
                told += [change] if change else []
        return told

    def forgive(self, nanoseconds: int) -> None:
        """Time in which this monitor could not listen is nobody's silence."""
        for watched in self._watched.values():
            watched.heard_unix_nano += nanoseconds

    def listing(self, kind: str | None, agent_id: str | None, after: str, limit: int) -> list[dict[str, Any]]:
        """Agents in the order of their keys, as the command line shows them."""
        keys = sorted(
            key
            for key, watched in self._watched.items()
            if key > after and kind in (None, watched.agent.kind) and agent_id in (None, watched.agent.id)
        )
        return [describe(self._watched[key]) for key in keys[:limit]]

    def _of(self, agent: AgentRef, now: int) -> Watched:
        watched = self._watched.get(agent.key)
        if watched is None:
            if len(self._watched) >= MAX_AGENTS:
                del self._watched[min(self._watched, key=lambda key: self._watched[key].heard_unix_nano)]
            watched = self._watched[agent.key] = Watched(agent=agent, heard_unix_nano=now)
        return watched

    def _change(self, watched: Watched, status: Health, found: Score, now: int) -> HealthStatus | None:
        previous, watched.status = watched.status, status
        if status == previous:
            return None
        return HealthStatus(
            id=new_id(now),
            time_unix_nano=now,
            agent=watched.agent,
            status=status,
            previous=previous,
            score=round(found.value, 1),
            reason=found.reason,
            metrics={**watched.metrics},
        )


def _late(silence: int, interval_ms: int) -> float:
    intervals = silence / (interval_ms * _MILLI)
    return min(1.0, max(0.0, (intervals - _ON_TIME_INTERVALS) / (_LATE_INTERVALS - _ON_TIME_INTERVALS)))


def describe(watched: Watched) -> dict[str, Any]:
    """One agent as plain values; what is not known is left out."""
    row: dict[str, Any] = {
        "agent": watched.agent.model_dump(exclude_none=True),
        "status": watched.status or "unknown",
        "score": round(watched.score.value, 1),
        "reason": watched.score.reason,
        "last_seen_unix_nano": watched.heard_unix_nano,
        "metrics": dict(watched.metrics),
    }
    hello = watched.hello
    if hello is not None:
        row["hello"] = hello.model_dump(exclude_none=True, exclude={"id", "agent", "operations"}) | {
            "operations": [operation.name for operation in hello.operations]
        }
    return row
