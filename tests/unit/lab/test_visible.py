"""What can be seen before a failure at all: worked out by hand on small series."""

import numpy as np
from tests.lab import visible


def test_what_moves_is_far_and_what_does_not_is_not() -> None:
    """A column that jumps by ten spreads once something has begun is far from usual, its neighbour is not."""
    chance = np.random.default_rng(1)
    times = np.arange(0.0, 60.0, 0.5)
    values = chance.normal(100.0, 1.0, (120, 2))
    values[times >= 30.0, 0] += 10.0
    found = visible.seen(times, values, 30.0, np.array([40.0, 50.0]))
    assert (found[:, 0] > 20.0).all()
    assert (found[:, 1] < 6.0).all()


def test_what_was_never_told_is_not_seen() -> None:
    """A column without values, before or after, says nothing."""
    times = np.arange(0.0, 20.0, 0.5)
    values = np.full((40, 2), np.nan)
    values[times >= 10.0, 1] = 5.0
    assert not visible.seen(times, values, 10.0, np.array([15.0])).any()


def test_the_columns_that_tell_most_are_taken_together() -> None:
    """Two columns that each tell half are both taken; one that tells nothing is not."""
    quiet = np.random.default_rng(1).uniform(0.0, 1.0, (1000, 3))
    ahead = np.zeros((10, 3))
    ahead[:5, 0] = ahead[5:, 2] = 50.0
    assert visible.best(ahead, quiet) == (10, (2, 0))
