"""How much more Mendbus itself can take: recoveries a second, errors waiting, how full its streams are. Pure."""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import pairwise
from math import isfinite
from typing import Any, Final

import numpy as np

from mendbus.bus import Usage
from mendbus_health_monitor.findings import Finding
from mendbus_health_monitor.running_out import CERTAIN, Resource, Window, running_out, within
from mendbus_health_monitor.series import blocks
from mendbus_health_monitor.trend import trends

READ_SECONDS: Final = 10.0
"""Between two readings."""
OWN: Final = "mendbus"
"""The kind under which findings about Mendbus itself are told."""

_READINGS: Final = 180
_FEWEST: Final = 12
_POINTS: Final = 24
_LATEST: Final = 24
_MINUTE: Final = 6
_GROWING_P: Final = 1e-5
_MANY_WAITING: Final = 100.0
_NANO: Final = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Reading:
    """What is so at a moment. `recoveries`: incidents that had their first outcome since the last reading."""

    time_unix_nano: int
    recoveries: int
    waiting: int
    """Stored errors that are not acknowledged yet, at most."""
    streams: Mapping[str, Usage]
    """By name; `refuses` names those that take nothing more when they are full."""


class OwnCapacity:
    """Takes readings in; holds half an hour of them."""

    def __init__(self, sustainable: float, refuses: frozenset[str]) -> None:
        """`sustainable`: recoveries a second that the benchmark found this machine to sustain; `refuses`: streams."""
        self._sustainable = sustainable
        self._refuses = refuses
        self._readings: deque[Reading] = deque(maxlen=_READINGS)
        """Of all but the last one without streams: of those their bytes are kept, below."""
        self._bytes: dict[str, deque[float]] = {}
        self._since: dict[tuple[str, str], int] = {}

    def add(self, reading: Reading) -> None:
        """Takes a reading in. After a gap, or a clock set back, what was before it is forgotten."""
        if self._readings:
            passed = reading.time_unix_nano - self._readings[-1].time_unix_nano
            if 0 < passed < 6 * READ_SECONDS * _NANO:
                self._readings[-1] = replace(self._readings[-1], streams={})
            else:
                self._readings.clear()
                self._bytes.clear()
        self._readings.append(reading)
        for name, usage in reading.streams.items():
            self._bytes.setdefault(name, deque(maxlen=_READINGS)).append(float(usage.bytes))
        standing = {(finding.agent, finding.metric): finding for finding in self.findings()}
        self._since = {key: finding.since_unix_nano for key, finding in standing.items()}

    def row(self) -> dict[str, Any]:
        """All of it as plain values; empty before the first reading. Rates a second, sizes in bytes."""
        if not self._readings:
            return {}
        last, rates = self._readings[-1], self._rates()
        recoveries: dict[str, Any] = {"sustainable_per_s": self._sustainable}
        if rates:
            now = float(np.mean(rates[-_MINUTE:]))
            recoveries |= {
                "now_per_s": now,
                "peak_per_s": max(rates),
                "headroom_per_s": max(0.0, self._sustainable - now),
                "share": now / self._sustainable,
            }
        saturation = self._saturation()
        if saturation is not None:
            recoveries |= _eta(saturation)
        growing = self._growing()
        errors: dict[str, Any] = {"waiting_at_most": last.waiting}
        if growing is not None:
            errors["waiting_grows_per_s"] = growing[0]
        return {
            "time_unix_nano": last.time_unix_nano,
            "recoveries": recoveries,
            "errors": errors,
            "streams": [self._stream_row(name) for name in last.streams],
        }

    def findings(self) -> list[Finding]:
        """What of it is wrong or soon will be, for as long as it is so."""
        outs = [self._saturation(), *(self._stream(name) for name in self._refuses)]
        found = [self._running_out(out) for out in outs if out is not None and out.forecast.chance >= CERTAIN]
        growing = self._growing()
        if growing is not None:
            slope, z, p, start, level = growing
            agent = f"{OWN}/ERRORS"
            words = (
                f"{level:.0f} errors wait, {slope:.2g} more each second: they come in faster than they are recovered"
            )
            since = self._begun(agent, "errors_waiting")
            found.append(Finding(agent, "errors_waiting", "trend", since, True, z, p, start, level, words, slope))
        return found

    def _running_out(self, out: Resource) -> Finding:
        since, found = self._begun(out.agent, out.metric), out.forecast
        words = f"{out.sentence}: {out.scale}"
        return Finding(
            out.agent, out.metric, "exhaustion", since, True, out.z, out.p, out.level, out.limit, words, out.per_second,
            found.eta, found.low, found.high,
        )  # fmt: skip

    def _begun(self, agent: str, metric: str) -> int:
        return self._since.get((agent, metric), self._readings[-1].time_unix_nano)

    def _rates(self) -> list[float]:
        return [
            new.recoveries / ((new.time_unix_nano - old.time_unix_nano) / _NANO)
            for old, new in pairwise(self._readings)
        ]

    def _out(self, name: str, metric: str, values: list[float], limit: float) -> Resource | None:
        if len(values) < _FEWEST:
            return None
        # What has just begun shows in the latest readings alone, what is slow only in all of them.
        windows = [_window(values[-_LATEST:]), _window(values)]
        return running_out(f"{OWN}/{name}", metric, 0, float(np.median(values[-3:])), limit, windows)

    def _saturation(self) -> Resource | None:
        return self._out("services", "recoveries_per_s", self._rates(), self._sustainable)

    def _stream(self, name: str) -> Resource | None:
        usage = self._readings[-1].streams.get(name) if self._readings else None
        if usage is None or usage.max_bytes <= 0:
            return None
        return self._out(name, "stream_bytes", list(self._bytes[name]), float(usage.max_bytes))

    def _stream_row(self, name: str) -> dict[str, Any]:
        usage = self._readings[-1].streams[name]
        row: dict[str, Any] = {"stream": name, "bytes": usage.bytes, "refuses_when_full": name in self._refuses}
        if usage.max_bytes > 0:
            row |= {"max_bytes": usage.max_bytes, "share": usage.bytes / usage.max_bytes}
        out = self._stream(name)
        return row | (_eta(out) if out is not None else {})

    def _growing(self) -> tuple[float, float, float, float, float] | None:
        """Of the errors that wait: slope a second, z, p, level at the start and now; None when they grow no more."""
        waiting = [float(reading.waiting) for reading in self._readings]
        if len(waiting) < _FEWEST:
            return None
        window = _window(waiting[-_LATEST:])
        found = window.trend
        slope, z, p, level = (float(of[0]) for of in (found.slope, found.z, found.p, found.level))
        if not (slope > 0.0 and p < _GROWING_P and level >= _MANY_WAITING):
            return None
        return slope, z, p, level - slope * window.span, level


def _window(values: list[float]) -> Window:
    means, size = blocks(np.array(values)[:, None], _POINTS)
    step = size * READ_SECONDS
    return Window(means, step, trends(np.arange(len(means), dtype=np.float64) * step, means))


def _eta(out: Resource) -> dict[str, Any]:
    row: dict[str, Any] = {"per_second": out.per_second, "chance": out.forecast.chance}
    found = out.forecast
    if found.chance >= CERTAIN:
        row |= {"sentence": f"full in {within(found)}", "scale": out.scale}
    row |= {"eta_seconds": found.eta, "eta_low": found.low, "eta_high": found.high}
    return {name: value for name, value in row.items() if not isinstance(value, float) or isfinite(value)}
