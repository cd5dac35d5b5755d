"""Chances of help: from the first error an answer, from its own outcomes its own, and no more memory than agreed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.strategy_selector.learning import SEEN

from mendbus.contracts.vocabulary import STRATEGIES
from mendbus_strategy_selector import experience
from mendbus_strategy_selector.experience import Experience, Lesson, Seen, estimates, unpacked


def learned(*lessons: Lesson) -> Experience:
    found = Experience()
    for lesson in lessons:
        found.learn(lesson)
    return found


def chance(found: Experience, seen: Seen, strategy: str = "retry") -> float:
    return estimates((found,), seen, (strategy,))[strategy][0]  # type: ignore[arg-type, index]


def test_before_anything_was_seen_there_is_an_answer_for_every_strategy() -> None:
    """No outcome at all: the even chance, in a time that is known to be a guess."""
    found = estimates((Experience(),), SEEN, STRATEGIES)
    assert set(found) == set(STRATEGIES)
    assert all(values[0] == pytest.approx(experience.EVEN) for values in found.values())


def test_kind_and_category_add_up_for_a_pair_that_was_never_met() -> None:
    """What helps on a kind, and what helps with a category, is expected to help most where both are."""
    other = Seen("versioning", "storage", "OSError")
    lessons = [Lesson(Seen("runtime", "storage", "A"), "retry", helped=True) for _ in range(30)]
    lessons += [Lesson(Seen("versioning", "network", "B"), "retry", helped=True) for _ in range(30)]
    lessons += [Lesson(Seen("orchestrator", "memory", "C"), "retry", helped=False) for _ in range(60)]
    found = learned(*lessons)
    both = chance(found, Seen("runtime", "network", "D"))
    assert (
        both > chance(found, Seen("orchestrator", "network", "D")) > chance(found, Seen("orchestrator", "memory", "D"))
    )
    assert both > chance(found, Seen("runtime", "memory", "D"))
    assert chance(found, other) > 0.5


def test_how_grave_it_is_on_a_kind_says_more_than_its_type() -> None:
    """An error of a type that was met only when it was harmless is expected to be like others that are as grave."""
    harmless = Seen("runtime", "network", "OSError", severity="error")
    found = learned(
        *(Lesson(harmless, "retry", helped=True) for _ in range(10)),
        *(Lesson(Seen("runtime", "memory", f"T{n}", severity="critical"), "retry", helped=False) for n in range(40)),
    )
    grave = Seen("runtime", "network", "Unmet", severity="critical")
    assert chance(found, grave) < 0.25 < 0.75 < chance(found, harmless)
    assert chance(found, grave) < chance(found, Seen("runtime", "network", "Unmet"))
    wide, narrow = (chance(found, Seen("runtime", "network", "T1", severity=one)) for one in ("", "critical"))
    assert narrow < wide


def test_what_its_own_outcomes_say_wins_in_the_end() -> None:
    """An error on which a strategy fails again and again comes to expect that, whatever all others say."""
    found = learned(*(Lesson(Seen("runtime", "network", "Other", "f2"), "retry", helped=True) for _ in range(50)))
    before = chance(found, SEEN)
    for _ in range(40):
        found.learn(Lesson(SEEN, "retry", helped=False))
    assert before > 0.7
    assert chance(found, SEEN) < 0.2


@given(st.lists(st.tuples(st.booleans(), st.floats(0, 1e6), st.sampled_from(["a", "b"])), max_size=60))
def test_chances_are_chances_and_times_are_times(ends: list[tuple[bool, float, str]]) -> None:
    """Whatever is learned, a chance lies between 0 and 1, and nothing takes less than no time."""
    found = learned(*(Lesson(Seen("k", "network", t, t), "restart", helped, s) for helped, s, t in ends))
    for helps, outcomes, seconds in estimates((found, found), SEEN, STRATEGIES).values():
        assert 0.0 < helps < 1.0
        assert outcomes > 0.0
        assert seconds >= -1e-9


def test_memory_is_bounded_and_the_newest_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """Over the bound the error that was seen longest ago is forgotten, never what all of them say."""
    monkeypatch.setattr(experience, "CELLS_AT_MOST", 20)
    found = learned(*(Lesson(Seen(f"kind{n}", "network", "T", f"f{n}"), "retry", helped=True) for n in range(100)))
    assert len(found.cells) <= 20
    assert "all" in found.cells
    assert "fingerprint kind99 f99" in found.cells


def test_old_outcomes_fade() -> None:
    """What helped a thousand times and does so no more is found out within some hundred."""
    found = learned(*(Lesson(SEEN, "retry", helped=True) for _ in range(1000)))
    for _ in range(200):
        found.learn(Lesson(SEEN, "retry", helped=False))
    assert chance(found, SEEN) < 0.5


def test_it_is_the_same_after_it_was_packed() -> None:
    """Nothing is lost, and what is no experience is refused."""
    found = learned(Lesson(SEEN, "retry", True, 0.3), Lesson(SEEN, "restart", False))
    again = unpacked(found.packed())
    assert again == found
    with pytest.raises(ValueError, match="three numbers"):
        unpacked({"cells": {"all": {"retry": [1.0, -1.0, 0.0]}}, "lessons": 1})
