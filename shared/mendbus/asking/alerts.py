"""Alerts and silences: which there are, and orders about them."""

import time
from collections.abc import Iterable, Mapping
from typing import Any, Final

from mendbus import codec
from mendbus.asking import orders
from mendbus.asking.errors import NotFound
from mendbus.asking.text import clean
from mendbus.bus import Bus
from mendbus.contracts.errors import Refused
from mendbus.contracts.messages import Alert, ControlResult
from mendbus.contracts.subjects import MAX_SERVICE_BODY, Subjects
from mendbus.contracts.vocabulary import ALERT_SEVERITIES

ANSWER_SECONDS: Final = 10.0
"""An order is answered when it is in the audit trail, or could not come there."""


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
    control = orders.control_of(orders.Order(verb, agent or (None, None), reason, by))
    # A kind counts beside an agent too: a silence is of what fits all that is named.
    control = control.model_copy(update={"kind": kind, "arguments": dict(arguments or {})})
    return orders.done(verb, await orders.ask(bus, subjects, control, ANSWER_SECONDS, "health-monitor"))


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
