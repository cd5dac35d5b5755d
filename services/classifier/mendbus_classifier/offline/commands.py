"""What the command line asks of the classifier's models."""

from pathlib import Path
from typing import Any

from mendbus_classifier import rules
from mendbus_classifier.features import Text
from mendbus_classifier.model import load
from mendbus_classifier.offline import samples, scoring
from mendbus_classifier.offline.scoring import Answer


def score(file: Path, folder: Path | None = None) -> dict[str, Any]:
    """Figures of a model on a file of labelled errors, with those of the rules and of the majority.

    Raises `MendbusError` where the file cannot be read, `ModelRefused` where the model cannot be used.
    """
    labelled = samples.read(file)
    model = load(folder)
    try:
        guesses = [model.classify(Text(s.kind, s.message, s.stack)) for s in labelled]
    finally:
        model.close()
    verdicts = [rules.classify(s.kind, s.message, s.stack) for s in labelled]
    return {
        "model": model.name,
        **scoring.score(labelled, [Answer(g.category, g.severity, g.confidence) for g in guesses]),
        "rules_only": scoring.score(labelled, [Answer(v.category, v.severity, v.confidence) for v in verdicts]),
        "majority": scoring.score(labelled, scoring.majority(labelled)) if labelled else {},
    }
