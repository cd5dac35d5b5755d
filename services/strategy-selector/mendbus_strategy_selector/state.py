"""What the owner of a partition knows: the sum of its journal's entries. `apply` is the only way it changes."""

from collections import Counter
from typing import Literal

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
from mendbus.contracts.messages import AgentRef, RecoveryOutcome
from mendbus.contracts.summaries import AttemptSummary, Times
from mendbus_strategy_selector.incident import SHOWN_EVENTS, Details, Incident, Phase, as_told
from mendbus_strategy_selector.pauses import Pauses

Lane = Literal["urgent", "normal"]


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
        self.healed: dict[str, int] = {}
        """When the last attempt on an agent that was verified ended, likewise."""
        self.open: Counter[str] = Counter()
        """How many incidents are open, by agent key."""
        self.pauses = Pauses()
        """Pauses of single agents."""
        self.changed: set[str] = set()
        """Incidents that changed since somebody last cleared this."""
        self.closing: set[str] = set()
        """Incidents that closed and whose details are still here."""
        self._agents: dict[str, AgentRef] = {}

    def restored(self, incident: Incident) -> None:
        """Takes an incident in as it was."""
        incident.agent = self._known(incident.agent)
        self.incidents[incident.id] = incident
        if incident.phase == "closed" and not incident.slim:
            self.closing.add(incident.id)
        self.latest[incident.key] = incident.id
        self.open[incident.agent.key] += incident.phase == "open"

    def _known(self, agent: AgentRef) -> AgentRef:
        """One and the same object for all incidents of an agent's process."""
        known = self._agents.get(agent.key)
        if known is None or known != agent:
            known = self._agents[agent.key] = agent
        return known

    def _whole(self, incident_id: str) -> Incident | None:
        """An incident that is remembered with its details. To one that has closed and lost them nothing happens."""
        incident = self.incidents.get(incident_id)
        return None if incident is None or incident.slim else incident

    def _enter(self, incident: Incident, phase: Phase, at_unix_nano: int) -> None:
        if phase == incident.phase:
            return
        self.open[incident.agent.key] += (phase == "open") - (incident.phase == "open")
        incident.phase = phase
        incident.repeated = False
        incident.concluded_unix_nano = at_unix_nano

    def counted(self, lane: Lane, sequence: int) -> bool:
        """Whether a stored error has been counted."""
        return sequence <= self.floors[lane] or sequence in self.sequences[lane]

    def counted_in_a_lane(self, sequence: int) -> bool:
        """Whether an error has been counted of which nothing is known but its sequence; 0: not even that."""
        below = 0 < sequence <= min(self.floors.values())
        return below or any(sequence in counted for counted in self.sequences.values())

    def current(self, agent: str, fingerprint: str) -> Incident | None:
        """The newest incident of an agent and fingerprint that is remembered."""
        incident_id = self.latest.get((agent, fingerprint))
        return self.incidents.get(incident_id) if incident_id else None

    def apply(self, entry: Entry, at_unix_nano: int) -> None:
        """Takes an entry of the journal in. Entries of incidents that are forgotten change nothing."""
        incident_id = vars(entry).get("incident_id")
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
                if incident := self._whole(entry.incident_id):
                    incident.pending = entry.command
                    self._act(incident, at_unix_nano)
            case Attempted():
                self._attempt(entry)
            case Concluded():
                self._conclude(entry.outcome, at_unix_nano)
            case Held():
                if incident := self._whole(entry.incident_id):
                    incident.held_until_unix_nano = entry.until_unix_nano
            case Released():
                if incident := self.incidents.get(entry.incident_id):
                    incident.held_until_unix_nano = 0
                    if incident.phase == "closed":
                        # A restore that was due when the agent said goodbye.
                        incident.pending = None
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
            opened_unix_nano=at,
            stored=Details(
                error=entry.error,
                trace_id=entry.trace_id,
                times=Times(reported=entry.error.time_unix_nano),
            ),
            operation=entry.error.operation,
            traceparent=entry.traceparent,
            stale=entry.stale,
            recurrence_of=entry.recurrence_of,
            tried=tuple(entry.tried),
        )
        self.restored(incident)

    def _count(self, entry: Counted) -> None:
        self.sequences[entry.lane].update(entry.sequences)
        incident = self.incidents.get(entry.incident_id)
        if incident is None:
            return
        incident.error_count += entry.error_count
        incident.event_count += len(entry.event_ids)
        incident.repeated |= bool(entry.repeated) and incident.phase == "settling"
        if incident.slim:
            incident.late_event_ids = (*incident.late_event_ids, *entry.event_ids)[:SHOWN_EVENTS]
            return
        details = incident.details
        room = SHOWN_EVENTS - len(details.event_ids)
        if room > 0:
            details.event_ids += entry.event_ids[:room]
        if incident.standing is None:
            details.unsettled += entry.event_ids

    def _decide(self, entry: Decided, at: int) -> None:
        incident = self._whole(entry.incident_id)
        if incident is None:
            return
        details = incident.details
        details.classification = entry.classification
        details.prediction = entry.prediction
        details.decision = entry.decision
        details.times = entry.times
        incident.strategy = entry.strategy
        incident.rule = entry.decision.rule
        incident.selected_unix_nano = entry.times.selected or 0
        upstream = entry.decision.state.get("upstream_incident")
        incident.symptom_of = upstream if entry.command is None and isinstance(upstream, str) else None
        if entry.command is not None:
            incident.approved = None
            incident.pending = entry.command
            self._enter(incident, "open", at)
            if entry.strategy is not None:
                incident.tried = (*incident.tried, entry.strategy)
            self._act(incident, entry.times.commanded or at)

    def _operate(self, entry: Operated) -> None:
        self.pauses.apply(entry)
        incident = self.incidents.get(entry.incident_id or "")
        if incident is not None and entry.verb == "approve":
            incident.approved = incident.strategy

    def stale(self, incident: Incident) -> bool:
        """Whether an incident may be over: it began before its agent's last action, or the end of its last recovery."""
        return incident.stale or incident.opened_unix_nano <= self.healed.get(incident.agent.key, 0)

    def _act(self, incident: Incident, at: int) -> None:
        self.acted[incident.agent.key] = max(self.acted.get(incident.agent.key, 0), at)

    def _attempt(self, entry: Attempted) -> None:
        incident = self._whole(entry.incident_id)
        if incident is None or incident.pending is None or incident.pending.command_id != entry.command_id:
            return
        command, result, details = incident.pending, entry.result, incident.details
        incident.pending = None
        if command.action == "undo" and details.attempts:
            done = result.status in ("done", "accepted")
            details.attempts[-1] = details.attempts[-1].model_copy(update={"undone": done})
            incident.held_until_unix_nano = 0
            incident.repeated = incident.phase == "settling"
        if command.action != "apply":
            return
        incident.ended_unix_nano = entry.ended_unix_nano
        if result.verified:
            self.healed[incident.agent.key] = max(self.healed.get(incident.agent.key, 0), entry.ended_unix_nano)
        details.attempts.append(
            AttemptSummary(
                attempt=command.attempt,
                command_id=command.command_id,
                strategy=command.strategy,
                status=result.status,
                verified=result.verified,
                started_unix_nano=_begun(details.times.commanded, result.commanded_unix_nano, entry.ended_unix_nano),
                ended_unix_nano=entry.ended_unix_nano,
            )
        )
        details.times = details.times.model_copy(
            update={
                "commanded": result.commanded_unix_nano or details.times.commanded,
                "acted": result.acted_unix_nano,
                "verified": result.probed_unix_nano if result.verified else None,
            }
        )

    def _conclude(self, outcome: RecoveryOutcome, at: int) -> None:
        incident = self.incidents.get(outcome.incident_id)
        if incident is None:
            return
        if not incident.slim:
            incident.details.outcome = outcome
            incident.details.unsettled = []
        elif outcome.error is not None:
            incident.stored = as_told(outcome)
        incident.late_event_ids = ()
        incident.standing = outcome.outcome
        incident.sequence = outcome.sequence
        self._told(incident, outcome.error_count, at)
        phase: Phase = "parked"
        if outcome.settled or outcome.outcome == "no_action":
            phase = "closed"
            self.closing.add(incident.id)
        elif outcome.outcome == "recovered":
            phase = "settling"
        self._enter(incident, phase, at)

    def settle(self, incident: Incident, content: bytes, at: int) -> None:
        """Closes an incident whose details rest: `content` are those that hold the outcome told of it now."""
        incident.stored = content
        incident.sequence += 1
        self._told(incident, incident.error_count, at)
        self.closing.add(incident.id)
        self._enter(incident, "closed", at)

    def _told(self, incident: Incident, count: int, at: int) -> None:
        incident.told_count = count
        incident.outcome_unix_nano = at
        incident.recorded, incident.body = 0, b""
        self.changed.add(incident.id)

    def recall(self, incident: Incident, outcome: RecoveryOutcome) -> None:
        """Gives an incident its details back, from its last outcome. Raises `ValueError` for one that has none."""
        details = as_told(outcome)
        details.event_ids = [*details.event_ids, *incident.late_event_ids][:SHOWN_EVENTS]
        incident.stored, incident.late_event_ids = details, ()
        self.closing.add(incident.id)

    def forget_agents(self, before_unix_nano: int) -> None:
        """Forgets when agents were last acted upon and healed, where that was before a time."""
        self.acted = {key: at for key, at in self.acted.items() if at >= before_unix_nano}
        self.healed = {key: at for key, at in self.healed.items() if at >= before_unix_nano}
        self.open = +self.open

    def forget_closed(self, before_unix_nano: int) -> None:
        """Drops incidents that closed before a time and hold no strategy in force."""
        old = [i.id for i in self.incidents.values() if i.done and i.concluded_unix_nano < before_unix_nano]
        for incident_id in old:
            incident = self.incidents.pop(incident_id)
            self.changed.add(incident_id)
            self.closing.discard(incident_id)
            if self.latest.get(incident.key) == incident_id:
                del self.latest[incident.key]


def _begun(decided: int | None, commanded: int | None, ended: int) -> int:
    """When an attempt began: when its command went to the agent. Until then everybody waited, for the journal or for an
    executor, and waiting is not counted; who never had an answer has waited all the time.

    The executor's clock is believed as far as it fits between the owner's own times.
    """
    return min(max(commanded or ended, decided or 0), ended)
