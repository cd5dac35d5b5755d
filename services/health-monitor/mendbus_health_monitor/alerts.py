"""The alerts that are open, and every change of them: a fold of the messages that the stream ALERTS holds.

Driven by verdicts, orders and the time; each change is an `Alert` to store. Whoever takes the stored ones in again has
the same alerts. Knows no bus.
"""

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any, Final

from mendbus.alert_policy import AlertTimes
from mendbus.contracts.messages import Alert
from mendbus.contracts.vocabulary import AlertChange, AlertSeverity
from mendbus_health_monitor.alert_conditions import RANK, Condition, Verdict, cut, graver
from mendbus_health_monitor.packed_alerts import PackedAlerts

MAX_RESOLVED: Final = 2000
"""Alerts remembered after they were resolved: to know whether they flap, and to tell that they are resolved."""

_NANO: Final = 1_000_000_000
_RAISING: Final[frozenset[AlertChange | None]] = frozenset(("raised", "returned", None))


class Alerts:
    """The alerts. Times in nanoseconds since 1970."""

    def __init__(self, times: AlertTimes | None = None) -> None:
        self.times = times or AlertTimes()
        """May be exchanged for others at any time."""
        self.open: dict[str, Alert] = {}
        """By key, in the order they were raised."""
        self.resolved = PackedAlerts()
        """The last one resolved at the end."""
        self._raised: dict[str, tuple[int, ...]] = {}

    def take(self, alert: Alert) -> None:
        """Takes in a change that was stored; one that is not newer than what is known changes nothing."""
        known = self.open.get(alert.key) or self.resolved.get(alert.key)
        if known is not None:
            version, latest = alert.version or 0, known.version or 0
            if version < latest or (version == latest and known.state == "resolved"):
                return
            if version == latest and known.change == alert.change:
                return
        self._keep(alert)

    def judge(self, verdict: Verdict, now: int) -> Alert | None:
        """The change that a verdict makes, if any."""
        known = self.open.get(verdict.key)
        if verdict.condition is None:
            return self._over(known, verdict, now) if known is not None else None
        return self._holds(known, verdict.condition, verdict.sequence, now)

    def acknowledge(self, key: str, by: str, reason: str | None, now: int) -> Alert:
        """Somebody takes an alert on, until it is resolved. Raises `ValueError` when none of that key is open."""
        known = self.open.get(key)
        if known is None:
            msg = f"no alert {key!r} is open"
            raise ValueError(msg)
        return self._change(known, "acknowledged", now, state="acknowledged", acknowledged_by=by, reason=reason)

    def step(self, now: int, mutes: Mapping[str, str], keys: Iterable[str]) -> list[Alert]:
        """The changes that time makes: muted or no longer, graver for want of an answer, calm for long enough.

        `mutes`: what mutes those of the `keys` that are muted.
        """
        changes: list[Alert] = []
        for key in keys:
            known, mute = self.open.get(key), mutes.get(key)
            if known is None:
                continue
            calm = known.calm_unix_nano
            if calm is not None and now - calm >= self.times.calm_seconds * _NANO:
                changes.append(self._change(known, "resolved", now, state="resolved"))
                continue
            if mute != known.muted_by:
                change: AlertChange = "muted" if mute else "unmuted"
                waiting = known.waiting_unix_nano if mute else now
                known = self._change(known, change, now, muted_by=mute, waiting_unix_nano=waiting)
                changes.append(known)
            if self._ignored(known, now):
                severity = graver(known.severity)
                changes.append(self._change(known, "escalated", now, severity=severity, waiting_unix_nano=now))
        return changes

    def _ignored(self, alert: Alert, now: int) -> bool:
        patience = self.times.escalate_seconds.get(alert.severity, 0.0)
        if alert.state != "raised" or alert.muted_by or alert.calm_unix_nano is not None or not patience:
            return False
        waiting = alert.waiting_unix_nano if alert.waiting_unix_nano is not None else alert.time_unix_nano
        return alert.severity != "critical" and now - waiting >= patience * _NANO

    def _holds(self, known: Alert | None, condition: Condition, sequence: int | None, now: int) -> Alert | None:
        if known is None:
            return self._raise(condition, sequence, now)
        said: dict[str, Any] = {"summary": cut(condition.summary), "hint": cut(condition.hint)}
        if sequence is not None:
            said["sequence"] = sequence
        if known.calm_unix_nano is not None:
            severity = max(known.severity, condition.severity, key=RANK.__getitem__)
            return self._change(known, "returned", now, severity=severity, calm_unix_nano=None, **said)
        if RANK[condition.severity] > RANK[known.severity]:
            return self._change(known, "worsened", now, severity=condition.severity, **said)
        if sequence is not None and said["hint"] != known.hint:
            return self._change(known, "updated", now, **said)
        return None

    def _raise(self, condition: Condition, sequence: int | None, now: int) -> Alert:
        before = self.resolved.get(condition.key)
        version = (before.version or 0) + 1 if before else 1
        since = now - self.times.flap_seconds * _NANO
        often = 1 + sum(at > since for at in self._raised.get(condition.key, ()))
        flapping = condition.flaps and often >= self.times.flap_raises
        severity: AlertSeverity = graver(condition.severity) if flapping else condition.severity
        summary = f"{condition.summary} (for the {often}. time: it comes and goes)" if flapping else condition.summary
        alert = Alert(
            id=_id(condition.key, version, "raised"),
            key=condition.key,
            time_unix_nano=now,
            severity=severity,
            state="raised",
            agent=condition.agent,
            summary=cut(summary),
            hint=cut(condition.hint),
            incident_id=condition.incident_id,
            trace_id=condition.trace_id,
            rule=condition.rule,
            change="raised",
            version=version,
            since_unix_nano=now,
            waiting_unix_nano=now,
            sequence=sequence,
            flapping=flapping or None,
        )
        self._keep(alert)
        return alert

    def _over(self, known: Alert, verdict: Verdict, now: int) -> Alert | None:
        said: dict[str, Any] = {"summary": cut(verdict.said)} if verdict.said else {}
        if verdict.sequence is not None:
            said["sequence"] = verdict.sequence
        if not known.flapping:
            return self._change(known, "resolved", now, state="resolved", **said)
        if known.calm_unix_nano is not None:
            return None
        return self._change(known, "calmed", now, calm_unix_nano=now, **said)

    def _change(self, known: Alert, change: AlertChange, now: int, **more: Any) -> Alert:
        version = (known.version or 0) + 1
        head: dict[str, Any] = {
            "id": _id(known.key, version, change),
            "time_unix_nano": now,
            "version": version,
            "change": change,
        }
        alert = known.model_copy(update={**head, **more})
        self._keep(alert)
        return alert

    def _keep(self, alert: Alert) -> None:
        if alert.state == "resolved":
            _ = self.open.pop(alert.key, None)
            self.resolved.put(alert)
            if len(self.resolved) > MAX_RESOLVED:
                _ = self._raised.pop(self.resolved.forget_first(), None)
            return
        self.resolved.forget(alert.key)
        self.open[alert.key] = alert
        if alert.change in _RAISING:
            times = (*self._raised.get(alert.key, ()), alert.time_unix_nano)
            self._raised[alert.key] = times[-self.times.flap_raises :]


def _id(key: str, version: int, change: AlertChange) -> str:
    # Replicas that see the same make the same id, so that the stream keeps one of them.
    return f"{hashlib.sha256(key.encode()).hexdigest()[:24]}-{version}-{change}"
