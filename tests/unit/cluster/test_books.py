"""What availability means, and what counts as lost or twice."""

import math

import pytest
from tests.cluster.books import DEADLINE_SECONDS, Held, Pause, Recovery, availability, lost, pauses, quantile, twice


def one(seconds: float, outcome: str = "recovered", at: float = 100.0) -> Recovery:
    """A failure at a time that was recovered so many seconds later."""
    return Recovery("e", at, at, at + seconds if seconds else 0.0, outcome)


@pytest.mark.parametrize(
    ("recovery", "good"),
    [
        (one(0.1), True),
        (one(DEADLINE_SECONDS), True),
        (one(DEADLINE_SECONDS + 0.1), False),
        (one(0.1, "no_action"), True),
        (one(0.1, "undone"), False),
        (one(0.1, "escalated"), False),
        (one(0.0, "none"), False),
    ],
)
def test_good_is_recovered_in_time_and_for_good(recovery: Recovery, good: bool) -> None:
    """Late, undone, escalated and never told of: none of them is available."""
    assert recovery.good is good


def test_what_never_recovered_took_for_ever() -> None:
    """No outcome is no short time."""
    assert one(0.0).seconds == math.inf


def test_availability_has_its_interval() -> None:
    """Of 10,000 with 7 bad ones the share is 99.93 %, and the must lies below the whole interval's upper end."""
    found = availability([one(0.1)] * 9993 + [one(99.0)] * 7)
    assert found.share == pytest.approx(0.9993)
    assert found.low is not None
    assert found.high is not None
    assert 0.998 < found.low < 0.9993 < found.high < 0.9997


def test_the_worst_recovery_belongs_to_the_blow_it_began_in() -> None:
    """A failure counts to the last blow before it, if there is one; of several blows median and worst are told."""
    held = [
        Held("kill", "kill n1", 10.0, 12.0),
        Held("kill", "kill n2", 20.0, 25.0),
        Held("slow", "slow n1", 30.0, 31.0),
    ]
    found = [one(50.0, at=9.0), one(1.0, at=10.5), one(3.0, at=11.0), one(7.0, at=25.0), one(0.0, "escalated", at=26.0)]
    assert pauses(found, held) == {"kill": Pause(2, 5.0, 7.0, 3, 4), "slow": Pause(1, 0.0, 0.0, 0, 0)}


def test_lost_and_twice() -> None:
    """An acknowledged event that no record counts is lost; one that two count is there twice."""
    counted = {"a": 1, "b": 2}
    assert lost(["a", "b", "c"], counted) == ["c"]
    assert twice(["a", "b", "c"], counted) == ["b"]


def test_quantiles_are_values_that_were_seen() -> None:
    """Nearest rank, and 0 of nothing."""
    assert [quantile([3.0, 1.0, 2.0], share) for share in (0.0, 0.5, 1.0)] == [1.0, 2.0, 3.0]
    assert quantile([], 0.5) == 0.0
