"""How far a long command is, on standard error, for people only: nothing where standard error is no terminal."""

import sys
import time
from typing import Self

_EVERY_SECONDS = 0.1


class Progress:
    """One line that is written over. Use it as a context manager, so that the line is gone at the end."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._shown = 0.0
        self._wanted = sys.stderr.isatty()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._wanted and self._shown:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()

    def at(self, sequence: int, first: int, last: int, extra: str = "") -> None:
        """The stream sequence that is being read, out of those from `first` to `last`."""
        if not self._wanted or time.monotonic() - self._shown < _EVERY_SECONDS:
            return
        self._shown = time.monotonic()
        done = min(1.0, max(0.0, (sequence - first + 1) / max(1, last - first + 1)))
        sys.stderr.write(f"\r\x1b[K{self._what} {done:4.0%} {extra}")
        sys.stderr.flush()
