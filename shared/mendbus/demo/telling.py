"""Tells the demo: what happens as it happens, each recovery as a waterfall, and a table in the end."""

import asyncio
import io
import json
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import cast

from mendbus.contracts.errors import MendbusError, SettingsError
from mendbus.demo.faults import FAULTS
from mendbus.demo.report import as_document, table, waterfall
from mendbus.demo.story import Recovery, Told, play
from mendbus.settings import from_environment

_BOLD, _GREEN, _RED, _PLAIN = "\033[1m", "\033[32m", "\033[31m", "\033[0m"
_WIDTH = 160
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Screen:
    """Standard output for people; colours only on a terminal, and never against NO_COLOR."""

    def __init__(self) -> None:
        self._width = shutil.get_terminal_size((_WIDTH, 0)).columns if sys.stdout.isatty() else _WIDTH
        self._coloured = sys.stdout.isatty() and not os.environ.get("NO_COLOR")

    def step(self, what: str, word: str) -> None:
        """See `Told`."""
        _say(f"  {what:<34}  {word}".rstrip())

    def recovered(self, recovery: Recovery) -> None:
        """See `Told`."""
        first, *others = waterfall(recovery, self._width)
        _say("", self._in(first, _BOLD), *others)

    def end(self, recoveries: Sequence[Recovery], seconds: float) -> None:
        """The table, and the verdict."""
        good = sum(recovery.complete for recovery in recoveries)
        verdict = f"{good} of {len(FAULTS)} faults recovered, proved by calling the code, and settled: {seconds:.1f} s"
        _say("", *table(recoveries), "", self._in(verdict, _GREEN if good == len(FAULTS) else _RED))

    def _in(self, text: str, style: str) -> str:
        return f"{style}{text}{_PLAIN}" if self._coloured else text


def _say(*lines: str) -> None:
    try:
        for line in lines:
            print(line, flush=True)
    except BrokenPipeError:
        # Nobody reads on; the exit status still tells.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def tell(*, as_json: bool, secure: bool = False) -> int:
    """See `mendbus.demo.main`."""
    # What stands in a message may be more than the terminal's encoding has.
    if isinstance(sys.stdout, io.TextIOWrapper):
        cast("io.TextIOWrapper", sys.stdout).reconfigure(errors="replace")
    screen = Screen()
    told = Told(_nothing, _nothing) if as_json else Told(screen.step, screen.recovered)
    begun = time.perf_counter()
    try:
        recoveries = asyncio.run(_until_signal(told, secure=secure))
    except _Ended as ended:
        return 128 + ended.number
    except MendbusError as error:
        sys.stderr.write(f"mendbus demo: {error}\n")
        return 2 if isinstance(error, SettingsError) else 1
    seconds = time.perf_counter() - begun
    if as_json:
        _say(json.dumps(as_document(recoveries, seconds), indent=2))
    else:
        screen.end(recoveries, seconds)
    missing = [one for one in recoveries if not one.complete]
    for one in missing:
        sys.stderr.write(f"mendbus demo: {one.fault.title}: {_why(one)}\n")
    return 1 if missing else 0


def _why(recovery: Recovery) -> str:
    outcome = recovery.outcome
    if outcome.outcome != "recovered":
        return f"the outcome is {outcome.outcome}: {outcome.reason}"
    return "the code does not give what the last good code gives" if not recovery.proved else "it has not settled"


def _nothing(*_: object) -> None:
    return


class _Ended(Exception):
    """A signal asked for the end."""

    def __init__(self, number: int) -> None:
        self.number = number
        super().__init__(number)


async def _until_signal(told: Told, *, secure: bool) -> list[Recovery]:
    """Plays in a temporary folder; the first signal ends it in order, and more of them change nothing.

    Raises `_Ended`, and what `play` raises.
    """
    settings = from_environment()
    loop = asyncio.get_running_loop()
    received: list[int] = []
    with tempfile.TemporaryDirectory(prefix="mendbus-demo-", ignore_cleanup_errors=True) as folder:
        playing = asyncio.create_task(play(Path(folder), settings, told, secure=secure), name="play")

        def end(number: int) -> None:
            if not received:
                _ = playing.cancel()
            received.append(number)

        for number in _SIGNALS:
            loop.add_signal_handler(number, end, number)
        try:
            return await playing
        except asyncio.CancelledError:
            raise _Ended(received[0] if received else signal.SIGINT) from None
