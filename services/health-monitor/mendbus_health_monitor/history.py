"""What was heard of each agent: second by second for ten minutes, and the minute that is under way. Knows no bus.

By the monitor's clock: an agent's may be wrong. A minute that is over is handed on (`closed`) and forgotten here, so
that 24 hours of it cost no memory; the seconds are kept as 32-bit floats, one column for each metric that is told.
"""

import math
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from mendbus.contracts.messages import AgentRef
from mendbus.contracts.subjects import bundle_of
from mendbus.contracts.vocabulary import METRICS

SCORE: Final = "score"
SERIES: Final[tuple[str, ...]] = (*METRICS, SCORE)
"""What has a history."""
SECONDS: Final = 600
"""One-second points kept in memory."""
MINUTE: Final = 60
MAX_AGENTS: Final = 10_000
"""Agents of which seconds are kept; the one silent for longest is forgotten first."""

_NOTHING: Final = math.nan


@dataclass(frozen=True, slots=True)
class Minute:
    """A minute of an agent that is over. `whole`: the monitor listened from its beginning."""

    agent: AgentRef
    number: int
    """Since 1970."""
    metrics: Mapping[str, Sequence[float]]
    """`[min, mean, max, count]`."""
    whole: bool


class Track:
    """One agent's."""

    __slots__ = ("_columns", "_minute", "_second", "_stamps", "_stats", "_sums", "agent", "bundle", "heard")

    def __init__(self, agent: AgentRef, second: int) -> None:
        self.agent = agent
        self.bundle = bundle_of(agent.kind, agent.id)
        self.heard = second
        """The second of its last sample."""
        self._second = second
        self._minute = second // MINUTE
        self._sums: dict[str, list[float]] = {}
        """Of the second under way: count and sum."""
        self._stats: dict[str, list[float]] = {}
        """Of the minute under way: min, sum, max, count."""
        self._stamps = array("I", bytes(4 * SECONDS))
        """Which second stands in each place of the columns."""
        self._columns: dict[str, array[float]] = {}

    def add(self, values: Iterable[tuple[str, float]]) -> None:
        """A sample of the second under way."""
        sums, stats = self._sums, self._stats
        for name, value in values:
            sum_ = sums.get(name)
            if sum_ is None:
                sums[name] = [1, value]
            else:
                sum_[0] += 1
                sum_[1] += value
            stat = stats.get(name)
            if stat is None:
                stats[name] = [value, value, value, 1]
            else:
                if value < stat[0]:
                    stat[0] = value
                elif value > stat[2]:
                    stat[2] = value
                stat[1] += value
                stat[3] += 1

    def at(self, second: int) -> Mapping[str, Sequence[float]] | None:
        """Goes on to a second; the metrics of the minute that is over with it, if something was heard in it."""
        if second != self._second:
            if self._sums:
                self._place(self._second, {name: total / count for name, (count, total) in self._sums.items()})
                self._sums = {}
            self._second = second
        if second // MINUTE == self._minute:
            return None
        self._minute = second // MINUTE
        stats, self._stats = self._stats, {}
        return {name: _row(stat) for name, stat in stats.items()} or None

    @property
    def minute(self) -> int:
        """The one under way."""
        return self._minute

    def put(self, second: int, means: Mapping[str, float]) -> bool:
        """A point from before this monitor ran; False where there is one already, or its place has been taken."""
        if second >= self._second or second <= self._stamps[second % SECONDS]:
            return False
        self._place(second, means)
        return True

    def merge(self, means: Mapping[str, float]) -> None:
        """Counts a second of the minute under way, from before this monitor ran, as one sample."""
        kept, self._sums = self._sums, {}
        self.add(means.items())
        self._sums = kept

    def points(self, first: int, last: int) -> Iterator[tuple[int, dict[str, float]]]:
        """The seconds from `first` to `last`, both included, in which something was heard; that under way is not."""
        newest = min(last, self._second - 1)
        for second in range(max(first, self._second - SECONDS + 1), newest + 1):
            place = second % SECONDS
            if self._stamps[place] == second:
                yield (
                    second,
                    {name: value for name, column in self._columns.items() if not math.isnan(value := column[place])},
                )

    def _place(self, second: int, means: Mapping[str, float]) -> None:
        place = second % SECONDS
        self._stamps[place] = second
        for name in means:
            if name not in self._columns:
                self._columns[name] = array("f", [_NOTHING]) * SECONDS
        for name, column in self._columns.items():
            column[place] = means.get(name, _NOTHING)


class History:
    """All agents', by key."""

    def __init__(self, second: int) -> None:
        """`second`: since 1970, in which this monitor began to listen."""
        self._listening_since = second
        self._tracks: dict[str, Track] = {}
        self.closed: list[Minute] = []
        """Minutes that are over, for the caller to take away."""

    def add(self, agent: AgentRef, metrics: Iterable[tuple[str, float]], score: float, second: int) -> None:
        """Takes a sample in that came in this second."""
        track = self._track(agent, second)
        self._go_on(track, second)
        track.heard = second
        track.add((*metrics, (SCORE, score)))

    def tick(self, second: int) -> None:
        """Closes what is over of everyone; forgets who has not been heard for as long as seconds are kept."""
        for key, track in list(self._tracks.items()):
            self._go_on(track, second)
            if track.heard < second - SECONDS:
                del self._tracks[key]

    def put(self, agent: AgentRef, second: int, means: Mapping[str, float], now: int) -> bool:
        """A stored point from before this monitor ran; False where it is known. `now`: the second under way."""
        known = {name: value for name, value in means.items() if name in SERIES}
        if not known or not now - SECONDS < second < now:
            return False
        track = self._track(agent, now)
        if not track.put(second, known):
            return False
        if second // MINUTE == track.minute and second < self._listening_since:
            track.merge(known)
        return True

    def points(self, key: str, first: int, last: int) -> Iterator[tuple[int, dict[str, float]]]:
        """See `Track.points`."""
        track = self._tracks.get(key)
        return track.points(first, last) if track is not None else iter(())

    def everyone(self) -> Iterator[Track]:
        """All who were heard lately."""
        yield from self._tracks.values()

    def _track(self, agent: AgentRef, second: int) -> Track:
        track = self._tracks.get(agent.key)
        if track is None:
            if len(self._tracks) >= MAX_AGENTS:
                del self._tracks[min(self._tracks, key=lambda key: self._tracks[key].heard)]
            plain = AgentRef(kind=agent.kind, id=agent.id)
            track = self._tracks[agent.key] = Track(plain, second)
        return track

    def _go_on(self, track: Track, second: int) -> None:
        number = track.minute
        metrics = track.at(second)
        if metrics is not None:
            whole = self._listening_since <= number * MINUTE
            self.closed.append(Minute(track.agent, number, metrics, whole))


def minutes_of(points: Iterable[tuple[int, Mapping[str, float]]]) -> dict[int, dict[str, Sequence[float]]]:
    """Rows of minutes from one agent's seconds, each counted as one sample, by number of the minute."""
    stats: dict[int, dict[str, list[float]]] = {}
    for second, means in points:
        of_minute = stats.setdefault(second // MINUTE, {})
        for name, value in means.items():
            stat = of_minute.setdefault(name, [value, 0.0, value, 0])
            stat[0], stat[2] = min(stat[0], value), max(stat[2], value)
            stat[1] += value
            stat[3] += 1
    return {number: {name: _row(stat) for name, stat in found.items()} for number, found in stats.items()}


def _row(stat: Sequence[float]) -> Sequence[float]:
    least, total, most, count = stat
    # Rounding must not put the mean outside what it is the mean of.
    return (least, min(most, max(least, total / count)), most, count)
