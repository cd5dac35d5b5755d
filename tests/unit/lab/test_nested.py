"""Constants of learned choice are set without the kind of fault that is judged with them."""

from collections.abc import Sequence
from typing import Any

from tests.lab import nested
from tests.lab.choosing import Situation
from tests.lab.nested import Setting
from tests.unit.lab.test_choice import STRATEGIES, folded, record, situation

from mendbus_strategy_selector import experience
from mendbus_strategy_selector.experience import Experience

PLAIN, GRAVE = Setting(severity=False, type_pull=8.0, main_pull=16.0), Setting(True, 32.0, 8.0)
FAULTS = "abcd"


def judged(optimal: dict[str, str], settings: Sequence[Setting] = (PLAIN, GRAVE)) -> Any:
    """Four faults of a case each; what is chosen follows from the setting alone."""
    chosen = [situation(name, name) for name in FAULTS]
    told = {name: [record(name, one, recovered=True) for one in STRATEGIES] for name in FAULTS}
    cases = {name: folded(name, name, optimal[name]) for name in FAULTS}

    def choose(_: Experience, __: Situation) -> str:
        return "retry" if PLAIN.type_pull == experience.TYPE_PULL else "restart"

    return nested.nested(chosen, told, cases, choose, settings)


def test_a_fault_has_no_say_in_what_it_is_judged_with() -> None:
    """The one that needs something else is judged with what is best for the others, and lost."""
    found, used = judged({"a": "restart", "b": "retry", "c": "retry", "d": "retry"})
    assert {name: one.optimal for name, one in found.items()} == {"a": 0.0, "b": 1.0, "c": 1.0, "d": 1.0}
    assert used == {PLAIN: 4}


def test_the_selectors_own_constants_are_put_back() -> None:
    """And the first setting is taken where nothing tells them apart."""
    before = experience.TYPE_PULL, experience.MAIN_PULL
    _, used = judged(dict.fromkeys(FAULTS, "rollback"), (GRAVE, PLAIN))
    assert used == {GRAVE: 4}
    assert before == (experience.TYPE_PULL, experience.MAIN_PULL)


def test_a_setting_without_severity_does_not_see_it() -> None:
    """The level is left out, and nothing else."""
    one = situation("a", "x")
    assert GRAVE.of(one) is one
    assert PLAIN.of(one).seen.severity == ""
    assert PLAIN.of(one).seen.type == one.seen.type


def test_what_is_learned_is_learned_without_the_fault_judged_and_the_one_left_out() -> None:
    """No choice rests on a trial of its own kind of fault, nor of the one that the constants are set for."""
    seen: list[tuple[str, int]] = []
    chosen = [situation(name, name) for name in FAULTS]
    told = {name: [record(name, "retry", recovered=True, reported=["TimeoutError"])] for name in FAULTS}
    cases = {name: folded(name, name, "retry") for name in FAULTS}

    def choose(found: Experience, one: Situation) -> str:
        seen.append((one.fault, found.lessons))
        return "retry"

    _ = nested.nested(chosen, told, cases, choose, (PLAIN,))
    inner, outer = seen[: -len(FAULTS)], seen[-len(FAULTS) :]
    assert {lessons for _, lessons in inner} == {len(FAULTS) - 2}
    assert outer == [(name, len(FAULTS) - 1) for name in FAULTS]
