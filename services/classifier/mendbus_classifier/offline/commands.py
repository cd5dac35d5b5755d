"""What the command line asks of the classifier's models."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from mendbus.contracts.errors import MendbusError
from mendbus.models import Card, digest, read_folder, write_card
from mendbus_classifier import model, rules, table
from mendbus_classifier.features import Text
from mendbus_classifier.offline import building, samples, scoring
from mendbus_classifier.offline.linear import Prior
from mendbus_classifier.offline.scoring import Answer
from mendbus_classifier.offline.training import Base, Recipe

packaged = model.packaged

LEAST_SAMPLES: Final = 50
LEAST_GROUPS: Final = 10
"""Groups, each of which is wholly on one side of a measurement."""


def score(file: Path, folder: Path | None = None) -> dict[str, Any]:
    """Figures of a model on a file of labelled errors, with those of the rules and of the majority.

    Raises `MendbusError` where the file cannot be read, `ModelRefused` where the model cannot be used.
    """
    labelled = samples.read(file)
    used = model.load(folder)
    try:
        guesses = [used.classify(Text(s.kind, s.message, s.stack)) for s in labelled]
    finally:
        used.close()
    verdicts = [rules.classify(s.kind, s.message, s.stack) for s in labelled]
    return {
        "model": used.name,
        **scoring.score(labelled, [Answer(g.category, g.severity, g.confidence) for g in guesses]),
        "rules_only": scoring.score(labelled, [Answer(v.category, v.severity, v.confidence) for v in verdicts]),
        "majority": scoring.score(labelled, scoring.majority(labelled)) if labelled else {},
    }


def train(
    files: Sequence[Path],
    folder: Path,
    name: str,
    workers: int,
    progress: Callable[[str], None],
    base: Path | None = None,
) -> Card:
    """Learns on from a model (`base`; without it, the one of the package) and writes the new model's folder.

    Raises `MendbusError`: a file cannot be read, or there are too few samples to learn from; `ModelRefused`: `base`
    was made for other inputs.
    """
    read = samples.merged(samples.read(path) for path in files)
    sources = [building.Source(path.name, found, judged=True) for path, found in zip(files, read, strict=True)]
    found = [sample for source in sources for sample in source.samples]
    groups = len({sample.group for sample in found})
    if len(found) < LEAST_SAMPLES or groups < LEAST_GROUPS:
        raise MendbusError(
            f"{len(found)} labelled errors of {groups} groups are too few to train on: at least {LEAST_SAMPLES} of "
            f"{LEAST_GROUPS} groups are needed; a group is what the line says, or the error's fingerprint"
        )
    progress(f"{len(found)} labelled errors of {groups} groups")
    today = datetime.now(UTC).date().isoformat()
    recipe = Recipe(base=learnt(base or packaged()))
    return building.build(folder, name, today, sources, recipe, progress=progress, workers=workers)


def learnt(folder: Path) -> Base:
    """What a model knows, to learn on from. Raises `ModelRefused`."""
    model.load(folder).close()
    card, files = read_folder(folder)
    prior = Prior(table.weights_of(files[model.TABLE], card.name), card.samples)
    texts = (files[name].decode() for name in (model.CATEGORY, model.SEVERITY))
    return Base(card.name, digest(write_card(card)), prior, *texts)
