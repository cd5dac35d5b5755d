"""How many harvested texts the classifier needs: `python -m tests.corpus.curve [--aim 0.85]`.

It learns from none but harvested texts, one of each provocation before a second one of any, and is asked about a part
of the harvest whose provocations it has never seen. Half a minute on a quiet machine.
"""

import argparse
import random
import statistics
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import numpy as np
from tests.corpus import reading

from mendbus_classifier import features
from mendbus_classifier.booster import Booster
from mendbus_classifier.features import CATEGORIES
from mendbus_classifier.offline import training
from mendbus_classifier.offline.samples import Sample
from mendbus_classifier.offline.training import Recipe

SIZES: Final = (25, 50, 100, 150, 200, 247, 350, 500, 800, 1200)
DRAWS: Final = 3
"""Orders of the texts that are averaged over."""
_PARTS: Final = 5
_SEED: Final = 11


def parts(found: Sequence[Sample]) -> tuple[list[Sample], list[Sample]]:
    """Texts to learn from, and texts of other provocations to ask about."""
    asked = [s for s in found if training.fold_of(s.group, _PARTS, _SEED) == 0]
    return [s for s in found if training.fold_of(s.group, _PARTS, _SEED) != 0], asked


def ordered(found: Sequence[Sample], draw: int) -> list[Sample]:
    """All texts in a drawn order: one of each provocation first, then a second one of each that has more."""
    chance = random.Random(f"{_SEED} {draw}")
    turns: dict[str, int] = {}
    placed: list[tuple[int, float, Sample]] = []
    for sample in sorted(found, key=lambda _: chance.random()):
        turns[sample.group] = turns.get(sample.group, 0) + 1
        placed.append((turns[sample.group], chance.random(), sample))
    return [sample for _, _, sample in sorted(placed, key=lambda place: place[:2])]


def accuracy(learnt: Sequence[Sample], asked: Sequence[Sample]) -> float:
    """Share of categories that a model fitted on the one names rightly of the other."""
    alike = [replace(sample, weight=1.0) for sample in learnt]
    fitted = training.train(alike, training.readings(alike, [False] * len(alike)), Recipe())
    rows = training.matrix(asked, training.readings(asked, [False] * len(asked)), training.packed(fitted.rows))
    booster = Booster(fitted.category, "curve", len(features.NAMES))
    said = [CATEGORIES[int(np.argmax(booster.predict(row)))] for row in rows.tolist()]
    booster.close()
    return statistics.fmean(label == sample.category for label, sample in zip(said, asked, strict=True))


def main() -> None:
    """Prints the accuracy for each number of samples, and how many it takes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--aim", type=float, default=0.85, help="share of right categories that is asked for")
    parser.add_argument("--draws", type=int, default=DRAWS, help="orders of the texts that are averaged over")
    wanted = parser.parse_args()
    learnt, asked = parts(list(reading.harvested()))
    print(f"{len(asked)} harvested texts of provocations that were never learnt from; {len(learnt)} to learn from")
    enough = None
    for size in (*(size for size in SIZES if size < len(learnt)), len(learnt)):
        found = [accuracy(ordered(learnt, draw)[:size], asked) for draw in range(wanted.draws)]
        mean = statistics.fmean(found)
        print(f"{size:5} samples  {100 * mean:5.1f} %  ({100 * min(found):.1f} to {100 * max(found):.1f})", flush=True)
        if enough is None and mean >= wanted.aim:
            enough = size
    print(f"{100 * wanted.aim:.0f} % with {enough} samples" if enough else f"{100 * wanted.aim:.0f} % is not reached")


if __name__ == "__main__":
    main()
