"""One agent's metrics under watch: what is found in them now, beginning and ending without flapping. Knows no bus."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from math import inf
from typing import Final

import numpy as np

from mendbus_health_monitor.anomaly import running, scores, usual
from mendbus_health_monitor.capacity import told
from mendbus_health_monitor.changes import shift
from mendbus_health_monitor.columns import Numbers, median, quantile
from mendbus_health_monitor.findings import RULES, Finding, FindingKind, Rule, shown
from mendbus_health_monitor.running_out import (
    CERTAIN,
    MOST,
    RESOURCES,
    UNCERTAIN,
    Resource,
    Window,
    limit_of,
    running_out,
)
from mendbus_health_monitor.series import SLOW_STEP, Series, blocks
from mendbus_health_monitor.trend import Trend, trends

LOOK_SECONDS: Final = 5.0
"""Least time between two looks; where rows are longer, each is looked at."""
HURRY_SECONDS: Final = 2.0
"""The same while a resource that is well used grows strangely."""
SOONEST: Final = 8
"""Fast rows that are looked back at then."""
NEAREST: Final = 12
"""Fast rows that are looked back at where a resource is well used: too few to tell a trend from, enough to tell that
what is nearly full fills up."""
WINDOWS: Final[Mapping[int, int]] = {24: 1, 120: 2, 600: 4}
"""Fast rows that are looked back at, and at which looks: each, every second, every fourth; the longer change less."""
POINTS: Final = 24
"""Means that a window is made of before it is looked at."""
SLOW_FEWEST: Final = 20
REFERENCE_FEWEST: Final = 20
"""Rows before a window, without which nobody can say whether a level is new."""
ENTER: Final = 6.0
LEAVE: Final = 3.0
"""Running scores at which an anomaly begins and ends."""
TREND_P: Final = 1e-5
TREND_P_OVER: Final = 1e-2
CHANGE_P: Final = 1e-5
EFFECT_NOISES: Final = 3.0
EFFECT_MATTERS: Final = 1.5
"""A trend or change moves the level at least so many times the noise, and what matters of the metric."""
HOLD_ROWS: Final = 600
"""A change is told for so long, or until the level is back; then the new level is the usual one."""
REBASE_ROWS: Final = 120
"""An anomaly that lasts so long is what is usual from then on."""
OFF_SECONDS: Final = 30.0
"""How long a finding must not be so before it ends; six rows, where these are longer than looks are apart."""
ON_LOOKS: Final[Mapping[FindingKind, int]] = {"trend": 2, "change": 1, "anomaly": 1, "exhaustion": 2}
"""Looks in a row at which it must be so before it begins."""
SURELY: Final = 0.75
"""Probability from which on something runs out is told at the first look."""

_GUARD_ROWS: Final = 60
"""The newest rows, at most half of all, are not what is usual: what grows slowly would become so."""
_BRIEF_ROWS: Final = 60
_LONG_ENOUGH: Final = 240
_YOUNG_ROWS: Final = 20
_RECENT_ROWS: Final = 8
_LEVEL_ROWS: Final = 3
_KNOWN_SHARE: Final = 0.98
_PAST_POINTS: Final = 60
_OFF_ROWS: Final = 6
_STRANGE: Final[tuple[FindingKind, ...]] = ("anomaly", "change")
_RISING_ROWS: Final = 120
"""The newest rows, which may have risen already, do not say what is harmless."""
_PEAK_ROWS: Final = 900
_PEAKS: Final = 96
_PEAK_PLACE: Final = 3
_PEAK_MARGIN: Final = 1.2
_STEP_FITS: Final = 0.8

_STILL: Final = np.array(Trend(slope=0.0, low=0.0, high=0.0, level=0.0, z=0.0, p=1.0, noise=0.0))[:, None]  # pyright: ignore[reportArgumentType]
"""Of a metric that does not move; a column for a table of trends."""


@dataclass(slots=True)
class _State:
    since_unix_nano: int
    looks: int = 0
    """Looks in a row at which it was so."""
    last_row: int = 0
    """Of the last look at which it was so."""
    seen: bool = False
    """Whether it was so at the look that goes on."""
    finding: Finding | None = None
    """Once it has begun."""
    until_row: int = 0
    """Of a change: the row with which it becomes the usual."""


class Watch:
    """Takes one agent's values in, looks at them every few rows, and holds what was found."""

    def __init__(self, agent: str, interval_ms: int, rules: Mapping[str, Rule] = RULES) -> None:
        """`agent`: `kind/id`."""
        self.agent = agent
        self._rules = rules
        self._names: Sequence[str] = tuple(rules)
        self._series = Series(self._names, interval_ms)
        self._limits: Mapping[str, float] = {}
        columns = len(self._names)
        self._base = np.zeros(columns, np.int64)
        self._running = np.zeros(columns)
        self._peaks = np.zeros((_PEAKS, columns), np.float32)
        self._peak_block = -1
        self._scored = -1
        self._looked = -1
        self._hurry = False
        seconds = self._series.seconds
        self._off_rows = round(OFF_SECONDS / seconds) if seconds < LOOK_SECONDS else _OFF_ROWS
        self._states: dict[tuple[int, FindingKind], _State] = {}
        self._looks = 0
        self._held: dict[int, Window] = {}
        self._slow: Window | None = None
        self._slow_row = -1
        self.resources: list[Resource] = []
        """How full what can run out is, as of the last look."""

    @property
    def findings(self) -> list[Finding]:
        """What is so now."""
        return [state.finding for state in self._states.values() if state.finding is not None]

    @property
    def running_scores(self) -> dict[str, float]:
        """The running robust score of each metric that has one."""
        newest = self._series.fast.since(self._series.fast.last)
        known: list[int] = np.flatnonzero(np.isfinite(newest).any(axis=0)).tolist()
        return {self._names[column]: float(self._running[column]) for column in known}

    def add(self, values: Mapping[str, float], limits: Mapping[str, float], now: int) -> bool:
        """Takes the values of one sample in; whether a look is due."""
        self._limits = limits
        completed = self._series.add(values, now)
        waited = (self._series.fast.last - self._looked) * self._series.seconds
        return completed and waited >= (HURRY_SECONDS if self._hurry else LOOK_SECONDS)

    def rest(self) -> None:
        """Lets go of what was found: the agent has fallen silent, and nobody knows whether it is still so."""
        self._states.clear()
        self.resources = []

    def look(self, now: int) -> None:
        """Looks at what has come since the last look; `now` in nanoseconds."""
        fast = self._series.fast
        self._looked = fast.last
        self._looks += 1
        rows = fast.since(fast.first)
        if len(rows) < _YOUNG_ROWS:
            return
        self._anomalies(rows, now)
        windows = self._windows(rows)
        for window in windows:
            if len(window.rows) > NEAREST:
                self._trends(window, now)
        self._changes(rows, now)
        self._resources(median(rows[-_LEVEL_ROWS:]), windows, now)
        self._settle()

    # -- windows

    def _windows(self, rows: Numbers) -> list[Window]:
        seconds, found = self._series.seconds, list[Window]()
        used = self._used(rows[-1])
        self._hurry = any(self._is_strange(column) for column in used)
        if self._hurry and len(rows) >= SOONEST:
            found.append(self._window(rows[-SOONEST:], seconds, brief=True))
        if used and len(rows) >= NEAREST:
            found.append(self._window(rows[-NEAREST:], seconds, brief=True))
        for length, looks in WINDOWS.items():
            if len(rows) < min(length, _LONG_ENOUGH):
                break
            if length not in self._held or self._looks % looks == 0:
                self._held[length] = self._window(rows[-length:], seconds, brief=length < _BRIEF_ROWS)
            found.append(self._held[length])
        slow = self._series.slow
        if len(slow) >= SLOW_FEWEST and slow.last != self._slow_row:
            self._slow_row = slow.last
            self._slow = self._window(slow.since(slow.first), self._series.seconds * SLOW_STEP)
        return [*found, self._slow] if self._slow is not None else found

    def _used(self, levels: Numbers) -> list[int]:
        """Columns of resources so much of which is used that brief windows count."""
        found: list[int] = []
        for metric in RESOURCES:
            limit = limit_of(metric, self._limits)
            if limit is not None and metric in self._rules and levels[self._names.index(metric)] >= MOST * limit:
                found.append(self._names.index(metric))
        return found

    def _is_strange(self, column: int) -> bool:
        """Whether an anomaly or a change for the worse stands of a metric."""
        states = (self._states.get((column, kind)) for kind in _STRANGE)
        return any(state is not None and state.finding is not None and state.finding.harmful for state in states)

    def _window(self, rows: Numbers, step: float, *, brief: bool = False) -> Window:
        means, size = blocks(rows, POINTS)
        times = np.arange(len(means), dtype=np.float64) * (size * step)
        table = np.full((len(Trend._fields), len(self._names)), np.nan)
        highest, lowest = np.fmax.reduce(means), np.fmin.reduce(means)
        moving = np.flatnonzero(highest > lowest)
        if len(moving):
            table[:, moving] = trends(times, means[:, moving])
        still = highest == lowest
        table[:, still] = _STILL
        found = Trend(*table)
        found.level[still] = highest[still]
        return Window(means, size * step, found, brief)

    def _is_new(self, column: int, level: float, rows_back: int, *, up: bool) -> bool:
        """Whether a level lies beyond what this metric was before the newest rows, today as well as of late."""
        fast, slow = self._series.fast, self._series.slow
        start = fast.last - rows_back + 1
        late = fast.since(fast.first)[: max(0, start - fast.first), column]
        day = slow.since(slow.first)[: max(0, start // SLOW_STEP - slow.first), column]
        late, day = late[np.isfinite(late)], day[np.isfinite(day)]
        if max(len(late), len(day)) < REFERENCE_FEWEST:
            return False
        margin = 0.5 * self._rules[self._names[column]].matters(level)
        for past in (late, day):
            if len(past):
                if up and level < _quantile(past, _KNOWN_SHARE) + margin:
                    return False
                if not up and level > _quantile(past, 1.0 - _KNOWN_SHARE) - margin:
                    return False
        return True

    # -- the four kinds of findings

    def _anomalies(self, rows: Numbers, now: int) -> None:
        fast = self._series.fast
        numbers = np.arange(fast.first, fast.last + 1)
        fresh = numbers > self._scored
        self._scored = fast.last
        known = np.where(numbers[:, None] >= self._base, rows, np.nan)
        known[-max(min(_GUARD_ROWS, len(rows) // 2), int(fresh.sum())) :] = np.nan
        for (column, kind), state in self._states.items():
            if kind == "anomaly":
                known[numbers >= self._row_of(state.since_unix_nano), column] = np.nan
        centres = np.array([0.0 if not np.isfinite(v) else v for v in rows[-1]])
        floor = np.array([self._rules[name].matters(c) / 3.0 for name, c in zip(self._names, centres, strict=True)])
        by = usual(known, floor)
        # Of a handful of values nobody knows what is usual.
        young = np.isfinite(known).sum(axis=0) < _YOUNG_ROWS // 2
        by.centre[young] = np.nan
        for number, row in zip(numbers[fresh], scores(rows[fresh], by), strict=True):
            self._running = running(row, self._running)
            self._remember_peaks(int(number))
        usual_peak = np.sort(self._peaks, axis=0)[-_PEAK_PLACE] * _PEAK_MARGIN
        enter = np.maximum(ENTER, usual_peak)
        for column, name in enumerate(self._names):
            score = float(self._running[column])
            state = self._states.get((column, "anomaly"))
            begun = state is not None and state.finding is not None
            if begun and fast.last - self._row_of(state.since_unix_nano) >= REBASE_ROWS:  # pyright: ignore[reportOptionalMemberAccess]
                self._rebase(column, self._row_of(state.since_unix_nano))  # pyright: ignore[reportOptionalMemberAccess]
                continue
            if abs(score) < (LEAVE if begun else enter[column]) or not np.isfinite(by.centre[column]):
                continue
            centre, recent = float(by.centre[column]), float(median(rows[-3:, column : column + 1])[0])
            self._so(column, "anomaly", now - 3 * self._series.width_nano, self._harmful(name, score > 0), score, None,
                     (centre, recent), f"{name} is {shown(name, recent)}, usually {shown(name, centre)}")  # fmt: skip

    def _remember_peaks(self, number: int) -> None:
        block = number // _PEAK_ROWS
        if block != self._peak_block:
            self._peaks[block % _PEAKS] = 0.0
            self._peak_block = block
        held = self._peaks[block % _PEAKS]
        np.maximum(held, np.abs(self._running), out=held)

    def _trends(self, window: Window, now: int) -> None:
        found = window.trend
        rows_back = round(window.span / self._series.seconds)
        for column in np.flatnonzero(found.p < TREND_P_OVER).tolist():
            name = self._names[column]
            slope, level = float(found.slope[column]), float(found.level[column])
            start = level - slope * window.span
            least = max(EFFECT_NOISES * float(found.noise[column]), EFFECT_MATTERS * self._rules[name].matters(start))
            state = self._states.get((column, "trend"))
            begun = state is not None and state.finding is not None
            if abs(level - start) < (0.5 if begun else 1.0) * least:
                continue
            if not begun and (
                found.p[column] >= TREND_P
                or not self._is_new(column, level, rows_back, up=slope > 0)
                or self._base[column] > self._series.fast.last - rows_back // 2
            ):
                continue
            words = (
                f"{name} {'rises' if slope > 0 else 'falls'}: from {shown(name, start)} to {shown(name, level)} "
                f"in {told(window.span)}"
            )
            self._so(column, "trend", now - round(window.span * 1e9), self._harmful(name, slope > 0),
                     float(found.z[column]), float(found.p[column]), (start, level), words, slope)  # fmt: skip

    def _changes(self, rows: Numbers, now: int) -> None:
        fast = self._series.fast
        some = np.isfinite(rows[-_RECENT_ROWS:]).sum(axis=0) >= _RECENT_ROWS // 2
        recent = median(rows[-_RECENT_ROWS:])
        numbers = np.arange(fast.first, fast.last + 1)[:, None]
        levels = median(np.where(numbers >= self._base, rows, np.nan))
        for column in np.flatnonzero(some).tolist():
            name = self._names[column]
            state = self._states.get((column, "change"))
            if state is not None and state.finding is not None:
                self._hold(state, float(recent[column]))
            moved = abs(float(recent[column]) - float(levels[column]))
            if not moved >= EFFECT_MATTERS * self._rules[name].matters(float(levels[column])):
                continue
            means, size = blocks(rows[max(0, int(self._base[column]) - fast.first) :, column : column + 1], 150)
            found = shift(means[:, 0])
            if found is None or found.p >= CHANGE_P:
                continue
            effect = found.after - found.before
            if abs(effect) < max(EFFECT_NOISES * found.noise, EFFECT_MATTERS * self._rules[name].matters(found.before)):
                continue
            row = fast.last + 1 - (len(means) - found.index) * size
            if found.noise > _STEP_FITS * _line_noise(means[:, 0]):
                continue
            since = now - (fast.last - row) * self._series.width_nano
            new = self._is_new(column, found.after, fast.last - row + 1, up=effect > 0)
            self._rebase(column, row)
            if new:
                self._so(column, "change", since, self._harmful(name, effect > 0), found.z, found.p,
                         (found.before, found.after),
                         f"{name} went from {shown(name, found.before)} to {shown(name, found.after)}")  # fmt: skip
                self._states[column, "change"].until_row = row + HOLD_ROWS

    def _hold(self, state: _State, recent: float) -> None:
        finding = state.finding
        if finding is None:
            return
        back = abs(recent - finding.from_) < 0.5 * abs(finding.to - finding.from_)
        state.seen = not back and self._series.fast.last < state.until_row

    def _rebase(self, column: int, row: int) -> None:
        """From a row on, what a metric is counts as usual."""
        self._base[column] = row
        self._running[column] = 0.0
        self._states.pop((column, "anomaly"), None)

    def _resources(self, levels: Numbers, windows: Sequence[Window], now: int) -> None:
        self.resources = []
        for metric in RESOURCES:
            limit = limit_of(metric, self._limits)
            if limit is None or metric not in self._rules:
                continue
            column = self._names.index(metric)
            state = self._states.get((column, "exhaustion"))
            begun = state is not None and state.finding is not None
            level = float(levels[column])
            past, strange = partial(self._past, column), self._is_strange(column)
            found = running_out(self.agent, metric, column, level, limit, windows, past=past, strange=strange)
            if found is None:
                continue
            if found.p is not None and not begun and found.forecast.chance >= UNCERTAIN:
                # Asked only where it matters, because it looks at the whole day.
                known = self._harmless(column, limit)
                if level <= known:
                    found = running_out(self.agent, metric, column, level, limit, windows, known=known) or found
            self.resources.append(found)
            if found.forecast.chance >= (UNCERTAIN if begun else CERTAIN):
                self._so(column, "exhaustion", now, True, found.z, found.p, (found.level, limit), found.sentence,
                         found.per_second, found)  # fmt: skip

    def _past(self, column: int) -> tuple[Numbers, float]:
        """What a metric was, as far back as seconds are held."""
        fast = self._series.fast
        means, size = blocks(fast.since(fast.first)[:, column : column + 1], _PAST_POINTS)
        return means[:, 0], size * self._series.seconds

    def _harmless(self, column: int, limit: float) -> float:
        """How high a resource was of late, or today, without running out; minus infinity where nobody knows."""
        fast, slow = self._series.fast, self._series.slow
        # What the windows look at is no past yet.
        start = fast.last - _RISING_ROWS + 1
        late = fast.since(fast.first)[: max(0, start - fast.first), column]
        day = slow.since(slow.first)[: max(0, start // SLOW_STEP - slow.first), column]
        known = -inf
        for rows in (late, day):
            there = rows[np.isfinite(rows)]
            if len(there) and float(np.max(there)) >= limit:
                return -inf
            if len(there) >= REFERENCE_FEWEST:
                known = max(known, _quantile(there, _KNOWN_SHARE))
        return known

    # -- beginning and ending

    def _so(self, column: int, kind: FindingKind, since: int, harmful: bool, score: float, p: float | None,
            levels: tuple[float, float], words: str, slope: float | None = None, out: Resource | None = None,
            ) -> None:  # fmt: skip
        """Notes that something is so at this look; what a longer window says of it stands."""
        state = self._states.setdefault((column, kind), _State(since))
        state.looks += not state.seen
        state.seen = True
        surely = out is not None and out.forecast.chance >= SURELY
        if state.looks < ON_LOOKS[kind] and state.finding is None and not surely:
            return
        state.finding = Finding(
            self.agent, self._names[column], kind, state.since_unix_nano, harmful, score, p, *levels, words, slope,
            *((out.forecast.eta, out.forecast.low, out.forecast.high) if out is not None else (None, None, None)),
        )  # fmt: skip

    def _settle(self) -> None:
        for key, state in list(self._states.items()):
            if state.seen:
                state.last_row, state.seen = self._series.fast.last, False
            elif state.finding is None or self._series.fast.last - state.last_row >= self._off_rows:
                del self._states[key]

    def _harmful(self, metric: str, up: bool) -> bool:
        worse = self._rules[metric].worse
        return worse == ("up" if up else "down")

    def _row_of(self, unix_nano: int) -> int:
        return unix_nano // self._series.width_nano


def _quantile(values: Numbers, share: float) -> float:
    """Of values that are all known, in any order."""
    return float(quantile(np.sort(values)[:, None], share, np.array([len(values)]))[0])


def _line_noise(values: Numbers) -> float:
    at = np.flatnonzero(np.isfinite(values))
    known = values[at]
    slope, level = np.polyfit(at, known, 1)
    off = known - (level + slope * at)
    return 1.4826 * float(np.median(np.abs(off - np.median(off))))
