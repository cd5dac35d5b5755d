"""What must hold of a run, and how good it was: from the journal, from the outcomes, from what agents noted. Pure."""

import math
import statistics
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from mendbus.measures import Share, share

DEADLINE_SECONDS: Final = 30.0
"""From the failure to the recovery that stands. A person who is called looks after half a minute at the earliest: what
was recovered by then has spared him the way, what comes later has not.
"""
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
        """From the call of report() to the first outcome that says `recovered`; infinite where there is none."""
        return self.recovered - self.reported if self.recovered else math.inf

    @property
    def good(self) -> bool:
        """Whether it ended `recovered`, settled and not undone, and was recovered within the deadline."""
        return self.outcome == "recovered" and self.seconds <= DEADLINE_SECONDS


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


def pauses(recoveries: Sequence[Recovery], held: Sequence[Held]) -> Mapping[str, tuple[int, float, float]]:
    """Of each kind of blow: how often, and the longest recovery of a failure during it, as median and as worst.

    A failure belongs to a blow when it was reported after its beginning and before all was whole again.
    """
    ordered = sorted(recoveries, key=lambda recovery: recovery.reported)
    worst: dict[str, list[float]] = defaultdict(list)
    for blow in held:
        during = [one.seconds for one in ordered if blow.begun <= one.reported <= blow.whole and one.recovered]
        if during:
            worst[blow.kind].append(max(during))
    return {kind: (len(found), statistics.median(found), max(found)) for kind, found in sorted(worst.items())}


def lost(acknowledged: Sequence[str], counted: Mapping[str, int]) -> list[str]:
    """Events that were acknowledged and that no record of the journal counts."""
    return [event_id for event_id in acknowledged if not counted.get(event_id)]


def twice(acknowledged: Sequence[str], counted: Mapping[str, int]) -> list[str]:
    """Events that were counted more than once."""
    return [event_id for event_id in acknowledged if counted.get(event_id, 0) > 1]
