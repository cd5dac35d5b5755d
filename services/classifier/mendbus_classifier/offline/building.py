"""From samples to a model's folder: fits, measures on what was not fitted on, chooses thresholds, writes the card."""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from mendbus import models
from mendbus.booster import Booster, library_version
from mendbus_classifier import features, model, rules, table
from mendbus_classifier.features import CATEGORIES, LANES, SEVERITIES
from mendbus_classifier.offline import scoring, training
from mendbus_classifier.offline.samples import Sample
from mendbus_classifier.offline.training import Recipe

Floats = NDArray[np.float64]
Progress = Callable[[str], None]

FOLDS: Final = 5
_GOLDEN: Final = 12
_SHARPNESS: Final = tuple(round(0.5 + 0.1 * step, 1) for step in range(26))
_NEARNESS: Final = (0.0, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0)
_LEAST_RIGHT: Final = 0.1
"""Below the confidence under which fewer guesses than this are right, the answer is `unknown`: chance is as good."""
_WITHIN_ONE: Final = 0.955
"""Share of severities that must be at most one step off, before exact hits are counted."""


@dataclass(frozen=True, slots=True)
class Source:
    """Samples from one place. `tuned`: the rules were once tuned on these very texts. `judged`: figures come from
    these, held out by group."""

    name: str
    samples: Sequence[Sample]
    tuned: bool = False
    judged: bool = False


@dataclass(frozen=True, slots=True)
class HeldOut:
    """Odds of samples that the model had not seen, with the samples."""

    samples: list[Sample]
    category: Floats
    severity: Floats


def held_out(
    sources: Sequence[Source], how: Recipe, vectors: Mapping[int, Floats] | None, progress: Progress, pool: Executor
) -> HeldOut:
    """Cross-validation by group over the judged samples; all else is always in the training part."""
    samples = [sample for source in sources for sample in source.samples]
    tuned = [source.tuned for source in sources for _ in source.samples]
    judged = [source.judged for source in sources for _ in source.samples]
    part = [training.fold_of(s.group, FOLDS, how.seed) if j else -1 for s, j in zip(samples, judged, strict=True)]
    category, severity = np.zeros((len(samples), len(CATEGORIES))), np.zeros((len(samples), len(SEVERITIES)))
    # What the rules say does not depend on the split, but for the phrases that only one text holds.
    read = training.readings(samples, tuned)
    progress(f"{FOLDS} folds over {len(samples)} samples")
    folds = [
        pool.submit(_fold, samples, read, [i for i, p in enumerate(part) if p == fold], how, vectors)
        for fold in range(FOLDS)
    ]
    for done in folds:
        outside, found = done.result()
        progress(f"a fold of {len(outside)} samples is done")
        category[outside], severity[outside] = found
    kept = [i for i, p in enumerate(part) if p >= 0]
    return HeldOut([samples[i] for i in kept], category[kept], severity[kept])


def _fold(
    samples: Sequence[Sample],
    read: Sequence[rules.Reading],
    outside: Sequence[int],
    how: Recipe,
    vectors: Mapping[int, Floats] | None,
) -> tuple[list[int], tuple[Floats, Floats]]:
    """Odds of the samples outside, by a model that was fitted on all others."""
    inside = sorted(set(range(len(samples))) - set(outside))
    fitted = training.train([samples[i] for i in inside], [read[i] for i in inside], how, vectors)
    tokens = training.packed(fitted.rows)
    rows = training.matrix([samples[i] for i in outside], [read[i] for i in outside], tokens)
    odds: list[Floats] = []
    for text in (fitted.category, fitted.severity):
        booster = Booster(text, "held out", len(features.NAMES))
        odds.append(np.array([booster.predict(row) for row in rows.tolist()]))
        booster.close()
    return list(outside), (odds[0], odds[1])


def thresholds(found: HeldOut) -> dict[str, float]:
    """Sharpness of the odds, confidence below which the answer is `unknown`, and how far a near severity counts."""
    truth = np.array([CATEGORIES.index(sample.category) for sample in found.samples])
    rank = np.array([sample.rank for sample in found.samples])
    logs = np.log(found.category + 1e-12)

    def loss(sharpness: float) -> float:
        scaled = sharpness * logs
        scaled -= np.log(np.exp(scaled - scaled.max(1, keepdims=True)).sum(1, keepdims=True)) + scaled.max(
            1, keepdims=True
        )
        return -float(scaled[np.arange(len(truth)), truth].mean())

    sharpness = min(_SHARPNESS, key=loss)
    odds = np.exp(sharpness * (logs - logs.max(1, keepdims=True)))
    confidence = 1.0 / odds.sum(1)
    right = found.category.argmax(1) == truth
    below = 0.0
    for level in np.arange(0.1, 0.5, 0.01):
        doubtful = confidence < level
        if doubtful.sum() >= 5 and right[doubtful].mean() < _LEAST_RIGHT:
            below = round(float(level), 2)

    def quality(nearness: float) -> tuple[float, float]:
        said = np.array([model.loudest(list(row), nearness) for row in found.severity])
        return min(float((abs(said - rank) <= 1).mean()), _WITHIN_ONE), float((said == rank).mean())

    return {"sharpness": sharpness, "unknown_below": below, "near_severity": max(_NEARNESS, key=quality)}


def answers(found: HeldOut, chosen: Mapping[str, float]) -> list[scoring.Answer]:
    """What a model with these thresholds says of the held-out samples."""
    said: list[scoring.Answer] = []
    for category, severity in zip(found.category, found.severity, strict=True):
        best = int(category.argmax())
        confidence = model.calibrated(list(category), best, chosen["sharpness"])
        label = CATEGORIES[best] if confidence >= chosen["unknown_below"] else rules.UNKNOWN
        loud = SEVERITIES[model.loudest(list(severity), chosen["near_severity"])]
        said.append(scoring.Answer(label, loud, confidence))
    return said


def data_hash(samples: Sequence[Sample]) -> str:
    """SHA-256 of samples, whatever their order."""
    lines = sorted(json.dumps((s.kind, s.message, s.stack, s.category, s.severity)) for s in samples)
    return hashlib.sha256("\n".join(lines).encode("utf-8", "backslashreplace")).hexdigest()


def build(
    folder: Path,
    name: str,
    created: str,
    sources: Sequence[Source],
    how: Recipe,
    vectors: Mapping[int, Floats] | None = None,
    progress: Progress = lambda _: None,
    workers: int = 1,
) -> models.Card:
    """Trains a model and writes its folder; its figures come from cross-validation over the judged sources.

    `workers`: processes that fit at the same time.
    """
    samples = [sample for source in sources for sample in source.samples]
    read = training.readings(samples, [source.tuned for source in sources for _ in source.samples])
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        whole = pool.submit(training.train, samples, read, how, vectors)
        found = held_out(sources, how, vectors, progress, pool)
        progress("all samples")
        fitted = whole.result()
    chosen = thresholds(found)
    figures = scoring.score(found.samples, answers(found, chosen))
    files = {
        model.TABLE: table.write(fitted.rows.items(), LANES),
        model.CATEGORY: fitted.category.encode(),
        model.SEVERITY: fitted.severity.encode(),
    }
    # No text of a source that others are judged by may be shipped, where there is any other.
    shown = [sample for source in sources if not source.judged for sample in source.samples] or samples
    files[model.GOLDEN] = golden(files, [shown[i * len(shown) // _GOLDEN] for i in range(_GOLDEN)])
    card = models.Card(
        name=name,
        service=model.SERVICE,
        created=created,
        inputs=model.INPUTS,
        features=features.NAMES,
        labels=model.LABELS,
        files={file: models.digest(content) for file, content in files.items()},
        data={source.name: data_hash(source.samples) for source in sources},
        samples=len(samples),
        seed=how.seed,
        library=f"lightgbm {library_version()}",
        thresholds=chosen,
        figures={key: round(value, 4) for key, value in figures.items() if isinstance(value, float)},
        note=(
            f"Figures: {FOLDS}-fold cross-validation by repository over "
            f"{', '.join(f'{s.name} ({len(s.samples)})' for s in sources if s.judged)}; `unknown` is wrong."
        ),
    )
    models.write_folder(folder, card, files)
    return card


def golden(files: Mapping[str, bytes], samples: Sequence[Sample]) -> bytes:
    """What the model says of some samples, for the check at every start."""
    tokens = table.read(files[model.TABLE], "golden")
    boosters = [Booster(files[name].decode(), name, len(features.NAMES)) for name in (model.CATEGORY, model.SEVERITY)]
    entries: list[dict[str, Any]] = []
    for sample in samples:
        text = features.Text(sample.kind, sample.message, sample.stack)
        row = features.row(text, rules.read(text.kind, text.message, text.stack), tokens)
        category, severity = (booster.predict(row) for booster in boosters)
        entries.append(
            {
                "kind": text.kind,
                "message": text.message,
                "stack": text.stack,
                "category": category,
                "severity": severity,
            }
        )
    for booster in boosters:
        booster.close()
    return (json.dumps(entries, indent=1) + "\n").encode()
