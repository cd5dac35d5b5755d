"""Labelled errors to train on and to score with, from JSON Lines."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, cast

from mendbus.contracts.errors import MendbusError
from mendbus_classifier.features import CATEGORIES, SEVERITIES

_ORDER: Final = {name: number for number, name in enumerate(SEVERITIES)}


@dataclass(frozen=True, slots=True)
class Sample:
    """One labelled error. `group`: what must not be on both sides of a split; `weight`: how much it counts."""

    kind: str
    message: str
    stack: str
    category: str
    severity: str
    alternative: str = ""
    group: str = ""
    weight: float = 1.0

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
    """One sample for each line that is not empty. Raises `MendbusError`."""
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            yield _sample(json.loads(line), weight)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise MendbusError(f"{name}, line {number}: no labelled error: {error!r}") from None


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
    if sample.category not in CATEGORIES or sample.severity not in SEVERITIES:
        raise ValueError(f"category {sample.category!r}, severity {sample.severity!r}")
    return sample
