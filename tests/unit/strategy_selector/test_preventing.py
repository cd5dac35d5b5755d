"""What is done about a failure that was predicted: nothing by itself, one thing where the policy says so, or a lot."""

from typing import Any, Final

import pytest
from tests.unit.strategy_selector.test_decide import state

from mendbus.contracts.errors import SettingsError
from mendbus_strategy_selector.budgets import LATCHED
from mendbus_strategy_selector.decide import DecisionState, decide
from mendbus_strategy_selector.lots import LOTS, lot_of
from mendbus_strategy_selector.policy import PREVENTIVE_MAY, Policy, read_policy
from mendbus_strategy_selector.preventing import HELD_OUT, PREVENTIVE

ALLOWED: Final = ["graceful_degradation", "restart"]
KNOWN: Final = {
    "kind": "runtime",
    "probability": 0.7,
    "strategy": "restart",
    "horizon_ms": 30_000,
    "age_ms": 40,
    "lot": 0.5,
}


def policy(**changes: Any) -> Policy:
    """One that lets something be done before a failure of a runtime."""
    return Policy.model_validate({"preventive": {"strategies": {"runtime": ALLOWED}}} | changes)


def foreseen(said: dict[str, Any] | None = None, **changes: Any) -> DecisionState:
    """A prediction that may be acted upon, with what it `said` and the rest of the state changed."""
    return state(severity="warning", predicted=KNOWN | (said or {}), **changes)


def test_by_default_nothing_is_done_before_a_failure() -> None:
    """Without a word in the policy no kind of agent is touched, however sure the prediction is."""
    choice = decide(Policy(), foreseen({"probability": 1.0}, probe="unhealthy"))
    assert (choice.outcome, choice.strategy, choice.rule) == ("no_action", None, PREVENTIVE)
    assert choice.reason == "the policy has nothing done before a failure of agents of kind runtime"


@pytest.mark.parametrize(
    ("advised", "taken"),
    [("restart", "restart"), (None, "graceful_degradation"), ("rollback", "graceful_degradation")],
)
def test_what_the_policy_allows_is_done_and_of_that_first_what_is_recommended(advised: str | None, taken: str) -> None:
    """The recommended strategy counts only where the policy allows it; otherwise the order of the policy does."""
    choice = decide(policy(), foreseen({"strategy": advised}))
    assert (choice.strategy, choice.outcome, choice.rule) == (taken, None, PREVENTIVE)
    assert choice.reason == "a failure within 30 s has probability 0.70"
    why_not = {one.strategy: one.why_not for one in choice.alternatives}
    assert why_not["isolate"] == why_not["rollback"] == "not before a failure"
    assert [why for one, why in why_not.items() if one in ALLOWED] == [f"{taken} comes before it"]


def test_a_healthy_probe_does_not_end_it() -> None:
    """What has not failed is healthy: unlike a reported warning, a prediction is acted upon all the same."""
    assert decide(policy(), foreseen(probe="healthy")).strategy == "restart"
    assert decide(policy(), state(severity="warning", probe="healthy")).rule == "healthy"


@pytest.mark.parametrize(
    ("said", "changes", "words"),
    [
        ({"kind": "orchestrator"}, {}, "nothing done before a failure of agents of kind orchestrator"),
        ({"probability": 0.49}, {}, "probability 0.49, and is acted upon from 0.5 on"),
        ({"age_ms": 30_001}, {}, "30.0 s old, and was about the next 30 s"),
        ({}, {"stale": True}, "older than what was last done to the agent"),
        ({}, {"upstream_incident": "i7"}, "incident i7, of the agent or one that it needs, was there before"),
        ({}, {"supported": ["retry"]}, "restart (not supported by the agent), graceful_degradation (not supported"),
        ({}, {"tried": ALLOWED}, "nothing can be done: restart (tried already)"),
        ({}, {"paused": "paused by kim"}, "restart was chosen by preventive, but paused by kim"),
        ({}, {"latched": "too many restarts"}, "restart was chosen by preventive, but too many restarts"),
        ({}, {"spent": {"restarts_all": 30}}, "restart was chosen by preventive, but 30 restarts in 60 s"),
        ({}, {"spent": {"agents_sick": 3, "agents_known": 5}}, "3 of 5 agents are sick at once: healing stops"),
        ({"lot": 0.0999}, {}, "held out: restart was chosen"),
    ],
)
def test_it_is_left_alone(said: dict[str, Any], changes: dict[str, Any], words: str) -> None:
    """Whatever stands against it ends the incident with a reason; nobody is called, and nothing is latched off."""
    choice = decide(policy(), foreseen(said, **changes))
    assert choice.outcome == "no_action"
    assert words in choice.reason
    assert choice.rule == (HELD_OUT if "lot" in said else PREVENTIVE) != LATCHED


def test_a_spent_budget_of_the_agent_leads_to_the_next_strategy() -> None:
    """An agent that was restarted three times in a minute is not restarted once more for a prediction."""
    choice = decide(policy(), foreseen(spent={"restarts_agent": 3}))
    assert (choice.strategy, choice.outcome) == ("graceful_degradation", None)


def test_nobody_is_asked_to_approve() -> None:
    """A strategy that needs approval is passed over, and where there is no other, nothing is done."""
    choice = decide(policy(require_approval=["restart"]), foreseen())
    assert (choice.strategy, choice.outcome) == ("graceful_degradation", None)
    choice = decide(policy(require_approval=ALLOWED), foreseen())
    assert (choice.strategy, choice.outcome) == (None, "no_action")
    assert "needs a person's approval" in choice.reason


@pytest.mark.parametrize(
    ("switch", "words"),
    [
        ({"enable_predictive_failure_detection": False}, "enable_predictive_failure_detection is off"),
        ({"enable_automatic_recovery": False}, "but enable_automatic_recovery is off"),
        ({"dry_run": True}, "but dry_run is on"),
    ],
)
def test_switched_off_it_is_only_recorded(switch: dict[str, Any], words: str) -> None:
    """With each of the switches nothing is done."""
    choice = decide(policy(**switch), foreseen())
    assert choice.outcome == "no_action"
    assert choice.reason.endswith(words)


@pytest.mark.parametrize("changes", [{}, {"stale": True}, {"probe": "unhealthy"}, {"spent_ms": 9000}])
def test_one_attempt_is_all_and_calls_nobody(changes: dict[str, Any]) -> None:
    """What did not help once is not followed by the next rung, and no person is needed for it."""
    choice = decide(policy(), foreseen(attempts=1, tried=["restart"], **changes))
    assert (choice.outcome, choice.strategy) == ("no_action", "restart")
    assert choice.reason.startswith("restart was tried once")


def test_a_recorded_decision_is_decided_again_alike() -> None:
    """The state as the journal has it is all that the decision looks at, also for another policy."""
    recorded = foreseen().model_dump(exclude_none=True)
    again = DecisionState.model_validate(recorded)
    assert decide(policy(), again) == decide(policy(), foreseen())
    assert decide(Policy(), again).outcome == "no_action"


@pytest.mark.parametrize(
    ("share", "least", "most"), [(0.0, 0, 0), (0.1, 910, 1090), (0.5, 4850, 5150), (1.0, 10_000, 10_000)]
)
def test_the_lot_holds_out_the_share_that_was_asked_for(share: float, least: int, most: int) -> None:
    """Of ten thousand ids as many as the share says, to within three standard deviations, each time the same."""
    table = {"strategies": {"runtime": ALLOWED}, "holdout_share": share}
    bold = policy(preventive=table)
    held = [
        number
        for number in range(10_000)
        if decide(bold, foreseen({"lot": lot_of(f"prediction-{number}") / LOTS})).rule == HELD_OUT
    ]
    assert least <= len(held) <= most
    assert lot_of("prediction-1") == lot_of("prediction-1") != lot_of("prediction-2")


def test_the_table_of_the_policy_is_read() -> None:
    """Kinds with their strategies in order, a least probability and a share; what is not named keeps its default."""
    read = read_policy('[preventive]\nleast_probability = 0.8\n[preventive.strategies]\nruntime = ["restart"]\n', "p")
    assert read.preventive.strategies == {"runtime": ["restart"]}
    assert (read.preventive.least_probability, read.preventive.holdout_share) == (0.8, 0.1)
    assert (Policy().preventive.strategies, Policy().preventive.least_probability) == ({}, 0.5)
    assert read.digest != Policy().digest


@pytest.mark.parametrize("strategy", ["retry", "fallback", "isolate", "failover", "escalate"])
def test_what_may_not_be_done_before_a_failure_is_refused(strategy: str) -> None:
    """The error says where it is, what is wrong and what there is instead."""
    with pytest.raises(SettingsError) as refused:
        _ = read_policy(f'[preventive.strategies]\nruntime = ["restart", "{strategy}"]\n', "policy.toml")
    (problem,) = refused.value.problems
    assert problem.startswith("policy.toml: preventive.strategies: ")
    assert f"{strategy} may not be used before a failure" in problem
    assert all(one in problem for one in PREVENTIVE_MAY)


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("least_probability = 1.5", "least_probability"),
        ("holdout_share = -0.1", "holdout_share"),
        ("nonsense = 1", "nonsense"),
        ('[preventive.strategies]\n"a kind" = ["restart"]', "strategies.a kind"),
        ('[preventive.strategies]\nruntime = ["pray"]', "strategies.runtime"),
    ],
)
def test_a_wrong_table_is_refused_by_its_place(text: str, place: str) -> None:
    """Whatever is wrong in the table is named."""
    with pytest.raises(SettingsError, match=f"preventive.{place}"):
        _ = read_policy(f"[preventive]\n{text}\n", "policy.toml")
