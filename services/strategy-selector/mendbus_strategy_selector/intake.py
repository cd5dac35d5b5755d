"""From stored errors to entries of the journal: read, group, count. An error is acknowledged once that is on disk."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from mendbus import codec, instruments
from mendbus.bus import Bus, Delivery
from mendbus.contracts.canary import is_canary
from mendbus.contracts.errors import Refused
from mendbus.contracts.fields import WireModel
from mendbus.contracts.foreseen import is_predicted
from mendbus.contracts.ids import is_token, new_id
from mendbus.contracts.journal import Counted, Entry, Opened, Rejected
from mendbus.contracts.messages import OVERTAKEN, AgentRef, ErrorReported, RecoveryOutcome
from mendbus.contracts.subjects import Subjects
from mendbus.fingerprint import Fingerprints
from mendbus.metrics import Meter
from mendbus.redacted import redact_error
from mendbus.runtime import store_dead_letter
from mendbus.telemetry import AttributeValue, Span, Tracer, parent_of
from mendbus_strategy_selector.incident import Incident
from mendbus_strategy_selector.policies import Policies
from mendbus_strategy_selector.rates import Rates
from mendbus_strategy_selector.state import Lane, PartitionState

log = logging.getLogger("mendbus")

_NANO = 1_000_000_000
_TEMPLATE = "error.{severity}.{kind}.{agent}"


@dataclass(slots=True)
class Taken:
    """What became of one batch of deliveries."""

    entries: list[Entry] = field(default_factory=list[Entry])
    opened: list[tuple[Incident, Span]] = field(default_factory=list[tuple[Incident, Span]])
    recounted: dict[str, tuple[Incident, bool]] = field(default_factory=dict[str, tuple[Incident, bool]])
    """Incidents that have an outcome and count more errors now, by id; and whether one came after the last attempt."""
    late: dict[str, list[str]] = field(default_factory=dict[str, list[str]])
    """Event ids that are settled as soon as they are on disk, by incident id."""
    refused: list[Rejected] = field(default_factory=list[Rejected])
    rejected: list[RecoveryOutcome] = field(default_factory=list[RecoveryOutcome])


class _Name(WireModel):
    """What can be read of an error that is refused."""

    id: str


def _overtaken(error: ErrorReported) -> bool:
    """Whether the agent itself says that the error is older than its last action."""
    return error.attributes.get(OVERTAKEN) is True


class Intake:
    """Groups and counts the errors of one partition into its state."""

    def __init__(
        self,
        bus: Bus,
        subjects: Subjects,
        service: str,
        policies: Policies,
        tracer: Tracer,
        state: PartitionState,
        fingerprints: Fingerprints,
        rates: Rates,
        now: Callable[[], int],
        meter: Meter,
    ) -> None:
        self._bus = bus
        self._subjects = subjects
        self._dead = subjects.dead(service)
        self._policies = policies
        self._tracer = tracer
        self._state = state
        self._fingerprints = fingerprints
        self._rates = rates
        self._now = now
        self._meter = meter

    async def take(self, lane: Lane, deliveries: Sequence[Delivery]) -> Taken:
        """Counts a batch into the state; what was counted before is left alone. Dead letters are stored on the way."""
        taken = Taken()
        read = [(delivery, error) for delivery in deliveries if (error := await self._accept(lane, delivery, taken))]
        # From here on without a pause: state and journal must not be seen apart.
        counts: dict[str, tuple[list[int], list[str], list[int]]] = {}
        newest: dict[str, int] = {}
        for delivery, error in read:
            sequence = delivery.message.sequence
            if self._state.counted(lane, sequence):
                continue
            opened = len(taken.opened)
            incident = self._group(delivery, error, taken)
            self._measure(delivery, error, opened=len(taken.opened) > opened)
            self._state.sequences[lane].add(sequence)
            sequences, event_ids, times = counts.setdefault(incident.id, ([], [], []))
            sequences.append(sequence)
            event_ids.append(error.id)
            times.append(error.count)
            if not _overtaken(error) and not is_predicted(error):
                newest[incident.id] = max(newest.get(incident.id, 0), delivery.message.time_unix_nano)
            if not is_predicted(error):
                self._rates.count(error.agent.key, error.count)
        for incident_id, (sequences, event_ids, times) in counts.items():
            incident = self._state.incidents[incident_id]
            fresh = newest.get(incident_id, 0) > incident.ended_unix_nano
            if incident.standing is not None:
                taken.recounted[incident_id] = incident, fresh
                taken.late[incident_id] = event_ids
            taken.entries.append(
                Counted(
                    incident_id=incident_id,
                    lane=lane,
                    sequences=sequences,
                    event_ids=event_ids,
                    error_count=sum(times),
                    repeated=True if fresh and incident.phase == "settling" else None,
                )
            )
        taken.entries += taken.refused
        for entry in taken.entries:
            if isinstance(entry, Counted | Rejected):
                self._state.apply(entry, self._now())
        return taken

    async def _accept(self, lane: Lane, delivery: Delivery, taken: Taken) -> ErrorReported | None:
        """The error of a delivery, unless it was counted before or is refused."""
        if self._state.counted(lane, delivery.message.sequence):
            self._meter.add(instruments.REDELIVERED)
            return None
        try:
            return self._read(delivery)
        except Refused as refused:
            await self._reject(delivery, lane, refused, taken)
            return None

    def _measure(self, delivery: Delivery, error: ErrorReported, *, opened: bool) -> None:
        if is_canary(error.agent) or is_predicted(error):
            return
        named = error.severity or "unknown", error.agent.kind
        self._meter.add(instruments.ERRORS, error.count, *named)
        if error.count > opened:
            self._meter.add(instruments.DEDUPLICATED, error.count - opened, *named)
        waited = (self._now() - delivery.message.time_unix_nano) / _NANO
        self._meter.record(instruments.STAGES_TAKEN, waited, "queue")

    def _read(self, delivery: Delivery) -> ErrorReported:
        message = delivery.message
        tokens = self._subjects.stored_error(message.subject)
        codec.check_content_type(message.headers)
        error = codec.decode(ErrorReported, message.body)
        codec.check_agent(error.agent, tokens.kind, tokens.agent)
        codec.check_severity(error.severity, tokens.severity)
        return error

    def _group(self, delivery: Delivery, error: ErrorReported, taken: Taken) -> Incident:
        """The incident that an error belongs to; opens one if there is none."""
        fingerprint = self._fingerprints.of(error)
        incident = self._state.current(error.agent.key, fingerprint)
        stale = _overtaken(error) or delivery.message.time_unix_nano < self._state.acted.get(error.agent.key, 0)
        if incident is not None and (incident.phase != "closed" or stale):
            return incident
        return self._open(delivery, error, fingerprint, incident, taken, stale=stale)

    def _open(
        self,
        delivery: Delivery,
        error: ErrorReported,
        fingerprint: str,
        before: Incident | None,
        taken: Taken,
        *,
        stale: bool,
    ) -> Incident:
        now = self._now()
        # The first to keep it: what agents in other languages send may hold anything.
        error = redact_error(error, self._policies.current.redaction)
        recurs = (
            before is not None
            and before.standing == "recovered"
            and now - before.concluded_unix_nano <= self._policies.current.recurrence_seconds * _NANO
        )
        incident_id = new_id(now)
        parent = parent_of(delivery.message.headers)
        span = self._process_span(delivery, error, incident_id, parent, now)
        opened = Opened(
            incident_id=incident_id,
            agent=error.agent,
            fingerprint=fingerprint,
            error=error,
            stale=stale,
            recurrence_of=before.id if before is not None and recurs else None,
            tried=list(before.tried) if before is not None and recurs else [],
            trace_id=span.trace_id,
            traceparent=parent or span.traceparent or None,
        )
        self._state.apply(opened, now)
        incident = self._state.incidents[incident_id]
        taken.entries.append(opened)
        taken.opened.append((incident, span))
        return incident

    def _process_span(
        self, delivery: Delivery, error: ErrorReported, incident_id: str, parent: str | None, now: int
    ) -> Span:
        attributes: dict[str, AttributeValue] = {
            "mendbus.incident.id": incident_id,
            "mendbus.agent": error.agent.key,
            "messaging.system": "nats",
            "messaging.operation.name": "process",
            "messaging.operation.type": "process",
            "messaging.destination.template": _TEMPLATE,
            "messaging.message.id": error.id,
            "messaging.nats.sequence": delivery.message.sequence,
            "messaging.nats.delivery_count": delivery.attempt,
            "error.type": error.exception.type,
            "exception.message": error.exception.message[:256],
        }
        return self._tracer.start("process error", "consumer", parent, attributes, now)

    async def _reject(self, delivery: Delivery, lane: Lane, refused: Refused, taken: Taken) -> None:
        message = delivery.message
        original = self._as_sent(message.subject)
        await store_dead_letter(self._bus, self._dead, original, message.body, message.headers, refused, self._meter)
        taken.refused.append(Rejected(lane=lane, sequence=message.sequence, code=refused.code))
        outcome = self._rejection(message.subject, message.body, refused)
        if outcome is not None:
            taken.rejected.append(outcome)
            self._meter.add(instruments.OUTCOMES, 1, "rejected", "none")

    def _as_sent(self, stored: str) -> str:
        """The subject as the sender wrote it, before the stream put the partition in."""
        tokens = stored.removeprefix(f"{self._subjects.root}.errors.").split(".", 1)
        return f"{self._subjects.root}.error.{tokens[1]}" if len(tokens) > 1 else stored

    def _rejection(self, subject: str, body: bytes, refused: Refused) -> RecoveryOutcome | None:
        """The outcome `rejected` for the sender, if the event's id can be read."""
        try:
            kind, agent_id = self._subjects.agent_of(subject)
            event_id = codec.decode(_Name, body).id
        except Refused:
            return None
        if not is_token(event_id):
            return None
        return RecoveryOutcome(
            incident_id=event_id,
            sequence=0,
            agent=AgentRef(kind=kind, id=agent_id),
            fingerprint="",
            outcome="rejected",
            reason=refused.reason[:1000],
            error_count=0,
            event_count=0,
            event_ids=[event_id],
            trace_id="",
        )
