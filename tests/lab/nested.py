"""How learned choice would have done if its constants had been set without the kind of fault that it is judged on.

Constants that were set by the same cases that they are judged by look better than they are. Here each kind of fault is
left out, the constants are set by what they are worth on all the others (each of those judged by what the rest taught),
and what was left out is judged with them: `python -m tests.lab.choice --nested`, some minutes.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import combinations, product
from unittest.mock import patch

from tests.lab import choosing
from tests.lab.choosing import Judged, Record, Situation

from mendbus_strategy_selector import experience
from mendbus_strategy_selector.experience import Experience

Chosen = Callable[[Experience, Situation], str]
"""What is chosen of an error by what was learned."""


@dataclass(frozen=True, slots=True)
class Setting:
    """Constants of `experience`; `severity`: whether how grave an error is counts as a level."""

    severity: bool
    type_pull: float
    main_pull: float

    @property
    def name(self) -> str:
        """For people."""
        return f"{'with' if self.severity else 'no'} severity, {self.type_pull:g}, {self.main_pull:g}"

    @contextmanager
    def used(self) -> Generator[None]:
        """The selector's own code computes with them meanwhile."""
        with patch.multiple(experience, TYPE_PULL=self.type_pull, MAIN_PULL=self.main_pull):
            yield

    def of(self, situation: Situation) -> Situation:
        """What is seen of an error."""
        return situation if self.severity else replace(situation, seen=replace(situation.seen, severity=""))


SETTINGS = tuple(Setting(*one) for one in product((False, True), (8.0, 16.0, 32.0), (8.0, 16.0)))


def nested(
    every: Sequence[Situation],
    records: Mapping[str, Sequence[Record]],
    folded: Mapping[str, Mapping[str, object]],
    choose: Chosen,
    settings: Sequence[Setting] = SETTINGS,
) -> tuple[dict[str, Judged], Counter[Setting]]:
    """By case how it was judged, and how often each setting was chosen: the one with most optimal choices, then the one
    that loses least, then the first.
    """
    faults = sorted({one.fault for one in every})
    of = {name: [one for one in every if one.fault == name] for name in faults}
    taught = [(one.fault, choosing.lessons(one, records[one.case])) for one in every]

    def judged(whom: str, setting: Setting, found: Experience) -> dict[str, Judged]:
        with setting.used():
            return choosing.judge(of[whom], folded, lambda one: choose(found, setting.of(one)))

    # By fault left out and setting: what it is worth on the others.
    optimal: dict[tuple[str, Setting], float] = defaultdict(float)
    lost: dict[tuple[str, Setting], float] = defaultdict(float)
    for pair in combinations(faults, 2):
        found = _without(pair, taught)
        for setting in settings:
            for outer, inner in (pair, pair[::-1]):
                for one in judged(inner, setting, found).values():
                    optimal[outer, setting] += one.optimal
                    lost[outer, setting] += one.regret
    whole: dict[str, Judged] = {}
    used: Counter[Setting] = Counter()
    for name in faults:
        best = max(settings, key=lambda one, n=name: (round(optimal[n, one], 6), -lost[n, one]))
        used[best] += 1
        whole |= judged(name, best, _without((name,), taught))
    return whole, used


def _without(faults: Sequence[str], taught: Sequence[tuple[str, Sequence[experience.Lesson]]]) -> Experience:
    return choosing.experience_of(lesson for fault, lessons in taught if fault not in faults for lesson in lessons)
