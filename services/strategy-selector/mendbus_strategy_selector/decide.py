"""Which strategy: a pure function of the policy and of a recorded state, so that every decision can be replayed."""

from typing import Literal

from pydantic import Field

from mendbus.contracts.fields import Count, Ratio, WireModel
from mendbus.contracts.messages import Alternative
from mendbus.contracts.vocabulary import SEVERITIES, STRATEGIES, Category, Outcome, Severity, Strategy
from mendbus_strategy_selector.policy import Policy


class DecisionState(WireModel):
    """All that a decision looks at. `probe`: what the agent's probe said just before, where it was asked."""

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


class Choice(WireModel):
    """A strategy to try, or an outcome that ends the incident without one; with the rule, the reason and the rest."""

    strategy: Strategy | None = None
    outcome: Outcome | None = None
    rule: str
    reason: str
    alternatives: list[Alternative] = Field(default_factory=list[Alternative])


def decide(policy: Policy, state: DecisionState) -> Choice:
    """The choice for a state under a policy; the order of the rules is that of SPEC section 2."""
    if state.probe == "healthy" and (state.severity == "warning" or state.stale):
        why = "the error is older than the last action" if state.stale else "work went on"
        return Choice(outcome="no_action", rule="healthy", reason=f"{why}, and the agent's probe is healthy")
    ladder = _candidates(policy, state)
    chosen: tuple[Strategy, str] | None = None
    for rung in ladder:
        if chosen is None and rung[0] in state.supported and rung[0] not in state.tried:
            chosen = rung
    exhausted = _exhausted(policy, state)
    taken = chosen[0] if chosen and not exhausted else None
    alternatives = _alternatives(state, [s for s, _ in ladder], taken, exhausted)
    if exhausted or chosen is None or chosen[0] == "escalate":
        reason = exhausted or f"no strategy is left on the ladder of {state.category}"
        return Choice(outcome="escalated", rule="escalate", reason=reason, alternatives=alternatives)
    strategy: Strategy = chosen[0]
    rule = chosen[1]
    if not policy.enable_automatic_recovery or policy.dry_run:
        switch = "dry_run is on" if policy.dry_run else "enable_automatic_recovery is off"
        reason = f"{strategy} was chosen by {rule}, but {switch}"
        return Choice(strategy=strategy, outcome="suppressed", rule=rule, reason=reason, alternatives=alternatives)
    return Choice(strategy=strategy, rule=rule, reason=_reason(rule, state), alternatives=alternatives)


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
    state: DecisionState, ladder: list[Strategy], chosen: Strategy | None, exhausted: str
) -> list[Alternative]:
    found: list[Alternative] = []
    for strategy in STRATEGIES:
        if strategy in (chosen, "escalate"):
            continue
        if strategy in state.tried:
            why_not = "tried already"
        elif strategy not in state.supported:
            why_not = "not supported by the agent"
        elif strategy in ladder:
            why_not = exhausted or "comes later on the ladder"
        else:
            why_not = f"not on the ladder of {state.category}"
        found.append(Alternative(strategy=strategy, score=0.0, why_not=why_not))
    return found


def _reason(rule: str, state: DecisionState) -> str:
    if rule == "severity":
        return f"a {state.severity} error of category {state.category}"
    if rule == "prediction":
        return f"the prediction is valid and {state.prediction_confidence:.2f} sure"
    if rule == "first":
        return f"the first choice for a {state.severity} error"
    return f"the next rung of the ladder of {state.category}"
