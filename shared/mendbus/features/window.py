"""The last samples of one agent, compact: what the health features are computed from."""

from typing import Final

import numpy as np
import numpy.typing as npt

from mendbus.contracts.messages import HealthSample
from mendbus.contracts.vocabulary import METRICS
from mendbus.features.samples import Arrival, Order, levels, sensible

SAMPLES: Final = 120
"""Samples in a full window: one minute at the default interval."""

MOST_GAUGES: Final = 16
"""Gauges of an agent that are kept: those that it told of first."""

_COLUMNS: Final = {metric: column for column, metric in enumerate(METRICS)}


class Window:
    """A ring of samples. Rows are in no particular order: every statistic goes by the sample's own time.

    A doubled sample is dropped, a late one takes its place if it is not older than the window, and a restarted agent (a
    new boot id, a sequence that begins anew, a clock set back) starts an empty window. Each is counted.
    """

    __slots__ = (
        "_gauges",
        "arrivals",
        "arrived_unix_nano",
        "count",
        "interval_ms",
        "last",
        "order",
        "sequences",
        "times",
        "values",
    )

    def __init__(self) -> None:
        self.values: npt.NDArray[np.float32] = np.full((SAMPLES, len(METRICS)), np.nan, np.float32)
        """One row a sample, one column a metric in the order of `METRICS`, then one a gauge; NaN is missing."""
        self.times: npt.NDArray[np.int64] = np.zeros(SAMPLES, np.int64)
        """The agent's clock for each row, in nanoseconds since 1970."""
        self.sequences: npt.NDArray[np.int64] = np.full(SAMPLES, -1, np.int64)
        self.last: npt.NDArray[np.float32] = np.full(len(METRICS), np.nan, np.float32)
        """The newest known value of each column."""
        self._gauges: dict[str, int] = {}
        """The column of each gauge, in the order in which the agent first told of them."""
        self.order = Order()
        self.arrivals: dict[Arrival, int] = {"next": 0, "restarted": 0, "late": 0, "doubled": 0}
        self.count = 0
        """Samples taken in since the window was last empty; rows in use are `min(count, SAMPLES)`."""
        self.interval_ms = 500
        self.arrived_unix_nano = 0
        """When the newest sample came, by the receiver's clock."""

    @property
    def rows(self) -> int:
        """Samples held, at most `SAMPLES`."""
        return min(self.count, SAMPLES)

    @property
    def newest_unix_nano(self) -> int:
        """The newest sample's own time."""
        return self.order.time_unix_nano

    @property
    def newest(self) -> npt.NDArray[np.float32]:
        """The values of the sample that was taken in last, NaN where missing; NaN all over where there is none."""
        return self.values[(self.count - 1) % SAMPLES]

    def add(self, sample: HealthSample, arrived_unix_nano: int) -> Arrival:
        """Takes a sample in, or not; says how it stood to those before it."""
        arrival = self.order.place(sample)
        self.arrivals[arrival] += 1
        if arrival == "doubled" or (arrival == "late" and not self._fits(sample)):
            return arrival
        if arrival == "restarted":
            self._clear()
        row = self.count % SAMPLES
        self.count += 1
        self.values[row] = np.nan
        for metric, value in sensible(sample.metrics).items():
            column = _COLUMNS[metric]
            self.values[row, column] = value
            if arrival != "late":
                self.last[column] = value
        for gauge, value in levels(sample.gauges):
            column = self._gauges.get(gauge) or self._widened(gauge)
            if column:
                self.values[row, column] = value
                if arrival != "late":
                    self.last[column] = value
        self.times[row] = sample.time_unix_nano
        self.sequences[row] = sample.sequence
        if arrival != "late":
            self.interval_ms = sample.interval_ms
            self.arrived_unix_nano = arrived_unix_nano
        return arrival

    def _fits(self, sample: HealthSample) -> bool:
        rows = self.rows
        if sample.agent.instance != self.order.instance or sample.sequence in self.sequences[:rows]:
            return False
        return rows < SAMPLES or sample.time_unix_nano > int(self.times.min())

    def _widened(self, gauge: str) -> int:
        """The column of a gauge that is new, 0 where there are too many."""
        if len(self._gauges) == MOST_GAUGES:
            return 0
        column = self._gauges[gauge] = self.values.shape[1]
        self.values = np.column_stack((self.values, np.full(SAMPLES, np.nan, np.float32)))
        self.last = np.append(self.last, np.float32(np.nan))
        return column

    def _clear(self) -> None:
        self.count = 0
        self.values.fill(np.nan)
        self.last.fill(np.nan)
