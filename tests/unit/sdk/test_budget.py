"""The retry budget, in simulated time."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mendbus.sdk.budget import MOST_SAVED, PER_SECOND, SHARE, RetryBudget


def retries(operations_per_second: float, wanted_per_second: int, seconds: int) -> list[int]:
    """Retries allowed in each second, of so many wanted, beside so many operations."""
    budget, found, operations = RetryBudget(), list[int](), 0.0
    for second in range(seconds):
        allowed = 0
        for number in range(wanted_per_second):
            operations += operations_per_second / wanted_per_second
            while operations >= 1.0:
                budget.deposit()
                operations -= 1.0
            allowed += budget.take(second + number / wanted_per_second)
        found.append(allowed)
    return found


@pytest.mark.parametrize(("operations", "rate"), [(0, 10), (20, 10), (50, 10), (100, 20), (1000, 200)])
def test_a_fifth_of_the_operations_or_ten_a_second(operations: int, rate: int) -> None:
    """Whichever is more, and never the sum of both, once the first second's reserve is spent."""
    for allowed in retries(operations, 1000, 10)[1:]:
        assert abs(allowed - rate) <= 1 + rate * 0.02


def test_what_is_not_wanted_is_saved_up_to_a_bound() -> None:
    """Busy seconds without a failure leave retries over, so many and no more."""
    budget = RetryBudget()
    for _ in range(100_000):
        budget.deposit()
    assert sum(budget.take(0.0) for _ in range(1000)) == MOST_SAVED
    assert sum(budget.take(100.0) for _ in range(1000)) == PER_SECOND


@given(
    st.lists(
        st.one_of(st.none(), st.floats(min_value=0.0, max_value=0.5), st.integers(min_value=1, max_value=30)),
        max_size=200,
    )
)
def test_no_schedule_gets_more(steps: list[float | int | None]) -> None:
    """Operations (a number), pauses (a fraction) and retries (None) in any order: the bounds hold at every point."""
    budget, now, operations, taken = RetryBudget(), 0.0, 0, 0
    for step in steps:
        if step is None:
            taken += budget.take(now)
        elif isinstance(step, int):
            operations += step
            for _ in range(step):
                budget.deposit()
        else:
            now += step
        assert taken <= PER_SECOND * (1 + now) + SHARE * operations + 1e-6


def test_a_clock_that_stands_still_gives_nothing() -> None:
    """Nor does one that went back."""
    budget = RetryBudget()
    assert sum(budget.take(5.0) for _ in range(100)) == PER_SECOND
    assert not budget.take(4.0)
    assert not budget.take(4.05)
    assert budget.take(4.2)
