"""Every agent that was heard of: its last sample, how it is, and whether it still speaks. Knows no bus."""

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any, Final

from mendbus.contracts.ids import new_id
from mendbus.contracts.messages import AgentGoodbye, AgentHello, AgentRef, ErrorReported, HealthSample, HealthStatus
from mendbus.contracts.vocabulary import Health
from mendbus.features.samples import absurd, sensible
from mendbus.redacted import redact_detail, redact_text
from mendbus.redaction import DEFAULT, Redaction
from mendbus_health_monitor.score import Score, score, status_of
from mendbus_health_monitor.steady import Steady
from mendbus_health_monitor.trouble import Troubles
from mendbus_health_monitor.watched import MILLI, NANO, SILENT_SECONDS, Reason, Watched, late

MAX_AGENTS: Final = 10_000
"""Agents remembered; the one silent for longest is forgotten first."""
BACK_INTERVALS: Final = 2
"""An agent that failed is back with its second sample within so many intervals: one sign of life is none."""
MAX_SKEW_SECONDS: Final = 60
"""An agent's clock that is further off than this is counted as wrong; nothing is judged by it."""
STRAGGLER_SECONDS: Final = 10
"""So long after a goodbye a sample of the same process may still come in."""
DEATH_SECONDS: Final = 5
"""A process that reported its own end and still speaks so long after lives, if nobody else can tell."""

_LATE_WEIGHT: Final = 0.2
_REASON_BYTES: Final = 480
_SHORTEST: Final = int(SILENT_SECONDS * NANO)
_CHILD_ALIVE: Final = "child_alive"
"""A supervisor's word on the process that its agent stands for."""


class Agents:
    """All agents, by key (`kind/id`).

    `taken` is called with each sample that counts, once it is judged: numbers that cannot be are gone from `metrics`.
    """

    def __init__(self, now: Callable[[], int], redaction: Callable[[], Redaction] = lambda: DEFAULT) -> None:
        """`now`: nanoseconds since 1970; `redaction`: what is taken out of the reasons of statuses."""
        self._now = now
        self._redaction = redaction
        self._watched: dict[str, Watched] = {}
        self.counts: Counter[Reason] = Counter()
        """Samples by what was the matter with them; one may count twice (`restarted` and `absurd`)."""
        self.troubles = Troubles()
        self.taken: list[Callable[[Watched, HealthSample], None]] = []

    def get(self, key: str) -> Watched | None:
        """One agent, if it is known."""
        return self._watched.get(key)

    def everyone(self) -> list[Watched]:
        """All agents, in no particular order."""
        return list(self._watched.values())

    def by_status(self) -> Mapping[tuple[str], int]:
        """How many agents there are of each status; `unknown` before the first."""
        return Counter((watched.status or "unknown",) for watched in self._watched.values())

    def flaws(self) -> Mapping[tuple[str], int]:
        """How many samples there were by what was the matter with them."""
        return {(reason,): count for reason, count in self.counts.items() if reason != "taken"}

    def hear(self, sample: HealthSample) -> HealthStatus | None:
        """Takes a sample in; returns the status to tell when it changed."""
        now = self._now()
        watched = self._of(sample.agent, now)
        arrival = watched.order.place(sample)
        if arrival in ("late", "doubled"):
            return self._count(watched, arrival)
        if watched.status == "retired" and _straggles(watched, sample.agent, sample.time_unix_nano, now):
            return self._count(watched, "after_goodbye")
        if arrival == "restarted":
            self._count(watched, "restarted")
        if abs(sample.time_unix_nano - now) > MAX_SKEW_SECONDS * NANO:
            self._count(watched, "skewed")
        kept = sensible(sample.metrics)
        if len(kept) < len(sample.metrics) and absurd(sample.metrics):
            self._count(watched, "absurd")
        self.counts["taken"] += 1
        silence, watched.heard_unix_nano = now - watched.heard_unix_nano, now
        if watched.sampled and arrival == "next":
            watched.lateness += _LATE_WEIGHT * (late(silence, sample.interval_ms) - watched.lateness)
        watched.agent, watched.interval_ms = sample.agent, sample.interval_ms
        watched.metrics = kept
        watched.limits = {**watched.hello.limits, **sample.limits} if watched.hello else sample.limits
        trouble = self.troubles.get(sample.agent.key)
        told = score(
            watched.metrics,
            watched.limits,
            watched.lateness,
            sample.gauges,
            heard_errors_per_s=trouble.errors_per_s(now) if trouble else 0.0,
            unrecovered=len(trouble.parked) if trouble else 0,
        )
        changed = self._judge(watched, sample, told, silence, now)
        for take in self.taken:
            take(watched, sample)
        return changed

    def _judge(
        self, watched: Watched, sample: HealthSample, told: Score, silence: int, now: int
    ) -> HealthStatus | None:
        if not _alive(watched, sample, now):
            watched.score = Score(0.0, watched.down)
            watched.sampled = True
            return self._change(watched, "failed", now)
        watched.score = told
        if watched.status == "failed":
            in_time = watched.sampled and silence <= BACK_INTERVALS * sample.interval_ms * MILLI
            watched.sampled = True
            watched.back_unix_nano = watched.back_unix_nano if in_time else now
            if not in_time or now - watched.back_unix_nano < watched.failures.hold_seconds(now) * NANO:
                watched.score = Score(0.0, "it speaks again, and has yet to go on doing so")
                return None
            watched.steady = None
        watched.sampled = True
        if watched.steady is None or watched.status == "retired":
            watched.steady = Steady(status_of(told.value))
            watched.lateness = 0.0
        return self._change(watched, watched.steady.step(told.value, now), now)

    def die(self, error: ErrorReported) -> HealthStatus | None:
        """A fatal error: the process died, or the system is down. Old news and repeats change nothing."""
        now = self._now()
        watched = self._of(error.agent, now)
        died = error.time_unix_nano
        old = watched.order.time_unix_nano - died > STRAGGLER_SECONDS * NANO
        if died <= watched.died_unix_nano or old or watched.status == "retired":
            return None
        message = " ".join(error.exception.message.split())
        reason = redact_text(f"it died: {error.exception.type}: {message}", _REASON_BYTES, self._redaction())
        return self._die(watched, died, reason, now)

    def revive(self, key: str) -> None:
        """A recovery of a death was verified: the next sample tells how the agent is."""
        watched = self._watched.get(key)
        if watched is not None:
            watched.down = ""

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
        said = hello.time_unix_nano or now
        if watched.status == "retired" and not (
            said <= watched.goodbye_unix_nano and _same(watched.goodbye_instance, hello.agent.instance)
        ):
            # It is awaited again; its first sample tells how it is.
            watched.status, watched.steady, watched.sampled = None, None, False
            watched.heard_unix_nano = now

    def leave(self, goodbye: AgentGoodbye) -> HealthStatus | None:
        """Takes a goodbye in; None when it is not of the process that is known, or repeated."""
        now = self._now()
        watched = self._of(goodbye.agent, now)
        leaving = goodbye.agent.instance
        if watched.status == "retired" or not _same(watched.agent.instance, leaving):
            return None
        watched.goodbye_unix_nano, watched.goodbye_instance = goodbye.time_unix_nano, leaving
        watched.left_unix_nano = now
        watched.down = ""
        reason = redact_detail(goodbye.reason, self._redaction())
        watched.score = Score(watched.score.value, reason or "it said goodbye")
        return self._change(watched, "retired", now)

    def overdue(self) -> list[HealthStatus]:
        """The agents that have fallen silent since the last look."""
        now = self._now()
        told: list[HealthStatus] = []
        for watched in self._watched.values():
            silence = now - watched.heard_unix_nano
            if silence < _SHORTEST or watched.status in ("failed", "retired"):
                continue
            if silence > watched.patience_nano:
                watched.sampled = False
                watched.failures.note(now)
                due = watched.interval_ms / 1000
                watched.score = Score(0.0, f"nothing heard for {silence / NANO:.1f} s, a sample is due every {due:g} s")
                change = self._change(watched, "failed", now)
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

    def _count(self, watched: Watched, reason: Reason) -> None:
        self.counts[reason] += 1
        watched.counts[reason] += 1

    def _die(self, watched: Watched, died_unix_nano: int, reason: str, now: int) -> HealthStatus | None:
        watched.die(died_unix_nano, reason, now)
        watched.score = Score(0.0, reason)
        return self._change(watched, "failed", now)

    def _change(self, watched: Watched, status: Health, now: int) -> HealthStatus | None:
        previous, watched.status = watched.status, status
        if status == previous:
            return None
        return HealthStatus(
            id=new_id(now),
            time_unix_nano=now,
            agent=watched.agent,
            status=status,
            previous=previous,
            score=round(watched.score.value, 1),
            reason=watched.score.reason,
            metrics={**watched.metrics},
        )


def _same(known: str | None, instance: str | None) -> bool:
    """Whether two boot ids may be of one process."""
    return not known or not instance or known == instance


def _straggles(watched: Watched, agent: AgentRef, time_unix_nano: int, now: int) -> bool:
    """Whether a sample was sent before the goodbye; an agent's clock is only believed for a moment."""
    return (
        _same(watched.goodbye_instance, agent.instance)
        and time_unix_nano <= watched.goodbye_unix_nano
        and now - watched.left_unix_nano < STRAGGLER_SECONDS * NANO
    )


def _alive(watched: Watched, sample: HealthSample, now: int) -> bool:
    """Whether the process that the agent stands for lives, as far as anybody says; notes what this sample says."""
    said = sample.gauges.get(_CHILD_ALIVE)
    gone, watched.gone = watched.gone, said == 0.0
    if said == 0.0 and gone and not watched.down:
        # Twice in a row: at a planned restart it may be gone for one sample.
        watched.die(sample.time_unix_nano, "its supervisor says that the process does not run", now)
    if not watched.down:
        return True
    if said is not None:
        # What the first sample after the death says was asked before it.
        lives = said > 0.0 and sample.time_unix_nano > watched.died_unix_nano + sample.interval_ms * MILLI
    else:
        other = not _same(watched.died_instance, sample.agent.instance)
        lives = other or now - watched.down_unix_nano >= DEATH_SECONDS * NANO
    if lives:
        watched.down = ""
    return lives


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
    if watched.limits:
        row["limits"] = dict(watched.limits)
    if watched.counts:
        row["samples"] = dict(watched.counts)
    hello = watched.hello
    if hello is not None:
        row["hello"] = hello.model_dump(exclude_none=True, exclude={"id", "agent", "operations"}) | {
            "operations": [operation.name for operation in hello.operations]
        }
    return row
