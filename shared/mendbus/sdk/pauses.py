"""How long to wait before the next try, and how often to say the same thing."""

import asyncio
import logging
import random
from typing import Final

log = logging.getLogger("mendbus.sdk")

_LOG_SECONDS: Final = 60.0


class BackOff:
    """Growing pauses with full jitter, in seconds, so that many agents do not come back in step."""

    def __init__(self, first: float, longest: float) -> None:
        self._first = first
        self._longest = longest
        self._bound = first

    def reset(self) -> None:
        """Begins anew."""
        self._bound = self._first

    def next(self) -> float:
        """The next pause."""
        bound, self._bound = self._bound, min(2 * self._bound, self._longest)
        return random.uniform(bound / 4, bound)


class Complaints:
    """Warnings of which each topic is logged once a minute at most. On the agent's own loop."""

    def __init__(self) -> None:
        self._said: dict[str, float] = {}

    def say(self, topic: str, text: str) -> bool:
        """Logs a warning, unless its topic was warned about within the last minute; whether it did."""
        time = asyncio.get_running_loop().time()
        if time - self._said.get(topic, -_LOG_SECONDS) < _LOG_SECONDS:
            return False
        self._said[topic] = time
        log.warning("%s", text)
        return True
