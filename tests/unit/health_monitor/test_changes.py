"""Where a level shifted: found where it is, at either end too, and seldom where there is none."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mendbus_health_monitor.changes import LEAST_SIDE, shift
from mendbus_health_monitor.columns import Numbers


def shifted(place: int, by: float, seed: int) -> Numbers:
    """A hundred values of noise, all from a place on higher by so much."""
    values: Numbers = np.random.default_rng(seed).normal(size=100)
    values[place:] += by
    return values


@given(st.integers(30, 70), st.floats(8.0, 1e6), st.sampled_from((-1.0, 1.0)), st.integers(0, 2**32 - 1))
@settings(max_examples=40, deadline=None)
def test_a_large_shift_is_found_where_it_is(place: int, size: float, sign: float, seed: int) -> None:
    """Levels far apart are told with their place."""
    found = shift(shifted(place, sign * size, seed))
    assert found is not None
    assert abs(found.index - place) <= 8
    assert found.p < 1e-2
    assert np.sign(found.after - found.before) == sign


@pytest.mark.parametrize("place", [LEAST_SIDE, 100 - LEAST_SIDE])
def test_a_shift_near_an_end_is_seldom_mistaken(place: int) -> None:
    """With so few values on one side, ranks within the other may outweigh them by chance: nine times of ten none do."""
    found = [shift(shifted(place, 8.0, seed)) for seed in range(200)]
    assert sum(each is not None and abs(each.index - place) <= 4 and each.p < 1e-2 for each in found) >= 180


@given(st.lists(st.integers(-5, 5), min_size=16, max_size=80), st.floats(0.001, 1e6), st.floats(-1e6, 1e6))
@settings(max_examples=50, deadline=None)
def test_units_do_not_matter(values: list[int], scale: float, zero: float) -> None:
    """Place, z and p are those of the ranks: the same in any unit and from any zero."""
    series = np.array(values, float)
    one, other = shift(series), shift(np.round(series * 2**10) + 3)
    assert (one is None) == (other is None)
    if one is not None and other is not None:
        assert (one.index, one.z, one.p) == pytest.approx((other.index, other.z, other.p))


def test_too_short_or_never_moving_is_none() -> None:
    """Nothing is told of too few values, and nothing of a constant."""
    assert shift(np.arange(2.0 * LEAST_SIDE - 1)) is None
    assert shift(np.ones(100)) is None


def test_missing_values_keep_their_place() -> None:
    """The index counts rows, the missing ones too."""
    values = np.concatenate([np.zeros(40), np.full(20, np.nan), np.full(40, 9.0)])
    values += np.tile([0.0, 0.1, 0.2, 0.1], 25)
    found = shift(values)
    assert found is not None
    assert 40 <= found.index <= 60


@pytest.mark.parametrize("alike", [0.0, 0.5, 0.7])
def test_data_without_a_shift_seldom_has_one(alike: float) -> None:
    """With neighbours as alike as in real metrics, p < 0.01 comes in few of a hundred series."""
    random = np.random.default_rng(5)
    series = np.zeros((150, 150))
    for row in range(1, 150):
        series[row] = alike * series[row - 1] + random.normal(size=150)
    found = [shift(series[30:, i]) for i in range(150)]
    assert np.mean([each is not None and each.p < 0.01 for each in found]) <= 0.04
