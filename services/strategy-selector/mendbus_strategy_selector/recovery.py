"""The whole way of an incident: classify, assess, decide, journal, execute, journal, tell; then settle and lift.

Nothing is commanded that is not on disk, nothing is told that is not on disk, and whatever is found half done after a
crash is finished under the same command id.
"""

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from mendbus.contracts.asks import Assess, Assessment, AttemptResult, Classification, Execute
from mendbus.contracts.ids import new_id
from mendbus.contracts.journal import Attempted, Commanded, Concluded, Decided, Entry, Held, Released
from mendbus.contracts.messages import (
    ClassificationSummary,
    DecisionSummary,
    PredictionSummary,
    RecoveryCommand,
    RecoveryOutcome,
)
from mendbus.contracts.vocabulary import LIMITING, UNDOABLE, Action, Outcome, Strategy
from mendbus.telemetry import AttributeValue, Kind, Span, Tracer
from mendbus_strategy_selector.agents import Agents
from mendbus_strategy_selector.asks import Asks
from mendbus_strategy_selector.decide import Choice, DecisionState, decide
from mendbus_strategy_selector.journal import Journal
from mendbus_strategy_selector.policy import Policy
from mendbus_strategy_selector.rates import Rates
from mendbus_strategy_selector.state import Incident, PartitionState
from mendbus_strategy_selector.telling import Teller

log = logging.getLogger("mendbus")

_NANO = 1_000_000_000
_COMMAND_EVENTS = 16
_PROBE_MS = 1000
_UNDO_MS = 1000


@dataclass(slots=True)
class Context:
    """What recoveries need from outside the partition."""

    asks: Asks
    agents: Agents
    policy: Policy
    tracer: Tracer
    now: Callable[[], int]


class Recoveries:
    """Carries out the recoveries of one partition."""

    def __init__(self, context: Context, state: PartitionState, journal: Journal, teller: Teller, rates: Rates) -> None:
        self._asks = context.asks
        self._agents = context.agents
        self._policy = context.policy
        self._tracer = context.tracer
        self._now = context.now
        self._state = state
        self._journal = journal
        self._teller = teller
        self._rates = rates
        self._repeats: dict[str, asyncio.Event] = {}

    # The way

    async def recover(self, incident: Incident, span: Span) -> None:
        """From an open incident to its first outcome."""
        try:
            classification = await self._classify(incident, span)
            prediction = await self._assess(incident, classification, span)
            await self._climb(incident, classification, prediction, span)
        except Exception as error:
            log.exception("recovering %s failed", incident.id)
            await self._conclude(incident, "escalated", f"internal error: {error!r}"[:1000], span)
        finally:
            outcome = incident.outcome.outcome if incident.outcome else "interrupted"
            span.end({"mendbus.outcome": outcome, "mendbus.error_count": incident.error_count})

    async def _climb(
        self,
        incident: Incident,
        classification: Classification,
        prediction: PredictionSummary | None,
        span: Span,
    ) -> None:
        """Rung after rung, until an attempt is verified or the policy gives up."""
        probe = (
            None if incident.attempts or incident.pending else await self._probe_first(incident, classification, span)
        )
        while True:
            if incident.pending is None:
                choice, selected = self._decide(incident, classification, prediction, probe, span)
                if not await self._intend(incident, choice, selected, classification, prediction):
                    await self._conclude(incident, choice.outcome or "escalated", choice.reason, span)
                    return
            command = incident.pending
            if command is None:
                return
            result = await self._execute(incident, command, span)
            attempted = Attempted(
                incident_id=incident.id, command_id=command.command_id, result=result, ended_unix_nano=self._now()
            )
            if command.action == "apply" and result.verified:
                await self._conclude(incident, "recovered", result.detail or "the probe is healthy", span, attempted)
                return
            await self._write(attempted)
            if command.action == "apply" and command.strategy in UNDOABLE and result.status in ("done", "accepted"):
                await self._intend_undo(incident, command, result.undo_token)

    async def _classify(self, incident: Incident, parent: Span) -> Classification:
        if incident.classification is not None:
            return incident.classification
        span = self._span("classify", "client", parent, incident)
        found = await self._asks.classify(incident.error, incident.fingerprint, span)
        span.end({"mendbus.category": found.category, "mendbus.severity": found.severity})
        incident.times = incident.times.model_copy(update={"classified": self._now()})
        return found

    async def _assess(
        self, incident: Incident, classification: Classification, parent: Span
    ) -> PredictionSummary | None:
        if incident.prediction is not None or incident.attempts or not self._policy.enable_predictive_failure_detection:
            return incident.prediction
        span = self._span("assess", "client", parent, incident)
        question = Assess(
            error=incident.error,
            fingerprint=incident.fingerprint,
            classification=classification,
            recurrences=1 if incident.recurrence_of else 0,
            open_incidents=self._state.open[incident.agent.key],
            errors_per_minute=self._rates.per_minute(incident.agent.key),
        )
        found: Assessment | None = await self._asks.assess(question, span)
        span.end({"mendbus.prediction.valid": found is not None and found.prediction.valid})
        incident.times = incident.times.model_copy(update={"assessed": self._now()})
        return found.prediction if found else None

    async def _probe_first(self, incident: Incident, classification: Classification, parent: Span) -> Any:
        if classification.severity != "warning" and not incident.stale:
            return None
        result = await self._probe(incident, parent)
        return "healthy" if result.verified else "unhealthy"

    def _decide(
        self,
        incident: Incident,
        classification: Classification,
        prediction: PredictionSummary | None,
        probe: Any,
        parent: Span,
    ) -> tuple[Choice, DecisionSummary]:
        begun = self._now()
        state = DecisionState(
            severity=classification.severity,
            category=classification.category,
            confidence=classification.confidence,
            stale=incident.stale,
            probe=probe,
            prediction_valid=prediction is not None and prediction.valid,
            prediction_strategy=prediction.strategy if prediction else None,
            prediction_confidence=prediction.confidence if prediction else 0.0,
            supported=self._agents.supported(incident.agent.key),
            tried=list(incident.tried),
            attempts=len(incident.attempts),
            spent_ms=incident.spent_ms,
        )
        choice = decide(self._policy, state)
        summary = DecisionSummary(
            policy=self._policy.digest,
            rule=choice.rule,
            reason=choice.reason,
            alternatives=choice.alternatives,
            state=state.model_dump(exclude_none=True),
        )
        attributes: dict[str, AttributeValue] = {"mendbus.incident.id": incident.id, "mendbus.rule": choice.rule}
        if choice.strategy:
            attributes["mendbus.strategy"] = choice.strategy
        span = self._tracer.start("decide", "internal", parent.traceparent or None, attributes, begun)
        span.end()
        return choice, summary

    async def _intend(
        self,
        incident: Incident,
        choice: Choice,
        decision: DecisionSummary,
        classification: Classification,
        prediction: PredictionSummary | None,
    ) -> bool:
        """Puts the decision on disk, and with it the intent; whether there is one."""
        now = self._now()
        command = None
        times = incident.times.model_copy(update={"selected": now})
        if choice.outcome is None and choice.strategy is not None:
            command = self._command(incident, "apply", choice.strategy, classification)
            times = times.model_copy(update={"commanded": now})
        decided = Decided(
            incident_id=incident.id,
            attempt=len(incident.attempts) + 1,
            strategy=choice.strategy,
            decision=decision,
            classification=classification,
            prediction=prediction,
            command=command,
            times=times,
        )
        if command is None:
            self._apply(decided)
            self._journal.append(decided)
            return False
        await self._write(decided)
        return True

    async def _intend_undo(self, incident: Incident, command: RecoveryCommand, undo_token: str | None) -> None:
        undo = self._command(incident, "undo", command.strategy, incident.classification, undo_token)
        await self._write(Commanded(incident_id=incident.id, command=undo))

    def _command(
        self,
        incident: Incident,
        action: Action,
        strategy: Strategy,
        classification: Classification | None,
        undo_token: str | None = None,
    ) -> RecoveryCommand:
        attempt = len(incident.attempts) + (1 if action == "apply" else 0)
        parameters: dict[str, Any] = dict(self._policy.parameters.get(strategy, {})) if action == "apply" else {}
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
            operation=incident.error.operation,
            category=classification.category if classification else None,
            event_ids=incident.first_event_ids[:_COMMAND_EVENTS],
            checkpoint_id=incident.error.checkpoint_id,
            parameters=parameters,
            timeout_ms=timeout_ms,
            deadline_unix_nano=self._now() + timeout_ms * 1_000_000,
            fence=self._journal.position.sequence,
            instance=self._agents.instance(incident.agent.key),
        )

    def _timeout_ms(self, incident: Incident) -> int:
        """An equal share of the time that is left for each attempt that is left."""
        left = max(1, self._policy.recovery_timeout_ms - incident.spent_ms)
        return max(1, left // max(1, self._policy.max_recovery_attempts - len(incident.attempts)))

    async def _execute(self, incident: Incident, command: RecoveryCommand, parent: Span) -> AttemptResult:
        name = f"execute {command.strategy}" if command.action == "apply" else f"{command.action} {command.strategy}"
        span = self._span(name, "client", parent, incident, {"mendbus.strategy": command.strategy})
        result = await self._asks.execute(
            Execute(
                incident_id=incident.id,
                agent_kind=incident.agent.kind,
                agent_id=incident.agent.id,
                command=command,
                operation=incident.error.operation,
                timeout_ms=command.timeout_ms,
            ),
            span,
        )
        failure = None if result.verified or command.action != "apply" else (result.code or result.status)
        span.end({"mendbus.attempt.status": result.status, "mendbus.verified": result.verified}, error=failure)
        return result

    async def _probe(self, incident: Incident, parent: Span | None) -> AttemptResult:
        span = self._span("probe", "client", parent, incident)
        probe = Execute(
            incident_id=incident.id,
            agent_kind=incident.agent.kind,
            agent_id=incident.agent.id,
            operation=incident.error.operation,
            timeout_ms=_PROBE_MS,
        )
        result = await self._asks.execute(probe, span)
        span.end({"mendbus.verified": result.verified})
        return result

    # The end, and after it

    async def _conclude(
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
            self._apply(entry)
        waiting = list(incident.unsettled)
        told = self.outcome_of(incident, outcome, reason, settled=settled)
        concluded = Concluded(outcome=told)
        self._apply(concluded)
        await self._journal.append(*before, concluded)
        await self._tell(incident, told, span)
        if waiting:
            await self._teller.settle(incident.agent, waiting, outcome, incident.id)

    async def _tell(self, incident: Incident, told: RecoveryOutcome, parent: Span | None) -> None:
        attributes: dict[str, AttributeValue] = {
            "mendbus.outcome": told.outcome,
            "mendbus.outcome.sequence": told.sequence,
            "mendbus.attempts": len(told.attempts),
            "mendbus.error_count": told.error_count,
        }
        if told.strategy:
            attributes["mendbus.strategy"] = told.strategy
        span = self._span("outcome", "producer", parent, incident, attributes)
        self._teller.tell(told, span.traceparent)
        span.end()

    def outcome_of(
        self, incident: Incident, outcome: Outcome, reason: str | None, *, settled: bool = False
    ) -> RecoveryOutcome:
        """An incident as the next outcome tells it."""
        found, last = incident.classification, incident.outcome
        undone = bool(incident.attempts and incident.attempts[-1].undone)
        return RecoveryOutcome(
            incident_id=incident.id,
            sequence=0 if last is None else last.sequence + 1,
            agent=incident.agent,
            fingerprint=incident.fingerprint,
            outcome=outcome,
            reason=reason,
            strategy=incident.strategy,
            attempts=incident.attempts,
            error_count=incident.error_count,
            event_count=incident.event_count,
            event_ids=incident.first_event_ids,
            error=incident.error,
            classification=None
            if found is None
            else ClassificationSummary(
                category=found.category, severity=found.severity, confidence=found.confidence, model=found.model
            ),
            prediction=incident.prediction,
            decision=incident.decision,
            times=incident.times,
            trace_id=incident.trace_id,
            settled=settled or (last.settled if last else None),
            undone=undone if settled or undone else None,
        )

    async def tell_late(self, incident: Incident) -> None:
        """Tells that errors were counted after the last outcome."""
        last = incident.outcome
        if last is not None and incident.untold:
            told = self.outcome_of(incident, last.outcome, last.reason)
            self._apply(Concluded(outcome=told))
            await self._journal.append(Concluded(outcome=told))
            self._teller.tell(told)

    def repeated(self, incident: Incident) -> None:
        """The error came again while its recovery was settling."""
        if incident.phase == "settling" and incident.id in self._repeats:
            self._repeats[incident.id].set()

    async def settle(self, incident: Incident) -> bool:
        """Watches a recovery until it settles; False when it did not hold and the next rung is due."""
        ended = incident.attempts[-1].ended_unix_nano if incident.attempts else incident.concluded_unix_nano
        seconds = self._policy.settle_seconds - (self._now() - ended) / _NANO
        repeat = self._repeats[incident.id] = asyncio.Event()
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(max(0.0, seconds)):
                    await repeat.wait()
            if repeat.is_set():
                return False
            if self._agents.left(incident.agent.key):
                await self._settled(incident, "the agent said goodbye")
                return True
            result = await self._probe(incident, None)
            if repeat.is_set() or not result.verified:
                return False
            await self._settled(incident, "still healthy when the settle window ended")
            return True
        finally:
            del self._repeats[incident.id]

    async def _settled(self, incident: Incident, reason: str) -> None:
        applied = incident.strategy in LIMITING and bool(incident.attempts) and not incident.attempts[-1].undone
        entries: list[Entry] = []
        if applied:
            until = self._now() + int(self._policy.hold_seconds * _NANO)
            entries.append(Held(incident_id=incident.id, until_unix_nano=until))
        await self._conclude(incident, "recovered", reason, None, *entries, settled=True)

    async def relapse(self, incident: Incident, span: Span) -> None:
        """A recovery did not hold: take it back where that is possible, then the next rung, in the same incident."""
        classification = await self._classify(incident, span)
        last = incident.attempts[-1] if incident.attempts else None
        try:
            if last is not None and last.strategy in UNDOABLE and not last.undone and incident.pending is None:
                undo = self._command(incident, "undo", last.strategy, classification)
                await self._write(Commanded(incident_id=incident.id, command=undo))
            await self._climb(incident, classification, incident.prediction, span)
        except Exception as error:
            log.exception("recovering %s again failed", incident.id)
            await self._conclude(incident, "escalated", f"internal error: {error!r}"[:1000], span)
        finally:
            span.end()

    async def lift(self, incident: Incident) -> bool:
        """Ends a limiting strategy if its agent is healthy now; False when it must be held longer."""
        span = self._span("restore", "internal", None, incident)
        try:
            if self._agents.left(incident.agent.key):
                await self._write(Released(incident_id=incident.id, detail="the agent said goodbye"))
                return True
            if incident.pending is None:
                if not (await self._probe(incident, span)).verified:
                    until = self._now() + int(self._policy.hold_seconds * _NANO)
                    await self._write(Held(incident_id=incident.id, until_unix_nano=until))
                    return False
                restore = self._command(incident, "restore", incident.strategy or "fallback", incident.classification)
                await self._write(Commanded(incident_id=incident.id, command=restore))
            command = incident.pending
            if command is not None:
                result = await self._execute(incident, command, span)
                detail = f"restore: {result.status}" + (f", {result.code}" if result.code else "")
                attempted = Attempted(
                    incident_id=incident.id, command_id=command.command_id, result=result, ended_unix_nano=self._now()
                )
                await self._write(attempted, Released(incident_id=incident.id, detail=detail))
            return True
        finally:
            span.end()

    # Helpers

    def _apply(self, entry: Entry) -> None:
        self._state.apply(entry, self._now())

    async def _write(self, *entries: Entry) -> None:
        for entry in entries:
            self._apply(entry)
        await self._journal.append(*entries)

    def _span(
        self,
        name: str,
        kind: Kind,
        parent: Span | None,
        incident: Incident,
        attributes: dict[str, AttributeValue] | None = None,
    ) -> Span:
        facts: dict[str, AttributeValue] = {"mendbus.incident.id": incident.id, **(attributes or {})}
        above = (parent.traceparent if parent else None) or incident.traceparent
        return self._tracer.start(name, kind, above or None, facts)
