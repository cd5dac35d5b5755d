"""The simulation repeats itself exactly, finds nothing wrong with the services, and finds every bug planted in them."""

import time

import pytest
from tests.simulation.planted import BUGS, planted
from tests.simulation.schedule import draw
from tests.simulation.world import simulate

_FOUND_SECONDS = 50.0


@pytest.mark.parametrize("seed", [5, 37])
def test_the_same_seed_is_the_same_run(seed: int) -> None:
    """Every message of a run, when and by whom, follows from its seed."""
    first, second = simulate(seed), simulate(seed)
    assert first.messages > 100
    assert (first.digest, first.story, first.wrong) == (second.digest, second.story, second.wrong)


def test_seeds_differ() -> None:
    """Another seed is another schedule and another run."""
    assert draw(1) != draw(2)
    assert simulate(1).digest != simulate(2).digest


def test_nothing_is_wrong() -> None:
    """Under crashes, stops, lost, doubled and delayed messages no promise is broken."""
    for seed in range(1, 6):
        result = simulate(seed)
        assert not result.wrong, f"replay it: python -m tests.simulation --seed {seed}\n{draw(seed)}\n{result.wrong}"


# Each bug with a word of what must be said of it, so that it is found for what it is.
_SIGNS = {
    "acknowledge-first": "is not counted",
    "act-first": "before its intent was on disk",
    "count-again": "was counted 2 times",
    "no-fence": "owns it",
}


@pytest.mark.parametrize("bug", sorted(BUGS))
def test_a_planted_bug_is_found(bug: str) -> None:
    """Within a minute a schedule shows the bug, and shows it again when it is replayed."""
    begun = time.perf_counter()
    with planted(bug):
        seed = 1
        while _SIGNS[bug] not in " ".join((result := simulate(seed)).wrong):
            assert time.perf_counter() - begun < _FOUND_SECONDS, f"{bug} was not found by {seed} schedules"
            seed += 1
        assert simulate(seed).wrong == result.wrong
    assert time.perf_counter() - begun < 60.0
