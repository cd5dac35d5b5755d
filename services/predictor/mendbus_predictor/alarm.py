"""When a probability becomes an alarm: it must persist, and an agent is told of once a while. Pure, on any clock."""

from dataclasses import dataclass
from typing import Final

MIN_SAMPLES: Final = 20
"""Samples in a window below which a prediction is not valid."""
EVALUATE_SECONDS: Final = 1.0
"""Least time between two evaluations of one agent's health alone."""
PERSISTENCE: Final = 3
"""Evaluations in a row that must reach the alarm probability before a failure is predicted."""
COOL_DOWN_SECONDS: Final = 60.0
"""Least time between two predictions for one agent."""
_NANO: Final = 1_000_000_000


@dataclass(slots=True)
class Alarm:
    """The alarm of one agent; times in nanoseconds of any clock."""

    persisted: int = 0
    """Evaluations in a row that reached the level."""
    raised_unix_nano: int | None = None

    def judge(self, probability: float, level: float, now: int, persistence: int = PERSISTENCE) -> bool:
        """Takes an evaluation in; whether an alarm is raised."""
        self.persisted = self.persisted + 1 if probability >= level else 0
        if self.persisted < persistence or within(now, self.raised_unix_nano, COOL_DOWN_SECONDS):
            return False
        self.raised_unix_nano = now
        return True


def within(now: int, then: int | None, seconds: float) -> bool:
    """Whether it is less than so many seconds ago; a clock that was set back must not silence an agent."""
    return then is not None and 0 <= now - then < seconds * _NANO
