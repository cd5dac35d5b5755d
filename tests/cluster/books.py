"""What must hold of a run, and how good it was: from the journal, from the outcomes, from what agents noted. Pure."""

import math
import statistics
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from mendbus.measures import Share, share

DEADLINE_SECONDS: Final = 30.0
"""From the failure to the recovery that stands. A person who is called looks after half a minute at the earliest: what
was recovered by then has spared him the way, what comes later has not.
"""
WELL: Final = ("recovered", "no_action")
MUST, AIM = 0.999, 0.9997


@dataclass(frozen=True, slots=True)
class Recovery:
    """One failure, by the clock of this machine, in seconds since 1970; `recovered` is 0 where it never was."""

    event_id: str
    reported: float
    acknowledged: float
    recovered: float
    outcome: str
    reason: str = ""

    @property
    def seconds(self) -> float:
        """From the call of report() to the first outcome that says it is well; infinite where there is none."""
        return self.recovered - self.reported if self.recovered else math.inf

    @property
    def good(self) -> bool:
        """Whether it ended `recovered`, settled and not undone, or `no_action` since what had failed was found to work
        again (another recovery of its agent had repaired it), within the deadline.
        """
        return self.outcome in WELL and self.seconds <= DEADLINE_SECONDS


@dataclass(frozen=True, slots=True)
class Held:
    """A blow as it came: when it began, and when everything was whole again."""

    kind: str
    words: str
    begun: float
    whole: float


def availability(recoveries: Sequence[Recovery]) -> Share:
    """The share of failures whose recovery was good, with its interval of 95 %, Wilson's."""
    return share(sum(recovery.good for recovery in recoveries), len(recoveries))


def quantile(values: Sequence[float], share_of: float) -> float:
    """The value that this share of the values do not exceed (nearest rank); 0 where there are none."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share_of * len(ordered)) - 1)] if ordered else 0.0


@dataclass(frozen=True, slots=True)
class Pause:
    """What a kind of blow costs: how often it came, the longest recovery of a failure during it, as median and as
    worst, and how many failures during it were recovered well, of how many.
    """

    number: int
    median: float
    worst: float
    good: int
    of: int


def pauses(recoveries: Sequence[Recovery], held: Sequence[Held]) -> Mapping[str, Pause]:
    """Of each kind of blow. A failure belongs to the last one that began before it was reported."""
    ordered = sorted(held, key=lambda blow: blow.begun)
    begins = [blow.begun for blow in ordered]
    during: dict[int, list[Recovery]] = defaultdict(list)
    for one in recoveries:
        during[bisect_right(begins, one.reported) - 1].append(one)
    kinds: dict[str, list[list[Recovery]]] = defaultdict(list)
    for number, blow in enumerate(ordered):
        kinds[blow.kind].append(during[number])
    return {kind: _pause(found) for kind, found in sorted(kinds.items())}


def _pause(found: Sequence[Sequence[Recovery]]) -> Pause:
    longest = [max((one.seconds for one in blow if one.recovered), default=0.0) for blow in found]
    every = [one for blow in found for one in blow]
    return Pause(len(found), statistics.median(longest), max(longest), sum(one.good for one in every), len(every))


def lost(acknowledged: Sequence[str], counted: Mapping[str, int]) -> list[str]:
    """Events that were acknowledged and that no record of the journal counts."""
    return [event_id for event_id in acknowledged if not counted.get(event_id)]


def twice(acknowledged: Sequence[str], counted: Mapping[str, int]) -> list[str]:
    """Events that were counted more than once."""
    return [event_id for event_id in acknowledged if counted.get(event_id, 0) > 1]
