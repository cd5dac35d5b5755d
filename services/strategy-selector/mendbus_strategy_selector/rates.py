"""How often agents fail: an exponentially weighted rate for each, over about a minute."""

import math
from collections.abc import Callable

_MINUTE = 60e9
_AGENTS = 10_000


class Rates:
    """Errors per minute by agent key. Not kept through a restart: it is a minute's memory."""

    def __init__(self, now: Callable[[], int]) -> None:
        self._now = now
        self._rates: dict[str, tuple[float, int]] = {}

    def count(self, key: str, errors: int) -> None:
        """Notes errors of an agent."""
        rate = self.per_minute(key) + errors
        # Taken out and put back last, so that the least recently failing agent is first to be forgotten.
        self._rates.pop(key, None)
        self._rates[key] = rate, self._now()
        if len(self._rates) > _AGENTS:
            del self._rates[next(iter(self._rates))]

    def per_minute(self, key: str) -> float:
        """The rate now."""
        rate, at = self._rates.get(key, (0.0, 0))
        return rate * math.exp((at - self._now()) / _MINUTE) if rate else 0.0
