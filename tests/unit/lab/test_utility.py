"""What a strategy is worth: help beats none, sooner beats later, harm never helps, and ties count."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.lab import utility
from tests.lab.utility import Harm

SHARES = st.floats(0, 1)
SECONDS = st.floats(0, 10_000)
HARMS = st.builds(
    Harm,
    others=SHARES,
    lost=st.integers(0, 1000),
    isolated=st.booleans(),
    lowered=SHARES,
    features=SHARES,
    other_way=st.booleans(),
)
MEANS = st.dictionaries(st.text(min_size=1, max_size=5), st.floats(-1, 1), min_size=1)


@given(st.booleans(), SECONDS, HARMS)
def test_bounded(recovered: bool, seconds: float, harm: Harm) -> None:
    """A utility lies between -1 and 1, whatever happened."""
    assert -1 <= utility.utility(recovered, seconds, harm) <= 1


@given(SECONDS, HARMS)
def test_help(seconds: float, harm: Harm) -> None:
    """To have helped is never worth less than not to have, all else being equal."""
    assert utility.utility(True, seconds, harm) >= utility.utility(False, seconds, harm)


@given(SECONDS, SECONDS, HARMS)
def test_sooner(one: float, other: float, harm: Harm) -> None:
    """The sooner, the better; without help, time is of no account."""
    early, late = sorted((one, other))
    assert utility.utility(True, early, harm) >= utility.utility(True, late, harm)
    assert utility.utility(False, early, harm) == utility.utility(False, late, harm)


@given(HARMS, st.sampled_from(("others", "lowered", "features")), SHARES)
def test_more_harm_in_shares(harm: Harm, name: str, share: float) -> None:
    """More harm of a kind that comes in shares never costs less."""
    more = replace(harm, **{name: max(share, getattr(harm, name))})
    assert utility.cost(more) >= utility.cost(harm)


@given(HARMS, st.integers(0, 100))
def test_more_harm_in_steps(harm: Harm, lost: int) -> None:
    """Nor do more lost versions, an isolated agent, another way."""
    assert utility.cost(replace(harm, lost=harm.lost + lost)) >= utility.cost(harm)
    assert utility.cost(replace(harm, isolated=True)) >= utility.cost(harm)
    assert utility.cost(replace(harm, other_way=True)) >= utility.cost(harm)


def test_no_harm() -> None:
    """What does no harm costs nothing, and help at once is worth everything."""
    assert utility.cost(Harm()) == 0
    assert utility.utility(True, 0, Harm()) == 1


@pytest.mark.parametrize(("seconds", "worth"), [(0.2, 0.98), (1, 0.92), (2.5, 0.86), (60, 0.55), (600, 0.31)])
def test_stated_worth(seconds: float, worth: float) -> None:
    """The figures in the module's account are those that it computes."""
    assert utility.worth(seconds) == pytest.approx(worth, abs=0.006)


def test_stated_tolerance() -> None:
    """The tolerance is what waiting for about 0.6 s costs."""
    assert 1 - utility.worth(0.6) == pytest.approx(utility.TOLERANCE, abs=0.002)


@given(SECONDS.filter(lambda seconds: seconds < utility.PERSON_SECONDS), SHARES)
def test_person(seconds: float, others: float) -> None:
    """A person is better than no help, worse than the same help sooner, and not to be called for nothing."""
    called = utility.person(needed=True, others=others)
    assert (
        utility.utility(False, 0, Harm(others=others)) < called <= utility.utility(True, seconds, Harm(others=others))
    )
    assert utility.person(needed=False, others=others) < 1 - utility.TOLERANCE


@given(MEANS)
def test_optimal(means: dict[str, float]) -> None:
    """Optimal is the best, first, and all that come within the tolerance of it; nothing else."""
    found = utility.optimal(means)
    best = max(means.values())
    assert means[found[0]] == best
    assert {name for name in means if best - means[name] < utility.TOLERANCE - 1e-9} <= set(found)
    assert all(best - means[name] <= utility.TOLERANCE + 1e-9 for name in found)


def test_optimal_of_nothing() -> None:
    """Where nothing was tried, nothing is optimal."""
    assert utility.optimal({}) == []


@given(HARMS)
def test_harm_read_back(harm: Harm) -> None:
    """A trial's record tells of the harm in the words of `Harm`, beside others."""
    told = {"others": harm.others, "lost": harm.lost, "isolated": harm.isolated, "key": "x"}
    expected = Harm(others=harm.others, lost=harm.lost, isolated=harm.isolated)
    assert utility.harm_of(told) == expected
