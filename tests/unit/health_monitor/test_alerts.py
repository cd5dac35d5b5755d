"""Alerts: raised once for what recovery could not end, resolved when it ends, the same after a restart."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mendbus import codec
from mendbus.contracts.messages import Alert, RecoveryOutcome
from mendbus_health_monitor import alerts as module
from mendbus_health_monitor.alerts import Alerts


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


def error(severity: str | None, message: str = "it broke") -> dict[str, Any]:
    return {
        "id": "e1",
        "time_unix_nano": 1,
        "agent": {"kind": "runtime", "id": "a1"},
        "exception": {"type": "E", "message": message},
        "severity": severity,
    }


@pytest.mark.parametrize("word", ["escalated", "failed", "suppressed", "awaiting_approval"])
def test_what_recovery_could_not_end_raises_an_alert(word: str) -> None:
    """The alert names agent, outcome, failure and reason, says what to do, and points to incident and trace."""
    alert = Alerts().judge(outcome(word, error=error("error"), reason="tried all"), 5)
    assert alert is not None
    assert (alert.state, alert.severity, alert.key) == ("raised", "major", "incident:i1")
    assert alert.summary == f"runtime/a1 {word.replace('_', ' ')}: E: it broke (tried all)"
    assert (alert.id, alert.incident_id, alert.trace_id, alert.time_unix_nano) == ("i1-0", "i1", "t" * 32, 5)
    assert alert.hint


@pytest.mark.parametrize("word", ["recovered", "no_action", "rejected"])
def test_what_recovery_ended_raises_none(word: str) -> None:
    """Problems that healed themselves notify nobody."""
    assert Alerts().judge(outcome(word), 1) is None


def test_a_fatal_incident_is_critical() -> None:
    """The agent's own word and the classifier's both count."""
    said = {"category": "memory", "severity": "fatal", "confidence": 1.0, "model": "m"}
    for more in ({"error": error("fatal")}, {"classification": said}):
        alert = Alerts().judge(outcome("escalated", **more), 1)
        assert alert is not None
        assert alert.severity == "critical"


def test_one_alert_an_incident_is_open_at_a_time() -> None:
    """Further outcomes of the same kind raise nothing; a graver one raises again under the same key."""
    alerts = Alerts()
    assert alerts.judge(outcome("escalated"), 1)
    assert alerts.judge(outcome("escalated", 1), 2) is None
    graver = alerts.judge(outcome("escalated", 2, error=error("fatal")), 3)
    assert graver is not None
    assert graver.severity == "critical"
    assert list(alerts.open) == ["incident:i1"]


@pytest.mark.parametrize(
    "closing", [{"word": "recovered"}, {"word": "no_action"}, {"word": "escalated", "settled": True}]
)
def test_an_alert_is_resolved_when_the_incident_ends(closing: dict[str, Any]) -> None:
    """Recovered, harmless after all, or closed by a person: it is resolved with the severity it was raised with."""
    alerts = Alerts()
    alerts.judge(outcome("escalated", error=error("fatal")), 1)
    resolved = alerts.judge(outcome(**closing, sequence=1), 2)
    assert resolved is not None
    assert (resolved.state, resolved.severity, resolved.key) == ("resolved", "critical", "incident:i1")
    assert alerts.open == {}


def test_an_outcome_told_twice_or_late_changes_nothing() -> None:
    """The highest sequence is the truth; what is not higher is ignored."""
    alerts = Alerts()
    alerts.judge(outcome("escalated", 1), 1)
    alerts.judge(outcome("recovered", 3), 2)
    for sequence in (0, 1, 2, 3):
        assert alerts.judge(outcome("escalated", sequence), 3) is None
    assert alerts.open == {}


def test_very_long_texts_are_cut_to_what_the_wire_takes() -> None:
    """An alert can be encoded and decoded whatever the error and the reason are."""
    alert = Alerts().judge(outcome("failed", error=error(None, "ü" * 4000), reason="€" * 330), 1)
    assert alert is not None
    assert codec.decode(Alert, codec.encode(alert)) == alert


words = st.sampled_from(["recovered", "no_action", "escalated", "suppressed", "failed", "awaiting_approval"])


@given(st.lists(st.tuples(st.sampled_from(["i1", "i2"]), words), max_size=20), st.integers(min_value=0, max_value=20))
def test_a_restart_changes_nothing(told: list[tuple[str, str]], restart: int) -> None:
    """Alerts read back from the stream, and the last outcomes told again, lead to the same as no restart."""
    stored: list[Alert] = []
    straight, restarted = Alerts(), Alerts()
    last: dict[str, RecoveryOutcome] = {}
    for number, (incident, word) in enumerate(told):
        if number == restart:
            restarted = Alerts()
            for alert in stored:
                restarted.restore(alert)
            for again in last.values():
                assert restarted.judge(again, number) is None
        now = outcome(word, number, incident)
        last[incident] = now
        expected = straight.judge(now, number)
        assert restarted.judge(now, number) == expected
        stored += [expected] if expected else []
    assert restarted.open == straight.open


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of very many incidents the ones not heard of for longest are forgotten, never an open alert."""
    monkeypatch.setattr(module, "MAX_INCIDENTS", 2)
    alerts = Alerts()
    for number in range(5):
        alerts.judge(outcome("escalated", 1, f"i{number}"), 1)
    assert len(alerts.open) == 5
    assert alerts.judge(outcome("recovered", 2, "i0"), 2) is not None
