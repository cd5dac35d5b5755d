"""What the command line asks of the classifier's models."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from mendbus.contracts.errors import MendbusError
from mendbus.models import Card
from mendbus_classifier import model, rules
from mendbus_classifier.features import Text
from mendbus_classifier.offline import building, samples, scoring
from mendbus_classifier.offline.scoring import Answer
from mendbus_classifier.offline.training import Recipe

packaged = model.packaged

LEAST_SAMPLES: Final = 50


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


def train(files: Sequence[Path], folder: Path, name: str, workers: int, progress: Callable[[str], None]) -> Card:
    """Trains on labelled errors and writes the model's folder.

    Raises `MendbusError`: a file cannot be read, or there are too few samples to learn from.
    """
    sources = [building.Source(path.name, samples.read(path), judged=True) for path in files]
    found = sum(len(source.samples) for source in sources)
    if found < LEAST_SAMPLES:
        raise MendbusError(f"{found} labelled errors are too few to train on: at least {LEAST_SAMPLES} are needed")
    today = datetime.now(UTC).date().isoformat()
    return building.build(folder, name, today, sources, Recipe(), progress=progress, workers=workers)
