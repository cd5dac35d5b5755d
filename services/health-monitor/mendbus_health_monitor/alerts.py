"""Which alerts are open: one for each incident that recovery could not end, one while recovery is latched off.

Knows no bus.
"""

from collections import OrderedDict
from typing import Final

from mendbus.contracts.journal import LATCH, RESUME, Operated
from mendbus.contracts.messages import Alert, RecoveryOutcome
from mendbus.contracts.vocabulary import AlertSeverity, AlertState, Outcome

HINTS: Final[dict[Outcome, str]] = {
    "escalated": "no strategy is left: see what was tried with `mendbus explain`, repair it, then close the incident",
    "failed": "the recovery ended without success: see what was tried with `mendbus explain`",
    "suppressed": "recovery is switched off, paused or latched: repair it by hand, or resume recovery",
    "awaiting_approval": "a strategy waits for a person's approval: see it with `mendbus explain`",
}
"""Outcomes that a person should know of, each with what to do."""
CLOSING: Final[frozenset[Outcome]] = frozenset(("recovered", "no_action"))

LATCHED: Final = "latched"
"""The condition that recovery is latched off."""
MAX_INCIDENTS: Final = 100_000
"""Incidents whose last outcome is remembered, so that one told twice changes nothing."""

_TEXT_BYTES: Final = 1000
_MESSAGE_CHARACTERS: Final = 200


def key_of(incident_id: str) -> str:
    """The condition of an incident's alert."""
    return f"incident:{incident_id}"


class Alerts:
    """The open alerts, from what the ALERTS stream holds and from outcomes."""

    def __init__(self) -> None:
        self.open: dict[str, Alert] = {}
        """By key, in the order they were raised."""
        self.operated = 0
        """Stream sequence of the last latch or resumption that was judged."""
        self._seen: OrderedDict[str, int] = OrderedDict()

    def restore(self, alert: Alert) -> None:
        """Takes in an alert that was stored before; call with the oldest first."""
        self._keep(alert)
        sequence = alert.id.rpartition("-")[2]
        if not sequence.isdigit():
            return
        if alert.incident_id:
            self._remember(alert.incident_id, int(sequence))
        elif alert.key == LATCHED:
            self.operated = max(self.operated, int(sequence))

    def judge(self, outcome: RecoveryOutcome, now: int) -> Alert | None:
        """The alert to raise or resolve because of an outcome, if any; `now` in nanoseconds since 1970."""
        if outcome.sequence <= self._seen.get(outcome.incident_id, -1):
            return None
        self._remember(outcome.incident_id, outcome.sequence)
        known = self.open.get(key_of(outcome.incident_id))
        if known is not None and (outcome.outcome in CLOSING or outcome.settled):
            del self.open[known.key]
            return _alert(outcome, "resolved", known.severity, now)
        if outcome.outcome not in HINTS:
            return None
        severity = severity_of(outcome)
        if known is not None and severity == known.severity:
            return None
        raised = _alert(outcome, "raised", severity, now)
        self.open[raised.key] = raised
        return raised

    def operate(self, entry: Operated, sequence: int, now: int) -> Alert | None:
        """The alert to raise because recovery was latched off, or to resolve because it was resumed, if any.

        `sequence` of the journal's record with the entry: one that was seen before changes nothing.
        """
        if entry.verb not in (LATCH, RESUME) or entry.agent or entry.kind or sequence <= self.operated:
            return None
        self.operated = sequence
        if (entry.verb == LATCH) == (LATCHED in self.open):
            return None
        alert = Alert(
            id=f"{LATCHED}-{sequence}",
            key=LATCHED,
            time_unix_nano=now,
            severity="critical",
            state="raised" if entry.verb == LATCH else "resolved",
            summary=f"recovery is latched off: {entry.reason}"
            if entry.verb == LATCH
            else f"{entry.by} resumed recovery",
            hint="nothing is recovered: find out what restarts everything, then `mendbus resume --all`",
        )
        self._keep(alert)
        return alert

    def _keep(self, alert: Alert) -> None:
        if alert.state == "resolved":
            self.open.pop(alert.key, None)
        else:
            self.open[alert.key] = alert

    def _remember(self, incident_id: str, sequence: int) -> None:
        self._seen[incident_id] = sequence
        self._seen.move_to_end(incident_id)
        if len(self._seen) > MAX_INCIDENTS:
            self._seen.popitem(last=False)


def severity_of(outcome: RecoveryOutcome) -> AlertSeverity:
    """`critical` where a process died or a system is down, `major` otherwise."""
    told = outcome.classification.severity if outcome.classification else None
    said = outcome.error.severity if outcome.error else None
    return "critical" if "fatal" in (told, said) else "major"


def _alert(outcome: RecoveryOutcome, state: AlertState, severity: AlertSeverity, now: int) -> Alert:
    failure = "failure"
    if outcome.error is not None:
        said = " ".join(outcome.error.exception.message.split())[:_MESSAGE_CHARACTERS]
        failure = f"{outcome.error.exception.type}: {said}"
    summary = f"{outcome.agent.key} {outcome.outcome.replace('_', ' ')}: {failure}"
    if outcome.reason:
        summary += f" ({outcome.reason})"
    return Alert(
        # The same outcome makes the same id in every replica: the stream keeps one of them.
        id=f"{outcome.incident_id}-{outcome.sequence}",
        key=key_of(outcome.incident_id),
        time_unix_nano=now,
        severity=severity,
        state=state,
        agent=outcome.agent,
        summary=summary.encode()[:_TEXT_BYTES].decode("utf-8", "ignore"),
        hint=HINTS.get(outcome.outcome),
        incident_id=outcome.incident_id,
        trace_id=outcome.trace_id or None,
    )
