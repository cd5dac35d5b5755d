"""A status that does not flap: worse at once, better only after it has been better for a while."""

from dataclasses import dataclass
from typing import Final

from mendbus.contracts.vocabulary import Health
from mendbus_health_monitor.score import status_of

MARGIN: Final = 1.0
"""Points by which a score must pass a bound, in either direction."""
HOLD_SECONDS: Final = 5.0
"""How long a score must be better without a break before the status gets better."""

_RANK: Final[dict[Health, int]] = {
    "excellent": 0, "good": 1, "fair": 2, "poor": 3, "critical": 4, "failed": 5, "retired": 6,
}  # fmt: skip


@dataclass(slots=True)
class Steady:
    """Turns scores into a status."""

    status: Health
    _better_since_unix_nano: int | None = None
    _better: Health = "excellent"
    """The worst of the better statuses seen since then."""

    def step(self, score: float, now: int) -> Health:
        """The status after one more score; `now` in nanoseconds."""
        worse = status_of(score + MARGIN)
        if _RANK[worse] > _RANK[self.status]:
            self.status = status_of(score)
            self._better_since_unix_nano = None
            return self.status
        better = status_of(score - MARGIN)
        if _RANK[better] >= _RANK[self.status]:
            self._better_since_unix_nano = None
            return self.status
        if self._better_since_unix_nano is None:
            self._better_since_unix_nano, self._better = now, better
        self._better = max(self._better, better, key=_RANK.__getitem__)
        if now - self._better_since_unix_nano >= HOLD_SECONDS * 1e9:
            self.status = self._better
            self._better_since_unix_nano = None
        return self.status
