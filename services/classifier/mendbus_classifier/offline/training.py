"""Fits the classifier: token weights first, then two LightGBM models over everything that the features say."""

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any, Final, cast

import numpy as np
from numpy.typing import NDArray

from mendbus_classifier import features, rules, table
from mendbus_classifier.features import CATEGORIES, LANES, SEVERITIES
from mendbus_classifier.offline import linear
from mendbus_classifier.offline.samples import Sample

Floats = NDArray[np.float64]

INNER_FOLDS: Final = 3
_SEED: Final = 20


@dataclass(frozen=True, slots=True)
class Recipe:
    """Everything that decides what comes out, but for the samples."""

    regression: linear.Fit = field(default_factory=linear.Fit)
    trees: Mapping[str, Any] = field(
        default_factory=lambda: {
            "num_leaves": 5,
            "learning_rate": 0.05,
            "min_data_in_leaf": 12,
            "feature_fraction": 0.4,
            "bagging_fraction": 0.7,
            "bagging_freq": 1,
            "lambda_l2": 5.0,
        }
    )
    category_rounds: int = 150
    severity_rounds: int = 100
    seed: int = _SEED


@dataclass(frozen=True, slots=True)
class Trained:
    """A fitted classifier: rows of the token table and the two models in LightGBM's text format."""

    rows: dict[int, list[int]]
    category: str
    severity: str


def fold_of(group: str, folds: int, seed: int) -> int:
    """The part of a split that a group belongs to, always the same."""
    return int.from_bytes(hashlib.sha256(f"{seed} {group}".encode()).digest()[:4], "big") % folds


def readings(samples: Sequence[Sample], sceptical: Sequence[bool]) -> list[rules.Reading]:
    """What the rules say of each sample.

    Where `sceptical`, the rules were once tuned on that very text: a phrase that no other text of that kind holds may
    have been written for it, and does not count there.
    """
    doubted = [
        rules.phrases(s.kind, s.message, s.stack) if doubt else set[rules.Phrase]()
        for s, doubt in zip(samples, sceptical, strict=True)
    ]
    counts: Counter[rules.Phrase] = Counter(phrase for heard in doubted for phrase in heard)
    return [
        rules.read(s.kind, s.message, s.stack, {phrase for phrase in heard if counts[phrase] == 1})
        for s, heard in zip(samples, doubted, strict=True)
    ]


def matrix(samples: Sequence[Sample], read: Sequence[rules.Reading], tokens: table.TokenTable) -> Floats:
    """The features of samples, one row each."""
    return np.array(
        [
            features.row(features.Text(s.kind, s.message, s.stack), reading, tokens)
            for s, reading in zip(samples, read, strict=True)
        ]
    )


def packed(rows: Mapping[int, Sequence[int]]) -> table.TokenTable:
    """A table of rows that were just fitted."""
    return table.TokenTable({token: table.pack(row) for token, row in rows.items()}, LANES)


def out_of_fold(
    samples: Sequence[Sample],
    bags: Sequence[set[int]],
    read: Sequence[rules.Reading],
    how: Recipe,
    vectors: Mapping[int, Floats] | None,
) -> Floats:
    """Features of samples whose token sums come from weights that were fitted without the sample's group."""
    parts = [fold_of(sample.group, INNER_FOLDS, how.seed) for sample in samples]
    rows: dict[int, Floats] = {}
    for part in range(INNER_FOLDS):
        inside = [i for i, p in enumerate(parts) if p != part]
        outside = [i for i, p in enumerate(parts) if p == part]
        if not outside:
            continue
        weights = linear.fit([samples[i] for i in inside], [bags[i] for i in inside], how.regression, vectors)
        found = matrix([samples[i] for i in outside], [read[i] for i in outside], packed(weights))
        rows.update(zip(outside, found, strict=True))
    return np.array([rows[i] for i in range(len(samples))])


def trees(rows: Floats, labels: Sequence[int], weight: Sequence[float], classes: int, rounds: int, how: Recipe) -> str:
    """One LightGBM model in text format."""
    lightgbm = cast("Any", import_module("lightgbm"))

    parameters = {
        **how.trees,
        "objective": "multiclass",
        "num_class": classes,
        "num_threads": 1,
        "deterministic": True,
        "force_row_wise": True,
        "seed": how.seed,
        "verbosity": -1,
    }
    data = lightgbm.Dataset(rows, list(labels), weight=list(weight), feature_name=list(features.NAMES))
    return cast("str", lightgbm.train(parameters, data, rounds).model_to_string())


def train(
    samples: Sequence[Sample],
    read: Sequence[rules.Reading],
    how: Recipe,
    vectors: Mapping[int, Floats] | None = None,
) -> Trained:
    """Fits everything on the samples and what the rules say of them."""
    bags = [linear.tokens_of(sample) for sample in samples]
    rows = out_of_fold(samples, bags, read, how, vectors)
    weight = [sample.weight for sample in samples]
    categories = [CATEGORIES.index(sample.category) for sample in samples]
    severities = [SEVERITIES.index(sample.severity) for sample in samples]
    return Trained(
        rows=linear.fit(samples, bags, how.regression, vectors),
        category=trees(rows, categories, weight, len(CATEGORIES), how.category_rounds, how),
        severity=trees(rows, severities, weight, len(SEVERITIES), how.severity_rounds, how),
    )
