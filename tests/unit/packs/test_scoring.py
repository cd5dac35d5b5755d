"""The rules of scoring, on cases small enough to be counted by hand."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.packs import scoring
from tests.packs.task import Events, Task, folded

from mendbus_predictor.offline.scoring import average_precision

_SCORES = st.lists(st.tuples(st.booleans(), st.integers(0, 5)), min_size=2, max_size=40)


def _task(y: list[int], *, kind: str = "ahead", events: Events, entity: list[str] | None = None) -> Task:
    n = len(y)
    return Task(
        name="a",
        kind=kind,  # pyright: ignore[reportArgumentType]
        entity=np.array(entity or ["m"] * n),
        t=np.arange(n),
        y=np.array(y),
        events=events,
        horizon=3,
        unit_s=60,
        step_s=60,
        plain=np.zeros((n, 1)),
        rich=np.zeros((n, 1)),
        simple={},
    )


@settings(deadline=None)
@given(_SCORES, st.sampled_from([0.0, 0.01, 0.05, 0.5, 1.0]))
def test_no_more_negatives_than_allowed_lie_above_the_threshold(samples: list[tuple[bool, int]], share: float) -> None:
    """The share of false positives on the samples that a threshold was chosen on never passes the limit."""
    y, score = np.array([int(one) for one, _ in samples]), np.array([float(s) for _, s in samples])
    if (y == 0).any():
        limit = scoring.threshold(y, score, share)
        assert (score[y == 0] > limit).mean() <= share


def test_average_precision_counts_ties_as_one_step() -> None:
    """Samples of the same score are taken together, whatever their order."""
    assert average_precision(np.array([1, 0, 1, 0]), np.array([0.9, 0.9, 0.1, 0.0])) == pytest.approx(
        0.5 * 1 / 2 + 0.5 * 2 / 3
    )


@settings(deadline=None)
@given(_SCORES)
def test_average_precision_does_not_depend_on_the_order_of_samples(samples: list[tuple[bool, int]]) -> None:
    """A score that says the same of all samples is worth their prevalence, and turning the rows changes nothing."""
    y, score = np.array([int(one) for one, _ in samples]), np.array([float(s) for _, s in samples])
    if y.any():
        assert average_precision(y, np.zeros(len(y))) == pytest.approx(y.mean())
        assert average_precision(y[::-1], score[::-1]) == pytest.approx(average_precision(y, score))


def test_roc_area_counts_ties_half() -> None:
    """Of the four pairs of positive and negative two are in order and one is tied."""
    assert scoring.roc_area(np.array([1, 0, 1, 0]), np.array([3.0, 2.0, 1.0, 1.0])) == pytest.approx(2.5 / 4)


def test_an_event_ahead_is_caught_by_an_alarm_within_the_horizon_before_it() -> None:
    """The lead runs from the first alarm in the horizon; an alarm before the horizon is a false episode."""
    task = _task([0, 0, 0, 0, 1, 1, 1], events=Events(np.array(["m", "other"]), np.array([7, 7])))
    figures = scoring.scored(task, np.array([9.0, 0, 0, 0, 0, 9, 9]), 1.0)
    assert (figures.events, figures.event_recall, figures.lead_or_delay_s) == (1, 1.0, 120.0)
    assert figures.fpr == 0.25
    assert figures.chance == pytest.approx(1 - 0.75**3)
    assert figures.false_alarms_per_hour == pytest.approx(60 / 7)


def test_an_event_now_is_caught_only_soon_after_its_start() -> None:
    """An alarm later than the allowed delay does not count as having noticed the event."""
    events = Events(np.array(["m", "m"]), np.array([0, 5]), np.array([5, 9]))
    task = _task([1, 1, 1, 1, 1, 1, 1, 1, 1, 0], kind="now", events=events)
    figures = scoring.scored(task, np.array([0.0, 0, 0, 9, 9, 0, 9, 0, 0, 0]), 1.0)
    assert (figures.events, figures.event_recall, figures.lead_or_delay_s) == (2, 0.5, 60.0)


def test_false_alarms_that_follow_closely_are_one_episode() -> None:
    """Gaps up to the horizon are merged, longer ones begin a new episode."""
    task = _task([0] * 12, events=Events(np.array([], dtype=str), np.array([], dtype=int)))
    score = np.zeros(12)
    score[[0, 3, 7]] = 9.0
    assert scoring.scored(task, score, 1.0).false_alarms_per_hour == pytest.approx(2 * 60 / 12)


@settings(deadline=None)
@given(st.lists(st.sampled_from("abcdefg"), min_size=1, max_size=60), st.integers(2, 5))
def test_folds_do_not_divide_an_entity(names: list[str], folds: int) -> None:
    """All samples of one entity are in one fold, and no fold is left empty without need."""
    entity = np.array(sorted(names))
    fold = folded(entity, folds)
    assert all(len(set(fold[entity == name])) == 1 for name in set(names))
    assert len(set(fold)) == min(folds, len(set(names)))
