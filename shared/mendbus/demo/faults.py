"""What the demo breaks: edits of the sample project, and the death of a process."""

import importlib.resources
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from mendbus.demo.builds import replace_file

PACKAGE: Final = "shop"
ENTRY: Final = f"{PACKAGE}.invoice:quote"
SELFCHECK: Final = f"{PACKAGE}.selfcheck:run"
ORDER: Final = {"desk": 2, "lamp": 12, "novel": 60}
"""What is asked of the sample project to see whether it works; it touches every module."""


@dataclass(frozen=True, slots=True)
class Edit:
    """A change of one module: `old` becomes `new`."""

    file: str
    old: str
    new: str

    def save(self, package: Path) -> None:
        """Saves the changed file. Raises `ValueError` when what is to be changed is not there."""
        path = package / self.file
        text = path.read_text("utf-8")
        if text.count(self.old) != 1:
            msg = f"{self.file} has {text.count(self.old)} times {self.old!r}, where one was expected"
            raise ValueError(msg)
        replace_file(path, text.replace(self.old, self.new).encode())


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that goes wrong. `agent`: `kind/id` of who notices; without an `edit` its worker is killed."""

    name: str
    title: str
    agent: str
    edit: Edit | None


BUILD: Final = "build_pipeline/demo-build"
RUNTIME: Final = "runtime/demo-runtime"

GOOD_CHANGE: Final = Edit("rates.py", "(10, 50)", "(10, 80)")
"""A higher discount from ten on: the last good code is code that was reloaded, and no longer the first."""

FAULTS: Final[Sequence[Fault]] = (
    Fault(
        "syntax error",
        "a module is saved with a syntax error",
        BUILD,
        Edit("pricing.py", "    if quantity < 1:", "    if quantity < 1"),
    ),
    Fault(
        "missing package",
        "a module is saved that imports a missing package",
        BUILD,
        Edit("shipping.py", "from .money import share", "from acme_rounding import share"),
    ),
    Fault(
        "raises at reload",
        "a module is saved that raises when it is reloaded",
        RUNTIME,
        Edit("rates.py", '"standard": 190', '"general": 190'),
    ),
    Fault("worker killed", "the worker of the runtime agent is killed by SIGKILL", RUNTIME, None),
)


def make_project(folder: Path) -> Path:
    """Writes the sample project below a folder; the folder of its package."""
    package = folder / PACKAGE
    package.mkdir(parents=True)
    for file in importlib.resources.files(f"mendbus.demo.{PACKAGE}").iterdir():
        if file.name.endswith(".py"):
            _ = (package / file.name).write_bytes(file.read_bytes())
    return package
