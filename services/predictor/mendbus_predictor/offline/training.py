"""Fits the failure predictor, and measures it on agents, rates and kinds of faults that it was not fitted on."""

import hashlib
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib import import_module
from typing import Any, Final, cast

import numpy as np

from mendbus.booster import Booster
from mendbus_predictor.model import log_odds
from mendbus_predictor.offline.history import UNKNOWN, Track
from mendbus_predictor.offline.scoring import Floats, Judged
from mendbus_predictor.reference import NAMES, SIGNS

FOLDS: Final = 5
_WORSE: Final = (*(f"{sign}_" for sign in SIGNS), "errors_peak", "errors_share_of")
_TRAIN: Final = "train"
Split = Callable[[Track], str]
"""To which part of a split a track belongs, "" for one that is never held out."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """Everything that decides what comes out, but for the tracks."""

    trees: Mapping[str, Any] = field(
        default_factory=lambda: {
            "objective": "binary",
            "num_leaves": 8,
            "learning_rate": 0.02,
            "min_data_in_leaf": 60,
            "feature_fraction": 0.3,
            "bagging_fraction": 0.7,
            "bagging_freq": 1,
            "lambda_l2": 10.0,
        }
    )
    rounds: int = 450
    seed: int = 20


@dataclass(frozen=True, slots=True)
class Calibration:
    """From the log odds that the trees claim to those that were measured."""

    slope: float = 1.0
    offset: float = 0.0

    def probability(self, odds: Floats) -> Floats:
        """Probabilities of log odds."""
        return 1.0 / (1.0 + np.exp(-(self.slope * odds + self.offset)))


def weights(track: Track) -> Floats:
    """Each track counts the same for what it says of each label: a long recording is not many failures."""
    out = np.zeros(len(track.labels))
    for label, most in ((1, 20.0), (0, 20.0)):
        chosen = track.labels == label
        if chosen.any():
            out[chosen] = min(1.0, most / chosen.sum())
    return out


def fit(tracks: Sequence[Track], how: Recipe) -> str:
    """A LightGBM model in text format."""
    rows = np.concatenate([track.rows for track in tracks])
    labels = np.concatenate([track.labels for track in tracks])
    weight = np.concatenate([weights(track) for track in tracks])
    known = labels != UNKNOWN
    lightgbm = cast("Any", import_module("lightgbm"))
    parameters = {
        **how.trees,
        # What is worse in any way is never less likely to fail: so much is known without a recording.
        "monotone_constraints": [int(name.startswith(_WORSE)) for name in NAMES],
        "num_threads": 1,
        "deterministic": True,
        "force_row_wise": True,
        "seed": how.seed,
        "verbosity": -1,
    }
    data = lightgbm.Dataset(rows[known], labels[known], weight=weight[known], feature_name=list(NAMES))
    return cast("str", lightgbm.train(parameters, data, how.rounds).model_to_string())


def said(text: str, tracks: Sequence[Track]) -> list[Floats]:
    """Log odds of a model for each evaluation of tracks."""
    booster = Booster(text, "fitted", len(NAMES))
    try:
        return [np.array([log_odds(booster.predict(row)[0]) for row in track.rows.tolist()]) for track in tracks]
    finally:
        booster.close()


def held_out(tracks: Sequence[Track], split: Split, how: Recipe) -> list[tuple[Track, Floats]]:
    """Log odds of each track that a part of the split holds, by a model that saw nothing of that part.

    Tracks of the same toolchain as those of the part are not learned from either.
    """
    found: list[tuple[Track, Floats]] = []
    parts = {split(track) for track in tracks} - {""}
    for part in sorted(parts):
        outside = [track for track in tracks if split(track) == part]
        worlds = {track.world for track in outside}
        inside = [t for t in tracks if split(t) != part and t.world not in worlds]
        if not any((t.labels == 1).any() for t in inside):
            continue
        found += zip(outside, said(fit(inside, how), outside), strict=True)
    return found


def by_run(track: Track) -> str:
    """A fifth of the toolchains at a time."""
    return str(int.from_bytes(hashlib.sha256(str(track.world).encode()).digest()[:4], "big") % FOLDS)


def by_kind(track: Track) -> str:
    """One kind of fault at a time; agents in which nothing was done: by toolchain."""
    return track.family or f"nothing {by_run(track)}"


def by_rate(track: Track) -> str:
    """One rate of faults at a time, of all kinds that have it; what has none, by toolchain."""
    return track.rate if track.gradual or (track.look_alike and track.rate) else f"nothing {by_run(track)}"


def calibrate(found: Sequence[tuple[Track, Floats]]) -> Calibration:
    """Slope and offset of the least log loss on held-out evaluations."""
    labels = np.concatenate([track.labels for track, _ in found])
    odds = np.concatenate([said for _, said in found])
    known = labels != UNKNOWN
    truth, odds = labels[known].astype(float), odds[known]
    slope, offset = 1.0, 0.0
    for _ in range(50):
        p = 1.0 / (1.0 + np.exp(-(slope * odds + offset)))
        w = p * (1.0 - p) + 1e-9
        gradient = np.array([((p - truth) * odds).sum() + 1e-3 * (slope - 1.0), (p - truth).sum()])
        hessian = np.array([[(w * odds * odds).sum() + 1e-3, (w * odds).sum()], [(w * odds).sum(), w.sum()]])
        step = np.linalg.solve(hessian, gradient)
        slope, offset = slope - float(step[0]), offset - float(step[1])
        if float(np.abs(step).max()) < 1e-9:
            break
    return Calibration(max(slope, 0.05), offset)


def judged(found: Sequence[tuple[Track, Floats]], calibration: Calibration, level: float = math.nan) -> list[Judged]:
    """Held-out log odds as probabilities, with a level of the alarm."""
    return [Judged(track, calibration.probability(odds), level) for track, odds in found]


def crossed(judged: Sequence[Judged], split: Split, most_false: float) -> list[Judged]:
    """The same with a level for each part that is chosen by all other parts: it has no say in its own."""
    out: list[Judged] = []
    for part in sorted({split(one.track) for one in judged}):
        others = [one for one in judged if split(one.track) != part]
        level = level_for(others or judged, most_false)
        out += [replace(one, level=level) for one in judged if split(one.track) == part]
    return out


def level_for(found: Sequence[Judged], most_false: float) -> float:
    """The least level at which no more than this share of evaluations without a failure ahead are above it."""
    labels = np.concatenate([one.track.labels for one in found])
    quiet = np.sort(np.concatenate([one.probability for one in found])[labels == 0])
    if not len(quiet):
        return 0.5
    return float(np.nextafter(quiet[min(len(quiet) - 1, math.ceil(len(quiet) * (1.0 - most_false)) - 1)], 1.0))
