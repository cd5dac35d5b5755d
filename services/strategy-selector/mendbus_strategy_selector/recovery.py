"""The whole way of an incident: classify, assess, decide, journal, execute, journal, tell.

What is found half done after a crash is finished under the same command id.
"""

import asyncio
import logging
from typing import Any

from mendbus import instruments
from mendbus.contracts.asks import Assess, Assessment, AttemptResult, Classification
from mendbus.contracts.canary import is_canary
from mendbus.contracts.journal import Attempted, Commanded, Decided, Held
from mendbus.contracts.messages import RecoveryCommand
from mendbus.contracts.summaries import DecisionSummary, PredictionSummary
from mendbus.contracts.vocabulary import LIMITING, UNDOABLE, Strategy
from mendbus.telemetry import AttributeValue, Span
from mendbus_strategy_selector.asks import NO_EXECUTOR
from mendbus_strategy_selector.budgets import Spent
from mendbus_strategy_selector.choosing import Learned, role
from mendbus_strategy_selector.decide import RETRY_BUDGET, Choice, DecisionState, decide
from mendbus_strategy_selector.dependencies import graver_of, reported_of, upstream_of
from mendbus_strategy_selector.experience import Seen
from mendbus_strategy_selector.foreseen import predicted_of, summary_of
from mendbus_strategy_selector.incident import Incident
from mendbus_strategy_selector.preventing import PREVENTIVE
from mendbus_strategy_selector.rates import Rates
from mendbus_strategy_selector.steps import Steps

log = logging.getLogger("mendbus")

_NANO = 1_000_000_000
_BUDGET_PAUSE_SECONDS = 0.1
_CLEARING_NANO = _NANO
_CLEARING_STEP_SECONDS = 0.1
"""So long, and at such intervals, a dependent is probed once what it depends on has recovered."""
_UNSURE = (NO_EXECUTOR, "no_answer", "bad_answer", "interrupted")
"""Codes of commands that may have taken effect all the same."""


class Recoveries:
    """Carries out the recoveries of one partition."""

    def __init__(self, steps: Steps, rates: Rates) -> None:
        self._steps = steps
        self._context = steps.context
        self._rates = rates

    async def recover(self, incident: Incident, span: Span) -> None:
        """From an open incident to its first outcome."""
        try:
            classification = await self._classify(incident, span)
            prediction = await self._assess(incident, classification, span)
            await self._climb(incident, classification, prediction, span)
        except Exception as error:
            log.exception("recovering %s failed", incident.id, extra={**span.logged, "incident_id": incident.id})
            await self._steps.conclude(incident, "escalated", f"internal error: {error!r}"[:1000], span)
        finally:
            span.end({"mendbus.outcome": incident.standing or "waiting", "mendbus.error_count": incident.error_count})

    async def relapse(self, incident: Incident, span: Span) -> None:
        """A recovery did not hold: take it back where that is possible, then the next rung, in the same incident."""
        classification = await self._classify(incident, span)
        last = incident.attempts[-1] if incident.attempts else None
        try:
            if last is not None and last.strategy in UNDOABLE and not last.undone and incident.pending is None:
                undo = self._steps.command(incident, "undo", last.strategy, classification)
                await self._steps.write(Commanded(incident_id=incident.id, command=undo))
            await self._climb(incident, classification, incident.details.prediction, span)
        except Exception as error:
            extra = {**span.logged, "incident_id": incident.id}
            log.exception("recovering %s again failed", incident.id, extra=extra)
            await self._steps.conclude(incident, "escalated", f"internal error: {error!r}"[:1000], span)
        finally:
            span.end()

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
                if choice.rule == RETRY_BUDGET:
                    await asyncio.sleep(_BUDGET_PAUSE_SECONDS)
                    continue
                if choice.outcome is None and choice.strategy is None:
                    await self._intend(incident, choice, selected, classification, prediction)
                    return
                if not await self._intend(incident, choice, selected, classification, prediction):
                    outcome, kept = choice.outcome or "escalated", self._kept(incident, choice)
                    await self._steps.conclude(incident, outcome, choice.reason, span, *kept)
                    return
            command = incident.pending
            if command is None:
                return
            result = await self._execute(incident, command, span)
            attempted = Attempted(
                incident_id=incident.id, command_id=command.command_id, result=result, ended_unix_nano=self._steps.now()
            )
            if command.action == "apply" and result.verified:
                await self._steps.notify(command, result)
                reason = result.detail or "the probe is healthy"
                # Nothing of the canary can relapse: a settle window would double what it costs.
                settled = is_canary(incident.agent)
                await self._steps.conclude(incident, "recovered", reason, span, attempted, settled=settled)
                return
            await self._steps.write(attempted)
            await self._steps.notify(command, result)
            took = result.status in ("done", "accepted") or result.code in _UNSURE
            if command.action == "apply" and command.strategy in UNDOABLE and took:
                await self._intend_undo(incident, command, result.undo_token)

    async def _execute(self, incident: Incident, command: RecoveryCommand, span: Span) -> AttemptResult:
        """Has a command carried out; one before a failure is not waited for until long after that."""
        predicted = predicted_of(incident.error, self._steps.now())
        if predicted is None or command.action != "apply":
            return await self._steps.execute(incident, command, span)
        left_ms = max(0, predicted.horizon_ms - predicted.age_ms) + command.timeout_ms
        try:
            async with asyncio.timeout(left_ms / 1000):
                return await self._steps.execute(incident, command, span)
        except TimeoutError:
            return AttemptResult(
                incident_id=incident.id,
                command_id=command.command_id,
                status="failed",
                code=NO_EXECUTOR,
                detail="no executor answered while the prediction was of use",
                verified=False,
            )

    def _kept(self, incident: Incident, choice: Choice) -> list[Held]:
        """What limits an agent since a failure was predicted and could not be taken back: that is tried again later.

        Where something has failed a person sees to it, who is called then.
        """
        last = incident.attempts[-1] if incident.attempts else None
        if choice.rule != PREVENTIVE or last is None or last.undone or last.strategy not in LIMITING:
            return []
        until = self._steps.now() + int(self._context.policy.hold_seconds * _NANO)
        return [Held(incident_id=incident.id, until_unix_nano=until)]

    async def _classify(self, incident: Incident, parent: Span) -> Classification:
        details = incident.details
        if details.classification is not None:
            return details.classification
        span, begun = self._steps.span("classify", "client", parent, incident), self._steps.now()
        found = await self._context.asks.classify(incident.error, incident.fingerprint, span)
        self._steps.took(incident, "classify", begun)
        span.end({"mendbus.category": found.category, "mendbus.severity": found.severity})
        details.times = details.times.model_copy(update={"classified": self._steps.now()})
        return found

    async def _assess(
        self, incident: Incident, classification: Classification, parent: Span
    ) -> PredictionSummary | None:
        details = incident.details
        if (
            details.prediction is not None
            or details.attempts
            or not self._context.policy.enable_predictive_failure_detection
        ):
            return details.prediction
        if (foreseen := summary_of(incident.error)) is not None:
            return foreseen
        span, begun = self._steps.span("assess", "client", parent, incident), self._steps.now()
        question = Assess(
            error=incident.error,
            fingerprint=incident.fingerprint,
            classification=classification,
            recurrences=1 if incident.recurrence_of else 0,
            open_incidents=self._steps.state.open[incident.agent.key],
            errors_per_minute=self._rates.per_minute(incident.agent.key),
        )
        found: Assessment | None = await self._context.asks.assess(question, span)
        self._steps.took(incident, "assess", begun)
        span.end({"mendbus.prediction.valid": found is not None and found.prediction.valid})
        details.times = details.times.model_copy(update={"assessed": self._steps.now()})
        return found.prediction if found else None

    async def _probe_first(self, incident: Incident, classification: Classification, parent: Span) -> Any:
        if summary_of(incident.error) is not None:
            # It works, or would have reported: what was predicted is what has not happened.
            return None
        cleared = self._upstream(incident)[1]
        if classification.severity != "warning" and not self._steps.state.stale(incident) and not cleared:
            return None
        result = await self._steps.probe(incident, parent)
        deadline = self._steps.now() + _CLEARING_NANO
        while cleared and not result.verified and result.code != NO_EXECUTOR and self._steps.now() < deadline:
            # What lies between the two has to come to work again first.
            await asyncio.sleep(_CLEARING_STEP_SECONDS)
            result = await self._steps.probe(incident, parent)
        if result.code == NO_EXECUTOR:
            return None
        return "healthy" if result.verified else "unhealthy"

    def _upstream(self, incident: Incident) -> tuple[str | None, bool]:
        """The incident that this one is a symptom of, if it is one; and whether that is over, and well."""
        context = self._context
        incidents, seconds = context.overview.incidents, context.policy.symptom_seconds
        if summary_of(incident.error) is not None and (reported := reported_of(incident, incidents.of)):
            return reported.id, False
        if not context.policy.enable_cross_agent_coordination:
            return None, False
        found = graver_of(incident, incidents.of) or upstream_of(incident, context.agents, incidents.of, seconds)
        if found is not None:
            return found.id, False
        before = incident.symptom_of
        if before is None and len(incident.attempts) == 1 and not incident.attempts[0].verified:
            # Its first attempt may have begun before the cause was reported, which is over by now.
            over = upstream_of(incident, context.agents, incidents.recovered_of, seconds)
            before = over.id if over is not None else None
        if before is None or incidents.outcome(before) not in (None, "recovered", "no_action"):
            return None, False
        return before, True

    def _spent(self, incident: Incident) -> Spent:
        overview, key = self._context.overview, incident.agent.key
        agent, kind, everything = overview.restarts(key)
        sick = overview.incidents.sick()
        return Spent(
            restarts_agent=agent,
            restarts_kind=kind,
            restarts_all=everything,
            retries_agent=overview.retries(key),
            agents_sick=len(sick),
            agents_known=len(sick | self._context.agents.known()),
            seconds_since=overview.seconds_since(key, self._context.policy.cool_down_seconds),
        )

    def _expected(
        self, incident: Incident, classification: Classification, supported: list[Strategy]
    ) -> tuple[Learned | None, Learned | None]:
        """What models in use and in trial expect; nothing where nothing learned may decide."""
        if not self._context.policy.enable_learned_choice or is_canary(incident.agent):
            return None, None
        if summary_of(incident.error) is not None:
            return None, None
        error = incident.error.exception.type
        kind, category, severity = incident.agent.kind, classification.category, classification.severity
        seen = Seen(kind, category, error, incident.fingerprint, severity)
        untried: list[Strategy] = [strategy for strategy in supported if strategy not in incident.tried]
        return self._context.choices.expect(incident.id, len(incident.attempts) + 1, seen, untried)

    def _replaced(self, incident: Incident) -> bool:
        """Whether the agent's process is another by now than the one the incident is about."""
        about, now = incident.agent.instance, self._context.agents.instance(incident.agent.key)
        return None not in (about, now) and about != now

    def _decide(
        self,
        incident: Incident,
        classification: Classification,
        prediction: PredictionSummary | None,
        probe: Any,
        parent: Span,
    ) -> tuple[Choice, DecisionSummary]:
        begun = self._steps.now()
        overview = self._context.overview
        canary = is_canary(incident.agent)
        paused = self._steps.state.pauses.holding(incident.agent, begun) or overview.pauses.holding(
            incident.agent, begun
        )
        upstream, upstream_ended = self._upstream(incident)
        supported = self._context.agents.supported(incident.agent.key)
        learned, rival = self._expected(incident, classification, supported)
        predicted = predicted_of(incident.error, begun)
        state = DecisionState(
            severity=classification.severity,
            category=classification.category,
            confidence=classification.confidence,
            stale=self._steps.state.stale(incident) or (predicted is not None and self._replaced(incident)),
            probe=probe,
            prediction_valid=prediction is not None and prediction.valid,
            prediction_strategy=prediction.strategy if prediction else None,
            prediction_confidence=prediction.confidence if prediction else 0.0,
            supported=supported,
            tried=list(incident.tried),
            attempts=len(incident.attempts),
            spent_ms=incident.spent_ms,
            spent=Spent() if canary else self._spent(incident),
            paused=paused.sentence if paused else None,
            latched=overview.latched or overview.latch_due or None,
            approved=incident.approved,
            upstream_incident=upstream,
            upstream_ended=upstream_ended,
            canary=canary or None,
            learned=learned,
            rival=rival,
            predicted=predicted,
        )
        choice = decide(self._context.policy, state)
        summary = DecisionSummary(
            policy=self._context.policy.digest,
            rule=choice.rule,
            reason=choice.reason,
            alternatives=choice.alternatives,
            state=state.model_dump(exclude_none=True),
            learned=choice.learned,
        )
        attributes: dict[str, AttributeValue] = {"mendbus.incident.id": incident.id, "mendbus.rule": choice.rule}
        if choice.strategy:
            attributes["mendbus.strategy"] = choice.strategy
        span = self._context.tracer.start("decide", "internal", parent.traceparent or None, attributes, begun)
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
        now = self._steps.now()
        command = None
        if choice.learned is not None:
            self._context.meter.add(instruments.CHOICES, 1, role(choice.learned))
        times = incident.details.times.model_copy(update={"selected": now})
        if choice.outcome is None and choice.strategy is not None:
            command = self._steps.command(incident, "apply", choice.strategy, classification)
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
            self._steps.note(decided)
            return False
        await self._steps.write(decided)
        self._steps.took(incident, "journal", now)
        return True

    async def _intend_undo(self, incident: Incident, command: RecoveryCommand, undo_token: str | None) -> None:
        undo = self._steps.command(incident, "undo", command.strategy, incident.details.classification, undo_token)
        await self._steps.write(Commanded(incident_id=incident.id, command=undo))
