"""From samples to a model's folder: fits, measures on what was not fitted on, chooses thresholds, writes the card."""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor
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
from mendbus_classifier.offline import linear, scoring, training
from mendbus_classifier.offline.samples import Sample
from mendbus_classifier.offline.training import Recipe

Floats = NDArray[np.float64]
Progress = Callable[[str], None]

_GOLDEN: Final = 12
_SHARPNESS: Final = tuple(round(0.5 + 0.1 * step, 1) for step in range(26))
_NEARNESS: Final = (0.0, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 3.5, 4.0, 5.0, 6.0, 8.0)
_LEAST_RIGHT: Final = 0.1
"""Below the confidence under which fewer guesses than this are right, the answer is `unknown`: chance is as good."""
_WITHIN_ONE: Final = 0.95
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
    """Odds of samples that the model had not seen, with the samples and the part of the split each was in."""

    samples: list[Sample]
    category: Floats
    severity: Floats
    fold: NDArray[np.int64]

    def only(self, kept: NDArray[np.bool_]) -> "HeldOut":
        """Some of them."""
        chosen = [sample for sample, keep in zip(self.samples, kept, strict=True) if keep]
        return HeldOut(chosen, self.category[kept], self.severity[kept], self.fold[kept])


def held_out(
    rows: Floats,
    samples: Sequence[Sample],
    part: NDArray[np.int64],
    judged: Sequence[bool],
    how: Recipe,
    pool: Executor,
) -> HeldOut:
    """Odds of the judged samples by models that were fitted on the other parts; all else is in each other part, too.

    `rows`: features whose token sums come from weights fitted without the sample's own part.
    """
    asked = np.array(judged)
    category, severity = np.zeros((len(samples), len(CATEGORIES))), np.zeros((len(samples), len(SEVERITIES)))
    jobs: list[tuple[NDArray[np.bool_], Future[tuple[Floats, Floats]]]] = []
    for fold in np.unique(part[asked]):
        outside = asked & (part == fold)
        inside = ~outside
        learnt = [sample for sample, kept in zip(samples, inside, strict=True) if kept]
        jobs.append((outside, pool.submit(training.odds, rows[inside], learnt, rows[outside], how)))
    for outside, job in jobs:
        category[outside], severity[outside] = job.result()
    kept = [sample for sample, chosen in zip(samples, judged, strict=True) if chosen]
    return HeldOut(kept, category[asked], severity[asked], part[asked])


def thresholds(found: HeldOut) -> dict[str, float]:
    """Sharpness of the odds, confidence below which the answer is `unknown`, and how far a near severity counts."""
    truth = np.array([CATEGORIES.index(sample.category) for sample in found.samples])
    loud = [(sample.rank, odds) for sample, odds in zip(found.samples, found.severity, strict=True) if sample.severity]
    rank = np.array([rank for rank, _ in loud])
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
        said = np.array([model.loudest(list(odds), nearness) for _, odds in loud])
        return min(float((abs(said - rank) <= 1).mean()), _WITHIN_ONE), float((said == rank).mean())

    nearness = max(_NEARNESS, key=quality) if loud else 0.0
    return {"sharpness": sharpness, "unknown_below": below, "near_severity": nearness}


def answers(found: HeldOut) -> list[scoring.Answer]:
    """What a model says of the held-out samples, with thresholds that were chosen without the sample's own part."""
    chosen = {
        int(fold): thresholds(found.only(found.fold != fold) if (found.fold != fold).any() else found)
        for fold in np.unique(found.fold)
    }
    return [
        _answer(category, severity, chosen[int(fold)])
        for category, severity, fold in zip(found.category, found.severity, found.fold, strict=True)
    ]


def _answer(category: Floats, severity: Floats, chosen: Mapping[str, float]) -> scoring.Answer:
    best = int(category.argmax())
    confidence = model.calibrated(list(category), best, chosen["sharpness"])
    label = CATEGORIES[best] if confidence >= chosen["unknown_below"] else rules.UNKNOWN
    return scoring.Answer(label, SEVERITIES[model.loudest(list(severity), chosen["near_severity"])], confidence)


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
    bags = [linear.tokens_of(sample) for sample in samples]
    judged = [source.judged for source in sources for _ in source.samples]
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        whole = pool.submit(linear.fit, samples, bags, how.regression, vectors, how.prior)
        progress(f"token weights: {training.FOLDS} times without a part of {len(samples)} samples, and once with all")
        rows, part = training.out_of_fold(samples, bags, read, how, vectors, pool)
        progress("trees: for each part, and for all")
        trees = pool.submit(training.both, rows, samples, how)
        found = held_out(rows, samples, part, judged, how, pool)
        fitted = training.Trained(whole.result(), *trees.result())
    chosen = thresholds(found)
    figures = scoring.score(found.samples, answers(found))
    files = {
        model.TABLE: table.write(fitted.rows.items(), LANES),
        model.CATEGORY: fitted.category.encode(),
        model.SEVERITY: fitted.severity.encode(),
    }
    # No text of a source that others are judged by may be shipped, where there is any other.
    shown = [sample for source in sources if not source.judged for sample in source.samples] or samples
    files[model.GOLDEN] = golden(files, [shown[i * len(shown) // _GOLDEN] for i in range(_GOLDEN)])
    before = {f"learnt before: {how.base.name}": how.base.digest} if how.base else {}
    card = models.Card(
        name=name,
        service=model.SERVICE,
        created=created,
        inputs=model.INPUTS,
        features=features.NAMES,
        labels=model.LABELS,
        files={file: models.digest(content) for file, content in files.items()},
        data={**before, **{source.name: data_hash(source.samples) for source in sources}},
        samples=len(samples) + (how.prior.samples if how.prior else 0),
        seed=how.seed,
        library=f"lightgbm {library_version()}",
        thresholds=chosen,
        figures={key: round(value, 4) for key, value in figures.items() if isinstance(value, float)},
        note=(
            f"Figures: {training.FOLDS}-fold cross-validation by repository over "
            f"{', '.join(f'{s.name} ({len(s.samples)})' for s in sources if s.judged)}; `unknown` is wrong. "
            "The thresholds behind them were chosen without the part that they were measured on."
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
