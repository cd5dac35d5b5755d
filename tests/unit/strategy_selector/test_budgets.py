"""Budgets, pauses, approval and symptoms as decisions see them: pure, each switch on and off."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.strategy_selector.test_decide import state

from mendbus_strategy_selector.budgets import Spent, last_budget_spent, over_budget, too_many_sick
from mendbus_strategy_selector.decide import DecisionState, decide
from mendbus_strategy_selector.policy import Policy

RESTARTING = Policy(first="restart")


@pytest.mark.parametrize(
    ("spent", "strategy", "rule"),
    [
        ({"restarts_agent": 2, "restarts_kind": 9, "restarts_all": 29}, "restart", "first"),
        ({"restarts_agent": 3}, "retry", "ladder"),
        ({"restarts_kind": 10}, "retry", "ladder"),
        ({"restarts_all": 30}, "restart", "latched"),
        ({"restarts_agent": 3, "restarts_all": 30}, "retry", "ladder"),
        ({"agents_sick": 3, "agents_known": 5}, None, "sick"),
        ({"agents_sick": 3, "agents_known": 6}, "restart", "first"),
        ({"agents_sick": 2, "agents_known": 2}, "restart", "first"),
    ],
)
def test_the_default_budgets(spent: dict[str, int], strategy: str | None, rule: str) -> None:
    """3 restarts of an agent, 10 of a kind, 30 in all; more than half of the agents, at least 3."""
    choice = decide(RESTARTING, state(spent=spent))
    assert (choice.strategy, choice.rule) == (strategy, rule)


def test_only_restarts_have_a_budget_of_restarts() -> None:
    """No other strategy is ruled out by restarts."""
    spent = Spent(restarts_agent=99, restarts_kind=99, restarts_all=99)
    assert not over_budget(Policy(), spent, "rollback")
    assert not last_budget_spent(Policy(), spent, "rollback")


def test_a_retry_waits_when_the_second_is_full() -> None:
    """At ten retries of an agent in a second the next one is neither done nor an outcome."""
    choice = decide(Policy(), state(spent={"retries_agent": 10}))
    assert (choice.strategy, choice.outcome, choice.rule) == (None, None, "retry_budget")
    assert decide(Policy(), state(spent={"retries_agent": 9})).strategy == "retry"


@pytest.mark.parametrize("changes", [{"paused": "all is paused"}, {"latched": "it is latched off"}])
@pytest.mark.parametrize("approved", [None, "isolate"])
def test_paused_or_latched_it_decides_and_acts_on_nothing(changes: dict[str, Any], approved: str | None) -> None:
    """The choice is recorded as `suppressed` under the rule that holds it, approved or not."""
    choice = decide(Policy(), state(approved=approved, **changes))
    assert (choice.outcome, choice.rule, choice.strategy) == ("suppressed", next(iter(changes)), approved or "retry")


def test_approval_is_asked_for_once_and_for_what_was_chosen() -> None:
    """A named strategy waits; approved it is done whatever else stands against it; others are not asked about."""
    asking = Policy(require_approval=["retry"])
    assert decide(asking, state()).outcome == "awaiting_approval"
    approved = state(approved="retry", tried=["retry"], spent={"agents_sick": 9, "agents_known": 9})
    assert (decide(asking, approved).strategy, decide(asking, approved).rule) == ("retry", "approved")
    assert decide(Policy(require_approval=["rollback"]), state()).outcome is None


def test_a_symptom_waits_and_is_judged_by_its_probe() -> None:
    """While the cause is open it waits; after it a healthy probe ends it; the switch off knows no symptoms."""
    waiting = state(upstream_incident="i1")
    assert (decide(Policy(), waiting).outcome, decide(Policy(), waiting).strategy) == (None, None)
    healthy = state(upstream_incident="i1", upstream_ended=True, probe="healthy")
    assert decide(Policy(), healthy).outcome == "no_action"
    ill = state(upstream_incident="i1", upstream_ended=True, probe="unhealthy")
    assert decide(Policy(), ill).strategy == "retry"
    off = Policy(enable_cross_agent_coordination=False)
    assert decide(off, waiting).strategy == decide(off, healthy).strategy == "retry"


_SPENT = st.builds(
    Spent,
    restarts_agent=st.integers(0, 40),
    restarts_kind=st.integers(0, 40),
    restarts_all=st.integers(0, 40),
    retries_agent=st.integers(0, 20),
    agents_sick=st.integers(0, 10),
    agents_known=st.integers(0, 10),
)


@given(
    spent=_SPENT,
    paused=st.sampled_from([None, "paused"]),
    latched=st.sampled_from([None, "latched"]),
    approved=st.sampled_from([None, "retry", "restart"]),
    upstream=st.sampled_from([None, "i1"]),
    ended=st.booleans(),
    tried=st.lists(st.sampled_from(["retry", "restart", "rollback"]), unique=True),
    asking=st.lists(st.sampled_from(["retry", "restart"]), unique=True),
)
def test_what_is_done_is_within_every_bound(
    spent: Spent,
    paused: str | None,
    latched: str | None,
    approved: Any,
    upstream: str | None,
    ended: bool,
    tried: list[str],
    asking: Any,
) -> None:
    """Whatever the state, what a decision acts on is allowed, and the recorded form decides the same."""
    policy = Policy(require_approval=asking)
    recorded = state(
        spent=spent.model_dump(),
        paused=paused,
        latched=latched,
        approved=approved,
        upstream_incident=upstream,
        upstream_ended=ended,
        tried=tried,
    )
    choice = decide(policy, recorded)
    assert decide(policy, DecisionState.model_validate(recorded.model_dump(exclude_none=True))) == choice
    if choice.outcome is not None or choice.strategy is None:
        return
    assert not paused
    assert not latched
    assert upstream is None or ended
    if approved is None:
        assert choice.strategy not in asking
        assert not over_budget(policy, spent, choice.strategy)
        assert not last_budget_spent(policy, spent, choice.strategy)
        assert not too_many_sick(policy, spent)


def test_a_strategy_that_cools_down_leaves_the_decision_to_the_next_rung() -> None:
    """Within its cool-down a strategy is not begun on the agent again, and the alternatives say why."""
    policy = Policy(cool_down_seconds={"retry": 10.0})
    again = decide(policy, state(spent={"seconds_since": {"retry": 9.5}}))
    assert again.strategy != "retry"
    assert ["9.5 s ago" in (a.why_not or "") for a in again.alternatives if a.strategy == "retry"] == [True]
    assert decide(policy, state(spent={"seconds_since": {"retry": 10.0}})).strategy == "retry"
    assert decide(Policy(), state(spent={"seconds_since": {"retry": 1.0}})).strategy == "retry"
