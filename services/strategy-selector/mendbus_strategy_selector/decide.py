"""Which strategy: a pure function of the policy and of a recorded state, so that every decision can be replayed."""

from typing import Literal

from pydantic import Field

from mendbus.contracts.fields import Count, Ratio, WireModel
from mendbus.contracts.summaries import Alternative, LearnedChoice
from mendbus.contracts.vocabulary import SEVERITIES, STRATEGIES, Category, Outcome, Severity, Strategy
from mendbus_strategy_selector.budgets import LATCHED, Spent, last_budget_spent, must_wait, over_budget, too_many_sick
from mendbus_strategy_selector.choosing import POLICY, Learned, Pick, preferred, worth
from mendbus_strategy_selector.policy import Policy
from mendbus_strategy_selector.preventing import HELD_OUT, PREVENTIVE, Predicted, candidates, left_alone

PAUSED, APPROVAL, SYMPTOM, RETRY_BUDGET = "paused", "approval", "symptom", "retry_budget"
"""Rules by which an incident waits: for the end of a pause, a person, another incident, room in the budget."""


class DecisionState(WireModel):
    """All that a decision looks at. `probe`: what the agent's probe said just before, where it was asked.

    `upstream_incident` is that of an agent that this one depends on: still open, or (`upstream_ended`) over.
    `paused`, `latched`: the sentence that says so. `approved`: the strategy that a person approved of. `canary`:
    nothing holds its recovery back, since it acts on nobody and must show at any time that recovery works. `learned`:
    what a model in use or in trial expects; `rival`: what another one in trial beside it does. `predicted`: nothing has
    failed yet, it was predicted; then `stale` is what was predicted before the last action, or of another process.
    """

    severity: Severity
    category: Category
    confidence: Ratio
    stale: bool = False
    probe: Literal["healthy", "unhealthy"] | None = None
    prediction_valid: bool = False
    prediction_strategy: Strategy | None = None
    prediction_confidence: Ratio = 0.0
    supported: list[Strategy]
    tried: list[Strategy]
    attempts: Count = 0
    spent_ms: Count = 0
    spent: Spent = Spent()
    paused: str | None = None
    latched: str | None = None
    approved: Strategy | None = None
    upstream_incident: str | None = None
    upstream_ended: bool = False
    canary: bool | None = None
    learned: Learned | None = None
    rival: Learned | None = None
    predicted: Predicted | None = None


class Choice(WireModel):
    """A strategy to try, or an outcome that ends the incident without one; with the rule, the reason and the rest.

    Neither: the incident waits, as the rule says.
    """

    strategy: Strategy | None = None
    outcome: Outcome | None = None
    rule: str
    reason: str
    alternatives: list[Alternative] = Field(default_factory=list[Alternative])
    learned: LearnedChoice | None = None


def decide(policy: Policy, state: DecisionState) -> Choice:
    """The choice for a state under a policy: what needs no action, then the rungs in order, then what holds it back."""
    if state.predicted is not None:
        return _prevent(policy, state, state.predicted)
    if found := _without_action(policy, state):
        return found
    if state.approved is not None:
        choice = Choice(strategy=state.approved, rule="approved", reason="a person approved of it")
        return _held_back(policy, state, choice) or choice
    ladder = _candidates(policy, state)
    chosen: tuple[Strategy, str] | None = None
    for rung in ladder:
        if chosen is None and not _ruled_out(policy, state, rung[0]):
            chosen = rung
    exhausted = _exhausted(policy, state)
    noted = why = None
    if chosen is not None and not exhausted:
        noted, pick = _learned(policy, state, chosen[0])
        if noted is not None and pick is not None and noted.acts and not noted.held_out:
            chosen = pick.strategy, "explored" if pick.explored else "learned"
            why = pick.reason
    taken = chosen[0] if chosen and not exhausted else None
    # Nobody asks why the canary was not recovered otherwise, and it is written down thousands of times a day.
    alternatives = [] if state.canary else _alternatives(policy, state, [s for s, _ in ladder], taken, exhausted)
    if exhausted or chosen is None or chosen[0] == "escalate":
        reason = exhausted or f"no strategy is left on the ladder of {state.category}"
        return Choice(outcome="escalated", rule="escalate", reason=reason, alternatives=alternatives)
    strategy, rule = chosen
    reason = why or _reason(rule, state)
    choice = Choice(strategy=strategy, rule=rule, reason=reason, alternatives=alternatives, learned=noted)
    return _held_back(policy, state, choice) or _checked(policy, state, choice) or choice


def _prevent(policy: Policy, state: DecisionState, predicted: Predicted) -> Choice:
    """One attempt at most, and only what the policy allows. Otherwise nothing: a prediction alone calls no person."""
    ladder = candidates(policy, predicted)
    why_not = {strategy: _too_much(policy, state, strategy) for strategy in ladder}
    chosen: Strategy | None = next((strategy for strategy in ladder if not why_not[strategy]), None)
    alternatives = [
        Alternative(
            strategy=strategy,
            why_not=why_not[strategy] or f"{chosen} comes before it" if strategy in ladder else "not before a failure",
        )
        for strategy in STRATEGIES
        if strategy not in (chosen, "escalate")
    ]
    choice = Choice(
        strategy=chosen,
        rule=PREVENTIVE,
        reason=f"a failure within {predicted.horizon_ms / 1000:g} s has probability {predicted.probability:.2f}",
        alternatives=alternatives,
    )
    if state.attempts:
        tried = state.tried[-1] if state.tried else None
        reason = f"{tried} was tried once before a failure that may not come; if it does, the agent reports it"
        return choice.model_copy(update={"strategy": tried, "outcome": "no_action", "reason": reason})
    if why := _nothing_to_prevent(state) or left_alone(policy, predicted):
        return choice.model_copy(update={"strategy": None, "outcome": "no_action", "reason": why})
    if chosen is None:
        reason = "nothing can be done: " + ", ".join(f"{strategy} ({why_not[strategy]})" for strategy in ladder)
        return choice.model_copy(update={"outcome": "no_action", "reason": reason})
    if why := _withheld(policy, state, chosen):
        reason = f"{chosen} was chosen by {PREVENTIVE}, but {why}"[:1000]
        return choice.model_copy(update={"outcome": "no_action", "reason": reason})
    if predicted.lot < policy.preventive.holdout_share:
        reason = f"held out: {chosen} was chosen, and is left undone to see whether the prediction comes true"
        return choice.model_copy(update={"outcome": "no_action", "rule": HELD_OUT, "reason": reason})
    return choice


def _too_much(policy: Policy, state: DecisionState, strategy: Strategy) -> str:
    if strategy in policy.require_approval:
        return "needs a person's approval, and none is asked before a failure"
    return _ruled_out(policy, state, strategy)


def _nothing_to_prevent(state: DecisionState) -> str:
    if state.upstream_incident is not None:
        return f"incident {state.upstream_incident}, of the agent or one that it needs, was there before"
    return "the prediction is older than what was last done to the agent" if state.stale else ""


def _withheld(policy: Policy, state: DecisionState, strategy: Strategy) -> str:
    """Why nothing is done about any error now, or not this."""
    if policy.dry_run or not policy.enable_automatic_recovery:
        return "dry_run is on" if policy.dry_run else "enable_automatic_recovery is off"
    # The last budget is for what has failed: a prediction that would spend it latches nothing off.
    spent = too_many_sick(policy, state.spent) or last_budget_spent(policy, state.spent, strategy)
    return state.latched or state.paused or spent


def _learned(policy: Policy, state: DecisionState, default: Strategy) -> tuple[LearnedChoice | None, Pick | None]:
    """What is noted of a learned choice, and what it prefers to the policy's."""
    if state.learned is None or state.canary or not policy.enable_learned_choice:
        return None, None
    free: list[Strategy] = [
        strategy
        for strategy in STRATEGIES
        if not _ruled_out(policy, state, strategy)
        and strategy not in policy.require_approval
        and not last_budget_spent(policy, state.spent, strategy)
        and not must_wait(policy, state.spent, strategy)
    ]
    if default not in free:
        # What holds the policy's own choice back (the latch, a person, a budget) holds back what would stand in for it.
        return None, None
    severity, category = state.severity, state.category
    pick = preferred(policy, state.learned, default, free, severity, category)
    other = state.rival and preferred(policy, state.rival, default, free, severity, category)
    noted = LearnedChoice(
        model=state.learned.model,
        acts=state.learned.acts,
        strategy=pick.strategy if pick else default,
        rival=state.rival.model if state.rival else POLICY,
        rival_strategy=other.strategy if other else default,
        explored=pick is not None and pick.explored,
        held_out=pick is not None and pick.held_out,
    )
    return noted, pick


def _without_action(policy: Policy, state: DecisionState) -> Choice | None:
    """What needs no strategy: work goes on, or another agent is to blame."""
    if policy.enable_cross_agent_coordination and state.upstream_incident is not None:
        reason = f"symptom of incident {state.upstream_incident}, which is graver or of an agent that is needed"
        if not state.upstream_ended:
            return Choice(rule=SYMPTOM, reason=reason)
        if state.probe == "healthy":
            return Choice(outcome="no_action", rule=SYMPTOM, reason=reason)
    if state.probe == "healthy" and (state.severity == "warning" or state.stale):
        why = "the error is older than the last action" if state.stale else "work went on"
        return Choice(outcome="no_action", rule="healthy", reason=f"{why}, and the agent's probe is healthy")
    return None


def _held_back(policy: Policy, state: DecisionState, choice: Choice) -> Choice | None:
    """What is chosen while recovery is switched off, latched or paused is recorded and not done."""
    if state.canary:
        return None
    if not policy.enable_automatic_recovery or policy.dry_run:
        switch = "dry_run is on" if policy.dry_run else "enable_automatic_recovery is off"
        reason = f"{choice.strategy} was chosen by {choice.rule}, but {switch}"
        return choice.model_copy(update={"outcome": "suppressed", "reason": reason})
    for rule, why in ((LATCHED, state.latched), (PAUSED, state.paused)):
        if why:
            reason = f"{choice.strategy} was chosen by {choice.rule}, but {why}"[:1000]
            return choice.model_copy(update={"outcome": "suppressed", "rule": rule, "reason": reason})
    return None


def _checked(policy: Policy, state: DecisionState, choice: Choice) -> Choice | None:
    """What automation may not do by itself; a person who approves may."""
    strategy = choice.strategy
    if strategy is None or state.canary:
        return None
    if why := too_many_sick(policy, state.spent):
        return choice.model_copy(update={"strategy": None, "outcome": "escalated", "rule": "sick", "reason": why})
    if why := last_budget_spent(policy, state.spent, strategy):
        return choice.model_copy(update={"outcome": "suppressed", "rule": LATCHED, "reason": why})
    if strategy in policy.require_approval:
        reason = f"{strategy} was chosen by {choice.rule}, and waits for a person's approval"
        return choice.model_copy(update={"outcome": "awaiting_approval", "rule": APPROVAL, "reason": reason})
    if why := must_wait(policy, state.spent, strategy):
        return Choice(rule=RETRY_BUDGET, reason=why)
    return None


def _ruled_out(policy: Policy, state: DecisionState, strategy: Strategy) -> str:
    """Why a rung is skipped; empty: it is not."""
    if strategy in state.tried:
        return "tried already"
    if strategy not in state.supported:
        return "not supported by the agent"
    return over_budget(policy, state.spent, strategy)


def _candidates(policy: Policy, state: DecisionState) -> list[tuple[Strategy, str]]:
    first: tuple[Strategy, str]
    if SEVERITIES.index(state.severity) >= SEVERITIES.index(policy.grave):
        first = policy.at_once.get(state.category, policy.at_once_else), "severity"
    elif (
        policy.enable_predictive_failure_detection
        and state.prediction_valid
        and state.prediction_strategy is not None
        and state.prediction_confidence > policy.min_confidence
    ):
        first = state.prediction_strategy, "prediction"
    else:
        first = policy.first, "first"
    ladder: list[tuple[Strategy, str]] = [(strategy, "ladder") for strategy in policy.ladders.get(state.category, [])]
    return [first, *ladder]


def _exhausted(policy: Policy, state: DecisionState) -> str:
    if state.attempts >= policy.max_recovery_attempts:
        return f"{state.attempts} of {policy.max_recovery_attempts} attempts did not help"
    if state.spent_ms >= policy.recovery_timeout_ms:
        return f"{state.spent_ms} of {policy.recovery_timeout_ms} ms of attempts did not help"
    return ""


def _alternatives(
    policy: Policy, state: DecisionState, ladder: list[Strategy], chosen: Strategy | None, exhausted: str
) -> list[Alternative]:
    found: list[Alternative] = []
    for strategy in STRATEGIES:
        if strategy in (chosen, "escalate"):
            continue
        ruled_out = _ruled_out(policy, state, strategy)
        if ruled_out:
            why_not = ruled_out
        elif strategy in ladder:
            why_not = exhausted or "comes later on the ladder"
        else:
            why_not = f"not on the ladder of {state.category}"
        known = state.learned is not None and strategy in state.learned.helps
        score = round(worth(state.learned, strategy), 3) if state.learned is not None and known else 0.0
        found.append(Alternative(strategy=strategy, score=score, why_not=why_not))
    return found


def _reason(rule: str, state: DecisionState) -> str:
    if rule == "severity":
        return f"a {state.severity} error of category {state.category}"
    if rule == "prediction":
        return f"the prediction is valid and {state.prediction_confidence:.2f} sure"
    if rule == "first":
        return f"the first choice for a {state.severity} error"
    return f"the next rung of the ladder of {state.category}"
