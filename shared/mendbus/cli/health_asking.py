"""What the health-monitor is asked by commands, and how its numbers are written for people."""

import time
from typing import TYPE_CHECKING, Any, Final

from mendbus import codec
from mendbus.cli.ordering import user
from mendbus.contracts.errors import BusTimeout, MendbusError, NoResponders
from mendbus.contracts.ids import new_id
from mendbus.contracts.messages import AgentRef, Control, ControlResult
from mendbus.contracts.subjects import CONTENT_TYPE, HEADER_CONTENT_TYPE, MAX_SERVICE_BODY, Subjects

if TYPE_CHECKING:
    from mendbus.bus import Bus

ANSWER_SECONDS: Final = 5.0

Data = dict[str, Any]

_UNITS: Final = {
    "cpu_percent": " %",
    "disk_percent": " %",
    "memory_bytes": "B",
    "network_bytes_per_s": "B/s",
    "errors_per_s": "/s",
    "throughput_per_s": "/s",
    "response_time_ms": " ms",
    "temperature_celsius": " °C",
    "power_watts": " W",
}
_RATIOS: Final = frozenset(("availability_ratio", "cache_hit_ratio"))
_BYTES: Final = ("B", "kB", "MB", "GB", "TB", "PB")


async def ask(
    bus: "Bus", subjects: Subjects, verb: str, agent: tuple[str, str] | None = None, **arguments: Any
) -> Data:
    """One answer of the health-monitor. Raises `MendbusError` when there is none, or it is a no."""
    control = Control(
        id=new_id(),
        time_unix_nano=time.time_ns(),
        verb=verb,
        by=user(),
        agent=AgentRef(kind=agent[0], id=agent[1]) if agent else None,
        arguments=arguments,
    )
    body, headers = codec.encode(control), {HEADER_CONTENT_TYPE: CONTENT_TYPE}
    try:
        reply = await bus.request(subjects.control(verb), body, headers, timeout=ANSWER_SECONDS)
    except NoResponders:
        raise MendbusError("nobody knows how agents are: the health-monitor does not run") from None
    except BusTimeout:
        raise MendbusError(f"the health-monitor did not answer within {ANSWER_SECONDS:g} s: ask again") from None
    result = codec.decode(ControlResult, reply.body, MAX_SERVICE_BODY)
    if not result.ok:
        raise MendbusError(f"the health-monitor says no: {result.detail or 'it gives no reason'}")
    return result.data


async def ask_all(
    bus: "Bus", subjects: Subjects, verb: str, name: str, agent: tuple[str, str] | None = None, **arguments: Any
) -> tuple[list[Data], Data]:
    """The rows called `name` of every page of an answer, and the rest of the first page."""
    page = await ask(bus, subjects, verb, agent, **arguments)
    rows: list[Data] = page.pop(name, [])
    rest, after = page, page.pop("next", None)
    while after is not None:
        page = await ask(bus, subjects, verb, agent, **arguments, after=after)
        rows += page.pop(name, [])
        after = page.get("next")
    return rows, rest


def written(metric: str, value: float) -> str:
    """A metric's value with its unit."""
    if metric in _RATIOS:
        return f"{value * 100:.3g} %"
    unit = _UNITS.get(metric, "")
    if unit.startswith("B"):
        size = 0
        while abs(value) >= 1000 and size < len(_BYTES) - 1:
            value, size = value / 1000, size + 1
        return f"{value:.3g} {_BYTES[size]}{unit[1:]}"
    return f"{value:.4g}{unit}"


def counted(samples: Data) -> str:
    """What was the matter with samples, in words; empty where there is nothing to say."""
    return ", ".join(f"{number} {reason.replace('_', ' ')}" for reason, number in sorted(samples.items()) if number)
