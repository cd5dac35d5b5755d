"""Learned choice: taken only when it is surely better, tried out only where that is safe, and repeated exactly."""

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.strategy_selector.learning import expects
from tests.unit.strategy_selector.test_decide import ALL, state

from mendbus.contracts.vocabulary import CATEGORIES, SEVERITIES, STRATEGIES
from mendbus_strategy_selector.decide import DecisionState, decide
from mendbus_strategy_selector.policy import Policy

PLAIN = Policy(learned_explore_share=0.0, learned_holdout_share=0.0)
BOLD = Policy(learned_explore_share=0.5, learned_holdout_share=0.0)
SURE: Mapping[str, float] = {"retry": 0.1, "restart": 0.9, "rollback": 0.3, "fallback": 0.2, "failover": 0.4}


def test_what_is_surely_better_is_chosen_and_the_record_says_why() -> None:
    """Rule, reason, model and what the policy would have done stand in the choice."""
    choice = decide(PLAIN, state(learned=expects(**SURE)))
    assert (choice.strategy, choice.rule) == ("restart", "learned")
    assert "choice-9" in choice.reason
    assert choice.learned is not None
    assert (choice.learned.strategy, choice.learned.rival, choice.learned.rival_strategy) == (
        "restart",
        "policy",
        "retry",
    )
    assert next(a.score for a in choice.alternatives if a.strategy == "failover") > 0.3


def test_in_trial_the_policy_decides_and_the_other_choice_is_noted() -> None:
    """A model that has not shown lift changes nothing."""
    choice = decide(PLAIN, state(learned=expects(acts=False, **SURE)))
    assert (choice.strategy, choice.rule) == ("retry", "first")
    assert choice.learned is not None
    assert (choice.learned.acts, choice.learned.strategy) == (False, "restart")


@pytest.mark.parametrize(
    ("learned", "why"),
    [
        (expects(retry=0.5, restart=0.53), "hardly better"),
        (expects(outcomes=2.0, retry=0.4, restart=0.6), "hardly known"),
        (expects(restart=0.9), "nothing known of the policy's own"),
        (expects(retry=0.1, isolate=1.0, escalate=1.0), "only by cutting off or calling a person"),
    ],
)
def test_unsure_the_policy_decides(learned: Any, why: str) -> None:
    """Back to the default whenever nothing is surely better."""
    assert decide(PLAIN, state(learned=learned)).strategy == "retry", why


def test_nothing_that_needs_approval_is_over_budget_tried_or_unsupported_is_chosen() -> None:
    """The bounds of automation bind what was learned, too."""
    learned = expects(**SURE)
    spent = {"restarts_agent": 3}
    assert (
        decide(PLAIN.model_copy(update={"require_approval": ["restart"]}), state(learned=learned)).strategy != "restart"
    )
    assert decide(PLAIN, state(learned=learned, spent=spent)).strategy != "restart"
    assert decide(PLAIN, state(learned=learned, tried=["restart"])).strategy != "restart"
    assert decide(PLAIN, state(learned=learned, supported=["retry", "rollback"])).strategy != "restart"


def test_a_grave_error_of_security_stays_isolated() -> None:
    """What contains is not traded for what serves."""
    grave = state(severity="critical", category="security", learned=expects(isolate=0.0, restart=1.0, retry=0.1))
    assert decide(PLAIN, grave).strategy == "isolate"


def test_switched_off_nothing_learned_is_noted() -> None:
    """`enable_learned_choice` off is as if there were no model."""
    choice = decide(PLAIN.model_copy(update={"enable_learned_choice": False}), state(learned=expects(**SURE)))
    assert (choice.strategy, choice.learned) == ("retry", None)


def test_a_small_share_is_held_out_and_marked() -> None:
    """Of a thousand errors about the share that the policy says is decided by the policy, and can be told apart."""
    policy = Policy(learned_explore_share=0.0, learned_holdout_share=0.1)
    choices = [decide(policy, state(learned=expects(seed=seed, **SURE))) for seed in range(1000)]
    held = [choice for choice in choices if choice.learned and choice.learned.held_out]
    assert 60 <= len(held) <= 140
    assert all(choice.strategy == "retry" for choice in held)
    assert all(choice.strategy == "restart" for choice in choices if choice not in held)


def test_only_what_is_light_is_tried_out_and_only_where_it_is_safe() -> None:
    """Exploring begins light strategies on errors that are not grave and not of security, and says so."""
    chances = dict.fromkeys((s for s in ALL), 0.5)
    found = [decide(BOLD, state(learned=expects(outcomes=3.0, seed=seed, **chances))) for seed in range(300)]
    tried = {choice.strategy for choice in found if choice.rule == "explored"}
    assert tried
    assert tried <= set(BOLD.learned_explores)
    for changes in ({"severity": "critical"}, {"category": "security"}):
        given_ = [
            decide(BOLD, state(learned=expects(outcomes=3.0, seed=seed, **chances), **changes)) for seed in range(300)
        ]
        assert all(choice.rule != "explored" for choice in given_)


@pytest.mark.parametrize(
    ("policy", "changes"),
    [
        (PLAIN, {"severity": "critical", "category": "memory", "spent": {"restarts_all": 30}}),
        (
            PLAIN.model_copy(update={"require_approval": ["restart"]}),
            {"severity": "critical", "category": "memory"},
        ),
        (PLAIN, {"spent": {"retries_agent": 1000}}),
        (PLAIN, {"latched": "recovery is latched off"}),
        (PLAIN, {"paused": "a person paused it"}),
        (PLAIN, {"spent": {"agents_sick": 90, "agents_known": 100}}),
        (PLAIN.model_copy(update={"dry_run": True}), {}),
    ],
    ids=["last budget", "approval", "budget of retries", "latch", "pause", "too many sick", "dry run"],
)
@pytest.mark.parametrize("explore", [0.0, 0.5])
def test_what_holds_the_policy_back_holds_back_what_was_learned(
    policy: Policy, changes: dict[str, Any], explore: float
) -> None:
    """No learned choice acts in place of one that waits for the latch, a person, a budget or the end of a pause."""
    bold = policy.model_copy(update={"learned_explore_share": explore})
    learned = {"retry": 0.1, "restart": 0.1, "rollback": 0.9, "fallback": 0.8, "failover": 0.8}
    plain = decide(bold, state(**changes))
    assert plain.outcome is not None or plain.strategy is None
    for seed in range(40):
        choice = decide(bold, state(learned=expects(seed=seed, **learned), **changes))
        assert (choice.outcome, choice.outcome or choice.strategy) == (plain.outcome, plain.outcome or plain.strategy)


@given(
    st.dictionaries(st.sampled_from(STRATEGIES), st.floats(0, 1), max_size=9),
    st.sampled_from(SEVERITIES),
    st.sampled_from(CATEGORIES),
    st.integers(0, 2**32),
    st.booleans(),
)
def test_a_recorded_state_is_decided_the_same_again(
    helps: dict[str, float], severity: str, category: str, seed: int, acts: bool
) -> None:
    """Chance and all: what is decided follows from what is recorded, and a person is called no sooner than without."""
    learned = expects(acts=acts, seed=seed, **helps)
    first = state(severity=severity, category=category, learned=learned)
    choice = decide(BOLD, first)
    again = decide(BOLD, DecisionState.model_validate(first.model_dump(exclude_none=True)))
    assert again == choice
    plain = decide(BOLD, first.model_copy(update={"learned": None}))
    assert (choice.outcome is None) == (plain.outcome is None)
    if not acts:
        assert choice.strategy == plain.strategy
