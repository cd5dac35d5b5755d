"""Command lines: how a Python program is started so that it waits warm for its turn."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final

LAUNCHER: Final = Path(__file__).with_name("launcher.py")
_PYTHON: Final = re.compile(r"python(\d+(\.\d+)?)?t?")
_WITH_VALUE: Final = frozenset(("-X", "-W", "--check-hash-based-pycs"))


def warm_argv(argv: Sequence[str]) -> list[str] | None:
    """The command with the launcher in front of its program; None when it is no Python module or script.

    `python -c ...`, a program on standard input, and scripts started by their `#!` line can only be started cold.
    """
    if not _PYTHON.fullmatch(Path(argv[0]).name):
        return None
    position = 1
    while position < len(argv):
        argument = argv[position]
        if argument == "-m":
            return _insert(argv, position) if position + 1 < len(argv) else None
        if argument in _WITH_VALUE:
            position += 2
        elif argument.startswith(("-X", "-W")):
            position += 1
        elif not argument.startswith("-"):
            return _insert(argv, position)
        elif argument == "-" or argument.startswith("--") or not set(argument[1:]) <= set("bBdEiIOPqsSuv"):
            return None
        else:
            position += 1
    return None


def _insert(argv: Sequence[str], position: int) -> list[str]:
    return [*argv[:position], str(LAUNCHER), *argv[position:]]
