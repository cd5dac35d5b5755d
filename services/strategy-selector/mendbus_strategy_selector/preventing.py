"""Before a failure: which predictions may be acted upon, and with what. Pure, like all that decides."""

from typing import Final

from mendbus.contracts.fields import Count, Millis, Ratio, Token, WireModel
from mendbus.contracts.vocabulary import Strategy
from mendbus_strategy_selector.policy import Policy

PREVENTIVE: Final = "preventive"
"""The rule of a decision on a prediction."""
HELD_OUT: Final = "held_out"
"""The rule of one that would have been acted upon, and was left alone to see what comes of it."""


class Predicted(WireModel):
    """What a decision looks at of a prediction about an agent of a `kind`.

    `age_ms`: how old it is; `lot`: what was drawn for it, as a share of all lots, which says whether it is held out.
    """

    kind: Token
    probability: Ratio
    strategy: Strategy | None = None
    horizon_ms: Millis
    age_ms: Count
    lot: Ratio


def candidates(policy: Policy, predicted: Predicted) -> list[Strategy]:
    """What the policy allows before a failure of the kind; what the predictor recommends of it comes first."""
    listed = policy.preventive.strategies.get(predicted.kind, [])
    return sorted(listed, key=lambda strategy: strategy != predicted.strategy)


def left_alone(policy: Policy, predicted: Predicted) -> str:
    """Why nothing is done about a prediction, whatever could be; empty: something may be."""
    preventive = policy.preventive
    if not policy.enable_predictive_failure_detection:
        return "enable_predictive_failure_detection is off"
    if not preventive.strategies.get(predicted.kind):
        return f"the policy has nothing done before a failure of agents of kind {predicted.kind}"
    if predicted.age_ms > predicted.horizon_ms:
        return (
            f"the prediction is {predicted.age_ms / 1000:.1f} s old, "
            f"and was about the next {predicted.horizon_ms / 1000:g} s"
        )
    if predicted.probability < preventive.least_probability:
        return (
            f"a failure has probability {predicted.probability:.2f}, "
            f"and is acted upon from {preventive.least_probability:g} on"
        )
    return ""
