"""What the command line asks of the strategy-selector's models."""

import copy
import math
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from statistics import fmean
from typing import Any, Final

from mendbus import models
from mendbus.contracts.errors import MendbusError
from mendbus.measures import calibration_error
from mendbus.models import Card
from mendbus_strategy_selector import choice_model, experience
from mendbus_strategy_selector.experience import Experience, Lesson, Seen, estimates
from mendbus_strategy_selector.lessons import Lessons

packaged = choice_model.packaged
included = choice_model.included

LEAST_ATTEMPTS: Final = 20
_NOWHERE: Final = Seen("", "", "")
"""Of no kind or category that has been seen: what is expected is the strategy's share of all errors."""


def train(outcomes: Iterable[Mapping[str, Any]], folder: Path, name: str) -> Card:
    """Learns from recorded outcomes, oldest first, on top of the model of the package, and writes the model's folder.

    Each attempt is foretold from all before it, and only then learned: that is what the figures tell. Raises
    `MendbusError`: there are too few attempts to learn from.
    """
    start = choice_model.load()
    known, foretold, plainly = copy.deepcopy(start.prior), list[tuple[float, bool]](), list[tuple[float, bool]]()
    lessons = Lessons()
    digest: list[str] = []
    for outcome in outcomes:
        for lesson in lessons.ends(outcome):
            foretold.append((_chance(known, lesson, lesson.seen), lesson.helped))
            plainly.append((_chance(known, lesson, _NOWHERE), lesson.helped))
            known.learn(lesson)
            digest.append(f"{outcome['incident_id']} {lesson}")
    if len(foretold) < LEAST_ATTEMPTS:
        raise MendbusError(
            f"the end of {len(foretold)} attempts is known, which is too little to learn from: "
            f"at least {LEAST_ATTEMPTS} are needed"
        )
    files = {choice_model.CELLS: choice_model.packed(known)}
    card = Card(
        name=name,
        service=choice_model.SERVICE,
        created=datetime.now(UTC).date().isoformat(),
        inputs=choice_model.INPUTS,
        features=experience.LEVELS,
        labels=choice_model.LABELS,
        files={file: models.digest(content) for file, content in files.items()},
        data={**start.card.data, "recorded outcomes": models.digest("\n".join(digest).encode())},
        samples=len(foretold),
        seed=0,
        library="counts",
        figures={
            "helped": fmean(helped for _, helped in foretold),
            "log_loss": _log_loss(foretold),
            "log_loss_by_strategy_alone": _log_loss(plainly),
            "calibration_error": calibration_error(foretold),
        },
        note="each attempt foretold from all before it; attempts that were not made teach nothing",
    )
    models.write_folder(folder, card, files)
    return card


def _chance(known: Experience, lesson: Lesson, seen: Seen) -> float:
    return estimates((known,), seen, (lesson.strategy,))[lesson.strategy][0]


def _log_loss(foretold: Sequence[tuple[float, bool]]) -> float:
    return -fmean(math.log(max(1e-9, chance if helped else 1.0 - chance)) for chance, helped in foretold)
