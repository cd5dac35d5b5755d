"""What counts as detected: the right agent, the right resource, in time; and what counts as a false alert."""

from dataclasses import replace

import pytest
from tests.lab.detecting import AT_ONCE, Case, Heard, Rate, content, plan, sums, table

EXHAUSTION = Heard(15.0, "a", "exhaustion", "memory_bytes", alert=True)


def case(fault: str, *heard: Heard, over: float | None = 20.0) -> Case:
    """A case that began at 10 and ended at 40."""
    at = {"over": over} if fault == "leak" else {"noticed": over}
    return Case("a", fault, 10.0, known=0.0, began=10.0, ended=40.0, heard=list(heard), **at)


def test_the_plan_follows_from_the_seed() -> None:
    """A longer plan begins with a shorter one; every round has every fault, and two agents to which nothing happens."""
    assert plan(5, 12, 1)[:2] == plan(2, 12, 1)
    assert plan(2, 12, 1) != plan(2, 12, 2)
    assert all(sorted(one.fault for one in drawn) == sorted(AT_ONCE) for drawn in plan(3, 12, 1))
    assert len({one.agent for drawn in plan(3, 12, 1) for one in drawn}) == 36


@pytest.mark.parametrize(
    ("heard", "found", "late"),
    [
        (EXHAUSTION, True, False),
        (replace(EXHAUSTION, at=25.0), False, True),
        (replace(EXHAUSTION, at=5.0), False, False),
        (replace(EXHAUSTION, metric="queue_depth"), False, False),
        (replace(EXHAUSTION, what="degradation"), False, False),
        (Heard(15.0, "a", "critical"), False, False),
    ],
)
def test_an_exhaustion_is_found_by_its_resource_and_in_time(heard: Heard, *, found: bool, late: bool) -> None:
    """Neither another resource, nor a worse status, nor what was told before or after counts."""
    one = case("leak", heard)
    assert (one.found() is not None, one.told_late()) == (found, late)


def test_a_degradation_is_found_by_a_worse_status_or_any_alert() -> None:
    """A status that is no worse is none, and after users have noticed it is too late."""
    assert case("delay", Heard(15.0, "a", "fair")).found()
    assert case("delay", Heard(15.0, "a", "degradation", "response_time_ms", alert=True)).found()
    assert not case("delay", Heard(15.0, "a", "good")).found()
    assert not case("delay", Heard(25.0, "a", "failed")).found()
    assert case("delay", Heard(25.0, "a", "failed"), over=None).found()


def test_what_is_told_of_nothing_is_false_and_has_its_time() -> None:
    """Alerts before a fault, or of an agent that has none, by the time in which there was nothing to tell."""
    calm = Case(
        "b", "", known=0.0, ended=86400.0 - 10.0, heard=[Heard(9.0, "b", "degradation", "cpu_percent", alert=True)]
    )
    found = sums([case("leak", EXHAUSTION, replace(EXHAUSTION, at=5.0)), calm])
    assert (found.false.count, found.false.days) == (2, pytest.approx(1.0))
    assert found.false_of == {"exhaustion memory_bytes": 1, "degradation cpu_percent": 1}
    assert (found.exhaustion.hits, found.delays, found.leads) == (1, {"leak": 5.0}, {"leak": 5.0})
    assert [sentence.split(":")[0] for sentence in found.missed] == ["degradation"]
    assert "1 of 1" in table(found)
    assert (found.disturbed.hits, found.disturbed.of) == (0, 1)
    assert content([calm], found, {})["false"]["count"] == 2


def test_a_rate_has_an_interval_even_of_none() -> None:
    """None in a day may still be up to 3.7 a day; of ten, the exact interval is 4.8 to 18.4."""
    assert Rate(0, 1.0).interval() == (0.0, pytest.approx(3.69, abs=0.05))
    assert Rate(10, 1.0).interval() == (pytest.approx(4.80, abs=0.05), pytest.approx(18.39, abs=0.05))
