"""How many harvested texts the classifier needs: `python -m tests.corpus.curve [--aim 0.85]`.

It learns from none but harvested texts, one of each provocation before a second one of any, and is asked about two held
out parts of the harvest: texts of provocations it has never seen, and further texts of provocations it learns from.
Half a minute on a quiet machine.
"""

import argparse
import random
import statistics
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import numpy as np
from tests.corpus import reading

from mendbus.booster import Booster
from mendbus_classifier import features
from mendbus_classifier.features import CATEGORIES
from mendbus_classifier.offline import training
from mendbus_classifier.offline.samples import Sample
from mendbus_classifier.offline.training import Recipe

SIZES: Final = (25, 50, 100, 150, 200, 247, 350, 500, 800, 1200)
DRAWS: Final = 3
"""Orders of the texts that are averaged over."""
_PARTS: Final = 5
_SEED: Final = 11


def parts(found: Sequence[Sample]) -> tuple[list[Sample], list[Sample], list[Sample]]:
    """Texts to learn from, texts of other provocations, and further texts of the same provocations."""
    other = [s for s in found if training.fold_of(s.group, _PARTS, _SEED) == 0]
    same = [s for s in found if training.fold_of(s.group, _PARTS, _SEED) != 0]
    further = [s for s in same if training.fold_of(f"{s.kind}\n{s.message}", _PARTS, _SEED) == 0]
    return [s for s in same if training.fold_of(f"{s.kind}\n{s.message}", _PARTS, _SEED) != 0], other, further


def ordered(found: Sequence[Sample], draw: int) -> list[Sample]:
    """All texts in a drawn order: one of each provocation first, then a second one of each that has more."""
    chance = random.Random(f"{_SEED} {draw}")
    turns: dict[str, int] = {}
    placed: list[tuple[int, float, Sample]] = []
    for sample in sorted(found, key=lambda _: chance.random()):
        turns[sample.group] = turns.get(sample.group, 0) + 1
        placed.append((turns[sample.group], chance.random(), sample))
    return [sample for _, _, sample in sorted(placed, key=lambda place: place[:2])]


def accuracy(learnt: Sequence[Sample], *parts: Sequence[Sample]) -> list[float]:
    """Share of categories of each part that a model fitted on the learnt texts names rightly."""
    alike = [replace(sample, weight=1.0) for sample in learnt]
    fitted = training.train(alike, training.readings(alike, [False] * len(alike)), Recipe())
    tokens = training.packed(fitted.rows)
    booster = Booster(fitted.category, "curve", len(features.NAMES))
    found: list[float] = []
    for asked in parts:
        rows = training.matrix(asked, training.readings(asked, [False] * len(asked)), tokens)
        said = [CATEGORIES[int(np.argmax(booster.predict(row)))] for row in rows.tolist()]
        found.append(statistics.fmean(label == sample.category for label, sample in zip(said, asked, strict=True)))
    booster.close()
    return found


def main() -> None:
    """Prints the accuracy for each number of samples, and how many it takes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--aim", type=float, default=0.85, help="share of right categories that is asked for")
    parser.add_argument("--draws", type=int, default=DRAWS, help="orders of the texts that are averaged over")
    wanted = parser.parse_args()
    learnt, *asked = parts(list(reading.harvested()))
    names = "unseen provocations", "seen provocations"
    print(f"{len(learnt)} texts to learn from; {len(asked[0])} of {names[0]}, {len(asked[1])} of {names[1]}")
    enough: dict[str, int] = {}
    for size in (*(size for size in SIZES if size < len(learnt)), len(learnt)):
        drawn = [accuracy(ordered(learnt, draw)[:size], *asked) for draw in range(wanted.draws)]
        means = [statistics.fmean(values) for values in zip(*drawn, strict=True)]
        print(f"{size:5} samples  {'  '.join(f'{100 * mean:5.1f} %' for mean in means)}", flush=True)
        enough = {name: size for name, mean in zip(names, means, strict=True) if mean >= wanted.aim} | enough
    for name in names:
        print(f"{name}: {100 * wanted.aim:.0f} % with {enough.get(name, f'more than {len(learnt)}')} samples")


if __name__ == "__main__":
    main()
