"""The token weights: two softmax regressions over the tokens of a text, scaled by rarity and set to length one."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib import import_module
from typing import Any, Final, cast

import numpy as np
from numpy.typing import NDArray

from mendbus_classifier import table
from mendbus_classifier.features import CATEGORIES, LANES, RARITY_SCALE, SCALE, SEVERITIES
from mendbus_classifier.offline.samples import Sample

Floats = NDArray[np.float64]

# Without types of their own.
_optimize = cast("Any", import_module("scipy.optimize"))
_sparse = cast("Any", import_module("scipy.sparse"))

LEAST_TEXTS: Final = 2
"""Texts that must hold a token before it gets a weight."""
LEARNT: Final = 100
"""Texts that what was learnt before counts as; fewer new ones move it accordingly less."""
_MOST: Final = 32767
_NOTHING: Final = (0,) * LANES


@dataclass(frozen=True, slots=True)
class Fit:
    """How a regression is fitted: strength of the penalty, of the vectors, and at most so many steps."""

    penalty: float = 0.015
    vectors: float = 1.0
    steps: int = 60


SEVERITY: Final = Fit(penalty=0.03, steps=40)
"""Labels that are noisier are followed less far."""


@dataclass(frozen=True, slots=True)
class Prior:
    """Token weights to learn on from: rows of a table, and of how many texts their rarities tell."""

    rows: Mapping[int, Sequence[int]]
    samples: int


def tokens_of(sample: Sample) -> set[int]:
    """The distinct tokens of a sample, as the table reads them."""
    return table.TokenTable.tokens(sample.kind, sample.message, sample.stack)


def fit(
    samples: Sequence[Sample],
    bags: Sequence[set[int]],
    how: Fit,
    vectors: Mapping[int, Floats] | None = None,
    prior: Prior | None = None,
) -> dict[int, list[int]]:
    """Rows of the token table. `bags`: the tokens of each sample; `vectors`: what is known of tokens beforehand.

    With a `prior`, only what the samples contradict in it is changed.
    """
    groups: dict[int, set[str]] = {}
    for sample, bag in zip(samples, bags, strict=True):
        for token in bag:
            groups.setdefault(token, set()).add(sample.group)
    before: Mapping[int, Sequence[int]] = prior.rows if prior else {}
    seen = sorted(token for token, where in groups.items() if len(where) >= LEAST_TEXTS or token in before)
    foreseen = sorted(token for token in vectors or {} if len(groups.get(token, ())) < LEAST_TEXTS)
    known = [*seen, *foreseen]
    column = {token: number for number, token in enumerate(known)}
    counts: Counter[int] = Counter(token for bag in bags for token in bag if token in column)
    texts = len(bags) + (prior.samples if prior else 0)
    rarity = np.array(
        [
            math.sqrt(before[token][0] / RARITY_SCALE)
            if token in before
            else math.log((1 + texts) / (1 + counts[token])) + 1.0
            for token in known
        ]
    )
    start = np.array([before.get(token, _NOTHING)[1:] for token in known]).reshape(-1, LANES - 1)
    start = start / SCALE / rarity[:, None]
    matrix = design(bags, column, rarity)
    meaning = None
    if vectors:
        width = len(next(iter(vectors.values())))
        meaning = np.array([vectors.get(token, np.zeros(width)) for token in known]) * how.vectors
    sticky = max(1.0, LEARNT / max(len(bags), 1)) if prior else 1.0
    lanes: list[Floats] = []
    # Who relabelled a category alone said nothing of the severity.
    loud = [s.weight * s.loud if s.severity else 0.0 for s in samples]
    for names, labels, weights, first, fitted in (
        (CATEGORIES, [s.category for s in samples], [s.weight for s in samples], 0, how),
        (SEVERITIES, [s.severity for s in samples], loud, len(CATEGORIES), SEVERITY),
    ):
        weight = np.array(weights)
        target = np.array([names.index(label) if label else 0 for label in labels])
        part = start[:, first : first + len(names)]
        lanes.append(_softmax(matrix, meaning, target, weight, part, replace(fitted, penalty=fitted.penalty * sticky)))
    both = np.hstack(lanes) * rarity[:, None]
    whole = np.clip(np.rint(both * SCALE), -_MOST, _MOST).astype(int)
    squares = np.clip(np.rint(rarity**2 * RARITY_SCALE), 1, _MOST).astype(int)
    rows = {token: [int(squares[i]), *map(int, whole[i])] for i, token in enumerate(known)}
    rows = {token: list(row) for token, row in before.items() if token not in rows} | rows
    if any(len(row) != LANES for row in rows.values()):
        raise AssertionError("lanes")
    return rows


def design(bags: Sequence[set[int]], column: Mapping[int, int], rarity: Floats) -> Any:
    """The sparse matrix of the samples' tokens, each row of length one."""
    starts, columns = [0], list[int]()
    for bag in bags:
        columns += sorted(column[token] for token in bag if token in column)
        starts.append(len(columns))
    data = rarity[columns]
    matrix = _sparse.csr_matrix((data, columns, starts), shape=(len(bags), len(rarity)))
    norm = np.sqrt(np.asarray(matrix.multiply(matrix).sum(axis=1)).ravel())
    return _sparse.diags(1.0 / np.maximum(norm, 1e-9)) @ matrix


def _softmax(
    matrix: Any, meaning: Floats | None, labels: NDArray[np.int64], weight: Floats, start: Floats, how: Fit
) -> Floats:
    """Weights per token and class, without an intercept: what follows balances the classes itself.

    `start`: what they are penalised for leaving.
    """
    rows, columns = cast("tuple[int, int]", matrix.shape)
    classes = start.shape[1]
    given = matrix @ start
    width = 0 if meaning is None else meaning.shape[1]
    dense = None if meaning is None else matrix @ meaning
    target = np.zeros((rows, classes))
    target[np.arange(rows), labels] = 1.0
    total = max(float(weight.sum()), 1e-9)
    transposed = matrix.T.tocsr()

    def cost(flat: Floats) -> tuple[float, Floats]:
        own = flat[: columns * classes].reshape(columns, classes)
        shared = flat[columns * classes : (columns + width) * classes].reshape(width, classes)
        bias = flat[(columns + width) * classes :]
        score = given + matrix @ own + bias
        if dense is not None:
            score = score + dense @ shared
        score -= score.max(axis=1, keepdims=True)
        odds = np.exp(score)
        odds /= odds.sum(axis=1, keepdims=True)
        loss = -(weight * np.log(odds[np.arange(rows), labels] + 1e-12)).sum() / total
        error = (odds - target) * (weight / total)[:, None]
        strength = how.penalty / 100.0
        gradient = [transposed @ error + strength * own]
        if dense is not None:
            gradient.append(dense.T @ error + strength * shared)
        flatly = np.concatenate([*(part.ravel() for part in gradient), error.sum(axis=0)])
        return loss + 0.5 * strength * float((own**2).sum() + (shared**2).sum()), flatly

    nothing = np.zeros((columns + width + 1) * classes)
    found = _optimize.minimize(cost, nothing, jac=True, method="L-BFGS-B", options={"maxiter": how.steps})
    own = start + cast("Floats", found.x)[: columns * classes].reshape(columns, classes)
    if meaning is not None:
        own = own + meaning @ cast("Floats", found.x)[columns * classes : (columns + width) * classes].reshape(
            width, classes
        )
    return own - own.mean(axis=1, keepdims=True)
