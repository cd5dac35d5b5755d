"""Reads alerts and silences, and shows them."""

from collections.abc import Iterable, Mapping
from typing import Any

from mendbus.asking import alerts
from mendbus.cli.connect import connected
from mendbus.cli.output import ago, clean, document, moment, say, table
from mendbus.contracts.messages import Alert
from mendbus.settings import Settings


async def open_ones(settings: Settings, *, as_json: bool) -> None:
    """Shows the open alerts."""
    async with connected(settings) as bus:
        found = await alerts.open_alerts(bus, settings.subjects)
    if as_json:
        document([_facts(one) for one in found])
    elif found:
        _table(found)
    else:
        say("no open alerts")


async def history(settings: Settings, seconds: float, *, as_json: bool) -> None:
    """Shows each alert that changed within the last `seconds`, as it stands, the newest last."""
    async with connected(settings) as bus:
        found = await alerts.changed(bus, settings.subjects, seconds)
    if as_json:
        document([_facts(one) for one in found])
    elif found:
        _table(found)
    else:
        say("no alerts")


async def one(settings: Settings, wanted: str, *, as_json: bool) -> None:
    """Shows one open alert."""
    async with connected(settings) as bus:
        alert = alerts.find(await alerts.open_alerts(bus, settings.subjects), wanted)
    if as_json:
        document(_facts(alert))
        return
    say(f"{alert.severity}  {_state(alert)}  {clean(alert.key)}")
    say(f"  {clean(alert.summary)}")
    lines = {
        "do": alert.hint,
        "since": moment(alert.since_unix_nano) if alert.since_unix_nano else None,
        "agent": alert.agent.key if alert.agent else None,
        "rule": alert.rule,
        "taken on": f"by {alert.acknowledged_by}" if alert.acknowledged_by else None,
        "because": alert.reason,
        "muted by": alert.muted_by,
        "incident": f"{alert.incident_id}, `mendbus explain {alert.incident_id}`" if alert.incident_id else None,
        "trace": f"{alert.trace_id}, `mendbus trace {alert.trace_id[:12]}`" if alert.trace_id else None,
        "flapping": "it came and went, and stays open until it has been calm" if alert.flapping else None,
    }
    for name, text in lines.items():
        if text:
            say(f"  {name:<9} {clean(text)}")


async def silences(settings: Settings, *, as_json: bool) -> None:
    """Shows the silences in force."""
    async with connected(settings) as bus:
        found = await alerts.rows_of(bus, settings.subjects, "silences")
    if as_json:
        document(found)
        return
    rows = [
        (one["id"], moment(one["until_unix_nano"])[:16] + "Z", one["by"], target(one), one.get("reason") or "-")
        for one in found
    ]
    if rows:
        table(("id", "until", "by", "silences", "reason"), rows)
    else:
        say("no silences")


def target(silence: Mapping[str, Any]) -> str:
    """What a silence names, in words."""
    return " ".join(f"{name} {silence[name]}" for name in ("key", "rule", "kind", "agent") if silence.get(name))


def _state(alert: Alert) -> str:
    if alert.state == "acknowledged":
        return f"acknowledged by {clean(alert.acknowledged_by or '?', 40)}"
    return "muted" if alert.muted_by and alert.state == "raised" else alert.state


def _facts(alert: Alert) -> dict[str, Any]:
    return alert.model_dump(exclude_none=True)


def _table(alerts: Iterable[Alert]) -> None:
    rows = [
        (one.severity, _state(one), ago(one.since_unix_nano or one.time_unix_nano), one.key, one.summary)
        for one in alerts
    ]
    table(("severity", "state", "since>", "key", "summary"), rows)
