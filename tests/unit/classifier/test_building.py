"""How a model is measured: never by what it, or a threshold of it, was chosen on."""

from zlib import crc32

import numpy as np
import pytest

from mendbus_classifier.features import CATEGORIES, SEVERITIES
from mendbus_classifier.offline import building, linear, training
from mendbus_classifier.offline.building import HeldOut
from mendbus_classifier.offline.linear import Fit, Prior
from mendbus_classifier.offline.samples import Sample


def found(labels: dict[int, str]) -> HeldOut:
    """Held-out odds of 100 samples in 5 parts, the same whatever the labels are."""
    chance = np.random.default_rng(1)
    samples = [Sample("", str(i), "", labels.get(i, CATEGORIES[i % 10]), SEVERITIES[i % 4]) for i in range(100)]
    category = chance.dirichlet(np.ones(len(CATEGORIES)), 100)
    category[np.arange(100), np.arange(100) % 10] += chance.random(100)
    return HeldOut(
        samples,
        category / category.sum(1, keepdims=True),
        chance.dirichlet(np.ones(len(SEVERITIES)), 100),
        np.arange(100) % 5,
    )


def test_what_is_said_of_a_part_does_not_depend_on_its_own_labels() -> None:
    """Other labels of one part change the thresholds, and with them the answers, of the other parts alone."""
    own = dict.fromkeys(range(0, 100, 5), "memory")
    before, after = building.answers(found({})), building.answers(found(own))
    assert before[::5] == after[::5]
    assert before != after


def samples(words: str, label: str, count: int) -> list[Sample]:
    return [Sample("", f"{words} {label}", "", label, "error", group=f"{label}{i}") for i in range(count)]


def test_learning_on_keeps_what_is_not_contradicted() -> None:
    """Rows of tokens that the new samples do not hold stay as they are; a token they hold moves their way."""
    learnt = [*samples("gate", "memory", 4), *samples("pawl", "network", 4)]
    bags = [linear.tokens_of(sample) for sample in learnt]
    first = linear.fit(learnt, bags, Fit())
    new = [Sample("", "gate", "", "storage", "error", group=f"g{i}") for i in range(8)]
    after = linear.fit(new, [linear.tokens_of(s) for s in new], Fit(), prior=Prior(first, len(learnt)))
    gate, pawl = crc32(b"gate"), crc32(b"pawl")
    storage = 1 + CATEGORIES.index("storage")
    assert after[pawl] == first[pawl]
    assert after[gate][0] == first[gate][0]
    assert after[gate][storage] > first[gate][storage]


def test_one_group_cannot_be_held_out() -> None:
    """Nothing is left to learn from where all texts resemble each other."""
    alike = [Sample("", "m", "", "build", "error", group="one")] * 60
    read = training.readings(alike, [False] * 60)
    with pytest.raises(ValueError, match="one group"):
        training.train(alike, read, training.Recipe())
