"""Slope and its significance, against what must be so of any data, and against false alarms on data without a trend."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mendbus_health_monitor.trend import FEWEST, inflation, rises, trends, two_sided

TIMES = np.arange(24.0)
WHOLE = st.lists(st.integers(-1000, 1000), min_size=24, max_size=24)


def column(values: list[int] | list[float]) -> np.ndarray:
    return np.array(values, float)[:, None]


@given(WHOLE, st.integers(-50, 50), st.integers(-1000, 1000))
@settings(max_examples=40, deadline=None)
def test_the_slope_follows_what_is_added_to_the_data(values: list[int], more: int, level: int) -> None:
    """A line added to the data is added to slope and level; the noise stays."""
    before = trends(TIMES, column(values))
    after = trends(TIMES, column(values) + more * TIMES[:, None] + level)
    assert after.slope[0] == pytest.approx(before.slope[0] + more, abs=1e-6)
    assert after.level[0] == pytest.approx(before.level[0] + more * TIMES[-1] + level, abs=1e-5)
    assert after.noise[0] == pytest.approx(before.noise[0], abs=1e-5)


@given(WHOLE)
@settings(max_examples=40, deadline=None)
def test_turning_the_data_round_turns_the_trend_round(values: list[int]) -> None:
    """Of the negated data, slope and z are negated, p is the same, and the interval holds the slope."""
    one, other = trends(TIMES, column(values)), trends(TIMES, -column(values))
    assert other.slope[0] == pytest.approx(-one.slope[0])
    assert other.z[0] == pytest.approx(-one.z[0])
    assert other.p[0] == pytest.approx(one.p[0])
    assert one.low[0] <= one.slope[0] <= one.high[0]


@given(WHOLE, st.integers(0, 23))
@settings(max_examples=30, deadline=None)
def test_one_value_however_wild_moves_the_slope_within_the_interval_of_its_neighbours(
    values: list[int], place: int
) -> None:
    """The slope stays between the smallest and the largest slope of the untouched pairs."""
    wild = column(values)
    wild[place] = 1e12
    kept = [i for i in range(24) if i != place]
    slopes = [(values[j] - values[i]) / (j - i) for i in kept for j in kept if i < j]
    assert min(slopes) - 1e-6 <= trends(TIMES, wild).slope[0] <= max(slopes) + 1e-6


def test_missing_values_are_passed_over() -> None:
    """A line with holes has the slope of the line; fewer values than are needed have none."""
    values = np.repeat(3.0 * TIMES[:, None], 2, axis=1)
    values[::3, 0] = np.nan
    values[FEWEST - 1 :, 1] = np.nan
    found = trends(TIMES, values)
    assert found.slope[0] == pytest.approx(3.0)
    assert found.p[0] < 1e-4
    assert np.isnan(found.slope[1])
    assert np.isnan(found.p[1])


def test_the_slope_of_known_data_is_that_of_the_books() -> None:
    """Sen's slope and the Mann-Kendall statistic of a short series worked out by hand."""
    values = [1.0, 2.0, 4.0, 3.0, 5.0, 6.0, 8.0, 7.0]
    found = trends(np.arange(8.0), column(values))
    slopes = sorted((values[j] - values[i]) / (j - i) for i in range(8) for j in range(i + 1, 8))
    assert found.slope[0] == pytest.approx((slopes[13] + slopes[14]) / 2)
    # S = 26 - 2 = 24 of 28 pairs; variance 8 * 7 * 21 / 18.
    assert abs(found.z[0]) <= (24 - 1) / np.sqrt(8 * 7 * 21 / 18) + 1e-9


@pytest.mark.parametrize("alike", [0.0, 0.5, 0.7])
def test_data_without_a_trend_seldom_has_one(alike: float) -> None:
    """With neighbours as alike as in real metrics, p < 0.01 comes in few of a hundred series."""
    random = np.random.default_rng(7)
    series = np.zeros((60, 390))
    for row in range(1, 60):
        series[row] = alike * series[row - 1] + random.normal(size=390)
    found = np.concatenate([trends(TIMES, series[-24:, i : i + 13]).p for i in range(0, 390, 13)])
    assert (found < 0.01).mean() < 0.045


def test_ties_make_the_test_more_careful_not_less() -> None:
    """Data that never moves has p 1, and data with many ties is no surer than without."""
    assert trends(TIMES, np.ones((24, 1))).p[0] == 1.0
    assert trends(TIMES, column([i // 8 for i in range(24)])).p[0] >= trends(TIMES, column(list(range(24)))).p[0]


@given(st.lists(st.floats(-1e6, 1e6), min_size=10, max_size=40))
@settings(max_examples=40, deadline=None)
def test_alike_neighbours_only_ever_widen(values: list[float]) -> None:
    """The inflation of variance is finite and never less than one."""
    found = inflation(column(values))
    assert np.isfinite(found).all()
    assert (found >= 1.0).all()


def test_two_sided_is_the_normal_probability() -> None:
    """The usual values of the table."""
    assert two_sided(0.0) == 1.0
    assert two_sided(-1.959964) == pytest.approx(0.05, abs=1e-6)


def test_a_steady_rise_is_known_by_its_signs_however_it_bends() -> None:
    """Twelve values that all rise are hardly chance, wherever they bend; noise and a single step are."""
    bent = np.arange(12.0) ** 1.5
    assert rises(bent) == pytest.approx(2.0**-11)
    assert trends(np.arange(12.0), bent[:, None]).p[0] > 1e-2
    assert rises(np.r_[np.zeros(6), np.ones(6)]) > 0.99
    assert rises(np.tile([0.0, 1.0], 6)) == pytest.approx(0.5)
    assert rises(np.full(12, np.nan)) == 1.0
