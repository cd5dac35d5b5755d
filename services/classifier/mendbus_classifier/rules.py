"""Names the kind and the severity of an error from its text alone, by weighing named evidence."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

from .patterns import CATEGORY_RULES
from .patterns.evidence import DECISIVE, HINT, STRONG, Rule
from .patterns.names import CHAIN_MARKERS, NAME_PARTS
from .patterns.severity import SEVERITY_LEANING, SEVERITY_RULES
from .patterns.shapes import SHAPES

VERSION: Final = 3
"""Goes into every model card: a model learned how far to trust these rules, and no others."""

UNKNOWN: Final = "unknown"
# Equal evidence goes to the kind that more often lies beneath the others.
CATEGORIES: Final = (
    "configuration",
    "dependency",
    "build",
    "security",
    "memory",
    "storage",
    "concurrency",
    "network",
    "performance",
    "runtime",
)
SEVERITIES: Final = ("warning", "error", "critical", "fatal")

# Error texts say what matters at their start and at their end; the cut also bounds the time of a hostile input.
HEAD_CHARS: Final = 2048
TAIL_CHARS: Final = 1024

# Evidence beneath the last "caused by" tells more than what wraps it, and stack frames tell less than either.
ROOT_CAUSE_FACTOR: Final = 1.5
STACK_FACTOR: Final = 0.4
# Several phrases of one rule confirm each other, but far less than independent evidence does.
REPEAT_BONUS: Final = 0.2
TOPIC_BONUS: Final = 0.4
MOST_REPEATS: Final = 4
NAME_PART_WEIGHT: Final = 6.0
SHORTEST_NAME: Final = 10
MIN_SCORE: Final = 2.0

# How often a verdict proved right, by the weight of its best evidence and by its share of all evidence.  The figures
# are set below those of the texts the table was tuned on, by as much as texts it was not tuned on fell short.
_SHARES: Final = (0.8, 0.65, 0.0)
_PRECISION: Final = (
    (DECISIVE, (0.9, 0.82, 0.6)),
    (STRONG, (0.84, 0.72, 0.55)),
    (0.0, (0.62, 0.5, 0.38)),
)

_WORD: Final = re.compile(r"\w+")
_NAME_ENDINGS: Final = ("exception", "error", "fault", "warning")

Phrase = tuple[str, str, int]
"""A phrase, what else must occur ("" for nothing), its rule's number."""
_Index = dict[str, tuple[Phrase, ...]]
"""For each word the phrases filed under it."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What an error most likely is."""

    category: str
    severity: str
    confidence: float
    rule: str


def _index(rules: tuple[Rule, ...]) -> _Index:
    """Files every phrase under its longest word, so that a text is only asked for phrases it may hold."""
    index: dict[str, list[tuple[str, str, int]]] = {}
    for number, rule in enumerate(rules):
        for phrase in rule.phrases:
            first, _, also = phrase.partition(" + ")
            word = max(_WORD.findall(first), key=len)
            # One object for both saves a copy of every one-word phrase.
            index.setdefault(first if word == first else word, []).append((first, also, number))
    return {word: tuple(entries) for word, entries in index.items()}


_CATEGORY_INDEX: Final = _index(CATEGORY_RULES)
_SEVERITY_INDEX: Final = _index(SEVERITY_RULES)
_SHAPES: Final = tuple((shape, re.compile(shape.regex)) for shape in SHAPES)


def _prepare(text: str) -> str:
    if len(text) > HEAD_CHARS + TAIL_CHARS:
        text = f"{text[:HEAD_CHARS]}\n{text[-TAIL_CHARS:]}"
    return text.lower()


def _words(text: str) -> set[str]:
    return set(_WORD.findall(text))


def _found(index: _Index, text: str, words: set[str]) -> list[Phrase]:
    """All phrases of an index that occur in the text."""
    return [
        entry
        for word in words & index.keys()
        for entry in index[word]
        if (entry[0] == word or entry[0] in text) and (not entry[1] or entry[1] in text)
    ]


def _count(index: _Index, text: str, words: set[str], but: Collection[Phrase]) -> dict[int, int]:
    """How many phrases of each rule occur in the text."""
    counts: dict[int, int] = {}
    for phrase in _found(index, text, words):
        if not but or phrase not in but:
            counts[phrase[2]] = counts.get(phrase[2], 0) + 1
    return counts


def _root_cause(text: str) -> str:
    """Return what the text names as lying beneath the error, "" if it does not."""
    start = max([text.rfind(marker) for marker in CHAIN_MARKERS])
    return text[start:] if start >= 0 else ""


class _Scores:
    """Collected evidence per category, with the heaviest single piece of each."""

    __slots__: Final = ("best", "total")

    def __init__(self) -> None:
        self.total: dict[str, float] = {}
        self.best: dict[str, tuple[float, str]] = {}

    def add(self, label: str, name: str, weight: float) -> None:
        self.total[label] = self.total.get(label, 0.0) + weight
        if label not in self.best or weight > self.best[label][0]:
            self.best[label] = weight, name

    def read_shapes(self, text: str) -> None:
        for shape, regex in _SHAPES:
            for gate in shape.gates:
                if gate in text:
                    if regex.search(text):
                        self.add(shape.label, shape.name, shape.weight)
                    break

    def read(self, text: str, words: set[str], factor: float, but: Collection[Phrase]) -> None:
        # Sets have no order of their own, and sums of floats depend on it.
        for number, count in sorted(_count(_CATEGORY_INDEX, text, words, but).items()):
            rule = CATEGORY_RULES[number]
            bonus = REPEAT_BONUS if rule.weight > HINT else TOPIC_BONUS
            self.add(rule.label, rule.name, rule.weight * factor * (1.0 + bonus * min(count - 1, MOST_REPEATS)))
        for word in sorted([word for word in words if word.endswith(_NAME_ENDINGS) and word not in _CATEGORY_INDEX]):
            if len(word) < SHORTEST_NAME:
                continue
            for part, label in NAME_PARTS:
                if part in word:
                    self.add(label, "class name", NAME_PART_WEIGHT * factor)
                    break


def _weigh(text: str, words: set[str], stack: str, but: Collection[Phrase]) -> _Scores:
    scores = _Scores()
    scores.read(text, words, 1.0, but)
    # Positions and codes in stack frames are those of innocent code.
    scores.read_shapes(text)
    cause = _root_cause(text)
    if cause:
        scores.read(cause, _words(cause), ROOT_CAUSE_FACTOR - 1.0, but)
    if stack:
        frames = _prepare(stack)
        scores.read(frames, _words(frames), STACK_FACTOR, but)
    return scores


def _loudness(text: str, words: set[str], but: Collection[Phrase]) -> dict[str, float]:
    """What speaks for each severity, whatever the category is."""
    found: dict[str, float] = {}
    for number in sorted(_count(_SEVERITY_INDEX, text, words, but)):
        rule = SEVERITY_RULES[number]
        found[rule.label] = found.get(rule.label, 0.0) + rule.weight
    return found


def _severity(loudness: dict[str, float], category: str) -> str:
    leaning = SEVERITY_LEANING[category]
    return max(SEVERITIES, key=lambda severity: leaning.get(severity, 0.0) + loudness.get(severity, 0.0))


def _confidence(weight: float, share: float) -> float:
    row = next(row for least, row in _PRECISION if weight >= least)
    return next(value for least, value in zip(_SHARES, row, strict=True) if share >= least)


@dataclass(frozen=True, slots=True)
class Reading:
    """All that the rules found in a text: weight per category, weight per severity, and the verdict they come to."""

    categories: dict[str, float]
    severities: dict[str, float]
    verdict: Verdict


def read(exception_type: str, message: str, stack: str = "", but: Collection[Phrase] = ()) -> Reading:
    """Weighs the evidence of an error text but for some phrases; what it finds too little of stays `unknown`."""
    text = _prepare(f"{exception_type}\n{message}")
    words = _words(text)
    scores = _weigh(text, words, stack, but)
    loudness = _loudness(text, words, but)
    category = max(CATEGORIES, key=lambda name: scores.total.get(name, 0.0))
    score = scores.total.get(category, 0.0)
    if score < MIN_SCORE:
        verdict = Verdict(UNKNOWN, _severity(loudness, UNKNOWN), 0.0, "none")
    else:
        weight, rule = scores.best[category]
        rivals = max([value for name, value in scores.total.items() if name != category], default=0.0)
        confidence = _confidence(weight, score / (score + rivals))
        verdict = Verdict(category, _severity(loudness, category), confidence, rule)
    return Reading(scores.total, loudness, verdict)


def phrases(exception_type: str, message: str, stack: str = "") -> set[Phrase]:
    """Return all phrases that occur in an error text."""
    found: set[Phrase] = set()
    for text in (_prepare(f"{exception_type}\n{message}"), _prepare(stack)):
        words = _words(text)
        found.update(_found(_CATEGORY_INDEX, text, words))
        found.update(_found(_SEVERITY_INDEX, text, words))
    return found


def evidence(exception_type: str, message: str, stack: str = "") -> dict[str, float]:
    """Sum the weight of what speaks for each category; categories nothing speaks for are left out."""
    text = _prepare(f"{exception_type}\n{message}")
    return _weigh(text, _words(text), stack, ()).total


def classify(exception_type: str, message: str, stack: str = "") -> Verdict:
    """Return what the rules alone come to."""
    return read(exception_type, message, stack).verdict
