"""What an agent's metrics were of late: one row a second for ten minutes, one every two minutes for a day. Compact."""

from collections.abc import Mapping, Sequence
from math import isfinite
from typing import Final

import numpy as np
import numpy.typing as npt

from mendbus_health_monitor.columns import Numbers, mean

FAST_ROWS: Final = 600
SLOW_ROWS: Final = 720
SLOW_STEP: Final = 120
"""Fast rows in a slow one."""
_SECOND: Final = 1_000_000_000
_MILLI: Final = 1_000_000


class Ring:
    """Rows by number, the newest `size` of them; a number that was left out is a row of NaN."""

    __slots__ = ("_size", "_values", "first", "last")

    def __init__(self, size: int, columns: int) -> None:
        self._size = size
        self._values: npt.NDArray[np.float32] = np.full((size, columns), np.nan, np.float32)
        self.first = 0
        """Number of the oldest row held."""
        self.last = -1
        """Number of the newest row held; less than `first` when there is none."""

    def __len__(self) -> int:
        return self.last - self.first + 1

    def put(self, number: int, row: Numbers) -> None:
        """Adds a row; its number must be greater than the last one's."""
        if not len(self) or number - self.last >= self._size:
            self._values.fill(np.nan)
            self.first = number
        else:
            for left_out in range(self.last + 1, number):
                self._values[left_out % self._size] = np.nan
        self._values[number % self._size] = row
        self.last = number
        self.first = max(self.first, number - self._size + 1)

    def since(self, number: int) -> Numbers:
        """The rows from a number on, the oldest first."""
        wanted = np.arange(max(number, self.first), self.last + 1)
        return self._values[wanted % self._size].astype(np.float64)

    def clear(self) -> None:
        """Forgets all rows."""
        self._values.fill(np.nan)
        self.first, self.last = 0, -1


class Series:
    """The rings of one agent. A row is the mean of the values that came in it; what did not come is NaN."""

    __slots__ = ("_columns", "_count", "_number", "_slow_first", "_sum", "fast", "slow", "width_nano")

    def __init__(self, columns: Sequence[str], interval_ms: int) -> None:
        self._columns = {name: place for place, name in enumerate(columns)}
        self.width_nano = max(_SECOND, interval_ms * _MILLI)
        """Length of a fast row: a second, or the agent's interval where that is longer."""
        self.fast = Ring(FAST_ROWS, len(columns))
        self.slow = Ring(SLOW_ROWS, len(columns))
        self._number = -1
        self._slow_first = -1
        self._sum = [0.0] * len(columns)
        self._count = [0] * len(columns)

    @property
    def seconds(self) -> float:
        """Length of a fast row."""
        return self.width_nano / _SECOND

    def add(self, values: Mapping[str, float], now: int) -> bool:
        """Takes values in that came at `now`; whether that completed a row. A clock set back adds to the open row."""
        number = now // self.width_nano
        completed = number > self._number >= 0
        if completed:
            self._complete()
        if number > self._number:
            self._number = number
        for name, value in values.items():
            place = self._columns.get(name)
            if place is not None and isfinite(value):
                self._sum[place] += value
                self._count[place] += 1
        return completed

    def _complete(self) -> None:
        row = np.array(
            [total / count if count else np.nan for total, count in zip(self._sum, self._count, strict=True)]
        )
        self.fast.put(self._number, row)
        self._sum = [0.0] * len(row)
        self._count = [0] * len(row)
        slow = self._number // SLOW_STEP
        if self._slow_first < 0:
            self._slow_first = slow
        # A slow row is made when its last fast row is there, or was left out.
        done = slow if self._number % SLOW_STEP == SLOW_STEP - 1 else slow - 1
        newest = self.slow.last if len(self.slow) else self._slow_first - 1
        if done > newest:
            self.slow.put(done, mean(self._between(done * SLOW_STEP, (done + 1) * SLOW_STEP)))

    def _between(self, start: int, end: int) -> Numbers:
        rows = self.fast.since(start)
        return rows[: max(0, end - max(start, self.fast.first))]


def blocks(rows: Numbers, most: int) -> tuple[Numbers, int]:
    """At most `most` means of as many rows each, the newest whole; and how many rows are in one."""
    size = -(-len(rows) // most)
    if size <= 1:
        return rows, 1
    kept = rows[len(rows) % size :].reshape(-1, size, rows.shape[1])
    return mean(kept), size
