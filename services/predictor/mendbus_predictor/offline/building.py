"""Makes a model's folder: fits it, measures it on what it has not seen, and writes card and golden predictions."""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from importlib import resources
from pathlib import Path
from typing import Any, Final, cast

import numpy as np

from mendbus import models
from mendbus.booster import Booster, library_version
from mendbus.features.vectors import health_features
from mendbus.features.window import Window
from mendbus_predictor import baseline, model
from mendbus_predictor.model import log_odds
from mendbus_predictor.offline import scoring, training
from mendbus_predictor.offline.history import Track
from mendbus_predictor.offline.scoring import Judged
from mendbus_predictor.offline.training import Recipe
from mendbus_predictor.reference import NAMES, Reference

MOST_FALSE: Final = 0.03
"""Share of the evaluations with no failure ahead that may be above the alarm's level."""
PERSISTENCE: Final = 2
_GOLDEN: Final = 12
SPLITS: Final[Mapping[str, training.Split]] = {
    "unseen_run": training.by_run,
    "unseen_rate": training.by_rate,
    "unseen_kind": training.by_kind,
}
_SHOWN: Final = ("recall", "false_positives", "precision", "early_warning")


def build(
    folder: Path,
    name: str,
    created: str,
    tracks: Sequence[Track],
    data: Mapping[str, str],
    how: Recipe,
    progress: Callable[[str], None] = lambda _: None,
) -> tuple[models.Card, dict[str, Any]]:
    """Trains a model on all tracks and writes its folder; the figures are of models that did not see what they judge.

    Level and calibration are those of kinds of faults that were not learned from: what comes is not what was. Where a
    kind itself is judged, the level is that of the other kinds.
    """
    found: dict[str, list[tuple[Track, scoring.Floats]]] = {}
    for split, by in SPLITS.items():
        progress(f"held out: {split}")
        found[split] = training.held_out(tracks, by, how)
    calibration = training.calibrate(found["unseen_kind"])
    level = training.level_for(training.judged(found["unseen_kind"], calibration), MOST_FALSE)
    judged = {split: training.judged(odds, calibration, level) for split, odds in found.items()}
    judged["unseen_kind"] = training.crossed(judged["unseen_kind"], SPLITS["unseen_kind"], MOST_FALSE)
    figures = {split: scoring.score(some, PERSISTENCE) for split, some in judged.items()}
    figures["unseen_kind"]["by_kind"] = by_kind(judged["unseen_kind"])
    progress("baseline")
    figures["baseline"] = _baseline(tracks)
    progress("all tracks")
    text = training.fit(tracks, how)
    thresholds = {
        "slope": calibration.slope,
        "offset": calibration.offset,
        "alarm": level,
        "persistence": float(PERSISTENCE),
    }
    files = {
        model.FAILURE: text.encode(),
        model.GOLDEN: golden(text, tracks, calibration),
        baseline.FILE: (resources.files("mendbus_predictor") / "model" / baseline.FILE).read_bytes(),
    }
    card = models.Card(
        name=name,
        service=model.SERVICE,
        created=created,
        inputs=model.INPUTS,
        features=NAMES,
        labels={},
        files={file: models.digest(content) for file, content in files.items()},
        data=data,
        samples=int(sum((track.labels >= 0).sum() for track in tracks)),
        seed=how.seed,
        library=f"lightgbm {library_version()}",
        thresholds=thresholds,
        figures=flat(figures),
        note=(
            f"Recorded faults of the lab: {figures['unseen_kind']['failures']} failures of gradual faults in "
            f"{len(tracks)} tracks. Figures: cross-validation by toolchain, by rate and by kind of fault, at one level "
            f"of the alarm (a kind's is that of the other kinds), {PERSISTENCE} evaluations in a row. An error adds "
            "what the baseline says of it, unmeasured."
        ),
    )
    models.write_folder(folder, card, files)
    return card, figures


def flat(figures: Mapping[str, Mapping[str, Any]]) -> dict[str, float]:
    """The figures of a card."""
    out: dict[str, float] = {}
    for split, some in figures.items():
        out |= {f"{split}_{name}": some[name]["value"] for name in _SHOWN}
        out |= {f"{split}_{name}": some[name] for name in ("pr_auc", "chance", "calibration_error")}
        out[f"{split}_lead_seconds"] = some["lead_seconds"]["p50"]
        out[f"{split}_false_alarms_per_agent_hour"] = some["false_alarms_per_agent_hour"]["value"]
    return {name: round(value, 4) for name, value in out.items() if value == value}


def by_kind(judged: Sequence[Judged]) -> dict[str, Any]:
    """Of each kind of gradual fault: evaluations ahead of failures, failures warned of, and how long before."""
    kinds = sorted({one.track.family for one in judged if one.track.gradual})
    out: dict[str, Any] = {}
    for kind in kinds:
        some = [one for one in judged if one.track.family == kind and one.track.gradual]
        score = scoring.score(some, PERSISTENCE)
        out[kind] = {name: score[name] for name in ("recall", "early_warning", "lead_seconds")}
    return out


def _baseline(tracks: Sequence[Track]) -> dict[str, Any]:
    """The same of the model that was set by hand, at a level chosen likewise."""
    plain = baseline.load()
    judged = [Judged(t, np.array([plain.predict(None, row).probability for row in t.raw]), math.nan) for t in tracks]
    level = training.level_for(judged, MOST_FALSE)
    return scoring.score([replace(one, level=level) for one in judged], PERSISTENCE)


def golden(text: str, tracks: Sequence[Track], calibration: training.Calibration) -> bytes:
    """What the model says of some rows, for the check at every start; one of them of an agent never seen."""
    rows = np.concatenate([track.rows for track in tracks])
    some = [rows[i * len(rows) // _GOLDEN] for i in range(_GOLDEN)]
    some.append(Reference().against(health_features(Window())))
    booster = Booster(text, "golden", len(NAMES))
    entries = [
        {
            "row": [None if value != value else value for value in cast("list[float]", row.tolist())],
            "log_odds": calibration.slope * log_odds(booster.predict(row)[0]) + calibration.offset,
        }
        for row in some
    ]
    booster.close()
    return (json.dumps(entries, indent=1) + "\n").encode()
