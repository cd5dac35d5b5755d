"""Score and status: documented costs, the bounds of the specification, and nothing that flaps."""

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mendbus.contracts.vocabulary import METRICS, Metric
from mendbus_health_monitor.score import COSTS, score, status_of
from mendbus_health_monitor.steady import HOLD_SECONDS, MEMORY_SECONDS, Steady

SECOND = 1_000_000_000


@pytest.mark.parametrize(
    ("value", "status"),
    [
        (100.0, "excellent"),
        (95.1, "excellent"),
        (95.0, "good"),
        (85.0, "good"),
        (84.9, "fair"),
        (70.0, "fair"),
        (69.9, "poor"),
        (50.0, "poor"),
        (49.9, "critical"),
        (0.0, "critical"),
    ],
)
def test_a_score_belongs_to_one_status(value: float, status: str) -> None:
    """The bounds are those of the specification."""
    assert status_of(value) == status


def test_nothing_known_is_nothing_wrong() -> None:
    """A missing metric costs nothing, and a level without its limit is no level."""
    assert score({}, {}, 0.0).value == 100.0
    assert score({"memory_bytes": 1e15, "queue_depth": 1e9}, {"queue_depth": 0.0}, 0.0).value == 100.0
    assert score({"cpu_percent": 800.0, "throughput_per_s": 1e6}, {}, 0.0).reason == "nothing speaks against it"


@pytest.mark.parametrize(
    ("metrics", "expected"),
    [
        ({"availability_ratio": 0.75}, 75.0),
        ({"availability_ratio": 0.0}, 50.0),
        ({"errors_per_s": 2.5}, 82.5),
        ({"response_time_ms": 5500.0}, 92.5),
        ({"memory_bytes": 90.0}, 87.5),
        ({"queue_depth": 75.0}, 90.0),
        ({"disk_percent": 98.0}, 75.0),
        ({"temperature_celsius": 90.0}, 92.5),
        ({"availability_ratio": 0.5, "errors_per_s": 5.0, "disk_percent": 99.0}, 0.0),
    ],
)
def test_each_metric_costs_what_the_table_says(metrics: dict[Metric, float], expected: float) -> None:
    """Costs grow in proportion between two levels, add up, and end at zero."""
    assert score(metrics, {"memory_bytes": 100.0, "queue_depth": 100.0}, 0.0).value == pytest.approx(expected)


def test_the_reason_names_what_cost_most() -> None:
    """The dearest metric stands first, with its value and its cost."""
    found = score({"errors_per_s": 5.0, "disk_percent": 98.0}, {}, 0.5)
    assert found.reason == "errors_per_s 5 (-35.0), disk_percent 98 (-25.0), samples that come late (-10.0)"
    assert found.value == pytest.approx(30.0)


@given(
    st.dictionaries(st.sampled_from(METRICS), st.floats(min_value=0, max_value=1e15)),
    st.dictionaries(st.sampled_from(METRICS), st.floats(allow_nan=False)),
    st.floats(min_value=0, max_value=1),
)
def test_a_score_is_a_percentage(metrics: dict[Metric, float], limits: dict[str, float], lateness: float) -> None:
    """Any metrics and limits have a score between 0 and 100, and a metric less never makes it worse."""
    found = score(metrics, limits, lateness).value
    assert 0.0 <= found <= 100.0
    for cost in COSTS:
        without = {name: value for name, value in metrics.items() if name != cost.metric}
        assert score(without, limits, lateness).value >= found - 1e-9


def test_worse_is_told_at_once_and_better_after_a_while() -> None:
    """One bad score changes the status; it takes five good seconds to change it back."""
    steady, now = Steady("excellent"), 0
    assert steady.step(60.0, now) == "poor"
    for _ in range(int(HOLD_SECONDS * 2)):
        assert steady.step(100.0, now) == "poor"
        now += SECOND // 2
    assert steady.step(100.0, now) == "excellent"


def test_it_gets_only_as_much_better_as_it_has_been_all_along() -> None:
    """After a hold the status is the worst of those seen in it."""
    steady = Steady("critical")
    for now, value in enumerate((100.0, 80.0, 100.0, 100.0, 100.0, 100.0)):
        status = steady.step(value, now * SECOND)
    assert status == "fair"


def test_a_relapse_starts_the_wait_anew() -> None:
    """One bad score in between, and the five seconds begin again."""
    steady = Steady("poor")
    for now, value in ((0, 100.0), (4, 60.0), (5, 100.0), (9, 100.0)):
        assert steady.step(value, now * SECOND) == "poor"
    assert steady.step(100.0, 10 * SECOND) == "excellent"


@given(st.lists(st.floats(min_value=94.1, max_value=95.9), min_size=1, max_size=100))
def test_noise_around_a_bound_changes_nothing(scores: list[float]) -> None:
    """Scores within the margin of a bound never change the status, from either side."""
    for status in ("excellent", "good"):
        steady = Steady(status)
        assert {steady.step(value, n * SECOND) for n, value in enumerate(scores)} == {status}


def test_who_swings_stays_where_it_was_worst() -> None:
    """Each relapse doubles the wait for something better, up to a minute; ten quiet minutes and it is as at first."""
    steady, now, waits = Steady("excellent"), 0, list[int]()
    for _ in range(6):
        assert steady.step(60.0, now) == "poor"
        begun = now
        while steady.step(100.0, now) == "poor":
            now += SECOND
        waits.append((now - begun) // SECOND)
        now += SECOND
    assert waits == [5, 10, 20, 40, 60, 60]
    now += int(MEMORY_SECONDS) * SECOND
    assert steady.step(60.0, now) == "poor"
    assert steady.hold_seconds(now) == HOLD_SECONDS


def test_getting_worse_by_steps_is_one_fall() -> None:
    """An agent that slides from excellent to critical waits no longer than one that fell at once."""
    steady = Steady("excellent")
    for n, value in enumerate((90.0, 80.0, 60.0, 10.0)):
        steady.step(value, n * SECOND)
    assert steady.status == "critical"
    assert steady.hold_seconds(4 * SECOND) == HOLD_SECONDS


@given(st.lists(st.floats(min_value=0, max_value=100), min_size=400, max_size=400))
@settings(max_examples=25, deadline=None)
def test_an_hour_of_anything_is_told_in_few_words(scores: list[float]) -> None:
    """Whatever the scores, in ten minutes the status gets better at most fifteen times."""
    steady, better, before = Steady("excellent"), 0, "excellent"
    rank = ["excellent", "good", "fair", "poor", "critical"].index
    for n in range(1200):
        status = steady.step(scores[n // 3], n * SECOND // 2)
        better += rank(status) < rank(before)
        before = status
    assert better <= 15


@given(st.lists(st.floats(min_value=0, max_value=100), min_size=1, max_size=200))
def test_nothing_flaps(scores: list[float]) -> None:
    """Whatever the scores at two a second, the status gets better at most once in five seconds."""
    steady, better = Steady("excellent"), list[float]()
    rank = ["excellent", "good", "fair", "poor", "critical"].index
    before = steady.status
    for n, value in enumerate(scores):
        status = steady.step(value, n * SECOND // 2)
        if rank(status) < rank(before):
            better.append(n / 2)
        before = status
    assert all(later - earlier >= HOLD_SECONDS for earlier, later in itertools.pairwise(better))
