"""Lift of a new model over the one in use: equal models are rarely told apart, unequal ones are."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mendbus.lift import LEVEL, Trial


def run(chance: random.Random, better: float, cases: int) -> Trial:
    trial = Trial()
    for _ in range(cases):
        if trial.verdict:
            break
        new = chance.random() < better
        trial.count(used_right=not new, new_right=new)
    return trial


def test_equal_models_are_told_apart_no_more_often_than_the_level() -> None:
    """Looked at after each of 300 cases, 400 comparisons of equal models give a verdict in about one of a hundred."""
    chance = random.Random(1)
    wrong = sum(run(chance, 0.5, 300).verdict is not None for _ in range(400))
    assert wrong <= 400 * LEVEL * 2


@pytest.mark.parametrize(("better", "verdict"), [(0.9, "lift"), (0.1, "loss")])
def test_a_clear_difference_is_found_soon(better: float, verdict: str) -> None:
    """Nine to one is noticed within sixty cases in which the two differ."""
    chance = random.Random(2)
    assert {run(chance, better, 60).verdict for _ in range(50)} == {verdict}


@given(st.integers(0, 10**6))
def test_cases_in_which_both_are_right_or_both_are_wrong_tell_nothing(asked: int) -> None:
    """They are counted, and are no evidence."""
    trial = Trial(asked=asked)
    trial.count(used_right=True, new_right=True)
    trial.count(used_right=False, new_right=False)
    assert (trial.asked, trial.verdict) == (asked + 2, None)
    assert trial.evidence == pytest.approx(1.0)


def test_evidence_beyond_all_doubt_does_not_overflow() -> None:
    """A hundred thousand to nothing is a verdict, not an error."""
    assert Trial(10**5, 10**5, 0).verdict == "lift"
    assert Trial(10**5, 0, 10**5).verdict == "loss"
