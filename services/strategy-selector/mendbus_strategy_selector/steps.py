"""The steps a recovery is made of: write to the journal, command and probe through an executor, conclude and tell.

Nothing is commanded that is not on disk, and nothing is told that is not on disk.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from mendbus import codec, instruments
from mendbus.contracts.asks import AttemptResult, Classification, Execute
from mendbus.contracts.canary import is_canary
from mendbus.contracts.foreseen import is_predicted
from mendbus.contracts.ids import new_id
from mendbus.contracts.journal import Concluded, Entry
from mendbus.contracts.messages import RecoveryCommand, RecoveryOutcome
from mendbus.contracts.summaries import ClassificationSummary
from mendbus.contracts.vocabulary import Action, Outcome, Strategy
from mendbus.metrics import Meter
from mendbus.telemetry import AttributeValue, Kind, Span, Tracer
from mendbus_strategy_selector.agents import Agents
from mendbus_strategy_selector.asks import Asks
from mendbus_strategy_selector.choices import Choices
from mendbus_strategy_selector.dependencies import notice_of
from mendbus_strategy_selector.incident import Incident, retold
from mendbus_strategy_selector.journal import Journal, Position
from mendbus_strategy_selector.overview import Overview
from mendbus_strategy_selector.policies import Policies
from mendbus_strategy_selector.policy import Policy
from mendbus_strategy_selector.state import PartitionState
from mendbus_strategy_selector.telling import Teller

log = logging.getLogger("mendbus")

_COMMAND_EVENTS = 16
_PROBE_MS = 1000
_UNDO_MS = 1000
_NANO = 1_000_000_000


@dataclass(slots=True)
class Context:
    """What recoveries need from outside the partition."""

    asks: Asks
    agents: Agents
    policies: Policies
    overview: Overview
    choices: Choices
    tracer: Tracer
    now: Callable[[], int]
    meter: Meter

    @property
    def policy(self) -> Policy:
        """The policy as it is now."""
        return self.policies.current


class Steps:
    """The steps, on the state and the journal of one partition."""

    def __init__(self, context: Context, state: PartitionState, journal: Journal, teller: Teller) -> None:
        self.context = context
        self.state = state
        self.now = context.now
        self._journal = journal
        self._teller = teller

    def note(self, entry: Entry) -> None:
        """Takes an entry in and journals it with whatever is written next."""
        self.state.apply(entry, self.now())
        self._journal.append(entry)

    async def write(self, *entries: Entry) -> None:
        """Takes entries in and journals them together; returns when they are on disk."""
        for entry in entries:
            self.state.apply(entry, self.now())
        await self._journal.append(*entries)

    def took(self, incident: Incident, stage: str, since_unix_nano: int) -> None:
        """Measures a stage of a recovery that ends now."""
        if not is_canary(incident.agent):
            self.context.meter.record(instruments.STAGES_TAKEN, (self.now() - since_unix_nano) / _NANO, stage)

    def _count(self, incident: Incident, outcome: Outcome) -> None:
        if is_canary(incident.agent):
            return
        self.context.meter.add(instruments.OUTCOMES, 1, outcome, incident.strategy or "none")
        times = incident.details.times
        if outcome == "recovered" and times.reported and times.verified and not is_predicted(incident.error):
            taken = (times.verified - times.reported) / _NANO
            strategy = incident.strategy or "none"
            self.context.meter.record(instruments.STAGES_TAKEN, taken, "recovery")
            self.context.meter.record(instruments.RECOVERIES, taken, strategy, incident.agent.kind)
            self.context.meter.record(instruments.RECOVERY_ATTEMPTS, len(incident.attempts), strategy)

    def span(
        self,
        name: str,
        kind: Kind,
        parent: Span | None,
        incident: Incident,
        attributes: dict[str, AttributeValue] | None = None,
    ) -> Span:
        """A span of an incident, below `parent` or else below what the agent sent."""
        facts: dict[str, AttributeValue] = {"mendbus.incident.id": incident.id, **(attributes or {})}
        above = (parent.traceparent if parent else None) or incident.traceparent
        return self.context.tracer.start(name, kind, above or None, facts)

    def command(
        self,
        incident: Incident,
        action: Action,
        strategy: Strategy,
        classification: Classification | None,
        undo_token: str | None = None,
    ) -> RecoveryCommand:
        """A new command for an incident; it goes out once an intent with it is on disk."""
        attempt = len(incident.attempts) + (1 if action == "apply" else 0)
        parameters: dict[str, Any] = dict(self.context.policy.parameters.get(strategy, {})) if action == "apply" else {}
        if undo_token:
            parameters["undo_token"] = undo_token
        timeout_ms = self._timeout_ms(incident) if action == "apply" else _UNDO_MS
        return RecoveryCommand(
            command_id=new_id(),
            incident_id=incident.id,
            attempt=attempt,
            agent=incident.agent,
            action=action,
            strategy=strategy,
            operation=incident.operation,
            category=classification.category if classification else None,
            event_ids=incident.details.event_ids[:_COMMAND_EVENTS],
            checkpoint_id=incident.error.checkpoint_id,
            parameters=parameters,
            timeout_ms=timeout_ms,
            deadline_unix_nano=self.now() + timeout_ms * 1_000_000,
            fence=self._journal.position.sequence,
            # An agent whose hello has not come yet is known by what its error said of it.
            instance=self.context.agents.instance(incident.agent.key) or incident.agent.instance,
        )

    def _timeout_ms(self, incident: Incident) -> int:
        """An equal share of the time that is left for each attempt that is left."""
        left = max(1, self.context.policy.recovery_timeout_ms - incident.spent_ms)
        return max(1, left // max(1, self.context.policy.max_recovery_attempts - len(incident.attempts)))

    async def execute(self, incident: Incident, command: RecoveryCommand, parent: Span) -> AttemptResult:
        """Has a command carried out and verified."""
        name = f"execute {command.strategy}" if command.action == "apply" else f"{command.action} {command.strategy}"
        span = self.span(name, "client", parent, incident, {"mendbus.strategy": command.strategy})
        begun = self.now()
        result = await self.context.asks.execute(
            Execute(
                incident_id=incident.id,
                agent_kind=incident.agent.kind,
                agent_id=incident.agent.id,
                command=command,
                operation=incident.operation,
                timeout_ms=command.timeout_ms,
            ),
            span,
        )
        self.took(incident, "execute", begun)
        if command.action == "apply" and not is_canary(incident.agent):
            verified = "true" if result.verified else "false"
            self.context.meter.add(instruments.ATTEMPTS, 1, command.strategy, verified)
        failure = None if result.verified or command.action != "apply" else (result.code or result.status)
        span.end({"mendbus.attempt.status": result.status, "mendbus.verified": result.verified}, error=failure)
        return result

    async def notify(self, command: RecoveryCommand, result: AttemptResult) -> None:
        """Tells all agents of a peer that a command cut off, handed over or brought back."""
        event = notice_of(command, result)
        if event is not None:
            await self._teller.notice(command, event, self.now())

    async def probe(self, incident: Incident, parent: Span | None) -> AttemptResult:
        """Has the agent exercise what failed, and nothing else."""
        span = self.span("probe", "client", parent, incident)
        probe = Execute(
            incident_id=incident.id,
            agent_kind=incident.agent.kind,
            agent_id=incident.agent.id,
            operation=incident.operation,
            timeout_ms=_PROBE_MS,
        )
        result = await self.context.asks.execute(probe, span)
        span.end({"mendbus.verified": result.verified})
        return result

    async def conclude(
        self,
        incident: Incident,
        outcome: Outcome,
        reason: str,
        span: Span | None,
        *before: Entry,
        settled: bool = False,
    ) -> None:
        """Writes an outcome together with the entries that led to it, then tells it."""
        for entry in before:
            self.state.apply(entry, self.now())
        waiting = list(incident.unsettled)
        told = self.outcome_of(incident, outcome, reason, settled=settled)
        self.state.apply(Concluded(outcome=told), self.now())
        incident.body = body = codec.encode(told)
        sequence, count, attempts = told.sequence, told.error_count, len(told.attempts)
        begun = self.now()
        position = await self._journal.append(*before, _concluded(body), lazy=settled)
        if not settled:
            self.took(incident, "journal", begun)
            self._count(incident, outcome)
        self._recorded(incident, sequence, position)
        self._tell(incident, outcome, sequence, count, attempts, body, span)
        if waiting:
            await self._teller.settle(incident.agent, waiting, outcome, incident.id)

    async def settle(self, incident: Incident, reason: str, *before: Entry) -> None:
        """Concludes that a recovery has held; details that rest are told as they are, without becoming models."""
        if not isinstance(incident.stored, bytes):
            await self.conclude(incident, "recovered", reason, None, *before, settled=True)
            return
        now, sequence, count = self.now(), incident.sequence + 1, incident.error_count
        body, content, attempts = retold(
            incident.stored,
            sequence=sequence,
            reason=reason,
            error_count=count,
            event_count=incident.event_count,
            symptoms=self.context.overview.incidents.symptoms(incident.id),
        )
        for entry in before:
            self.state.apply(entry, now)
        self.state.settle(incident, content, now)
        position = await self._journal.append(*before, _concluded(body), lazy=True)
        self._recorded(incident, sequence, position)
        self._tell(incident, "recovered", sequence, count, attempts, body, None)

    def _tell(
        self,
        incident: Incident,
        outcome: Outcome,
        sequence: int,
        count: int,
        attempts: int,
        body: bytes,
        parent: Span | None,
    ) -> None:
        attributes: dict[str, AttributeValue] = {
            "mendbus.outcome": outcome,
            "mendbus.outcome.sequence": sequence,
            "mendbus.attempts": attempts,
            "mendbus.error_count": count,
        }
        if incident.strategy:
            attributes["mendbus.strategy"] = incident.strategy
        span = self.span("outcome", "producer", parent, incident, attributes)
        self._teller.tell_packed(incident.id, sequence, incident.agent, body, span.traceparent)
        span.end()

    def outcome_of(
        self, incident: Incident, outcome: Outcome, reason: str | None, *, settled: bool = False
    ) -> RecoveryOutcome:
        """An incident as the next outcome tells it."""
        details = incident.details
        found, last = details.classification, details.outcome
        undone = bool(details.attempts and details.attempts[-1].undone)
        return RecoveryOutcome(
            incident_id=incident.id,
            sequence=0 if last is None else last.sequence + 1,
            agent=incident.agent,
            fingerprint=incident.fingerprint,
            outcome=outcome,
            reason=reason,
            strategy=incident.strategy,
            attempts=details.attempts,
            error_count=incident.error_count,
            event_count=incident.event_count,
            event_ids=details.event_ids,
            symptoms=self.context.overview.incidents.symptoms(incident.id),
            error=details.error,
            classification=None
            if found is None
            else ClassificationSummary(
                category=found.category, severity=found.severity, confidence=found.confidence, model=found.model
            ),
            prediction=details.prediction,
            decision=details.decision,
            times=details.times,
            trace_id=details.trace_id,
            settled=settled or (last.settled if last else None),
            undone=undone if settled or undone else None,
        )

    async def tell_late(self, incident: Incident) -> None:
        """Tells that errors were counted after the last outcome. Raises `BusError` when that cannot be read back."""
        if not incident.untold:
            return
        if incident.slim:
            last = await self._journal.outcome(incident.recorded, incident.id)
            if last is not None and last.error is not None and last.sequence == incident.sequence:
                self.state.recall(incident, last)
        if incident.slim:
            log.error("the journal no longer has the outcome of %s: it is told again without details", incident.id)
            told = _bare(incident)
        else:
            last = incident.details.outcome
            told = self.outcome_of(incident, incident.standing or "escalated", last.reason if last else None)
        self.state.apply(Concluded(outcome=told), self.now())
        body = codec.encode(told)
        self._recorded(incident, told.sequence, await self._journal.append(_concluded(body)))
        self._teller.tell(told, body)

    def _recorded(self, incident: Incident, sequence: int, position: Position) -> None:
        # One that was told meanwhile stands in a later record.
        if incident.sequence == sequence:
            incident.recorded = position.sequence


def _bare(incident: Incident) -> RecoveryOutcome:
    """The next outcome of an incident of which only the counts are left."""
    return RecoveryOutcome(
        incident_id=incident.id,
        sequence=incident.sequence + 1,
        agent=incident.agent,
        fingerprint=incident.fingerprint,
        outcome=incident.standing or "escalated",
        reason="counted late, when the journal no longer had the details",
        strategy=incident.strategy,
        error_count=incident.error_count,
        event_count=incident.event_count,
        event_ids=list(incident.late_event_ids),
        trace_id="",
        settled=True,
    )


def _concluded(outcome: bytes) -> bytes:
    """The journal's entry of a packed outcome, which is large: packed once, it is both written and told."""
    return codec.pack_with({"type": "concluded"}, "outcome", outcome)
