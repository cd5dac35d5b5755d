"""Whether the operations of an agent are slower than they are to be. Pure."""

from collections import deque
from collections.abc import Mapping
from statistics import median
from typing import Final

from mendbus.contracts.vocabulary import Severity

CALLS: Final = 8
"""The median of so many calls is what an objective is for."""
FAR_TOO_SLOW: Final = 2.0
"""So many times the objective is too slow without waiting for a median."""
FAR_TOO_SLOW_CALLS: Final = 3


class Paces:
    """How long the last calls of each operation took; `objectives` in milliseconds."""

    def __init__(self, objectives: Mapping[str, float]) -> None:
        self._objectives = objectives
        self._times: dict[str, deque[float]] = {}

    def slow(self, operation: str, milliseconds: float) -> tuple[str, Severity] | None:
        """Notes a call; says in words that its operation has been too slow for a while, and how bad that is, once."""
        times = self._times.setdefault(operation, deque(maxlen=CALLS))
        times.append(milliseconds)
        objective = self._objectives[operation]
        last = list(times)[-FAR_TOO_SLOW_CALLS:]
        if len(last) == FAR_TOO_SLOW_CALLS and min(last) > FAR_TOO_SLOW * objective:
            slow = f"{operation} took {min(last):.0f} ms at least each of {len(last)} times"
        elif len(times) == CALLS and median(times) > objective:
            slow = f"{operation} takes {median(times):.0f} ms in the median"
        else:
            return None
        grave = len(times) == CALLS and median(times) > FAR_TOO_SLOW * objective
        times.clear()
        return f"{slow}, its objective is {objective:.0f} ms", "critical" if grave else "error"

    def forget(self) -> None:
        """Somebody else does the work from now on."""
        self._times.clear()
