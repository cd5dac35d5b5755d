"""Hands this process over to another module in a fresh Python, so that no command line stays in memory."""

import os
import sys
from typing import NoReturn


def become(module: str, *arguments: str) -> NoReturn:
    """Runs `python -m MODULE ARGUMENTS` in place of this process, under the same process id."""
    sys.stdout.flush()
    sys.stderr.flush()
    os.execv(sys.executable, [sys.executable, "-m", module, *arguments])  # noqa: S606 - no shell is wanted
