"""Slopes of noisy series are found, and growth is told from noise."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.lab.slopes import theil_sen, thinned

_CHANCE = np.random.default_rng(7)


def test_a_straight_line_has_its_slope_and_no_doubt() -> None:
    """Without noise slope and both ends of the interval are the same."""
    times = np.arange(50.0)
    found = theil_sen(times, 3.0 + 0.25 * times)
    assert (found.slope, found.low, found.high) == pytest.approx((0.25, 0.25, 0.25))
    assert found.rises


def test_outliers_do_not_bend_it() -> None:
    """A tenth of wild points changes the slope by little."""
    times = np.arange(100.0)
    values = 2.0 * times + _CHANCE.normal(0, 1, 100)
    values[::10] += 1e6
    assert theil_sen(times, values).slope == pytest.approx(2.0, rel=0.1)


def test_noise_alone_does_not_rise_more_often_than_it_may() -> None:
    """Of many series of independent noise hardly more than one in forty is taken for growth."""
    times = np.arange(40.0)
    rises = sum(theil_sen(times, _CHANCE.normal(0, 1, 40)).rises for _ in range(400))
    assert rises <= 25


def test_what_wanders_is_not_taken_for_growth_as_it_were_without_the_correction() -> None:
    """Points that resemble their neighbours widen the interval."""
    rises = 0
    for _ in range(100):
        noise = _CHANCE.normal(0, 1, 120)
        values = np.zeros(120)
        for index in range(1, 120):
            values[index] = 0.7 * values[index - 1] + noise[index]
        found = theil_sen(np.arange(120.0), values)
        rises += found.rises
    assert rises <= 15
    assert found.widened > 1.5


def test_steps_that_end_are_no_growth_afterwards() -> None:
    """A level that was reached is level: equal values give a slope of zero and do not rise."""
    found = theil_sen(np.arange(60.0), np.full(60, 31.0))
    assert (found.slope, found.low, found.high, found.rises) == (0.0, 0.0, 0.0, False)


@given(st.floats(-5, 5), st.floats(-100, 100), st.integers(10, 60))
@settings(max_examples=50, deadline=None)
def test_the_slope_follows_a_change_of_the_line(more: float, offset: float, points: int) -> None:
    """Adding a line to a series adds its slope, and an offset changes nothing."""
    chance = np.random.default_rng(points)
    times, values = np.arange(float(points)), chance.normal(0, 1, points)
    before, after = theil_sen(times, values), theil_sen(times, values + more * times + offset)
    assert after.slope == pytest.approx(before.slope + more, abs=1e-6)


def test_many_points_become_few_and_what_is_unknown_is_left_out() -> None:
    """Medians of neighbours keep the line; NaN is no point."""
    times = np.arange(5000.0)
    values = 0.5 * times
    values[::7] = np.nan
    x, y = thinned(times, values, 100)
    assert len(x) == len(y) == 100
    assert theil_sen(times, values).slope == pytest.approx(0.5, rel=1e-3)


def test_too_few_points_are_refused() -> None:
    """Three points say nothing, and neither do many at one time."""
    with pytest.raises(ValueError, match="four points"):
        _ = theil_sen([0, 1, 2], [1, 2, 3])
    with pytest.raises(ValueError, match="four points"):
        _ = theil_sen([1, 1, 1, 1], [1, 2, 3, 4])
