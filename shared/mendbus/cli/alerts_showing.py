"""Reads alerts and silences, and shows them."""

import time
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from mendbus import codec
from mendbus.cli.connect import connected
from mendbus.cli.ordering import user
from mendbus.cli.output import ago, clean, document, moment, say, table
from mendbus.contracts.errors import BusTimeout, MendbusError, NoResponders, Refused
from mendbus.contracts.ids import new_id
from mendbus.contracts.messages import AgentRef, Alert, Control, ControlResult
from mendbus.contracts.subjects import CONTENT_TYPE, HEADER_CONTENT_TYPE, MAX_SERVICE_BODY, Subjects
from mendbus.contracts.vocabulary import ALERT_SEVERITIES
from mendbus.settings import Settings

if TYPE_CHECKING:
    from mendbus.bus import Bus

ANSWER_SECONDS = 10.0


async def ask(
    bus: "Bus",
    subjects: Subjects,
    verb: str,
    arguments: Mapping[str, Any] | None = None,
    *,
    agent: tuple[str, str] | None = None,
    kind: str | None = None,
    reason: str | None = None,
    by: str | None = None,
) -> ControlResult:
    """What the health-monitor answers. Raises `MendbusError` when there is none, or it refuses."""
    order = Control(
        id=new_id(),
        time_unix_nano=time.time_ns(),
        verb=verb,
        by=by or user(),
        agent=AgentRef(kind=agent[0], id=agent[1]) if agent else None,
        kind=kind,
        arguments=dict(arguments or {}),
        reason=reason,
    )
    headers = {HEADER_CONTENT_TYPE: CONTENT_TYPE}
    try:
        reply = await bus.request(subjects.control(verb), codec.encode(order), headers, timeout=ANSWER_SECONDS)
    except NoResponders:
        raise MendbusError(f"no service takes {verb} orders: is a health-monitor running?") from None
    except BusTimeout:
        raise MendbusError(f"nobody answered {verb} within {ANSWER_SECONDS:g} s: ask again") from None
    result = codec.decode(ControlResult, reply.body, MAX_SERVICE_BODY)
    if not result.ok:
        raise MendbusError(f"{verb} was refused: {clean(result.detail or 'no reason was given')}")
    return result


async def rows_of(bus: "Bus", subjects: Subjects, verb: str) -> list[dict[str, Any]]:
    """All pages of what a verb lists under its own name."""
    rows: list[dict[str, Any]] = []
    after: str | None = ""
    while after is not None:
        found = (await ask(bus, subjects, verb, {"after": after})).data
        rows += found[verb]
        after = found.get("next")
    return rows


async def open_alerts(bus: "Bus", subjects: Subjects) -> list[Alert]:
    """Every open alert, the gravest first. Raises `MendbusError`."""
    found = [codec.validate(Alert, row) for row in await rows_of(bus, subjects, "alerts")]
    return sorted(found, key=lambda one: (-ALERT_SEVERITIES.index(one.severity), one.since_unix_nano or 0, one.key))


def find(alerts: Iterable[Alert], wanted: str) -> Alert:
    """The one alert whose key, or whose incident's id, begins so. Raises `MendbusError` for none, or several."""
    found = [one for one in alerts if one.key.startswith(wanted) or (one.incident_id or "").startswith(wanted)]
    exact = [one for one in found if wanted in (one.key, one.incident_id)]
    if len(exact or found) == 1:
        return (exact or found)[0]
    if not found:
        raise MendbusError(f"no open alert begins with {wanted!r}: see `mendbus alerts`")
    named = ", ".join(one.key for one in found[:5])
    raise MendbusError(f"{len(found)} open alerts begin with {wanted!r}: {clean(named)}; name one of them")


async def open_ones(settings: Settings, *, as_json: bool) -> None:
    """Shows the open alerts."""
    async with connected(settings) as bus:
        found = await open_alerts(bus, settings.subjects)
    if as_json:
        document([_facts(one) for one in found])
    elif found:
        _table(found)
    else:
        say("no open alerts")


async def history(settings: Settings, seconds: float, *, as_json: bool) -> None:
    """Shows each alert that changed within the last `seconds`, as it stands, the newest last."""
    subjects = settings.subjects
    last: dict[tuple[str, int], Alert] = {}
    async with connected(settings) as bus:
        since = time.time_ns() - int(seconds * 1e9)
        async for stored in bus.read(subjects.stream("ALERTS"), subjects.everyone("alert"), since_unix_nano=since):
            try:
                alert = codec.decode(Alert, stored.body, MAX_SERVICE_BODY)
            except Refused:
                continue
            raised = alert.key, alert.since_unix_nano or 0
            if (alert.version or 0) >= ((last[raised].version or 0) if raised in last else 0):
                last[raised] = alert
    found = sorted(last.values(), key=lambda one: (one.since_unix_nano or 0, one.key))
    if as_json:
        document([_facts(one) for one in found])
    elif found:
        _table(found)
    else:
        say("no alerts")


async def one(settings: Settings, wanted: str, *, as_json: bool) -> None:
    """Shows one open alert."""
    async with connected(settings) as bus:
        alert = find(await open_alerts(bus, settings.subjects), wanted)
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
        found = await rows_of(bus, settings.subjects, "silences")
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
