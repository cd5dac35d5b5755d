"""Sends orders about alerts to the health-monitor, and says what was done."""

import time
from collections.abc import Mapping
from typing import Any

from mendbus.cli.alerts_showing import ask, find, open_alerts, rows_of, target
from mendbus.cli.connect import connected
from mendbus.cli.output import clean, document, moment, say
from mendbus.contracts.errors import MendbusError
from mendbus.contracts.messages import ControlResult
from mendbus.settings import Settings


async def acknowledge(settings: Settings, wanted: str, reason: str | None, by: str | None, *, as_json: bool) -> None:
    """Takes the one open alert on whose key begins so. Raises `MendbusError`."""
    async with connected(settings) as bus:
        alert = find(await open_alerts(bus, settings.subjects), wanted)
        result = await ask(bus, settings.subjects, "ack", {"key": alert.key}, reason=reason, by=by)
    _tell(f"ack {alert.key}", result, as_json=as_json)


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
    until = time.time_ns() + int(seconds * 1e9)
    arguments = {"until_unix_nano": until, **{name: text for name, text in named.items() if text}}
    async with connected(settings) as bus:
        result = await ask(bus, settings.subjects, "silence", arguments, agent=agent, kind=kind, reason=reason, by=by)
    made: Mapping[str, Any] = result.data["silence"]
    _tell(f"silence {made['id']} of {target(made)} until {moment(until)[:19]}Z", result, as_json=as_json)


async def unsilence(settings: Settings, wanted: str, reason: str | None, by: str | None, *, as_json: bool) -> None:
    """Ends the one silence whose id is, begins or ends so. Raises `MendbusError`."""
    async with connected(settings) as bus:
        ids: list[str] = [row["id"] for row in await rows_of(bus, settings.subjects, "silences")]
        found = [name for name in ids if name.startswith(wanted) or name.endswith(wanted)]
        if wanted not in ids and len(found) != 1:
            raise MendbusError(f"{len(found)} silences have an id like {wanted!r}: see `mendbus alerts silences`")
        silence_id = wanted if wanted in ids else found[0]
        result = await ask(bus, settings.subjects, "unsilence", {"id": silence_id}, reason=reason, by=by)
    _tell(f"unsilence {silence_id}", result, as_json=as_json)


def _tell(what: str, result: ControlResult, *, as_json: bool) -> None:
    if as_json:
        document({"detail": result.detail, "by": result.instance, **result.data})
    else:
        say(f"{clean(what)}: {clean(result.detail or 'done')}")
