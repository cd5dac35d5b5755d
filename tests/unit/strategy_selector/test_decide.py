"""The decision is a pure function: the rules in the order of the policy, every alternative with a reason."""

from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mendbus.contracts.vocabulary import CATEGORIES, SEVERITIES, STRATEGIES, Category, Strategy
from mendbus_strategy_selector.decide import DecisionState, decide
from mendbus_strategy_selector.policy import LADDERS, Policy

ALL = [s for s in STRATEGIES if s != "escalate"]
POLICY = Policy()


def state(**changes: Any) -> DecisionState:
    """An error of category unknown, with changes."""
    values: dict[str, Any] = {
        "severity": "error",
        "category": "unknown",
        "confidence": 0.5,
        "supported": list(ALL),
        "tried": [],
    }
    return DecisionState.model_validate(values | changes)


@pytest.mark.parametrize(
    ("category", "strategy"),
    [("memory", "restart"), ("security", "isolate"), ("performance", "scale_down"), ("build", "rollback")],
)
def test_a_grave_error_goes_by_its_category(category: str, strategy: str) -> None:
    """From `critical` on memory restarts, security isolates, performance scales down, the rest rolls back."""
    choice = decide(POLICY, state(severity="critical", category=category))
    assert (choice.strategy, choice.rule) == (strategy, "severity")


def test_a_sure_and_valid_prediction_decides_an_ordinary_error() -> None:
    """A valid prediction above 0.8 chooses its strategy."""
    sure = state(prediction_valid=True, prediction_strategy="scale_down", prediction_confidence=0.81)
    assert decide(POLICY, sure).strategy == "scale_down"


@pytest.mark.parametrize(
    "changes",
    [
        {"prediction_valid": False, "prediction_confidence": 0.99},
        {"prediction_valid": True, "prediction_confidence": 0.8},
    ],
)
def test_an_unsure_or_invalid_prediction_decides_nothing(changes: dict[str, Any]) -> None:
    """A prediction that is not valid, or not above 0.8, leaves the first choice."""
    choice = decide(POLICY, state(prediction_strategy="scale_down", **changes))
    assert (choice.strategy, choice.rule) == ("retry", "first")


def test_the_prediction_switch_off_leaves_the_first_choice() -> None:
    """With `enable_predictive_failure_detection` off a sure prediction decides nothing."""
    off = Policy(enable_predictive_failure_detection=False)
    sure = state(prediction_valid=True, prediction_strategy="scale_down", prediction_confidence=0.99)
    assert decide(off, sure).strategy == "retry"


@pytest.mark.parametrize("category", get_args(Category))
def test_the_ladder_follows_the_first_choice_and_ends_in_escalation(category: Category) -> None:
    """Every rung of the category's ladder comes in order, each once, then a person is called."""
    policy = Policy(max_recovery_attempts=20)
    tried: list[Strategy] = []
    while (choice := decide(policy, state(category=category, tried=tried))).outcome is None:
        assert choice.strategy is not None
        tried.append(choice.strategy)
    assert choice.outcome == "escalated"
    assert tried == list(dict.fromkeys(["retry", *LADDERS[category]]))


def test_an_unsupported_rung_is_skipped_and_says_so() -> None:
    """A strategy that the agent does not support is never chosen, and the alternatives say why."""
    choice = decide(POLICY, state(category="network", supported=["failover"], tried=[]))
    assert choice.strategy == "failover"
    assert {a.strategy: a.why_not for a in choice.alternatives}["retry"] == "not supported by the agent"


@pytest.mark.parametrize("changes", [{"attempts": 3}, {"spent_ms": 5000}])
def test_a_spent_budget_calls_a_person(changes: dict[str, Any]) -> None:
    """Three attempts, or five seconds of attempts, and it is escalated."""
    assert decide(POLICY, state(**changes)).outcome == "escalated"


@pytest.mark.parametrize("changes", [{"severity": "warning"}, {"stale": True}])
def test_a_healthy_probe_ends_a_warning_or_a_stale_error(changes: dict[str, Any]) -> None:
    """A warning, or an error older than the last action, whose agent probes healthy is `no_action`."""
    assert decide(POLICY, state(probe="healthy", **changes)).outcome == "no_action"
    assert decide(POLICY, state(probe="unhealthy", **changes)).outcome is None


@pytest.mark.parametrize("switches", [{"enable_automatic_recovery": False}, {"dry_run": True}])
def test_switched_off_it_decides_and_acts_on_nothing(switches: dict[str, bool]) -> None:
    """With automatic recovery off, or in a dry run, the choice is recorded as `suppressed`."""
    choice = decide(Policy(**switches), state())  # pyright: ignore[reportArgumentType]
    assert (choice.outcome, choice.strategy) == ("suppressed", "retry")


_STATES = st.builds(
    state,
    severity=st.sampled_from(SEVERITIES),
    category=st.sampled_from(CATEGORIES),
    confidence=st.floats(0, 1),
    stale=st.booleans(),
    probe=st.sampled_from([None, "healthy", "unhealthy"]),
    prediction_valid=st.booleans(),
    prediction_strategy=st.sampled_from([None, *STRATEGIES]),
    prediction_confidence=st.floats(0, 1),
    supported=st.lists(st.sampled_from(STRATEGIES), unique=True),
    tried=st.lists(st.sampled_from(ALL), unique=True),
    attempts=st.integers(0, 5),
    spent_ms=st.integers(0, 6000),
)


@given(_STATES)
def test_the_same_record_always_gives_the_same_decision(recorded: DecisionState) -> None:
    """Deciding again, also from the recorded form, gives the same choice, and it is always an allowed one."""
    choice = decide(POLICY, recorded)
    replayed = DecisionState.model_validate(recorded.model_dump(exclude_none=True))
    assert decide(POLICY, replayed) == choice
    if choice.outcome is None:
        assert choice.strategy in recorded.supported
        assert choice.strategy not in recorded.tried
        assert choice.strategy != "escalate"
    named = [a.strategy for a in choice.alternatives] + [choice.strategy]
    assert choice.outcome == "no_action" or set(ALL) <= set(named)


@given(
    st.sampled_from([{"dry_run": True}, {"enable_automatic_recovery": False}, {"require_approval": list(ALL)}]),
    st.sampled_from([{}, {"paused": "paused by ops"}, {"latched": "too many restarts"}]),
)
def test_nothing_holds_the_canary_back(policy: dict[str, Any], held: dict[str, Any]) -> None:
    """Where an agent's recovery is only recorded, or waits for a person, the canary's is carried out."""
    switched = Policy.model_validate(policy)
    assert decide(switched, state(**held)).outcome is not None
    choice = decide(switched, state(canary=True, **held))
    assert (choice.strategy, choice.outcome) == ("retry", None)
