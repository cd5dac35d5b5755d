"""Trains the model that comes with the classifier: `python -m tests.corpus.train NAME [--labelled FILE] [--write]`.

The corpus is always trained on. A labelled file (`--labelled`) is fitted on too, and held out by repository for the
figures; none of its text goes into the model.
"""

import argparse
import sys
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from tests.corpus import reading, written

from mendbus_classifier.model import packaged
from mendbus_classifier.offline import building, samples
from mendbus_classifier.offline.samples import Sample
from mendbus_classifier.offline.training import Recipe

LABELLED_WEIGHT = 2.0
LABELLED_LOUD = 8.0
"""How many times as much their severities count: those of the corpus follow from how a text was provoked or wrapped."""
WRITTEN_WEIGHT = 1.0
HARVESTED_WEIGHT = 0.3
"""How much a text of each source counts: harvested ones are many and alike."""


def sources(labelled: Sequence[Sample]) -> list[building.Source]:
    """What is trained on. Without a labelled file, what was written is held out in turn."""
    corpus = [
        building.Source("written", _weighed(written.samples(), WRITTEN_WEIGHT), judged=not labelled),
        building.Source("harvested", _weighed(reading.harvested(), HARVESTED_WEIGHT)),
    ]
    # The rules were tuned on the labelled texts.
    heard = [replace(sample, loud=LABELLED_LOUD) for sample in _weighed(labelled, LABELLED_WEIGHT)]
    given = building.Source("labelled", heard, tuned=True, judged=True)
    return [given, *corpus] if labelled else corpus


def _weighed(found: Iterable[Sample], weight: float) -> list[Sample]:
    return [replace(sample, weight=weight) for sample in found]


def main() -> None:
    """Trains, prints the figures, and with `--write` replaces the packaged model."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", help="name and version, such as errors-1")
    parser.add_argument("--labelled", type=Path, help="labelled errors, JSON Lines")
    parser.add_argument("--workers", type=int, default=2, help="processes that fit folds at the same time")
    parser.add_argument("--write", action="store_true", help="replace the model of the package")
    parser.add_argument("--folder", type=Path, default=Path("results/model"), help="where it goes otherwise")
    wanted = parser.parse_args()
    labelled = samples.read(wanted.labelled) if wanted.labelled else []
    folder = packaged() if wanted.write else wanted.folder
    card = building.build(
        folder,
        wanted.name,
        datetime.now(UTC).date().isoformat(),
        sources(labelled),
        Recipe(),
        workers=wanted.workers,
        progress=lambda text: print(text, file=sys.stderr, flush=True),
    )
    for name, value in card.figures.items():
        print(f"{name:26} {value:.3f}")
    print(f"thresholds {dict(card.thresholds)}; {folder}")


if __name__ == "__main__":
    main()
