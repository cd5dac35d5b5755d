"""Alerts, verdicts and outcomes for tests."""

from typing import Any

from mendbus.contracts.messages import AgentRef, Alert, HealthSample, HealthStatus, RecoveryOutcome
from mendbus.contracts.vocabulary import AlertSeverity
from mendbus_health_monitor.alert_conditions import Condition, Verdict
from mendbus_health_monitor.alerts import Alerts

SECOND = 1_000_000_000


def agent(key: str = "runtime/a1") -> AgentRef:
    kind, _, name = key.partition("/")
    return AgentRef(kind=kind, id=name)


def condition(key: str = "c1", severity: AlertSeverity = "minor", **more: Any) -> Condition:
    known: dict[str, Any] = {"rule": "r1", "summary": f"{key} holds", "hint": "mend it", "agent": agent()}
    return Condition(key=key, severity=severity, **{**known, **more})


def holds(key: str = "c1", severity: AlertSeverity = "minor", **more: Any) -> Verdict:
    return Verdict(key, condition(key, severity, **more))


def over(key: str = "c1") -> Verdict:
    return Verdict(key, None, f"{key} is over")


def alert(key: str = "c1", severity: AlertSeverity = "minor", state: str = "raised", **more: Any) -> Alert:
    known = {"id": "a1", "key": key, "time_unix_nano": 0, "severity": severity, "state": state, "summary": key}
    known |= {"since_unix_nano": more.get("time_unix_nano", 0), "rule": "r1", "agent": agent()}
    return Alert.model_validate(known | more)


def outcome(word: str, sequence: int = 0, incident: str = "i1", **more: Any) -> RecoveryOutcome:
    known = {
        "incident_id": incident,
        "sequence": sequence,
        "agent": {"kind": "runtime", "id": "a1"},
        "fingerprint": "v1:0",
        "outcome": word,
        "error_count": 1,
        "event_count": 1,
        "trace_id": "t" * 32,
    }
    return RecoveryOutcome.model_validate({**known, **more})


def happen(
    alerts: Alerts, key: str, what: str, now: int, mutes: dict[str, str], worse: AlertSeverity = "major"
) -> list[Alert]:
    """Has one event happen, and time pass up to it; returns the changes. Mutes are put in and taken out of `mutes`."""
    found: list[Alert | None] = []
    match what:
        case "holds" | "worse":
            found.append(alerts.judge(holds(key, worse if what == "worse" else "minor"), now))
        case "over":
            found.append(alerts.judge(over(key), now))
        case "ack" if key in alerts.open:
            found.append(alerts.acknowledge(key, "kim", None, now))
        case "mute":
            mutes[key] = "silence:s1"
        case "unmute":
            mutes.pop(key, None)
        case _:
            pass
    found += alerts.step(now, mutes, list(alerts.open))
    return [one for one in found if one]


def error(severity: str | None, message: str = "it broke") -> dict[str, Any]:
    return {
        "id": "e1",
        "time_unix_nano": 1,
        "agent": {"kind": "runtime", "id": "a1"},
        "exception": {"type": "E", "message": message},
        "severity": severity,
    }


def status(word: str, key: str = "runtime/a1") -> HealthStatus:
    known = {"id": "s1", "time_unix_nano": 1, "agent": agent(key), "status": word, "score": 10.0, "reason": "so"}
    return HealthStatus.model_validate(known)


def sample(key: str = "runtime/a1", gauges: dict[str, float] | None = None, **metrics: float) -> HealthSample:
    known = {"agent": agent(key), "time_unix_nano": 1, "sequence": 1, "interval_ms": 500, "metrics": metrics}
    return HealthSample.model_validate({**known, "gauges": gauges or {}})
