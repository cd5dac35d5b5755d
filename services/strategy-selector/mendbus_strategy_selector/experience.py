"""What has been seen to help: counts of attempts by what failed and where, and what they say of an error seen now.

Chances of help are learned on six levels. How a kind of agent and how a category differ from all errors adds up in
log-odds, so that a pair of the two that was never met has an expectation; from there each narrower level, how grave it
is on that kind, exception type on that kind and then fingerprint, pulls the chance towards its own counts as far as it
has any (empirical Bayes: what was known before counts as so many outcomes). So a first error has an answer, and a
hundredth its own one. An exception type counts less than how grave an error is: failures of another sort share it.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from mendbus.contracts.vocabulary import Strategy

VERSION: Final = 2
"""Of the levels and of how they are combined; a model made with another one is refused."""
LEVELS: Final = ("all", "kind", "category", "severity", "error", "fingerprint")
PULL: Final = 8.0
"""Outcomes that the wider level counts as, on a narrow level."""
TYPE_PULL: Final = 16.0
"""The same for exception types."""
MAIN_PULL: Final = 16.0
"""Outcomes that all errors together count as, for a kind of agent and for a category."""
DAMPING: Final = 0.7
"""Share of what kind and category each add: they say in part the same."""
EVEN: Final = 0.3
"""Chance of help of a strategy that was never tried anywhere."""
EVEN_SECONDS: Final = 0.25
"""Time to help of a strategy that never helped anywhere."""
AT_MOST: Final = 200.0
"""Outcomes of a strategy that a level holds; then the old ones count half, so that what changes is noticed."""
CELLS_AT_MOST: Final = 4096
"""Kinds, categories, exception types and fingerprints that are remembered; then the longest unused one goes."""
_FEW: Final = 1e-3

Counts = dict[str, list[float]]
"""By strategy: weight of attempts that helped, of those that did not, and sum of log10(1 + seconds) of the first."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What is known of an error when its strategy is chosen."""

    kind: str
    category: str
    type: str
    fingerprint: str = ""
    severity: str = ""

    @property
    def main(self) -> tuple[str, str]:
        """Keys of the levels whose differences add up."""
        return f"kind {self.kind}", f"category {self.category}"

    @property
    def narrow(self) -> dict[str, float]:
        """Keys of the levels that pull, the widest first, and what the one before counts as there."""
        found: dict[str, float] = {}
        if self.severity:
            found[f"severity {self.kind} {self.severity}"] = PULL
        found[f"error {self.kind} {self.type}"] = TYPE_PULL
        if self.fingerprint:
            found[f"fingerprint {self.kind} {self.fingerprint}"] = PULL
        return found


@dataclass(frozen=True, slots=True)
class Lesson:
    """One attempt whose end is known. `weight`: how much it counts; `seconds` it took, where it helped."""

    seen: Seen
    strategy: Strategy
    helped: bool
    seconds: float = 0.0
    weight: float = 1.0


@dataclass(slots=True)
class Experience:
    """Counts on every level; `learn` is the only way they change."""

    cells: dict[str, Counts] = field(default_factory=dict[str, Counts])
    lessons: int = 0

    def learn(self, lesson: Lesson) -> None:
        """Takes the end of an attempt in."""
        self.lessons += 1
        for key in ("all", *lesson.seen.main, *lesson.seen.narrow):
            # Moved to the end: what was used last is forgotten last.
            cell = self.cells.pop(key, None) or {}
            self.cells[key] = cell
            counts = cell.setdefault(lesson.strategy, [0.0, 0.0, 0.0])
            if lesson.helped:
                counts[0] += lesson.weight
                counts[2] += lesson.weight * math.log10(1.0 + max(0.0, lesson.seconds))
            else:
                counts[1] += lesson.weight
            if counts[0] + counts[1] > AT_MOST:
                counts[:] = (value / 2.0 for value in counts)
        while len(self.cells) > CELLS_AT_MOST:
            del self.cells[next(iter(self.cells))]

    def packed(self) -> dict[str, Any]:
        """All of it as plain values."""
        return {"cells": self.cells, "lessons": self.lessons}


def unpacked(value: Mapping[str, Any]) -> Experience:
    """What `Experience.packed` gave. Raises `KeyError`, `TypeError` or `ValueError` for anything else."""
    cells: dict[str, Counts] = {}
    for key, cell in value["cells"].items():
        cells[str(key)] = {str(strategy): _checked(counts) for strategy, counts in cell.items()}
    return Experience(cells, int(value["lessons"]))


def _checked(counts: Iterable[Any]) -> list[float]:
    found = [float(value) for value in counts]
    if len(found) != 3 or not all(math.isfinite(value) and value >= 0.0 for value in found):
        raise ValueError(f"counts of a strategy are three numbers from zero up, not {found}")
    return found


def estimates(
    sources: Iterable[Experience], seen: Seen, strategies: Iterable[Strategy]
) -> dict[Strategy, tuple[float, float, float]]:
    """Of each strategy: chance that it helps, outcomes that this rests on, and seconds until it helps.

    `sources` are added up: a model's own counts, and what was seen here since.
    """
    known = [source.cells for source in sources]

    def cells(key: str) -> list[Counts]:
        return [found for one in known if (found := one.get(key))]

    wide = [cells(key) for key in ("all", *seen.main)]
    narrow = [(found, pull) for key, pull in seen.narrow.items() if (found := cells(key))]
    return {strategy: _estimate(wide, narrow, strategy) for strategy in strategies}


def _sum(level: list[Counts], strategy: str) -> tuple[float, float, float]:
    helped = failed = logs = 0.0
    for cell in level:
        if counts := cell.get(strategy):
            helped, failed, logs = helped + counts[0], failed + counts[1], logs + counts[2]
    return helped, failed, logs


def _estimate(
    wide: list[list[Counts]], narrow: list[tuple[list[Counts], float]], strategy: str
) -> tuple[float, float, float]:
    helped, failed, logs = _sum(wide[0], strategy)
    everywhere = (helped + PULL / 2 * EVEN) / (helped + failed + PULL / 2)
    log_seconds = (logs + math.log10(1.0 + EVEN_SECONDS)) / (helped + 1.0)
    odds = base = _logit(everywhere)
    for level in wide[1:]:
        helped, failed, _ = _sum(level, strategy)
        odds += DAMPING * (_logit((helped + MAIN_PULL * everywhere) / (helped + failed + MAIN_PULL)) - base)
    chance, weight = 1.0 / (1.0 + math.exp(-odds)), PULL
    for level, pull in narrow:
        helped, failed, logs = _sum(level, strategy)
        tries = helped + failed
        if tries > 0.0:
            chance = (helped + pull * chance) / (tries + pull)
            log_seconds = (logs + log_seconds) / (helped + 1.0)
            weight = tries + pull
    return chance, weight, 10.0**log_seconds - 1.0


def _logit(chance: float) -> float:
    kept = min(1.0 - _FEW, max(_FEW, chance))
    return math.log(kept / (1.0 - kept))
