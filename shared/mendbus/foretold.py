"""When a predicted failure came true: the one rule, for whoever counts what predictions were worth. Pure.

A prediction stands until its horizon is over. It came true when its agent failed by then. What somebody acted upon came
to no end of its own, and there is no end known where the agent left or nobody could look.
"""

from dataclasses import dataclass
from typing import Final

from mendbus.contracts.foreseen import is_predicted
from mendbus.contracts.messages import HealthStatus, RecoveryOutcome

ACTED_SECONDS: Final = 60.0
"""How long after the horizon the outcome of what was done about a prediction may come."""
CLOCKS_SECONDS: Final = 1.0
"""How far the clocks of those who predict, act and count may be apart."""
_NANO: Final = 1_000_000_000


@dataclass(slots=True)
class Prediction:
    """One prediction about an agent; times in nanoseconds of one clock."""

    unix_nano: int
    until_unix_nano: int
    """The end of its horizon."""
    came: bool = False
    known: bool = True
    acted_upon: bool = False

    @property
    def counts(self) -> bool:
        """Whether it is right or wrong at all."""
        return self.known and not self.acted_upon

    def foretells(self, unix_nano: int) -> bool:
        """Whether a failure at that moment is within its horizon."""
        return self.unix_nano <= unix_nano <= self.until_unix_nano

    def leave(self, now: int) -> None:
        """Its agent leaves: whether it would have failed is not known, unless it has."""
        self.known = self.known and (self.came or now > self.until_unix_nano)

    def act(self, first_unix_nano: int, last_unix_nano: int) -> None:
        """Something was done about it, if it stood between these two moments."""
        apart = round(CLOCKS_SECONDS * _NANO)
        self.acted_upon = self.acted_upon or self._stood(first_unix_nano - apart, last_unix_nano + apart)

    def unseen(self, first_unix_nano: int, last_unix_nano: int) -> None:
        """Nobody looked between these two moments. What came true all the same goes too: else the share is too good."""
        self.known = self.known and not self._stood(first_unix_nano, last_unix_nano)

    def due(self, now: int) -> bool:
        """Whether everything is known that will be."""
        return now > self.until_unix_nano + ACTED_SECONDS * _NANO

    def _stood(self, first: int, last: int) -> bool:
        return self.unix_nano <= last and first <= self.until_unix_nano


def is_failure(status: HealthStatus) -> bool:
    """Whether an agent has failed that was known to be alive."""
    return status.status == "failed" and status.previous not in (None, "failed", "retired")


def acted(outcome: RecoveryOutcome) -> tuple[int, int] | None:
    """Between which moments something was done about a prediction; None where nothing was."""
    if not outcome.attempts or outcome.error is None or not is_predicted(outcome.error):
        return None
    first = min(attempt.started_unix_nano for attempt in outcome.attempts)
    return first, max(attempt.ended_unix_nano for attempt in outcome.attempts)
