"""What redaction costs: microseconds a text, and categories no longer found. `python -m tests.corpus.redaction`

Every text of the corpus is classified as it is and as it is kept; where redaction changes nothing, one answer stands
for both. `--labelled FILE` adds labelled errors in JSON Lines.
"""

import argparse
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from tests.corpus import written
from tests.corpus.reading import harvested

from mendbus.redaction import redact
from mendbus_classifier import model
from mendbus_classifier.features import Text
from mendbus_classifier.offline import samples
from mendbus_classifier.offline.samples import Sample

_ROUNDS = 5


class Cost(NamedTuple):
    """Of so many texts so many are changed by redaction, and of these so many are classified rightly."""

    texts: int
    changed: int
    right_before: int
    right_after: int


def cost(found: Sequence[Sample]) -> Cost:
    """What redaction does to the answers of the model that comes with the classifier."""
    used = model.load()
    changed = before = after = 0
    for sample in found:
        message, stack = redact(sample.message), redact(sample.stack)
        if (message, stack) != (sample.message, sample.stack):
            changed += 1
            before += used.classify(Text(sample.kind, sample.message, sample.stack)).category == sample.category
            after += used.classify(Text(sample.kind, message, stack)).category == sample.category
    return Cost(len(found), changed, before, after)


def microseconds(found: Sequence[Sample]) -> float:
    """Processor time to redact message and stack of one text: the best of some rounds."""
    rounds: list[float] = []
    for _ in range(_ROUNDS):
        begun = time.process_time()
        for sample in found:
            redact(sample.message)
            redact(sample.stack)
        rounds.append((time.process_time() - begun) / len(found) * 1e6)
    return min(rounds)


def main() -> None:
    """Prints both, for each part of the corpus."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--labelled", type=Path, action="append", default=[], help="labelled errors, JSON Lines")
    parts = {"harvested": list(harvested()), "written": list(written.samples())}
    parts |= {path.stem: samples.read(path) for path in parser.parse_args().labelled}
    for name, found in parts.items():
        cost_ = cost(found)
        size = sum(len(sample.message) + len(sample.stack) for sample in found) / len(found)
        print(
            f"{name}: {cost_.texts} texts of {size:.0f} characters, {microseconds(found):.1f} us each; {cost_.changed} "
            f"changed, of these classified rightly {cost_.right_before} before and {cost_.right_after} after"
        )


if __name__ == "__main__":
    main()
