"""From an error to the numbers a model reads: what the rules and the token table say, its shape, the agent's hints.

One pure function, used by training and by the service alike.
"""

import math
import string
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from mendbus.contracts.vocabulary import KNOWN_CATEGORIES
from mendbus_classifier import rules
from mendbus_classifier.table import TokenTable

VERSION: Final = 1
"""Goes into every model card: a model made for other features must be refused."""

CATEGORIES: Final[tuple[str, ...]] = KNOWN_CATEGORIES
SEVERITIES: Final = rules.SEVERITIES
LABELS: Final = (*CATEGORIES, *SEVERITIES)

SCALE: Final = 1024.0
"""The table's whole numbers per unit of weight."""
RARITY_SCALE: Final = 256.0
"""The table's whole numbers per unit of squared rarity."""
LANES: Final = 1 + len(LABELS)
"""Of a token row: the square of its rarity, then its weight for each label."""

_SHAPE: Final = ("lines", "words", "known_words", "stack_lines", "causes", "digits_share", "capitals_share")
_METRICS: Final = ("memory_bytes", "cpu_percent", "errors_per_s", "queue_depth")
NAMES: Final = (
    *(f"rules.{label}" for label in CATEGORIES),
    "rules.best",
    "rules.rival",
    *(f"rules.{label}" for label in SEVERITIES),
    "rules.verdict_rank",
    "rules.confidence",
    *(f"tokens.{label}" for label in LABELS),
    *(f"shape.{name}" for name in _SHAPE),
    *(f"hint.{label}" for label in LABELS),
    *(f"metric.{name}" for name in _METRICS),
)
"""The features, in the order of a row."""

KNOWN: Final = NAMES.index("shape.known_words")
"""Where in a row it stands how many tokens the table knew."""

_RANK: Final = {label: float(number) for number, label in enumerate(SEVERITIES)}
_NO_HINT: Final = [0.0] * len(LABELS)
_DIGITS: Final = string.digits.encode()
_CAPITALS: Final = string.ascii_uppercase.encode()


@dataclass(frozen=True, slots=True)
class Text:
    """An error as the classifier sees it; `hints` are labels that its agent named."""

    kind: str
    message: str
    stack: str = ""
    causes: int = 0
    hints: frozenset[str] = frozenset()
    metrics: Mapping[str, float] = field(default_factory=dict[str, float])


def row(text: Text, reading: rules.Reading, table: TokenTable) -> list[float]:
    """The features of an error, in the order of `NAMES`."""
    heard = [math.log1p(reading.categories.get(label, 0.0)) for label in CATEGORIES]
    best, rival = sorted(heard)[:-3:-1]
    sums, known = table.read(text.kind, text.message, text.stack)
    norm = SCALE * math.sqrt(sums[0] / RARITY_SCALE) if sums[0] > 0 else SCALE
    message = text.message[:4096]
    size = len(message) or 1
    digits, capitals = _digits_and_capitals(message)
    return [
        *heard,
        best,
        best - rival,
        *(reading.severities.get(label, 0.0) for label in SEVERITIES),
        _RANK[reading.verdict.severity],
        reading.verdict.confidence,
        *(value / norm for value in sums[1:]),
        message.count("\n"),
        message.count(" "),
        float(known),
        text.stack.count("\n") + (1.0 if text.stack else 0.0),
        text.causes,
        digits / size,
        capitals / size,
        *([float(label in text.hints) for label in LABELS] if text.hints else _NO_HINT),
        *(text.metrics.get(name, math.nan) for name in _METRICS),
    ]


def _digits_and_capitals(text: str) -> tuple[int, int]:
    if not text.isascii():
        return sum(map(str.isdigit, text)), sum(map(str.isupper, text))
    # Bytes are counted ten times as fast as characters, and most messages are ASCII.
    data = text.encode()
    return _among(data, _DIGITS), _among(data, _CAPITALS)


def _among(data: bytes, characters: bytes) -> int:
    return len(data) - len(data.translate(None, characters))
