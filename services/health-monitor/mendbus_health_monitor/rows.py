"""History to messages and back: rows of a minute, and bundles of ten seconds. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from mendbus import codec
from mendbus.contracts.messages import HealthMinute, HealthSeconds
from mendbus_health_monitor.history import MINUTE, History, Minute, Track

WINDOW: Final = 10
"""Seconds in a bundle."""

_NANO: Final = 1_000_000_000
_LARGEST: Final = 1e18


def minute_id(kind: str, agent: str, number: int) -> str:
    """The message id of a row: the same in every replica."""
    return f"{kind}.{agent}.{number}"


def seconds_id(bundle: int, window: int) -> str:
    """The message id of a bundle: the same in every replica."""
    return f"second.{bundle}.{window}"


def pack_minute(minute: Minute) -> bytes:
    """A HealthMinute. Whole numbers go as such, which takes a fraction of the bytes."""
    metrics = {name: [_short(number) for number in row] for name, row in minute.metrics.items()}
    return codec.pack(_message(minute.agent.model_dump(exclude_none=True), minute.number * MINUTE, "metrics", metrics))


def pack_seconds(history: History, bundle: int, first: int, last: int) -> bytes | None:
    """A HealthSeconds of the seconds from `first` to `last`, both included; None when nobody in it was heard."""
    agents = [told for track in history.everyone() if track.bundle == bundle and (told := _seconds(track, first, last))]
    return codec.pack({"time_unix_nano": first * _NANO, "agents": agents}) if agents else None


def bundles(history: History) -> list[int]:
    """Those in which there is anybody."""
    return sorted({track.bundle for track in history.everyone()})


def points_of(message: HealthSeconds) -> Iterator[tuple[Any, int, Mapping[str, float]]]:
    """Agent, second and means of all that a bundle tells; what does not fit together is left out."""
    first = message.time_unix_nano // _NANO
    for told in message.agents:
        by_second: dict[int, dict[str, float]] = {second: {} for second in told.seconds}
        for name, values in told.series.items():
            gaps = told.missing.get(name, ())
            heard = [second for second in told.seconds if second not in gaps]
            if len(heard) == len(values):
                for second, value in zip(heard, values, strict=True):
                    if -_LARGEST < value < _LARGEST:
                        by_second[second][name] = value
        for second, means in by_second.items():
            yield told.agent, first + second, means


def row_of(message: HealthMinute, wanted: Sequence[str]) -> Mapping[str, Any]:
    """A stored minute as `control.history` answers it; `wanted` names the metrics, none of them means all."""
    metrics = {name: row for name, row in message.metrics.items() if not wanted or name in wanted}
    return {"time_unix_nano": message.time_unix_nano, "metrics": metrics}


def _seconds(track: Track, first: int, last: int) -> dict[str, Any] | None:
    points = list(track.points(first, last))
    if not points:
        return None
    names = dict.fromkeys(name for _, means in points for name in means)
    told: dict[str, Any] = {
        "agent": track.agent.model_dump(exclude_none=True),
        "seconds": [second - first for second, _ in points],
        "series": {name: [_short(means[name]) for _, means in points if name in means] for name in names},
    }
    missing = {
        name: gaps for name in names if (gaps := [second - first for second, means in points if name not in means])
    }
    return told | ({"missing": missing} if missing else {})


def _message(agent: Mapping[str, Any], second: int, name: str, value: object) -> dict[str, Any]:
    return {"agent": agent, "time_unix_nano": second * _NANO, name: value}


def _short(number: float) -> float:
    """Seven significant digits are what a 32-bit float has; a whole number is one of few bytes."""
    if number == int(number):
        return int(number)
    rounded = float(f"{number:.7g}")
    return int(rounded) if rounded == int(rounded) else rounded
