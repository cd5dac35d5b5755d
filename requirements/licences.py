"""Lists the licence of every package that an image carries, as the package states it; fails for one not listed below.

`.venv/bin/python requirements/licences.py` prints a table. Versions are those of `requirements.txt`, which the
environment is installed from.
"""

import importlib.metadata
import sys
from pathlib import Path
from typing import Final

if __package__ in (None, ""):
    sys.path.insert(0, str(Path(__file__).parents[1]))
from requirements.export import IMAGES, needed

PERMISSIVE: Final = frozenset(
    (
        "Apache-2.0",
        "BSD-2-Clause",
        "BSD-3-Clause",
        "BSD",
        "ISC",
        "MIT",
        "MIT-0",
        "MPL-2.0",
        "PSF-2.0",
        "Zlib",
        "0BSD",
        "CC0-1.0",
    )
)
"""Licences under which a package may be part of an image; each part of a compound one has to be here."""

_CLASSIFIERS: Final = {
    "Apache Software License": "Apache-2.0",
    "BSD License": "BSD",
    "ISC License (ISCL)": "ISC",
    "MIT License": "MIT",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
    "Python Software Foundation License": "PSF-2.0",
}
_TEXTS: Final = {
    "3-Clause BSD License": "BSD-3-Clause",
    "Apache 2.0": "Apache-2.0",
    "Apache License 2.0": "Apache-2.0",
    "MIT License": "MIT",
}


def licence(name: str) -> str:
    """What a package says its licence is, as an SPDX expression where it can be told; empty where it says nothing."""
    metadata = importlib.metadata.metadata(name)
    stated = metadata.get("License-Expression")
    if stated:
        return stated
    found = {
        _CLASSIFIERS[word]
        for text in metadata.get_all("Classifier") or ()
        if text.startswith("License ::") and (word := text.rsplit(" :: ", 1)[-1]) in _CLASSIFIERS
    }
    if found:
        return " AND ".join(sorted(found))
    text = (metadata.get("License") or "").strip()
    return _TEXTS.get(text, text if len(text) <= 20 else "")


def refused(expression: str) -> list[str]:
    """Licences in an expression that are not permissive; of alternatives one has to be."""
    words = expression.replace("(", " ").replace(")", " ")
    if not words.strip():
        return ["none stated"]
    missing = [
        [one for one in choice.split(" AND ") if one.strip() not in PERMISSIVE] for choice in words.split(" OR ")
    ]
    return [] if any(not choice for choice in missing) else [one.strip() for one in missing[0]]


def table() -> list[tuple[str, str, str, str]]:
    """Name, version, licence and images of every package, by name."""
    carried: dict[str, list[str]] = {}
    for image, (names, without) in IMAGES.items():
        for name in needed(names, without):
            carried.setdefault(name, []).append(image)
    return [
        (name, importlib.metadata.version(name), licence(name), ", ".join(images))
        for name, images in sorted(carried.items())
    ]


def main() -> int:
    """Prints the table; returns the exit status."""
    wrong = 0
    for name, version, stated, images in table():
        sys.stdout.write(f"{name:<42} {version:<14} {stated or '?':<24} {images}\n")
        for one in refused(stated):
            wrong += 1
            sys.stderr.write(f"{name}: {one} is not among the licences that requirements/licences.py allows\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
