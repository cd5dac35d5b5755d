"""Alerts and silences: which there are, and orders about them."""

import time
from collections.abc import Iterable, Mapping
from typing import Any, Final

from mendbus import codec
from mendbus.asking.errors import Declined, NotFound, Unanswered
from mendbus.asking.orders import user
from mendbus.asking.text import clean
from mendbus.bus import Bus
from mendbus.contracts.errors import BusTimeout, NoResponders, Refused
from mendbus.contracts.ids import new_id
from mendbus.contracts.messages import AgentRef, Alert, Control, ControlResult
from mendbus.contracts.subjects import CONTENT_TYPE, HEADER_CONTENT_TYPE, MAX_SERVICE_BODY, Subjects
from mendbus.contracts.vocabulary import ALERT_SEVERITIES

ANSWER_SECONDS: Final = 10.0


async def ask(
    bus: Bus,
    subjects: Subjects,
    verb: str,
    arguments: Mapping[str, Any] | None = None,
    *,
    agent: tuple[str, str] | None = None,
    kind: str | None = None,
    reason: str | None = None,
    by: str | None = None,
) -> ControlResult:
    """What the health-monitor answers. Raises `Unanswered` when it does not, `Declined` when it refuses."""
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
        raise Unanswered(f"no service takes {verb} orders: is a health-monitor running?") from None
    except BusTimeout:
        raise Unanswered(f"nobody answered {verb} within {ANSWER_SECONDS:g} s: ask again") from None
    result = codec.decode(ControlResult, reply.body, MAX_SERVICE_BODY)
    if not result.ok:
        raise Declined(f"{verb} was refused: {clean(result.detail or 'no reason was given')}")
    return result


async def rows_of(bus: Bus, subjects: Subjects, verb: str) -> list[dict[str, Any]]:
    """All pages of what a verb lists under its own name."""
    rows: list[dict[str, Any]] = []
    after: str | None = ""
    while after is not None:
        found = (await ask(bus, subjects, verb, {"after": after})).data
        rows += found[verb]
        after = found.get("next")
    return rows


async def open_alerts(bus: Bus, subjects: Subjects) -> list[Alert]:
    """Every open alert, the gravest first. Raises `MendbusError`."""
    found = [codec.validate(Alert, row) for row in await rows_of(bus, subjects, "alerts")]
    return sorted(found, key=lambda one: (-ALERT_SEVERITIES.index(one.severity), one.since_unix_nano or 0, one.key))


async def changed(bus: Bus, subjects: Subjects, seconds: float) -> list[Alert]:
    """Each alert that changed within the last `seconds`, as it stands, the newest last."""
    last: dict[tuple[str, int], Alert] = {}
    since = time.time_ns() - int(seconds * 1e9)
    async for stored in bus.read(subjects.stream("ALERTS"), subjects.everyone("alert"), since_unix_nano=since):
        try:
            alert = codec.decode(Alert, stored.body, MAX_SERVICE_BODY)
        except Refused:
            continue
        raised = alert.key, alert.since_unix_nano or 0
        if (alert.version or 0) >= ((last[raised].version or 0) if raised in last else 0):
            last[raised] = alert
    return sorted(last.values(), key=lambda one: (one.since_unix_nano or 0, one.key))


def find(alerts: Iterable[Alert], wanted: str) -> Alert:
    """The one alert whose key, or whose incident's id, begins so. Raises `NotFound` for none, or several."""
    found = [one for one in alerts if one.key.startswith(wanted) or (one.incident_id or "").startswith(wanted)]
    exact = [one for one in found if wanted in (one.key, one.incident_id)]
    if len(exact or found) == 1:
        return (exact or found)[0]
    if not found:
        raise NotFound(f"no open alert begins with {wanted!r}: see `mendbus alerts`")
    named = ", ".join(one.key for one in found[:5])
    raise NotFound(f"{len(found)} open alerts begin with {wanted!r}: {clean(named)}; name one of them")


async def acknowledge(
    bus: Bus, subjects: Subjects, wanted: str, reason: str | None, by: str | None
) -> tuple[str, ControlResult]:
    """Takes the one open alert on whose key begins so; its key, and what was done. Raises `MendbusError`."""
    alert = find(await open_alerts(bus, subjects), wanted)
    return alert.key, await ask(bus, subjects, "ack", {"key": alert.key}, reason=reason, by=by)


async def silence(
    bus: Bus,
    subjects: Subjects,
    agent: tuple[str, str] | None,
    kind: str | None,
    named: Mapping[str, str | None],
    seconds: float,
    reason: str | None,
    by: str | None,
) -> ControlResult:
    """Makes a silence of so many seconds. Raises `MendbusError`."""
    until = time.time_ns() + int(seconds * 1e9)
    arguments = {"until_unix_nano": until, **{name: text for name, text in named.items() if text}}
    return await ask(bus, subjects, "silence", arguments, agent=agent, kind=kind, reason=reason, by=by)


async def unsilence(
    bus: Bus, subjects: Subjects, wanted: str, reason: str | None, by: str | None
) -> tuple[str, ControlResult]:
    """Ends the one silence whose id is, begins or ends so; its id, and what was done. Raises `MendbusError`."""
    ids: list[str] = [row["id"] for row in await rows_of(bus, subjects, "silences")]
    found = [name for name in ids if name.startswith(wanted) or name.endswith(wanted)]
    if wanted not in ids and len(found) != 1:
        raise NotFound(f"{len(found)} silences have an id like {wanted!r}: see `mendbus alerts silences`")
    silence_id = wanted if wanted in ids else found[0]
    return silence_id, await ask(bus, subjects, "unsilence", {"id": silence_id}, reason=reason, by=by)
