"""How much may be tried again: so that retries never become the load that keeps a sick thing sick."""

import threading
from typing import Final

SHARE: Final = 0.2
"""Retries for each operation that was no retry."""
PER_SECOND: Final = 10.0
"""Retries a second that are always allowed, however little else is done; as many at once at most."""
MOST_SAVED: Final = 100.0
"""Retries that busy times leave over for later, at most."""


class RetryBudget:
    """Two token buckets, one filled by operations and one by time; a retry needs a token of either and takes of both.

    So the larger of the two rates holds, not their sum. Any thread.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._earned = 0.0
        self._given = PER_SECOND
        self._filled_at: float | None = None

    def deposit(self) -> None:
        """An operation was done that was no retry."""
        with self._lock:
            self._earned = min(MOST_SAVED, self._earned + SHARE)

    def take(self, now: float) -> bool:
        """Whether one retry may be made now; `now` in seconds of any clock that never goes back."""
        with self._lock:
            passed = 0.0 if self._filled_at is None else max(0.0, now - self._filled_at)
            self._filled_at = now
            self._given = min(PER_SECOND, self._given + passed * PER_SECOND)
            # Five deposits of a fifth are one token, whatever floating point makes of them.
            if max(self._earned, self._given) < 1.0 - 1e-9:
                return False
            self._earned = max(0.0, self._earned - 1.0)
            self._given = max(0.0, self._given - 1.0)
            return True
