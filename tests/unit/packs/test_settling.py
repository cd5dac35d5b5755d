"""What has been high for days is the new normal."""

import numpy as np
from tests.packs.choosing import Settling

_SETTLING = Settling(width=100, usual=-4.0, high=0.0)


def test_a_shift_that_stays_is_taken_back_and_a_passing_anomaly_is_not() -> None:
    """A machine whose level shifted for good falls back to the usual; one that was ill for a while keeps its score."""
    entity = np.repeat(["ill", "shifted"], 400)
    odds = np.full(800, -4.0)
    odds[200:240] = 5.0
    odds[500:] = 5.0
    settled = _SETTLING.applied(entity, odds)
    assert np.array_equal(settled[:400], odds[:400])
    assert (settled[500:540] == 5.0).all()
    assert (settled[570:] == -4.0).all()


def test_nothing_is_taken_back_before_there_is_enough_to_judge_by() -> None:
    """A machine that begins in trouble is believed for half of the width."""
    settled = _SETTLING.applied(np.repeat(["a"], 60), np.full(60, 5.0))
    assert (settled[:50] == 5.0).all()


def test_what_comes_later_does_not_change_what_was_settled() -> None:
    """The median is of samples that were there by then."""
    noise = np.random.default_rng(5)
    odds = noise.normal(1, 3, 500)
    entity = np.repeat(["a"], 500)
    later = np.concatenate([odds[:300], noise.normal(9, 1, 200)])
    assert np.array_equal(_SETTLING.applied(entity, odds)[:300], _SETTLING.applied(entity, later)[:300])
