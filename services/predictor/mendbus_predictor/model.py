"""The learned model: log odds of a failure from health that is seen against what is usual for the agent, calibrated.

What an error adds, which features spoke and which strategy fits is the baseline's word; its file is one of the model's.
"""

import json
import math
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any, Final, cast

import numpy as np

from mendbus import models
from mendbus.booster import Booster
from mendbus.contracts.errors import ModelRefused
from mendbus.features.vectors import Health, Vector
from mendbus_predictor import baseline, reference
from mendbus_predictor.baseline import Prediction
from mendbus_predictor.reference import NAMES

SERVICE: Final = "predictor"
INPUTS: Final[Mapping[str, int]] = {"reference": reference.VERSION}
FAILURE: Final = "failure.txt"
GOLDEN: Final = "golden.json"
FILES: Final = (FAILURE, GOLDEN, baseline.FILE)
THRESHOLDS: Final = ("slope", "offset", "alarm", "persistence")

TOLERANCE: Final = 1e-6
"""How far a golden prediction may be off; other processors round otherwise."""


class Model:
    """One version of the predictor. Not re-entrant; close it when it is not used any more."""

    def __init__(self, card: models.Card, files: Mapping[str, bytes]) -> None:
        """Raises `ModelRefused`: made for other inputs, altered, or its golden predictions do not come out."""
        models.check_inputs(card, service=SERVICE, inputs=INPUTS, features=NAMES, labels={})
        problems = [f"{name} is missing" for name in FILES if name not in files]
        problems += [f"the card has no threshold {name!r}" for name in THRESHOLDS if name not in card.thresholds]
        if problems:
            raise ModelRefused(card.name, problems)
        self.card = card
        self.name = card.name
        self.alarm = card.thresholds["alarm"]
        self.persistence = int(card.thresholds["persistence"])
        self._slope, self._offset = card.thresholds["slope"], card.thresholds["offset"]
        try:
            self._baseline = baseline.read(files[baseline.FILE].decode(), f"{card.name}/{baseline.FILE}")
            text = files[FAILURE].decode()
        except UnicodeDecodeError as error:
            raise ModelRefused(card.name, [f"not text: {error}"]) from None
        self.horizon_ms = self._baseline.card.horizon_ms
        self._booster = Booster(text, card.name, len(NAMES))
        try:
            if self._booster.classes != 1:
                raise ModelRefused(card.name, [f"{FAILURE} has {self._booster.classes} classes, not one"])
            self._check_golden(files[GOLDEN])
        except ModelRefused:
            self.close()
            raise

    def predict(self, errors: Vector | None, health: Health, usual: reference.Reference) -> Prediction:
        """From the vector of an error (None: there is none), health, and what is usual for the agent."""
        return self._baseline.predict(errors, health.features, self.log_odds(usual.against(health)))

    def log_odds(self, row: Vector) -> float:
        """Of a failure, calibrated, from health that is seen against what is usual."""
        return self._slope * log_odds(self._booster.predict(row.tolist())[0]) + self._offset

    def close(self) -> None:
        """Gives the memory back."""
        self._booster.close()

    def _check_golden(self, content: bytes) -> None:
        try:
            golden = cast("list[dict[str, Any]]", json.loads(content))
            for number, entry in enumerate(golden):
                row = np.array([math.nan if value is None else value for value in entry["row"]], np.float64)
                found = self.log_odds(row)
                if not abs(found - entry["log_odds"]) <= TOLERANCE:
                    raise ModelRefused(self.name, [f"golden row {number} gives {found}, not {entry['log_odds']}"])
        except (ValueError, KeyError, TypeError) as error:
            raise ModelRefused(self.name, [f"{GOLDEN}: {error!r}"]) from None


def log_odds(probability: float) -> float:
    """Of a probability, finite for any."""
    kept = min(max(probability, 1e-9), 1.0 - 1e-9)
    return math.log(kept / (1.0 - kept))


def packaged() -> Path:
    """Folder of the model that comes with this package."""
    return Path(str(resources.files("mendbus_predictor") / "model"))


def load(source: Path | bytes | None = None) -> Model:
    """A folder's model, or a packed one; without either, that of this package. Raises `ModelRefused`."""
    return Model(*models.read(source or packaged()))
