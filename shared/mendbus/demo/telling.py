"""Tells the demo: what happens as it happens, each recovery as a waterfall, and a table in the end."""

import asyncio
import json
import os
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from mendbus.contracts.errors import MendbusError, SettingsError
from mendbus.demo.report import as_document, table, waterfall
from mendbus.demo.story import Recovery, Told, play
from mendbus.settings import from_environment

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Screen:
    """Standard output for people; colours only on a terminal, and never against NO_COLOR."""

    def __init__(self) -> None:
        self._coloured = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
        self._width = 120

    def step(self, what: str, word: str) -> None:
        """See `Told`."""
        self._say(f"  {what:<32}  {word}".rstrip())

    def recovered(self, recovery: Recovery) -> None:
        """See `Told`."""
        self._say("")
        first, *others = waterfall(recovery, self._width)
        self._say(self._in(first, "1"))
        for line in others:
            self._say(line)

    def end(self, recoveries: Sequence[Recovery], seconds: float) -> None:
        """The table, and the verdict."""
        self._say("")
        for line in table(recoveries):
            self._say(line)
        good = sum(recovery.complete for recovery in recoveries)
        verdict = f"{good} of {len(FAULTS)} faults recovered, settled and proved by calling the code, in {seconds:.1f} s"
        self._say("")
        self._say(self._in(verdict, "32" if good == len(FAULTS) else "31"))

    def _in(self, text: str, code: str) -> str:
        return f"\033[{code}m{text}\033[0m" if self._coloured else text

    @staticmethod
    def _say(text: str) -> None:
        print(text, flush=True)
