"""How good a classifier is on labelled errors: the figures, whatever it is that classified."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from mendbus.measures import calibration_error
from mendbus_classifier.features import CATEGORIES, SEVERITIES
from mendbus_classifier.offline.samples import Sample

UNKNOWN: Final = "unknown"
_PRECISION: Final = 0.95
_ORDER: Final = {name: number for number, name in enumerate(SEVERITIES)}


@dataclass(frozen=True, slots=True)
class Answer:
    """What a classifier said of one sample."""

    category: str
    severity: str
    confidence: float


def score(samples: Sequence[Sample], answers: Sequence[Answer]) -> dict[str, Any]:
    """All figures, as fractions from 0 to 1; `unknown` is wrong.

    `per_class`: precision, recall, f1 and support of each category. `confusion`: true category, then what was said.
    `ece`: by how much confidence and correctness differ, over ten bins. `coverage_at_95_precision`: the largest share
    of the samples, most confident first, of which at least 95 % are right.
    """
    total = max(len(samples), 1)
    loud = [(s, a) for s, a in zip(samples, answers, strict=True) if s.severity]
    pairs = list(zip(samples, answers, strict=True))
    right = [s.category == a.category for s, a in pairs]
    classes = {label: _class(label, pairs) for label in CATEGORIES}
    present = [entry["f1"] for entry in classes.values() if entry["support"]]
    return {
        "samples": len(samples),
        "strict": sum(right) / total,
        "lenient": sum(a.category in (s.category, s.alternative) for s, a in pairs) / total,
        "severity": sum(s.severity == a.severity for s, a in loud) / max(len(loud), 1),
        "severity_within_one": sum(abs(s.rank - _ORDER[a.severity]) <= 1 for s, a in loud) / max(len(loud), 1),
        "unknown": sum(a.category == UNKNOWN for a in answers) / total,
        "macro_f1": sum(present) / max(len(present), 1),
        "per_class": classes,
        "confusion": _confusion(pairs),
        "ece": calibration_error(zip((a.confidence for a in answers), right, strict=True)),
        "coverage_at_95_precision": _coverage([a.confidence for a in answers], right),
    }


def majority(samples: Sequence[Sample]) -> list[Answer]:
    """What one says who knows only how often each label occurs."""
    category, times = Counter(s.category for s in samples).most_common(1)[0]
    severity = Counter(s.severity or "error" for s in samples).most_common(1)[0][0]
    return [Answer(category, severity, times / len(samples))] * len(samples)


def _class(label: str, pairs: Sequence[tuple[Sample, Answer]]) -> dict[str, Any]:
    support = sum(s.category == label for s, _ in pairs)
    said = sum(a.category == label for _, a in pairs)
    both = sum(s.category == a.category == label for s, a in pairs)
    precision, recall = both / max(said, 1), both / max(support, 1)
    f1 = 2 * precision * recall / (precision + recall) if both else 0.0
    return {"precision": precision, "recall": recall, "f1": f1, "support": support}


def _confusion(pairs: Sequence[tuple[Sample, Answer]]) -> dict[str, dict[str, int]]:
    rows: dict[str, Counter[str]] = {}
    for sample, answer in pairs:
        rows.setdefault(sample.category, Counter())[answer.category] += 1
    return {label: dict(rows[label].most_common()) for label in CATEGORIES if label in rows}


def _coverage(confidence: Sequence[float], right: Sequence[bool]) -> float:
    order = sorted(range(len(right)), key=lambda i: -confidence[i])
    best = correct = 0
    for position, i in enumerate(order, 1):
        correct += right[i]
        last = position == len(order) or confidence[order[position]] < confidence[i]
        if last and correct / position >= _PRECISION:
            best = position
    return best / max(len(right), 1)
