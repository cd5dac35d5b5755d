"""Which notifications are due: alerts that belong together, told once, and again when there is reason to.

A pure function of the alerts, of what a webhook was told before, and of the time; so a restart tells nothing twice.
Knows no bus.
"""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, Literal

from mendbus.alert_policy import AlertTimes, Webhook
from mendbus.contracts.fields import ShortText, Token, UnixNano, WireModel
from mendbus.contracts.messages import Alert
from mendbus.contracts.vocabulary import AlertSeverity
from mendbus_health_monitor.alert_conditions import RANK

Why = Literal["raised", "worsened", "resolved", "repeated"]

_NANO: Final = 1_000_000_000


class Shown(WireModel):
    """What a webhook was told last of a group: the severity of each alert that it takes for open, and when.

    While `claimed_until` has not passed, the replica `claimed_by` is at it.
    """

    webhook: Token
    group: ShortText
    at_unix_nano: UnixNano = 0
    alerts: dict[ShortText, AlertSeverity] = {}
    claimed_by: ShortText | None = None
    claimed_until_unix_nano: UnixNano = 0


@dataclass(frozen=True, slots=True)
class Notice:
    """One notification: why, the open alerts of the group (gravest first), those that are resolved since the last one.

    `shown` is what to remember when the webhook has taken it. Equal notices have equal ids.
    """

    id: str
    webhook: str
    group: str
    why: Why
    alerts: tuple[Alert, ...]
    resolved: tuple[Alert, ...]
    shown: dict[str, AlertSeverity]
    since_unix_nano: int
    """Since when there is something to tell."""

    @property
    def severity(self) -> AlertSeverity:
        """The gravest there is in it."""
        return max((one.severity for one in (*self.alerts, *self.resolved)), key=RANK.__getitem__)


def group_of(alert: Alert, times: AlertTimes) -> str:
    """The group that an alert belongs to, by labels that never change while it is open."""
    labels = {
        "rule": alert.rule or "",
        "kind": alert.agent.kind if alert.agent else "",
        "agent": alert.agent.key if alert.agent else "",
    }
    return ",".join(f"{label}={labels[label]}" for label in times.group_by) or "all"


def wanted(alert: Alert, webhook: Webhook) -> bool:
    """Whether a webhook wants to hear of an alert."""
    return (
        RANK[alert.severity] >= RANK[webhook.min_severity]
        and (not webhook.rules or (alert.rule or "") in webhook.rules)
        and (not webhook.kinds or (alert.agent is not None and alert.agent.kind in webhook.kinds))
    )


def due(
    webhook: Webhook,
    times: AlertTimes,
    alerts: Iterable[Alert],
    resolved: Mapping[str, Alert],
    shown: Mapping[str, Shown],
    now: int,
) -> list[Notice]:
    """The notifications that a webhook should get now. `shown`: what it was told before, by group.

    `alerts` are the open ones, `resolved` those of before by key; `now` in nanoseconds since 1970.
    """
    open_by_key = {alert.key: alert for alert in alerts}
    groups: dict[str, list[Alert]] = {}
    for alert in open_by_key.values():
        if wanted(alert, webhook):
            groups.setdefault(group_of(alert, times), []).append(alert)
    found = [
        _due(webhook, times, group, groups.get(group, []), open_by_key, resolved, shown.get(group), now)
        for group in {**groups, **shown}
    ]
    return sorted((notice for notice in found if notice), key=lambda one: (-RANK[one.severity], one.since_unix_nano))


def _due(
    webhook: Webhook,
    times: AlertTimes,
    group: str,
    members: list[Alert],
    open_by_key: Mapping[str, Alert],
    resolved: Mapping[str, Alert],
    before: Shown | None,
    now: int,
) -> Notice | None:
    known: Mapping[str, AlertSeverity] = before.alerts if before else {}
    told_at = before.at_unix_nano if before else 0
    telling = [alert for alert in members if not alert.muted_by]
    # Whoever took it on before anybody was told needs no telling.
    new = [one for one in telling if one.state == "raised" and not _told(one, known, told_at)]
    worse = [one for one in telling if _told(one, known, told_at) and RANK[one.severity] > RANK[known[one.key]]]
    gone = [key for key in known if key not in open_by_key] if webhook.resolved else []
    over = [_resolved(key, resolved, known[key], told_at) for key in gone]
    why: Why
    if changed := [*new, *worse, *over]:
        why = "raised" if new else "worsened" if worse else "resolved"
        since = min(one.time_unix_nano for one in changed)
        is_time = _is_time([*new, *worse], since, known.values(), told_at, times, now)
    else:
        why, since = "repeated", told_at
        untaken = any(one.state == "raised" for one in telling)
        is_time = untaken and now - told_at >= times.repeat_seconds * _NANO
    if not is_time:
        return None
    shows: dict[str, AlertSeverity] = {one.key: one.severity for one in telling}
    shows |= {key: known[key] for key in known if key in open_by_key and key not in shows}
    return Notice(
        id=_id(webhook.name, group, shows, told_at),
        webhook=webhook.name,
        group=group,
        why=why,
        alerts=tuple(sorted(telling, key=lambda one: (-RANK[one.severity], one.since_unix_nano or 0, one.key))),
        resolved=tuple(over),
        shown=shows,
        since_unix_nano=since,
    )


def _is_time(
    raised: Iterable[Alert], since: int, known: Iterable[AlertSeverity], told_at: int, times: AlertTimes, now: int
) -> bool:
    """Whether what changed has waited for more of its kind, and enough time has passed since the last notification.

    What is critical does not wait; what is graver than all that is known keeps no distance.
    """
    ranks = [RANK[one.severity] for one in raised]
    urgent = RANK["critical"] in ranks
    graver = max(ranks, default=-1) > max((RANK[one] for one in known), default=-1)
    waited = urgent or now - since >= times.group_seconds * _NANO
    spaced = graver or now - told_at >= times.group_interval_seconds * _NANO
    return waited and spaced


def _told(alert: Alert, known: Mapping[str, AlertSeverity], told_at: int) -> bool:
    """Whether it was told since it was raised, and not only the one before it of the same key."""
    return alert.key in known and (alert.since_unix_nano or 0) <= told_at


def _resolved(key: str, resolved: Mapping[str, Alert], severity: AlertSeverity, told_at: int) -> Alert:
    """An alert that is open no more. One that was forgotten meanwhile is told by its key alone."""
    known = resolved.get(key)
    if known is not None:
        return known
    return Alert(id="forgotten", key=key, time_unix_nano=told_at, severity=severity, state="resolved", summary=key)


def _id(webhook: str, group: str, shows: Mapping[str, AlertSeverity], told_at: int) -> str:
    text = "\n".join((webhook, group, str(told_at), *(f"{key} {shows[key]}" for key in sorted(shows))))
    return hashlib.sha256(text.encode()).hexdigest()[:32]
