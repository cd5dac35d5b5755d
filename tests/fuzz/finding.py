"""What a target of fuzzing is, and what it comes to."""

import random
import traceback
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass
class Tally:
    """What was tried of one target, by what came of it, and what was found: each a text that says how to repeat it."""

    target: str
    seed: int
    tried: Counter[str] = field(default_factory=Counter[str])
    found: list[str] = field(default_factory=list[str])

    def chooser(self, number: int) -> random.Random:
        """What draws case `number`: the same for the same seed."""
        return random.Random(f"{self.seed} {self.target} {number}")

    def find(self, number: int, what: str, given: object) -> None:
        """Notes a finding."""
        self.found.append(f"{self.target}, seed {self.seed}, case {number}: {what}\n  given: {repr(given)[:2000]}")

    def attempt(self, number: int, given: object, act: Callable[[], str], *allowed: type[Exception]) -> None:
        """Tries something that may raise what is allowed, and nothing else; it says in a word what came of it."""
        try:
            self.tried[act()] += 1
        except allowed as error:
            self.tried[type(error).__name__] += 1
        except Exception as error:
            self.tried["FOUND"] += 1
            at = traceback.extract_tb(error.__traceback__)[-1]
            where = f"{Path(at.filename).name}:{at.lineno}"
            self.find(number, f"{type(error).__name__} at {where}: {str(error)[:300]}", given)

    def line(self) -> str:
        """One line about it."""
        kinds = ", ".join(f"{count} {name}" for name, count in self.tried.most_common())
        return f"{self.target}: {sum(self.tried.values())} cases ({kinds}), {len(self.found)} findings"


Going = Callable[[int], bool]
"""Whether there is to be a case of that number."""


def equal(one: Any, other: Any) -> bool:
    """Whether both are the same to the last bit: `repr` tells 1 from 1.0, and 0.0 from -0.0."""
    return repr(one) == repr(other)
