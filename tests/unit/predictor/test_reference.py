"""What is usual for an agent: learned at once, hard to move, and what is seen against it."""

from typing import cast

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from mendbus.contracts.vocabulary import METRICS, Metric
from mendbus.features.names import HEALTH_FEATURES
from mendbus.features.vectors import COLUMN_STATISTICS, Health
from mendbus_predictor.reference import NAMES, Reference

MEMORY = METRICS.index("memory_bytes")
MIB = float(1 << 20)


def usual(**values: float) -> Reference:
    reference = Reference()
    for _ in range(60):
        reference.add(sample(**values))
    return reference


def sample(**values: float) -> np.ndarray:
    row = np.full(len(METRICS), np.nan, np.float32)
    for name, value in values.items():
        row[METRICS.index(name)] = value
    return row


def seen(reference: Reference, gauges: int = 0, **features: float) -> dict[str, float]:
    """What a model sees; `g0_recent` is a statistic of the first gauge."""
    columns = np.full((len(COLUMN_STATISTICS), len(METRICS) + gauges), np.nan)
    for name, value in features.items():
        of, _, statistic = name.rpartition("_")
        place = len(METRICS) + int(of[1:]) if of[1:].isdigit() else METRICS.index(cast("Metric", of))
        columns[COLUMN_STATISTICS.index(statistic), place] = value
    found = reference.against(Health(np.full(len(HEALTH_FEATURES), np.nan), columns))
    return dict(zip(NAMES, found.tolist(), strict=True))


def test_a_value_counts_by_how_far_it_is_from_what_is_usual() -> None:
    """The same memory is nothing to one agent and a lot to another, in units of each one's spread."""
    small, large = usual(memory_bytes=100 * MIB), usual(memory_bytes=200 * MIB)
    assert abs(seen(large, memory_bytes_last=200 * MIB)["last_1"]) < 0.01
    assert abs(seen(small, memory_bytes_last=200 * MIB)["last_1"] - 20.0) < 0.01


def test_less_of_what_is_good_is_as_bad_as_more_of_what_is_bad() -> None:
    """Throughput that falls is distress, throughput that rises is none."""
    reference = usual(throughput_per_s=40.0)
    assert seen(reference, throughput_per_s_last=4.0)["last_1"] > 2.0
    assert seen(reference, throughput_per_s_last=80.0)["last_1"] == 0.0


def test_what_goes_wrong_for_a_minute_does_not_become_usual() -> None:
    """After two hundred samples of a leak the reference is still where it was, within one spread."""
    reference = usual(memory_bytes=100 * MIB)
    for step in range(200):
        reference.add(sample(memory_bytes=(100 + step) * MIB))
    assert reference.mean[MEMORY] < 110 * MIB


def test_what_is_missing_changes_nothing_and_says_nothing() -> None:
    """A metric that is not told leaves its reference as it was, and speaks for no failure."""
    reference = usual(memory_bytes=100 * MIB)
    before = reference.mean.copy()
    reference.add(sample())
    np.testing.assert_array_equal(reference.mean, before)
    assert seen(reference)["last_1"] == 0.0


@given(arrays(np.float32, (40, len(METRICS)), elements=st.floats(0, 1e6, width=32) | st.just(float("nan"))))
def test_any_history_gives_finite_or_missing_features(history: np.ndarray) -> None:
    """Nothing an agent tells makes a feature infinite, and the pooled ones are never missing."""
    reference = Reference()
    for row in history:
        reference.add(row)
    found = reference.against(
        Health(np.ones(len(HEALTH_FEATURES)), np.ones((len(COLUMN_STATISTICS), len(METRICS) + 2)))
    )
    assert not np.isinf(found).any()
    assert not np.isnan(found[:18]).any()


def test_a_gauge_that_grows_is_as_bad_as_a_metric_that_does() -> None:
    """Whatever its name, it is seen against what is usual for it; one that was never told of says nothing."""
    reference = Reference()
    for _ in range(60):
        reference.add(np.append(sample(), np.float32([10.0])))
    assert seen(reference, 1, g0_last=30.0)["last_1"] == 10.0
    assert seen(reference, 1, g0_recent=2.0)["rise_1"] == 30.0
    assert seen(reference, 2, g1_last=30.0)["last_1"] == 0.0


def test_a_gauge_that_counts_says_nothing_by_growing() -> None:
    """What only rose while it was learned is a counter, and grows for ever; what also fell is none."""
    for jitter, rise in ((0.0, 0.0), (12.0, 30.0)):
        reference = Reference()
        for step in range(60):
            reference.add(np.append(sample(), np.float32([10.0 * step + jitter * (step % 2)])))
        spread = reference.spread[-1]
        found = seen(reference, 1, g0_recent=float(spread), g0_steady=1.0)
        assert found["rise_1"] == pytest.approx(rise)
        assert (found["steady_1"] > 0.0) == (rise > 0.0)


def test_growth_that_is_no_more_than_noise_is_not_steady() -> None:
    """A line that rises by less than a spread within the horizon is none, however straight it is."""
    reference = usual(memory_bytes=100 * MIB)
    assert seen(reference, memory_bytes_recent=MIB / 60, memory_bytes_steady=1.0)["steady_1"] == 0.0
    assert seen(reference, memory_bytes_recent=1.0 * MIB, memory_bytes_steady=1.0)["steady_1"] == 1.0
