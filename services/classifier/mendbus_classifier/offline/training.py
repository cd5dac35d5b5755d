"""Fits the classifier: token weights first, then two LightGBM models over everything that the features say."""

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any, Final, cast

import numpy as np
from numpy.typing import NDArray

from mendbus.booster import Booster
from mendbus_classifier import features, rules, table
from mendbus_classifier.features import CATEGORIES, LANES, SEVERITIES
from mendbus_classifier.offline import linear
from mendbus_classifier.offline.samples import Sample

Floats = NDArray[np.float64]

FOLDS: Final = 5
"""Parts of the split. The rows that trees learn from and the rows they are judged by are made alike."""
BASE_SHARE: Final = 0.6
"""Of the rounds, where trees are added to those of another model."""
_SEED: Final = 20


@dataclass(frozen=True, slots=True)
class Base:
    """A model to learn on from: its token weights, and its two models in LightGBM's text format."""

    name: str
    digest: str
    """SHA-256 (hex) of its card."""
    prior: linear.Prior
    category: str
    severity: str


@dataclass(frozen=True, slots=True)
class Recipe:
    """Everything that decides what comes out, but for the samples. Without a `base`, it is learnt from nothing."""

    regression: linear.Fit = field(default_factory=linear.Fit)
    trees: Mapping[str, Any] = field(
        default_factory=lambda: {
            "num_leaves": 5,
            "learning_rate": 0.1,
            # Splits drawn by chance and not sought: what the trees are most sure of is more often right.
            "extra_trees": True,
            "min_data_in_leaf": 12,
            "feature_fraction": 0.4,
            "bagging_fraction": 0.7,
            "bagging_freq": 1,
            "lambda_l2": 5.0,
        }
    )
    severity_trees: Mapping[str, Any] = field(
        default_factory=lambda: {
            "num_leaves": 8,
            "learning_rate": 0.03,
            "feature_fraction": 0.7,
        }
    )
    """In what the trees of the severities differ: their labels are noisier, so that they are many and cautious."""
    category_rounds: int = 100
    severity_rounds: int = 130
    seed: int = _SEED
    base: Base | None = None

    @property
    def prior(self) -> linear.Prior | None:
        """Token weights to learn on from."""
        return self.base.prior if self.base else None


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
    pool: Executor,
) -> tuple[Floats, NDArray[np.int64]]:
    """Features of samples whose token sums come from weights fitted without the sample's part of the split; the parts.

    Raises `ValueError` where all samples are of one part.
    """
    part = np.array([fold_of(sample.group, FOLDS, how.seed) for sample in samples])
    jobs: list[tuple[list[int], Future[Floats]]] = []
    for fold in np.unique(part):
        inside, outside = (np.flatnonzero(chosen).tolist() for chosen in (part != fold, part == fold))
        if not inside:
            raise ValueError("all samples are of one group, or nearly: nothing can be held out")
        learnt = [samples[i] for i in inside], [bags[i] for i in inside], how, vectors
        jobs.append((outside, pool.submit(_rows, [samples[i] for i in outside], [read[i] for i in outside], *learnt)))
    rows = np.zeros((len(samples), len(features.NAMES)))
    for outside, job in jobs:
        rows[outside] = job.result()
    return rows, part


def _rows(
    samples: Sequence[Sample],
    read: Sequence[rules.Reading],
    inside: Sequence[Sample],
    bags: Sequence[set[int]],
    how: Recipe,
    vectors: Mapping[int, Floats] | None,
) -> Floats:
    """Features of samples, with token weights fitted on those inside."""
    return matrix(samples, read, packed(linear.fit(inside, bags, how.regression, vectors, how.prior)))


def trees(
    rows: Floats,
    labels: Sequence[int],
    weight: Sequence[float],
    classes: int,
    rounds: int,
    how: Recipe,
    before: str | None = None,
    **also: Any,
) -> str:
    """One LightGBM model in text format; `before`: the model whose trees it adds some to; `also`: more parameters."""
    lightgbm = cast("Any", import_module("lightgbm"))

    parameters = {
        **how.trees,
        **also,
        # The library estimates how many rows a leaf has by how unsure the trees before it are; sure ones count nothing.
        **({"min_data_in_leaf": 1} if before else {}),
        "objective": "multiclass",
        "num_class": classes,
        "num_threads": 1,
        "deterministic": True,
        "force_row_wise": True,
        "seed": how.seed,
        "verbosity": -1,
    }
    data = lightgbm.Dataset(
        rows, list(labels), weight=list(weight), feature_name=list(features.NAMES), free_raw_data=False
    )
    first = lightgbm.Booster(model_str=before) if before else None
    return cast("str", lightgbm.train(parameters, data, rounds, init_model=first).model_to_string())


def both(rows: Floats, samples: Sequence[Sample], how: Recipe) -> tuple[str, str]:
    """The models of category and of severity, fitted on the features of samples."""
    base, share = how.base, BASE_SHARE if how.base else 1.0
    loud = [i for i, sample in enumerate(samples) if sample.severity]
    category = trees(
        rows,
        [CATEGORIES.index(sample.category) for sample in samples],
        [sample.weight for sample in samples],
        len(CATEGORIES),
        round(how.category_rounds * share),
        how,
        base.category if base else None,
    )
    if base and not loud:
        return category, base.severity
    severity = trees(
        rows[loud],
        [SEVERITIES.index(samples[i].severity) for i in loud],
        [samples[i].weight * samples[i].loud for i in loud],
        len(SEVERITIES),
        round(how.severity_rounds * share),
        how,
        base.severity if base else None,
        **how.severity_trees,
    )
    return category, severity


def odds(rows: Floats, samples: Sequence[Sample], asked: Floats, how: Recipe) -> tuple[Floats, Floats]:
    """What models fitted on the features of samples say of other features."""
    found: list[Floats] = []
    for text in both(rows, samples, how):
        booster = Booster(text, "held out", len(features.NAMES))
        found.append(np.array([booster.predict(row) for row in asked.tolist()]))
        booster.close()
    return found[0], found[1]


def train(
    samples: Sequence[Sample],
    read: Sequence[rules.Reading],
    how: Recipe,
    vectors: Mapping[int, Floats] | None = None,
) -> Trained:
    """Fits everything on the samples and what the rules say of them, in this process."""
    bags = [linear.tokens_of(sample) for sample in samples]
    with ThreadPoolExecutor(1) as pool:
        rows, _ = out_of_fold(samples, bags, read, how, vectors, pool)
    weights = linear.fit(samples, bags, how.regression, vectors, how.prior)
    return Trained(weights, *both(rows, samples, how))
