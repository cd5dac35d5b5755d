"""What counts as avoided, as foretold in time and as done for nothing, and what lies between the two arms."""

import pytest
from tests.lab.faults.drift import DRIFTS
from tests.lab.prevented import Acted, Tale, arm, content, table
from tests.lab.preventing import planned, policy_of
from tests.lab.recording import Run

from mendbus.contracts.errors import SettingsError
from mendbus_strategy_selector.policy import read_policy

DONE = Acted(20.0, "runtime", 0.6, "restart", verified=True)
LEFT = Acted(20.0, "runtime", 0.6)


def tale(*foretold: Acted, what: str = "fault", failed: float | None = 30.0, **changes: object) -> Tale:
    """A run in which something began in the runtime at 10."""
    run = Run(1, 1, what, "drift_memory_leak", "runtime", began=10.0, failed=failed)
    for name, value in changes.items():
        setattr(run, name, value)
    return Tale("on", run, list(foretold))


def test_what_was_foretold_in_time_is_of_the_agent_and_between_the_beginning_and_the_failure() -> None:
    """Neither what was told before, nor after, nor of another agent counts."""
    early, late, other = (Acted(9.0, "runtime", 0.6), Acted(31.0, "runtime", 0.6), Acted(20.0, "versioning", 0.6))
    assert tale(early, LEFT, late, other).mine() == [LEFT]
    assert tale(late, failed=None).mine() == [late]


@pytest.mark.parametrize(
    ("one", "count"),
    [
        (tale(DONE), 0),
        (tale(Acted(9.0, "runtime", 0.6, "restart")), 1),
        (tale(Acted(20.0, "versioning", 0.6, "restart")), 1),
        (tale(DONE, what="look_alike", failed=None), 1),
        (tale(LEFT, what="look_alike", failed=None), 0),
    ],
)
def test_what_is_done_to_an_agent_that_would_not_have_failed_is_for_nothing(one: Tale, count: int) -> None:
    """Before anything began, to an agent with nothing wrong, or to one that only looks like it."""
    assert len(one.for_nothing()) == count


def test_a_toolchain_s_predictions_are_told_of_once() -> None:
    """What concerns an agent with a fault of its own is left to its tale."""
    one = tale(Acted(20.0, "versioning", 0.6, "restart"))
    one.others = frozenset(("versioning",))
    assert one.for_nothing() == []
    assert content([one], {}, {})["tales"][0]["foretold"] == []


def test_arms_are_summed_and_set_against_each_other() -> None:
    """Hand-counted: of two faults one was avoided, of two look-alikes one was noticed, a busy one is not judged."""
    on = arm(
        [
            tale(DONE, failed=None),
            tale(LEFT),
            tale(DONE, what="look_alike"),
            tale(what="look_alike", failed=None),
            tale(DONE, disturbed=["runtime"]),
        ]
    )
    assert (on.failed.hits, on.failed.of) == (1, 2)
    assert (on.foretold.hits, on.acted.hits, on.acted.of) == (2, 1, 2)
    assert (on.alike_felt.hits, on.alike_acted.hits, on.alike_felt.of) == (1, 1, 2)
    assert (on.for_nothing, on.busy) == (1, 1)
    assert (on.strategies["restart"].hits, on.strategies["restart"].of) == (3, 3)
    off = arm([tale(), tale()])
    assert (off.failed.hits, off.failed.of) == (2, 2)
    shown = table({"off": off, "on": on})
    assert "failures, acting against not:    -50 points" in shown
    assert "look-alikes, acting against not: not comparable" in shown
    assert content([], {"off": off, "on": on}, {})["between"]["failures"].startswith("-50 points")


def test_the_plan_is_of_what_grows_and_what_looks_like_it() -> None:
    """Every toolchain has at least one, no two in one agent, and the seed says which."""
    worlds = planned(40, 60.0, 1)
    runs = [run for world in worlds for run in world]
    assert {run.name for run in runs} <= set(DRIFTS)
    assert {run.what for run in runs} == {"fault", "look_alike"}
    assert all(len({run.agent for run in world}) == len(world) for world in worlds)
    assert {len(world) for world in planned(40, 60.0, 1, alone=True)} == {1}
    assert [run.name for run in runs] == [run.name for world in planned(40, 60.0, 1) for run in world]


def test_the_policies_of_the_arms_are_policies() -> None:
    """One does nothing before a failure, the other what is asked for, with nothing held out."""
    on = read_policy(policy_of("on", ["restart"], 0.2), "on").preventive
    assert (on.strategies["runtime"], on.least_probability, on.holdout_share) == (["restart"], 0.2, 0.0)
    assert read_policy(policy_of("off", ["restart"], 0.2), "off").preventive.strategies == {}
    with pytest.raises(SettingsError):
        _ = policy_of("on", ["retry"], 0.2)
