"""No score may know what came later."""

from collections.abc import Callable

import numpy as np
import pytest
from tests.packs import deviations, engines, jobs, windows

_ROWS = 400


def _deviations(x: np.ndarray) -> np.ndarray:
    reference = np.random.default_rng(7).normal(size=(100, x.shape[1]))
    found = deviations.of_machine(x, reference, deviations.Reach(short=(5, 20), long=50, sudden=True))
    scores = [found.static, found.ewma_z, found.pca, found.distance]
    return np.column_stack([*scores, *found.plain.T, *found.rich.T])


@pytest.mark.parametrize(
    "features",
    [
        _deviations,
        lambda x: jobs.margins(50 + 10 * x[:, :2], 80.0),
        lambda x: jobs.rises(50 + 10 * x[:, :2], 80.0)[:, None],
        engines.wear,
        lambda x: windows.highest(x, 7),
        lambda x: windows.deviation(x, 7),
    ],
    ids=["deviations", "margins", "rises", "wear", "highest", "deviation"],
)
def test_what_comes_later_changes_nothing(features: Callable[[np.ndarray], np.ndarray]) -> None:
    """Features of a row are the same whatever the rows after it are."""
    noise = np.random.default_rng(1)
    x = noise.normal(size=(_ROWS, 4))
    later = x.copy()
    later[300:] += noise.normal(3, 5, size=(100, 4))
    assert np.allclose(features(x)[:300], features(later)[:300], atol=1e-4)
    assert not np.allclose(features(x), features(later), atol=1e-4)


def test_a_machine_that_misses_a_metric_is_still_scored() -> None:
    """Missing numbers, and metrics that never come, leave no hole in the features."""
    x = np.random.default_rng(2).normal(size=(50, 3))
    x[:, 1] = np.nan
    x[10:20, 2] = np.nan
    found = deviations.of_machine(x, x[:30], deviations.Reach(short=(5, 10), long=20, sudden=True))
    assert np.isfinite(found.rich).all()
    assert np.isfinite(found.plain).all()


def test_a_job_with_a_habit_of_rising_is_nearer_to_its_limit() -> None:
    """Of two jobs at the same level the one whose past rises would reach the limit is the more suspicious."""
    steady = np.full((600, 1), 50.0)
    restless = steady.copy()
    restless[::20] = 85.0
    assert jobs.rises(restless, 80.0)[595] > jobs.rises(steady, 80.0)[595] + 1
