"""Members are chosen by what they were worth on entities that they had not seen."""

import numpy as np
from tests.packs import choosing, learning

from mendbus_predictor.offline.scoring import average_precision

_NOISE = np.random.default_rng(3)
_Y = (_NOISE.random(600) < 0.2).astype(int)
_GOOD = _Y + _NOISE.normal(0, 0.7, 600)
_OTHER = _Y + _NOISE.normal(0, 0.7, 600)
_NOTHING = _NOISE.normal(0, 1, 600)


def test_together_they_are_worth_more_than_the_best_alone() -> None:
    """Two members with errors of their own are both chosen, and one that knows nothing is not."""
    members = {"good": _GOOD, "other": _OTHER, "nothing": _NOTHING}
    picks = choosing.chosen(_Y, members)
    assert set(picks) == {"good", "other"}
    best = max(average_precision(_Y, member) for member in members.values())
    assert average_precision(_Y, choosing.averaged(picks, members)) > best


def test_a_fold_has_no_say_in_what_is_chosen_for_it() -> None:
    """A member that shines on one fold alone is not what scores that fold."""
    fold = np.repeat([0, 1, 2], 200)
    cheat = np.where(fold == 0, _Y * 9.0, _NOTHING)
    score = choosing.chosen_across(_Y, {"good": _GOOD, "cheat": cheat}, fold, np.ones(600))
    inside = fold == 0
    assert np.array_equal(np.argsort(score[inside]), np.argsort(_GOOD[inside]))


def test_a_logistic_curve_finds_the_odds_that_made_the_data() -> None:
    """Slope and offset of the curve come close to those that the outcomes were drawn from."""
    x = _NOISE.normal(2, 1, 20_000)
    y = (_NOISE.random(20_000) < 1 / (1 + np.exp(-(1.5 * x - 4)))).astype(int)
    slope, offset = learning.logistic(x, y, np.ones(20_000))
    assert abs(slope - 1.5) < 0.1
    assert abs(offset + 4) < 0.2


def test_a_score_that_points_the_wrong_way_is_not_turned_round() -> None:
    """A slope is never negative: on other machines the other way round would be worse than saying nothing."""
    assert learning.logistic(-_GOOD, _Y, np.ones(600))[0] == 0.0
