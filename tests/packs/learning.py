"""Learned scores: what is fitted on some entities and says log-odds for others."""

from collections.abc import Callable

import lightgbm as lgb
import numpy as np
from tests.packs.task import Task

Member = Callable[[Task], np.ndarray]
"""Log-odds for the samples of a task."""

_COMMON = {
    "objective": "binary",
    "verbosity": -1,
    "num_threads": 1,
    "deterministic": True,
    "force_row_wise": True,
    "max_bin": 63,
}
_PLAIN = {"num_leaves": 31, "learning_rate": 0.05, "min_data_in_leaf": 20}
_PLAIN_ROUNDS = 120
_BOOSTED = {
    "num_leaves": 15,
    "learning_rate": 0.05,
    "min_data_in_leaf": 30,
    "feature_fraction": 0.3,
    "bagging_fraction": 0.7,
    "bagging_freq": 1,
    "lambda_l2": 5.0,
    "cat_smooth": 50.0,
}
_BOOSTED_ROUNDS = 150
_DEEPER = {"num_leaves": 31, "learning_rate": 0.04, "feature_fraction": 0.4}
_DEEPER_ROUNDS = 250
_MANY = 1000
_FOREST = {
    "boosting": "rf",
    "num_leaves": 63,
    "min_data_in_leaf": 20,
    "feature_fraction": 0.2,
    "bagging_fraction": 0.5,
    "bagging_freq": 1,
    "cat_smooth": 50.0,
}
_FOREST_TREES = 60
_EXPLAINED = 0.9
_FLOOR = 1e-6


def plain(task: Task) -> Member:
    """The baseline: LightGBM with common settings on the plain columns."""
    kept, weight = thinned(task)
    data = lgb.Dataset(task.plain[kept], task.y[kept], weight=weight)
    booster = lgb.train({**_COMMON, **_PLAIN, "seed": 1}, data, _PLAIN_ROUNDS)
    return lambda asked: booster.predict(asked.plain, raw_score=True, num_threads=1)


def boosted(task: Task) -> Member:
    """Ours: every tree sees a part of rows and columns; deeper ones where very many entities have failed."""
    if len(np.unique(task.entity[task.y == 1])) >= _MANY:
        return _on_rich(task, _BOOSTED | _DEEPER, _DEEPER_ROUNDS)
    return _on_rich(task, _BOOSTED, _BOOSTED_ROUNDS)


def forest(task: Task) -> Member:
    """Ours: a random forest, which leans less on what few entities happen to share."""
    return _on_rich(task, _FOREST, _FOREST_TREES)


def _on_rich(task: Task, settings: dict[str, object], trees: int) -> Member:
    kept, weight = thinned(task)
    kinds = "auto" if task.category is None else [task.category]
    data = lgb.Dataset(task.rich[kept], task.y[kept], weight=weight * evened(task, kept), categorical_feature=kinds)
    booster = lgb.train({**_COMMON, **settings, "seed": 2}, data, trees)
    return lambda asked: _odds(booster.predict(asked.rich, num_threads=1))


def evened(task: Task, kept: np.ndarray) -> np.ndarray:
    """Factors that let no entity speak for all: positives of one that has many weigh less, of one that has few more."""
    _, who = np.unique(task.entity[kept], return_inverse=True)
    positive = task.y[kept] == 1
    own = np.bincount(who, positive)
    usual = own[own > 0].mean() if positive.any() else 1.0
    return np.where(positive, np.clip(usual / np.maximum(1.0, own[who]), 0.2, 5.0), 1.0)


def simple(task: Task, name: str) -> Member:
    """A score that nothing is fitted for, brought to log-odds by a logistic curve in its logarithm.

    One curve for all entities keeps the order of their scores; one of each fold would put folds before samples.
    """
    kept, weight = thinned(task)
    slope, offset = logistic(_squeezed(_score(task, name)[kept]), task.y[kept], weight)
    return lambda asked: slope * _squeezed(_score(asked, name)) + offset


def residual(task: Task) -> Callable[[Task], np.ndarray]:
    """The baseline PCA where a pack has no reference: what the main axes of the normal samples do not explain."""
    kept, _ = thinned(task)
    normal = np.nan_to_num(task.plain[kept][task.y[kept] == 0].astype(float))
    middle, spread = normal.mean(axis=0), normal.std(axis=0) + 1e-9
    variance, axes = np.linalg.eigh(np.cov(((normal - middle) / spread).T))
    explained = np.cumsum(variance[::-1]) / variance.sum()
    main = axes[:, ::-1][:, : int(np.searchsorted(explained, _EXPLAINED)) + 1].astype(np.float32)

    def score(asked: Task) -> np.ndarray:
        z = ((np.nan_to_num(asked.plain) - middle) / spread).astype(np.float32)
        return ((z - z @ main @ main.T) ** 2).sum(axis=1)

    return score


def thinned(task: Task) -> tuple[np.ndarray, np.ndarray]:
    """The samples that are learned from, and their weights: all positives, every so manieth negative."""
    kept = np.flatnonzero((task.y == 1) | (np.arange(len(task.y)) % task.thin == 0))
    return kept, np.where(task.y[kept] == 1, 1.0, float(task.thin))


def logistic(x: np.ndarray, y: np.ndarray, weight: np.ndarray, steps: int = 25) -> tuple[float, float]:
    """Slope (never negative) and offset of a weighted logistic regression, by damped Newton steps."""
    middle, spread = float(x.mean()), float(x.std()) + 1e-9
    design = np.column_stack([(x - middle) / spread, np.ones(len(x))])
    share = float(np.average(y, weights=weight))
    beta = np.array([0.0, np.log((share + _FLOOR) / (1 - share + _FLOOR))])
    for _ in range(steps):
        chance = 1 / (1 + np.exp(-np.clip(design @ beta, -30, 30)))
        gradient = design.T @ (weight * (y - chance)) - np.array([beta[0], 0.0])
        curve = (design * (weight * chance * (1 - chance))[:, None]).T @ design + np.diag([1.0, 1e-3])
        step = np.linalg.solve(curve, gradient)
        beta += step * min(1.0, 2.0 / (1e-9 + float(np.abs(step).max())))
    slope = max(0.0, float(beta[0])) / spread
    return slope, float(beta[1]) - slope * middle


def _odds(chance: np.ndarray) -> np.ndarray:
    bounded = np.clip(chance, _FLOOR, 1 - _FLOOR)
    return np.log(bounded / (1 - bounded))


def _score(task: Task, name: str) -> np.ndarray:
    return task.simple[name] if name in task.simple else task.hints[name]


def _squeezed(score: np.ndarray) -> np.ndarray:
    return np.sign(score) * np.log1p(np.abs(score))
