"""Rows of agents' health for other programs: one a metric and a minute, or a metric and a second."""

from collections.abc import Iterator
from typing import Final

from mendbus import codec
from mendbus.bus import StoredMessage
from mendbus.contracts.errors import Refused
from mendbus.contracts.messages import HealthMinute, HealthSeconds
from mendbus.contracts.subjects import MAX_SERVICE_BODY
from mendbus.export import Row, rfc3339

HEALTH_COLUMNS: Final = ("time", "time_unix_nano", "agent", "metric", "min", "mean", "max", "count")
"""`time`: when the minute or second began. Of a second there is the mean alone."""

_NANO: Final = 1_000_000_000


class MinuteRows:
    """Turns stored minutes into rows, one a metric."""

    def of(self, message: StoredMessage) -> Iterator[Row]:
        """The rows of a minute; what is none is left out."""
        try:
            minute = codec.decode(HealthMinute, message.body, MAX_SERVICE_BODY)
        except Refused:
            return
        for metric, (least, mean, most, count) in minute.metrics.items():
            row = _row(minute.time_unix_nano, minute.agent.key, metric, mean)
            yield row | {"min": least, "max": most, "count": round(count)}

    def rest(self) -> Iterator[Row]:
        """None: each minute makes its rows at once."""
        return iter(())


class SecondRows:
    """Turns stored bundles of seconds into rows, one a metric and second."""

    def of(self, message: StoredMessage) -> Iterator[Row]:
        """The rows of a bundle; what is none is left out."""
        try:
            bundle = codec.decode(HealthSeconds, message.body, MAX_SERVICE_BODY)
        except Refused:
            return
        for told in bundle.agents:
            for metric, values in told.series.items():
                gaps = told.missing.get(metric, ())
                heard = (second for second in told.seconds if second not in gaps)
                for second, value in zip(heard, values, strict=False):
                    yield _row(bundle.time_unix_nano + second * _NANO, told.agent.key, metric, value)

    def rest(self) -> Iterator[Row]:
        """None: each bundle makes its rows at once."""
        return iter(())


def _row(time_unix_nano: int, agent: str, metric: str, mean: float) -> Row:
    row: Row = dict.fromkeys(HEALTH_COLUMNS)
    time = rfc3339(time_unix_nano)
    return row | {"time": time, "time_unix_nano": time_unix_nano, "agent": agent, "metric": metric, "mean": mean}
