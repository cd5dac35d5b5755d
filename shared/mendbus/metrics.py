"""Metrics as plain numbers: counted where things happen, read when somebody asks; shown as Prometheus text.

Of the OpenTelemetry SDK nothing is used, for the reason that its spans are not: a lock and an attribute set a
measurement. A count here is one look-up in a dictionary, on the event loop's own thread. How many series there are is
bounded by `instruments.TABLE`: unknown values of an attribute count as `other`.
"""

import os
import resource
import sys
import time
from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NamedTuple

from mendbus import instruments
from mendbus.instruments import MOST_VALUES, OTHER, Instrument

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"

Values = tuple[str, ...]
"""The values of an instrument's attributes, in their order."""
Reading = float | Mapping[Values, float]
"""What is read when asked: one number, or one for each combination of values."""


@dataclass(slots=True)
class Distribution:
    """A histogram's state: how many fell into each bucket (the last has no bound), how many in all, and their sum."""

    counts: list[int]
    count: int = 0
    total: float = 0.0


class Series(NamedTuple):
    """One line of numbers as it stands."""

    instrument: Instrument
    values: Values
    value: float | Distribution


@dataclass(slots=True, eq=False)
class Meter:
    """The metrics of one service. Not for other threads, but for `collect`, which gives a copy.

    `started_unix_nano`: since when it has been counting.
    """

    service: str = ""
    started_unix_nano: int = field(default_factory=time.time_ns)
    _numbers: dict[Instrument, dict[Values, float]] = field(default_factory=dict[Instrument, dict[Values, float]])
    _spread: dict[Instrument, dict[Values, Distribution]] = field(
        default_factory=dict[Instrument, dict[Values, Distribution]]
    )
    _read: dict[Instrument, Callable[[], Reading]] = field(default_factory=dict[Instrument, Callable[[], Reading]])

    def add(self, instrument: Instrument, amount: float = 1, *values: str) -> None:
        """Counts. `values`: of the instrument's attributes, in their order."""
        series = self._numbers.get(instrument)
        if series is None:
            series = self._numbers[instrument] = {}
        if values not in series:
            values = _admitted(instrument, values, series)
        series[values] = series.get(values, 0) + amount

    def record(self, instrument: Instrument, value: float, *values: str) -> None:
        """Takes a measurement into a histogram; what is below zero, because clocks differ, counts as zero."""
        series = self._spread.get(instrument)
        if series is None:
            series = self._spread[instrument] = {}
        found = series.get(values)
        if found is None:
            values = _admitted(instrument, values, series)
            found = series.setdefault(values, Distribution([0] * (len(instrument.buckets) + 1)))
        value = max(0.0, value)
        found.counts[bisect_left(instrument.buckets, value)] += 1
        found.count += 1
        found.total += value

    def observe(self, instrument: Instrument, read: Callable[[], Reading]) -> None:
        """Has a number read whenever somebody asks for it; `read` must be quick, and may raise: then it is left out."""
        self._read[instrument] = read

    def collect(self) -> list[Series]:
        """Everything as it stands, in the order of the table."""
        found: list[Series] = []
        for instrument in instruments.TABLE:
            read = self._read.get(instrument)
            if read is not None:
                found += _observed(instrument, read)
            found += [Series(instrument, *item) for item in self._numbers.get(instrument, {}).items()]
            found += [
                Series(instrument, values, Distribution(list(one.counts), one.count, one.total))
                for values, one in self._spread.get(instrument, {}).items()
            ]
        return found


def _observed(instrument: Instrument, read: Callable[[], Reading]) -> list[Series]:
    reading: Reading = {}
    # What one part cannot say must not keep the others from being heard.
    with suppress(Exception):
        reading = read()
    if isinstance(reading, Mapping):
        sums: dict[Values, float] = {}
        for values, value in reading.items():
            admitted = _admitted(instrument, values, sums)
            sums[admitted] = sums.get(admitted, 0) + value
        return [Series(instrument, *item) for item in sums.items()]
    return [Series(instrument, (), reading)]


def _admitted(instrument: Instrument, values: Values, known: Iterable[Values]) -> Values:
    """The values with those that are not listed, or come too late, as `other`. Raises `ValueError` for too few."""
    admitted: list[str] = []
    for place, (attribute, value) in enumerate(zip(instrument.attributes, values, strict=True)):
        if attribute.values:
            admitted.append(value if value in attribute.values else OTHER)
        else:
            seen = {one[place] for one in known}
            admitted.append(value if value in seen or len(seen) < MOST_VALUES else OTHER)
    return tuple(admitted)


def of_process(meter: Meter) -> None:
    """Has a meter read what the operating system says of this process."""
    started = time.monotonic()
    page = os.sysconf("SC_PAGE_SIZE")

    def cpu() -> Reading:
        spent = os.times()
        return {("user",): spent.user, ("system",): spent.system}

    def memory() -> float:
        if sys.platform == "linux":
            return int(Path("/proc/self/statm").read_text("ascii").split()[1]) * page
        return float(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)

    meter.observe(instruments.CPU_TIME, cpu)
    meter.observe(instruments.MEMORY, memory)
    meter.observe(instruments.DESCRIPTORS, lambda: len(os.listdir("/proc/self/fd")))
    meter.observe(instruments.UPTIME, lambda: time.monotonic() - started)


# Prometheus

_UNITS: Final = {"s": "_seconds", "By": "_bytes"}
_KINDS: Final = {"counter": "counter", "histogram": "histogram"}


def prometheus_name(instrument: Instrument) -> str:
    """What OpenTelemetry's rules make of a name and a unit for Prometheus."""
    name = instrument.name.replace(".", "_") + _UNITS.get(instrument.unit, "")
    return f"{name}_total" if instrument.kind == "counter" else name


def prometheus(meters: Sequence[Meter]) -> str:
    """The metrics of all services of a process in Prometheus' text format; each series says whose it is."""
    found: dict[Instrument, list[str]] = {}
    for meter in meters:
        for series in meter.collect():
            found.setdefault(series.instrument, []).extend(_lines(series, meter.service))
    lines: list[str] = []
    for instrument in instruments.TABLE:
        if instrument in found:
            name = prometheus_name(instrument)
            lines += [
                f"# HELP {name} {_escaped(instrument.meaning)}",
                f"# TYPE {name} {_KINDS.get(instrument.kind, 'gauge')}",
            ]
            lines += found[instrument]
    return "".join(f"{line}\n" for line in lines)


def _lines(series: Series, service: str) -> list[str]:
    name, value = prometheus_name(series.instrument), series.value
    names = (attribute.name.replace(".", "_") for attribute in series.instrument.attributes)
    labels = [("service_name", service), *zip(names, series.values, strict=False)]
    if not isinstance(value, Distribution):
        return [f"{name}{_labels(labels)} {_number(value)}"]
    lines: list[str] = []
    below = 0
    for bound, count in zip((*series.instrument.buckets, float("inf")), value.counts, strict=True):
        below += count
        lines.append(f"{name}_bucket{_labels([*labels, ('le', _number(bound))])} {below}")
    return [
        *lines,
        f"{name}_sum{_labels(labels)} {_number(value.total)}",
        f"{name}_count{_labels(labels)} {value.count}",
    ]


def _labels(labels: Sequence[tuple[str, str]]) -> str:
    return "{" + ",".join(f'{name}="{_escaped(value, quoted=True)}"' for name, value in labels) + "}"


def _escaped(text: str, *, quoted: bool = False) -> str:
    text = text.replace("\\", "\\\\").replace("\n", "\\n")
    return text.replace('"', '\\"') if quoted else text


def _number(value: float) -> str:
    if value == float("inf"):
        return "+Inf"
    return str(int(value)) if value == int(value) and abs(value) < 1e15 else repr(float(value))
