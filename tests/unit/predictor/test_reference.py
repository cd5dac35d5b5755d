"""What is usual for an agent: learned at once, hard to move, and what is seen against it."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from mendbus.contracts.vocabulary import METRICS
from mendbus.features.names import HEALTH_FEATURES
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


def seen(reference: Reference, **features: float) -> dict[str, float]:
    vector = np.full(len(HEALTH_FEATURES), np.nan)
    for name, value in features.items():
        vector[HEALTH_FEATURES.index(name)] = value
    return dict(zip(NAMES, reference.against(vector).tolist(), strict=True))


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
    found = reference.against(np.full(len(HEALTH_FEATURES), 1.0))
    assert not np.isinf(found).any()
    assert not np.isnan(found[:12]).any()
