"""Tells the supervisor of this process, if it has one, that it lives (`mendbus supervise`)."""

import asyncio
import contextlib
import os
import stat
from collections.abc import Awaitable, Callable
from typing import Final

HEARTBEAT: Final = "MENDBUS_HEARTBEAT_FD"
"""Names the descriptor of the pipe that a supervisor reads heartbeats from."""
HEARTBEAT_MS: Final = "MENDBUS_HEARTBEAT_MS"
"""Longest time between two heartbeats."""


class Heartbeat:
    """The supervisor's pipe, taken out of the environment: a child of this process must not beat in its place."""

    def __init__(self) -> None:
        descriptor = os.environ.pop(HEARTBEAT, "")
        self._pause = int(os.environ.pop(HEARTBEAT_MS, "500")) / 2000
        self._descriptor = int(descriptor) if descriptor.isdigit() and _is_pipe(int(descriptor)) else None

    async def run(self, answers: Callable[[], Awaitable[bool]]) -> None:
        """Beats for as long as `answers` does: what hangs there lets the beats stop."""
        if self._descriptor is None:
            return
        with contextlib.suppress(BrokenPipeError):
            while await answers():
                # A full pipe holds beats enough.
                with contextlib.suppress(BlockingIOError):
                    _ = os.write(self._descriptor, b".")
                await asyncio.sleep(self._pause)


def _is_pipe(descriptor: int) -> bool:
    with contextlib.suppress(OSError):
        return stat.S_ISFIFO(os.fstat(descriptor).st_mode)
    return False
