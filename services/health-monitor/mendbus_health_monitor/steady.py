"""A status that does not flap: worse at once, better only after it has been better for a while; the longer, the more
often it has relapsed.
"""

from dataclasses import dataclass, field
from typing import Final

from mendbus.contracts.vocabulary import Health
from mendbus_health_monitor.score import status_of

MARGIN: Final = 1.0
"""Points by which a score must pass a bound, in either direction."""
HOLD_SECONDS: Final = 5.0
"""How long a score must be better without a break before the status gets better; at first."""
LONGEST_HOLD_SECONDS: Final = 60.0
"""Each relapse within `MEMORY_SECONDS` doubles the hold, up to this: who swings stays where it was worst."""
MEMORY_SECONDS: Final = 600.0

_REMEMBERED: Final = 8
_RANK: Final[dict[Health, int]] = {
    "excellent": 0, "good": 1, "fair": 2, "poor": 3, "critical": 4, "failed": 5, "retired": 6,
}  # fmt: skip


@dataclass(slots=True)
class Relapses:
    """How often something has happened lately, and how long to wait because of it."""

    _times: list[int] = field(default_factory=list[int])

    def note(self, now: int) -> None:
        """It has happened again; `now` in nanoseconds."""
        self._times = [*self._lately(now), now][-_REMEMBERED:]

    def hold_seconds(self, now: int) -> float:
        """0 for once or never, then `HOLD_SECONDS`, doubled each time, up to `LONGEST_HOLD_SECONDS`."""
        again = len(self._lately(now)) - 1
        return min(LONGEST_HOLD_SECONDS, HOLD_SECONDS * 2.0 ** (again - 1)) if again > 0 else 0.0

    def _lately(self, now: int) -> list[int]:
        return [at for at in self._times if 0 <= now - at < MEMORY_SECONDS * 1e9]


@dataclass(slots=True)
class Steady:
    """Turns scores into a status."""

    status: Health
    _better_since_unix_nano: int | None = None
    _better: Health = "excellent"
    """The worst of the better statuses seen since then."""
    _falling: bool = False
    """Whether the last change was for the worse: getting worse by steps is one fall."""
    _falls: Relapses = field(default_factory=Relapses)

    def step(self, score: float, now: int) -> Health:
        """The status after one more score; `now` in nanoseconds."""
        worse = status_of(score + MARGIN)
        if _RANK[worse] > _RANK[self.status]:
            self.status = status_of(score)
            self._better_since_unix_nano = None
            if not self._falling:
                self._falls.note(now)
            self._falling = True
            return self.status
        better = status_of(score - MARGIN)
        if _RANK[better] >= _RANK[self.status]:
            self._better_since_unix_nano = None
            return self.status
        if self._better_since_unix_nano is None:
            self._better_since_unix_nano, self._better = now, better
        self._better = max(self._better, better, key=_RANK.__getitem__)
        if now - self._better_since_unix_nano >= self.hold_seconds(now) * 1e9:
            self.status = self._better
            self._better_since_unix_nano = None
            self._falling = False
        return self.status

    def hold_seconds(self, now: int) -> float:
        """How long a score must be better before the status gets better."""
        return min(LONGEST_HOLD_SECONDS, max(HOLD_SECONDS, 2 * self._falls.hold_seconds(now)))
