"""What the owner of a partition knows: the sum of its journal's entries. `apply` is the only way it changes."""

from collections import Counter
from typing import Literal

from pydantic import BaseModel, ConfigDict

from mendbus.contracts.asks import Classification
from mendbus.contracts.journal import (
    Attempted,
    Claimed,
    Commanded,
    Concluded,
    Counted,
    Decided,
    Entry,
    Floored,
    Held,
    Opened,
    Operated,
    Rejected,
    Released,
)
from mendbus.contracts.messages import (
    AgentRef,
    AttemptSummary,
    DecisionSummary,
    ErrorReported,
    PredictionSummary,
    RecoveryCommand,
    RecoveryOutcome,
    Times,
)
from mendbus.contracts.vocabulary import Strategy
from mendbus_strategy_selector.pauses import Pauses

Lane = Literal["urgent", "normal"]
Phase = Literal["open", "settling", "parked", "closed"]
SHOWN_EVENTS = 100


class Incident(BaseModel):
    """One fingerprint of one agent, from its first error until it is settled, ended otherwise or closed."""

    model_config = ConfigDict(defer_build=True)

    id: str
    agent: AgentRef
    fingerprint: str
    error: ErrorReported
    opened_unix_nano: int
    stale: bool = False
    recurrence_of: str | None = None
    tried: list[Strategy] = []
    trace_id: str = ""
    traceparent: str | None = None
    phase: Phase = "open"
    error_count: int = 0
    event_count: int = 0
    first_event_ids: list[str] = []
    unsettled: list[str] = []
    """Event ids whose senders still wait for a settlement."""
    classification: Classification | None = None
    prediction: PredictionSummary | None = None
    decision: DecisionSummary | None = None
    strategy: Strategy | None = None
    attempts: list[AttemptSummary] = []
    pending: RecoveryCommand | None = None
    """A command that is on disk and whose result is not."""
    times: Times = Times()
    outcome: RecoveryOutcome | None = None
    """The last outcome told."""
    outcome_unix_nano: int = 0
    """When the last outcome was written."""
    concluded_unix_nano: int = 0
    """When it reached its phase."""
    held_until_unix_nano: int = 0
    """Until when a limiting strategy stays in force; 0: none is."""
    approved: Strategy | None = None
    """A strategy that a person approved of and that has not been begun."""
    symptom_of: str | None = None
    """The incident that this one was a symptom of when it was last decided on."""

    @property
    def rule(self) -> str:
        """By which rule it was last decided on."""
        return self.decision.rule if self.decision else ""

    @property
    def key(self) -> tuple[str, str]:
        """What makes errors the same incident."""
        return self.agent.key, self.fingerprint

    @property
    def untold(self) -> bool:
        """Whether errors were counted after the last outcome."""
        return self.outcome is not None and self.error_count > self.outcome.error_count

    @property
    def spent_ms(self) -> int:
        """Time of all attempts together."""
        return sum(a.ended_unix_nano - a.started_unix_nano for a in self.attempts) // 1_000_000


class PartitionState:
    """The incidents of a partition, and which errors have been counted."""

    def __init__(self) -> None:
        self.incidents: dict[str, Incident] = {}
        self.latest: dict[tuple[str, str], str] = {}
        """The newest incident of an agent and fingerprint."""
        self.floors: dict[Lane, int] = {"urgent": 0, "normal": 0}
        self.sequences: dict[Lane, set[int]] = {"urgent": set(), "normal": set()}
        self.acted: dict[str, int] = {}
        """When the last action on an agent began, by agent key, in nanoseconds since 1970."""
        self.open: Counter[str] = Counter()
        """How many incidents are open, by agent key."""
        self.pauses = Pauses()
        """Pauses of single agents."""
        self.changed: set[str] = set()
        """Incidents that changed since somebody last cleared this."""

    def restored(self, incident: Incident) -> None:
        """Takes an incident in as it was."""
        self.incidents[incident.id] = incident
        self.latest[incident.key] = incident.id
        self.open[incident.agent.key] += incident.phase == "open"

    def _enter(self, incident: Incident, phase: Phase, at_unix_nano: int) -> None:
        if phase == incident.phase:
            return
        self.open[incident.agent.key] += (phase == "open") - (incident.phase == "open")
        incident.phase = phase
        incident.concluded_unix_nano = at_unix_nano

    def counted(self, lane: Lane, sequence: int) -> bool:
        """Whether a stored error has been counted."""
        return sequence <= self.floors[lane] or sequence in self.sequences[lane]

    def current(self, agent: str, fingerprint: str) -> Incident | None:
        """The newest incident of an agent and fingerprint that is remembered."""
        incident_id = self.latest.get((agent, fingerprint))
        return self.incidents.get(incident_id) if incident_id else None

    def apply(self, entry: Entry, at_unix_nano: int) -> None:
        """Takes an entry of the journal in. Entries of incidents that are forgotten change nothing."""
        incident_id = getattr(entry, "incident_id", None)
        if incident_id is not None:
            self.changed.add(incident_id)
        match entry:
            case Opened():
                self._open(entry, at_unix_nano)
            case Counted():
                self._count(entry)
            case Rejected():
                self.sequences[entry.lane].add(entry.sequence)
            case Floored():
                self.floors[entry.lane] = max(self.floors[entry.lane], entry.floor)
                self.sequences[entry.lane] = {s for s in self.sequences[entry.lane] if s > entry.floor}
            case Decided():
                self._decide(entry, at_unix_nano)
            case Commanded():
                if incident := self.incidents.get(entry.incident_id):
                    incident.pending = entry.command
                    self._act(incident, at_unix_nano)
            case Attempted():
                self._attempt(entry)
            case Concluded():
                self._conclude(entry.outcome, at_unix_nano)
            case Held():
                if incident := self.incidents.get(entry.incident_id):
                    incident.held_until_unix_nano = entry.until_unix_nano
            case Released():
                if incident := self.incidents.get(entry.incident_id):
                    incident.held_until_unix_nano = 0
            case Operated():
                self._operate(entry)
            case Claimed():
                pass

    def _open(self, entry: Opened, at: int) -> None:
        if entry.incident_id in self.incidents:
            return
        incident = Incident(
            id=entry.incident_id,
            agent=entry.agent,
            fingerprint=entry.fingerprint,
            error=entry.error,
            opened_unix_nano=at,
            stale=entry.stale,
            recurrence_of=entry.recurrence_of,
            tried=list(entry.tried),
            trace_id=entry.trace_id,
            traceparent=entry.traceparent,
            times=Times(reported=entry.error.time_unix_nano),
        )
        self.restored(incident)

    def _count(self, entry: Counted) -> None:
        self.sequences[entry.lane].update(entry.sequences)
        incident = self.incidents.get(entry.incident_id)
        if incident is None:
            return
        incident.error_count += entry.error_count
        incident.event_count += len(entry.event_ids)
        room = SHOWN_EVENTS - len(incident.first_event_ids)
        if room > 0:
            incident.first_event_ids += entry.event_ids[:room]
        if incident.outcome is None:
            incident.unsettled += entry.event_ids

    def _decide(self, entry: Decided, at: int) -> None:
        incident = self.incidents.get(entry.incident_id)
        if incident is None:
            return
        incident.classification = entry.classification
        incident.prediction = entry.prediction
        incident.decision = entry.decision
        incident.strategy = entry.strategy
        incident.times = entry.times
        upstream = entry.decision.state.get("upstream_incident")
        incident.symptom_of = upstream if entry.command is None and isinstance(upstream, str) else None
        if entry.command is not None:
            incident.approved = None
            incident.pending = entry.command
            self._enter(incident, "open", at)
            if entry.strategy is not None:
                incident.tried.append(entry.strategy)
            self._act(incident, entry.times.commanded or at)

    def _operate(self, entry: Operated) -> None:
        self.pauses.apply(entry)
        incident = self.incidents.get(entry.incident_id or "")
        if incident is not None and entry.verb == "approve":
            incident.approved = incident.strategy

    def _act(self, incident: Incident, at: int) -> None:
        self.acted[incident.agent.key] = max(self.acted.get(incident.agent.key, 0), at)

    def _attempt(self, entry: Attempted) -> None:
        incident = self.incidents.get(entry.incident_id)
        if incident is None or incident.pending is None or incident.pending.command_id != entry.command_id:
            return
        command, result = incident.pending, entry.result
        incident.pending = None
        if command.action == "undo" and incident.attempts:
            done = result.status in ("done", "accepted")
            incident.attempts[-1] = incident.attempts[-1].model_copy(update={"undone": done})
            incident.held_until_unix_nano = 0
        if command.action != "apply":
            return
        incident.attempts.append(
            AttemptSummary(
                attempt=command.attempt,
                command_id=command.command_id,
                strategy=command.strategy,
                status=result.status,
                verified=result.verified,
                started_unix_nano=incident.times.commanded or result.commanded_unix_nano or entry.ended_unix_nano,
                ended_unix_nano=entry.ended_unix_nano,
            )
        )
        incident.times = incident.times.model_copy(
            update={
                "commanded": result.commanded_unix_nano or incident.times.commanded,
                "acted": result.acted_unix_nano,
                "verified": result.probed_unix_nano if result.verified else None,
            }
        )

    def _conclude(self, outcome: RecoveryOutcome, at: int) -> None:
        incident = self.incidents.get(outcome.incident_id)
        if incident is None:
            return
        incident.outcome = outcome
        incident.outcome_unix_nano = at
        incident.unsettled = []
        self.changed.add(incident.id)
        phase: Phase = "parked"
        if outcome.settled or outcome.outcome == "no_action":
            phase = "closed"
        elif outcome.outcome == "recovered":
            phase = "settling"
        self._enter(incident, phase, at)

    def forget_closed(self, before_unix_nano: int) -> None:
        """Drops incidents that closed before a time and hold no strategy in force."""
        old = [
            i.id
            for i in self.incidents.values()
            if i.phase == "closed"
            and i.concluded_unix_nano < before_unix_nano
            and not i.held_until_unix_nano
            and i.pending is None
            and not i.untold
        ]
        for incident_id in old:
            incident = self.incidents.pop(incident_id)
            self.changed.add(incident_id)
            if self.latest.get(incident.key) == incident_id:
                del self.latest[incident.key]
