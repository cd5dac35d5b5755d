"""Sends orders about alerts to the health-monitor, and says what was done."""

from collections.abc import Mapping
from typing import Any

from mendbus.asking import alerts
from mendbus.cli.alerts_showing import target
from mendbus.cli.connect import connected
from mendbus.cli.output import clean, document, moment, say
from mendbus.contracts.messages import ControlResult
from mendbus.settings import Settings


async def acknowledge(settings: Settings, wanted: str, reason: str | None, by: str | None, *, as_json: bool) -> None:
    """Takes the one open alert on whose key begins so. Raises `MendbusError`."""
    async with connected(settings) as bus:
        key, result = await alerts.acknowledge(bus, settings.subjects, wanted, reason, by)
    _tell(f"ack {key}", result, as_json=as_json)


async def silence(
    settings: Settings,
    agent: tuple[str, str] | None,
    kind: str | None,
    named: Mapping[str, str | None],
    seconds: float,
    reason: str | None,
    by: str | None,
    *,
    as_json: bool,
) -> None:
    """Makes a silence of so many seconds. Raises `MendbusError`."""
    async with connected(settings) as bus:
        result = await alerts.silence(bus, settings.subjects, agent, kind, named, seconds, reason, by)
    made: Mapping[str, Any] = result.data["silence"]
    until = moment(made["until_unix_nano"])[:19]
    _tell(f"silence {made['id']} of {target(made)} until {until}Z", result, as_json=as_json)


async def unsilence(settings: Settings, wanted: str, reason: str | None, by: str | None, *, as_json: bool) -> None:
    """Ends the one silence whose id is, begins or ends so. Raises `MendbusError`."""
    async with connected(settings) as bus:
        silence_id, result = await alerts.unsilence(bus, settings.subjects, wanted, reason, by)
    _tell(f"unsilence {silence_id}", result, as_json=as_json)


def _tell(what: str, result: ControlResult, *, as_json: bool) -> None:
    if as_json:
        document({"detail": result.detail, "by": result.instance, **result.data})
    else:
        say(f"{clean(what)}: {clean(result.detail or 'done')}")
