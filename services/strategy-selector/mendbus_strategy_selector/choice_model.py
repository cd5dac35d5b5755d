"""A model of what helps: a card and the counts that it was made of, which every new installation starts from."""

import json
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Final

from mendbus import models
from mendbus.contracts.errors import ModelRefused
from mendbus.contracts.vocabulary import STRATEGIES
from mendbus_strategy_selector import experience
from mendbus_strategy_selector.experience import Experience

SERVICE: Final = "strategy-selector"
INPUTS: Final[Mapping[str, int]] = {"experience": experience.VERSION}
LABELS: Final[Mapping[str, tuple[str, ...]]] = {"strategy": STRATEGIES}
CELLS: Final = "cells.json"


class Model:
    """One version of what is known before anything is seen here."""

    def __init__(self, card: models.Card, files: Mapping[str, bytes]) -> None:
        """Raises `ModelRefused`: made for other levels or strategies, altered, or not readable."""
        models.check_inputs(card, service=SERVICE, inputs=INPUTS, features=experience.LEVELS, labels=LABELS)
        if CELLS not in files:
            raise ModelRefused(card.name, [f"{CELLS} is missing"])
        self.card = card
        self.name = card.name
        try:
            self.prior: Experience = experience.unpacked(json.loads(files[CELLS]))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ModelRefused(card.name, [f"{CELLS}: {error!r}"]) from None


def packed(prior: Experience) -> bytes:
    """The file of a model's counts, one cell a line, so that changes can be read."""
    rounded = {
        key: {strategy: [round(value, 3) for value in counts] for strategy, counts in sorted(cell.items())}
        for key, cell in sorted(prior.cells.items())
    }
    lines = ",\n".join(f"{json.dumps(key)}: {json.dumps(cell)}" for key, cell in rounded.items())
    return f'{{"lessons": {prior.lessons}, "cells": {{\n{lines}\n}}}}\n'.encode()


def packaged() -> Path:
    """Folder of the model that comes with this package: the policy, of which only what it was measured at is said."""
    return Path(str(resources.files("mendbus_strategy_selector") / "model" / "policy"))


def included() -> Path:
    """Folder of the learned model that comes with this package, and that is in trial until it shows lift."""
    return Path(str(resources.files("mendbus_strategy_selector") / "model" / "choice"))


def load(source: Path | bytes | None = None) -> Model:
    """A folder's model, or a packed one; without either, the learned one of this package. Raises `ModelRefused`."""
    return Model(*models.read(source or included()))
