"""Checks that run in the page; each file beside this one is one function."""

from pathlib import Path
from typing import Final

_HERE: Final = Path(__file__).parent
LABELS: Final = (_HERE / "labels.js").read_text(encoding="utf-8")
CONTRAST: Final = (_HERE / "contrast.js").read_text(encoding="utf-8")
GAPS: Final = (_HERE / "gaps.js").read_text(encoding="utf-8")
SEEN: Final = (_HERE / "seen.js").read_text(encoding="utf-8")
