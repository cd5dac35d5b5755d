"""Labelled errors to train on and to score with, from JSON Lines: written by hand, or exported from an installation.

Of an installation's history only what somebody knew is learnt from: what people relabelled, and errors of which the
agent itself named the category. What the classifier guessed is never taken for the truth.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, cast

from mendbus.contracts.errors import MendbusError
from mendbus.contracts.messages import ErrorReported
from mendbus_classifier.features import CATEGORIES, SEVERITIES
from mendbus_classifier.handlers import text_of
from mendbus_classifier.rules import UNKNOWN

_ORDER: Final = {name: number for number, name in enumerate(SEVERITIES)}


@dataclass(frozen=True, slots=True)
class Sample:
    """One labelled error. `group`: what must not be on both sides of a split; `weight`: how much it counts.

    `loud`: how many times as much its severity counts, which often follows from more than the text. `severity` is empty
    where nobody said it; `incident`: the one that an exported row tells of.
    """

    kind: str
    message: str
    stack: str
    category: str
    severity: str
    alternative: str = ""
    group: str = ""
    weight: float = 1.0
    loud: float = 1.0
    incident: str = ""

    @property
    def rank(self) -> int:
        """The severity as a number, 0 for a warning."""
        return _ORDER[self.severity]


def read(path: Path, weight: float = 1.0) -> list[Sample]:
    """The samples of a file. Raises `MendbusError`, with the line, where it is not one."""
    try:
        lines = path.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise MendbusError(f"cannot read {path}: {error}") from None
    return list(parse(lines, str(path), weight))


def parse(lines: Iterable[str], name: str, weight: float = 1.0) -> Iterable[Sample]:
    """One sample for each line that is not empty and tells a truth. Raises `MendbusError`."""
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            entry = json.loads(line)
            found = _recorded(entry, weight) if "incident_id" in entry else _sample(entry, weight)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise MendbusError(f"{name}, line {number}: no labelled error: {error!r}") from None
        if found is not None:
            yield found if found.group else replace(found, group=f"{name}, line {number}")


def merged(files: Iterable[Iterable[Sample]]) -> list[list[Sample]]:
    """The samples of each file, each incident once: its last row in the last file that tells of it counts."""
    taken: set[str] = set()
    kept: list[list[Sample]] = []
    for samples in reversed([list(file) for file in files]):
        last: list[Sample] = []
        for sample in reversed(samples):
            if not sample.incident or sample.incident not in taken:
                last.append(sample)
                taken.add(sample.incident)
        kept.append(last[::-1])
    return kept[::-1]


def _recorded(entry: Mapping[str, Any], weight: float) -> Sample | None:
    """A row of `mendbus export relabels` or `mendbus export incidents`; None where nobody knew what it was."""
    relabelled = "was_category" in entry
    report = entry["error"] if relabelled else entry["details"].get("error")
    if report is None:
        return None
    error = ErrorReported.model_validate(report)
    category = entry["category"] if relabelled else error.category
    severity = entry["severity"] if relabelled else error.severity
    if category is None or category == UNKNOWN:
        return None
    text = text_of(error)
    return _checked(
        Sample(
            kind=text.kind,
            message=text.message,
            stack=text.stack,
            category=str(category),
            severity=str(severity or ""),
            group=str(entry["fingerprint"]),
            weight=weight,
            incident=str(entry["incident_id"]),
        )
    )


def _checked(sample: Sample) -> Sample:
    """Raises `ValueError` where a label is not known."""
    if sample.category not in CATEGORIES or sample.severity not in (*SEVERITIES, ""):
        raise ValueError(f"category {sample.category!r}, severity {sample.severity!r}")
    return sample


def _sample(entry: Mapping[str, Any], weight: float) -> Sample:
    stack = cast("list[str] | str", entry.get("stack") or "")
    sample = Sample(
        kind=str(entry.get("exception_type") or ""),
        message=str(entry["message"]),
        stack=stack if isinstance(stack, str) else "\n".join(map(str, stack)),
        category=str(entry["category"]),
        severity=str(entry["severity"]),
        alternative=str(entry.get("alt_category") or ""),
        # A source such as owner/repository#123: texts of one repository resemble each other.
        group=str(entry.get("group") or entry.get("source") or "").partition("#")[0],
        weight=float(entry.get("weight", 1.0)) * weight,
    )
    if not sample.severity:
        raise ValueError("no severity")
    return _checked(sample)
