"""The robust score: by what is usual, whatever else came along."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mendbus_health_monitor.anomaly import CLIP, running, scores, usual

NONE = np.zeros(1)
VALUES = st.lists(st.floats(-1e6, 1e6), min_size=20, max_size=60)


@given(VALUES, st.floats(-1e6, 1e6), st.floats(0.01, 100.0))
@settings(max_examples=50, deadline=None)
def test_the_score_has_no_unit(values: list[float], value: float, scale: float) -> None:
    """Data, value and floor in another unit have the same score."""
    series, floor = np.array(values)[:, None], np.full(1, 0.5)
    one = scores(np.full(1, value), usual(series, floor))
    other = scores(np.full(1, value * scale), usual(series * scale, floor * scale))
    assert other == pytest.approx(one, rel=1e-6, abs=1e-6)


@given(VALUES, st.floats(-1e6, 1e6), st.floats(0.1, 1e6))
@settings(max_examples=50, deadline=None)
def test_further_out_is_never_a_lower_score(values: list[float], value: float, more: float) -> None:
    """The score grows with the value, and is zero at the median."""
    by = usual(np.array(values)[:, None], np.full(1, 0.1))
    assert scores(by.centre, by) == pytest.approx(0.0)
    assert scores(np.full(1, value + more), by)[0] >= scores(np.full(1, value), by)[0]


@given(st.lists(st.floats(0, 10), min_size=40, max_size=60), st.floats(1e3, 1e9))
@settings(max_examples=40, deadline=None)
def test_a_few_wild_values_do_not_become_usual(values: list[float], wild: float) -> None:
    """With a twentieth of the values wild, the median stays, and the wild one is still far out."""
    series = np.array(values)
    series[: len(series) // 25] = wild
    by = usual(series[:, None], np.full(1, 0.5))
    assert 0.0 <= by.centre[0] <= 10.0
    assert scores(np.full(1, wild), by)[0] > 6.0


def test_each_side_has_its_own_scale() -> None:
    """What is skewed upwards is usual upwards, and not downwards."""
    series = np.random.default_rng(1).exponential(10.0, 500)[:, None]
    by = usual(series, np.full(1, 0.01))
    assert by.up[0] > 1.5 * by.down[0]


def test_missing_is_missing() -> None:
    """A missing value has no score and leaves the running one; a column without values has nothing usual."""
    by = usual(np.full((30, 1), np.nan), NONE)
    assert np.isnan(by.centre[0])
    assert running(np.full(1, np.nan), np.full(1, 3.0))[0] == 3.0


@given(st.lists(st.floats(-1e9, 1e9), max_size=50))
@settings(max_examples=40, deadline=None)
def test_one_value_alone_is_no_anomaly(others: list[float]) -> None:
    """The running score never leaves the clip, and one row moves it by a share of it only."""
    held = np.zeros(1)
    for score in others:
        held = running(np.full(1, score), held)
        assert abs(held[0]) <= CLIP
    assert running(np.full(1, 1e9), NONE)[0] < CLIP / 2
