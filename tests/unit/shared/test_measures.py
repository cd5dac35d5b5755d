"""Shares with intervals, calibration, and durations whose quantiles are known to within 1 %."""

from math import ceil

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mendbus.measures import ERROR, Durations, Spread, calibration_error, share

NANOS = st.integers(1, 10**15)


def test_an_interval_is_wilson_s() -> None:
    """The interval of 8 of 10 is the one that textbooks print; nothing has none; all and none reach the end."""
    found = share(8, 10)
    assert (found.share, found.low, found.high) == pytest.approx((0.8, 0.49016, 0.94332), abs=1e-5)
    assert share(0, 0) == (0, 0, None, None, None)
    assert share(5, 5).high == 1.0
    assert share(0, 5).low == 0.0


def test_a_forecast_that_always_comes_true_is_calibrated() -> None:
    """Probabilities of nought and one that come true are not off; three quarters said of what halves is off by 0.25."""
    came = [False, True, True, False]
    assert calibration_error(zip(map(float, came), came, strict=True)) == 0.0
    assert calibration_error((0.75, one) for one in came) == 0.25
    assert calibration_error([]) == 0.0


@settings(deadline=None)
@given(st.integers(1, 10**9).flatmap(lambda of: st.tuples(st.integers(0, of), st.just(of))))
def test_an_interval_holds_its_share(counts: tuple[int, int]) -> None:
    """Whatever was counted, the bounds lie between 0 and 1 and the share between the bounds."""
    found = share(*counts)
    assert found.share is not None
    assert found.low is not None
    assert found.high is not None
    assert 0 <= found.low <= found.share <= found.high <= 1


@settings(deadline=None)
@given(st.lists(NANOS, min_size=1, max_size=50), st.sampled_from((0.5, 0.9)))
def test_a_quantile_is_true_to_within_one_per_cent(values: list[int], q: float) -> None:
    """The quantile is within 1 % of the value that so many of all do not exceed."""
    durations = Durations()
    for value in values:
        durations.add(value)
    exact = sorted(values)[ceil(q * len(values)) - 1]
    assert durations.quantile(q) == pytest.approx(exact, rel=ERROR * 1.01)


@settings(deadline=None)
@given(st.lists(NANOS, max_size=20), st.lists(NANOS, max_size=20))
def test_what_is_taken_out_was_never_there(stay: list[int], go: list[int]) -> None:
    """Durations that were added and taken out leave no trace."""
    one, other = Durations(), Durations()
    for value in (*stay, *go):
        one.add(value)
    for value in go:
        one.add(value, -1)
    for value in stay:
        other.add(value)
    assert one.spread() == other.spread()


def test_nothing_has_no_times() -> None:
    """Without a duration there is neither mean nor quantile; one of no length is as good as none."""
    assert Durations().spread() == Spread(0, None, None, None)
    durations = Durations()
    durations.add(0)
    assert durations.spread().median_ms == 0.0
