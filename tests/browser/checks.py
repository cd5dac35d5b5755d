"""Checks that run in the page; each file beside this one is one function."""

from pathlib import Path
from typing import Final

_HERE: Final = Path(__file__).parent


def _function(name: str) -> str:
    # The semicolon that ends a file has no place in an expression.
    return (_HERE / name).read_text(encoding="utf-8").rstrip().removesuffix(";")


LABELS: Final = _function("labels.js")
CONTRAST: Final = _function("contrast.js")
GAPS: Final = _function("gaps.js")
SEEN: Final = _function("seen.js")
