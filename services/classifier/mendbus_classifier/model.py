"""A loaded and checked model: from an error's text to category, severity and a confidence that was calibrated."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any, Final, cast

from mendbus import models
from mendbus.booster import Booster
from mendbus.contracts.errors import ModelRefused
from mendbus_classifier import features, rules, table, tokens
from mendbus_classifier.features import CATEGORIES, SEVERITIES, Text

SERVICE: Final = "classifier"
INPUTS: Final[Mapping[str, int]] = {"features": features.VERSION, "tokens": tokens.VERSION, "rules": rules.VERSION}
LABELS: Final[Mapping[str, tuple[str, ...]]] = {"category": CATEGORIES, "severity": SEVERITIES}

TABLE: Final = "tokens.bin"
CATEGORY: Final = "category.txt"
SEVERITY: Final = "severity.txt"
GOLDEN: Final = "golden.json"
FILES: Final = (CATEGORY, GOLDEN, SEVERITY, TABLE)

TOLERANCE: Final = 1e-6
"""How far a golden prediction may be off; other processors round otherwise."""
LEAST_TOKENS: Final = 4
"""A text with fewer known tokens, of which no rule knows anything, is `unknown`."""


@dataclass(frozen=True, slots=True)
class Guess:
    """What a model says of one error. `rule`: the loudest of the rules, where one spoke for the same category."""

    category: str
    severity: str
    confidence: float
    rule: str | None


class Model:
    """One version of the classifier. Not re-entrant; close it when it is not used any more."""

    def __init__(self, card: models.Card, files: Mapping[str, bytes]) -> None:
        """Raises `ModelRefused`: made for other inputs, altered, or its golden predictions do not come out."""
        models.check_inputs(card, service=SERVICE, inputs=INPUTS, features=features.NAMES, labels=LABELS)
        if missing := [name for name in FILES if name not in files]:
            raise ModelRefused(card.name, [f"{name} is missing" for name in missing])
        self.card = card
        self.name = card.name
        self._table = table.read(files[TABLE], card.name)
        if self._table.lanes != features.LANES:
            raise ModelRefused(card.name, [f"{TABLE} has {self._table.lanes} lanes, {features.LANES} are read"])
        self._sharpness = card.thresholds.get("sharpness", 1.0)
        self._nearness = card.thresholds.get("near_severity", 0.0)
        self._unknown_below = card.thresholds.get("unknown_below", 0.0)
        self._category = Booster(_text(files[CATEGORY], card.name), card.name, len(features.NAMES))
        self._severity = Booster(_text(files[SEVERITY], card.name), card.name, len(features.NAMES))
        try:
            if (self._category.classes, self._severity.classes) != (len(CATEGORIES), len(SEVERITIES)):
                raise ModelRefused(card.name, ["the numbers of classes do not fit the labels"])
            self._check_golden(files[GOLDEN])
        except ModelRefused:
            self.close()
            raise

    def classify(self, text: Text) -> Guess:
        """The most likely labels; `unknown` where the model is not sure. No text makes it fail."""
        category, severity, reading, known = self._odds(text)
        best = max(range(len(category)), key=category.__getitem__)
        confidence = calibrated(category, best, self._sharpness)
        label = CATEGORIES[best]
        loud = SEVERITIES[loudest(severity, self._nearness)]
        if confidence < self._unknown_below or (known < LEAST_TOKENS and not reading.categories):
            return Guess(rules.UNKNOWN, loud, 0.0, None)
        rule = reading.verdict.rule if reading.verdict.category == label else None
        return Guess(label, loud, confidence, rule)

    def odds(self, text: Text) -> tuple[list[float], list[float]]:
        """Raw probabilities of all categories and of all severities."""
        category, severity, _, _ = self._odds(text)
        return category, severity

    def close(self) -> None:
        """Gives the memory back."""
        self._category.close()
        self._severity.close()

    def _odds(self, text: Text) -> tuple[list[float], list[float], rules.Reading, float]:
        reading = rules.read(text.kind, text.message, text.stack)
        row = features.row(text, reading, self._table)
        return self._category.predict(row), self._severity.predict(row), reading, row[features.KNOWN]

    def _check_golden(self, content: bytes) -> None:
        try:
            golden = cast("list[dict[str, Any]]", json.loads(content))
            for entry in golden:
                found = self.odds(Text(entry["kind"], entry["message"], entry["stack"]))
                for name, values in zip(("category", "severity"), found, strict=True):
                    if max(map(abs, map(float.__sub__, values, entry[name]))) > TOLERANCE:
                        raise ModelRefused(self.name, [f"{name} of the golden text {entry['message']!r} is {values}"])
        except (ValueError, KeyError, TypeError) as error:
            raise ModelRefused(self.name, [f"{GOLDEN}: {error!r}"]) from None


def calibrated(odds: Sequence[float], best: int, sharpness: float) -> float:
    """The probability of the best class after sharpening: what was measured, not what the trees claim."""
    top = odds[best]
    if top <= 0.0:
        return 0.0
    return min(1.0, 1.0 / math.fsum((value / top) ** sharpness for value in odds))


def loudest(odds: Sequence[float], nearness: float) -> int:
    """The severity to name: likely itself, and, as far as `nearness` counts it, near to what else is likely."""
    around = [0.0, *odds, 0.0]
    worth = [around[i] + nearness * (around[i - 1] + around[i] + around[i + 1]) for i in range(1, len(around) - 1)]
    return max(range(len(worth)), key=worth.__getitem__)


def _text(content: bytes, name: str) -> str:
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        raise ModelRefused(name, [f"not text: {error}"]) from None


def packaged() -> Path:
    """Folder of the model that comes with this package."""
    return Path(str(resources.files("mendbus_classifier") / "model"))


def load(source: Path | bytes | None = None) -> Model:
    """A folder's model, or a packed one; without either, that of this package. Raises `ModelRefused`."""
    return Model(*models.read(source or packaged()))
