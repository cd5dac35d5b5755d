"""What the command line asks of the predictor's models."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from mendbus.contracts.errors import MendbusError
from mendbus.models import Card
from mendbus_predictor import model
from mendbus_predictor.offline import building, history
from mendbus_predictor.offline.training import Recipe

packaged = model.packaged

LEAST_FAILURES: Final = 5


def train(
    folders: Sequence[Path], folder: Path, name: str, progress: Callable[[str], None]
) -> tuple[Card, dict[str, Any]]:
    """Trains on recordings and writes the model's folder; returns its card and all figures.

    Raises `MendbusError`: a recording cannot be read, or there are too few failures to learn from.
    """
    tracks: list[history.Track] = []
    for number, source in enumerate(folders):
        progress(f"reading {source}")
        tracks += history.read(source, number)
    failures = sum((track.labels == 1).any() for track in tracks)
    if failures < LEAST_FAILURES:
        raise MendbusError(f"{failures} failures are too few to learn from: at least {LEAST_FAILURES} are needed")
    data = {source.name: history.digest(source) for source in folders}
    today = datetime.now(UTC).date().isoformat()
    return building.build(folder, name, today, tracks, data, Recipe(), progress)
