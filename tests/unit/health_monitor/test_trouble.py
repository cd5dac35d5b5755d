"""What others say of agents' errors: counted once, fading, bounded."""

from typing import Any

import pytest
from tests.support import SECOND

from mendbus_health_monitor import trouble as module
from mendbus_health_monitor.trouble import Trouble, Troubles

NOW = 1_700_000_000 * SECOND


def outcome(word: str, errors: int, incident: str = "i1", **more: Any) -> dict[str, Any]:
    agent = {"kind": "runtime", "id": "a1"}
    return {"incident_id": incident, "agent": agent, "outcome": word, "error_count": errors, **more}


def test_errors_are_counted_once_and_fade() -> None:
    """A further outcome adds what is new in it, one told twice adds nothing, and in time all is forgotten."""
    trouble = Trouble()
    trouble.count("i1", 10, NOW)
    trouble.count("i1", 10, NOW)
    assert trouble.errors_per_s(NOW) == pytest.approx(1.0)
    trouble.count("i1", 30, NOW)
    assert trouble.errors_per_s(NOW) == pytest.approx(3.0)
    assert trouble.errors_per_s(NOW + 10 * SECOND) == pytest.approx(1.10, abs=0.01)
    assert trouble.errors_per_s(NOW + 100 * SECOND) == 0.0


def test_an_incident_that_waits_for_a_person_counts_until_it_is_done_with() -> None:
    """Parked by its outcome, it is let go by a recovery, or when it was settled otherwise."""
    for end in (outcome("recovered", 1), outcome("escalated", 1, settled=True)):
        troubles = Troubles()
        assert troubles.hear(outcome("awaiting_approval", 1), NOW, NOW) is None
        found = troubles.get("runtime/a1")
        assert found is not None
        assert list(found.parked) == ["i1"]
        assert troubles.hear(end, NOW, NOW) is None
        assert not found.parked


def test_what_was_stored_long_ago_is_no_rate() -> None:
    """After a start old outcomes tell what waits for a person, and nothing of how many errors there are now."""
    troubles = Troubles()
    troubles.hear(outcome("escalated", 1000), NOW - 60 * SECOND, NOW)
    found = troubles.get("runtime/a1")
    assert found is not None
    assert (found.errors_per_s(NOW), list(found.parked)) == (0.0, ["i1"])
    troubles.hear(outcome("escalated", 5000, "i2", sequence=7), NOW, NOW)
    assert found.errors_per_s(NOW) == 0.0
    troubles.hear(outcome("escalated", 5010, "i2", sequence=8), NOW, NOW)
    assert found.errors_per_s(NOW) == pytest.approx(1.0)


def test_a_death_that_was_recovered_from_is_named() -> None:
    """The outcome of a fatal error that recovered says whose it was; others say nothing."""
    troubles, fatal = Troubles(), {"error": {"severity": "fatal"}}
    assert troubles.hear(outcome("recovered", 1, **fatal), NOW, NOW) == "runtime/a1"
    assert troubles.hear(outcome("escalated", 1, **fatal), NOW, NOW) is None
    assert troubles.hear(outcome("recovered", 1, error={"severity": "error"}), NOW, NOW) is None


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of too many incidents or agents the one told of longest ago is forgotten first."""
    monkeypatch.setattr(module, "MAX_INCIDENTS", 2)
    monkeypatch.setattr(module, "MAX_AGENTS", 2)
    troubles = Troubles()
    for incident in ("i1", "i2", "i3"):
        troubles.hear(outcome("escalated", 1, incident), NOW, NOW)
    found = troubles.get("runtime/a1")
    assert found is not None
    assert list(found.parked) == ["i2", "i3"]
    for name in ("a2", "a3"):
        troubles.hear(outcome("escalated", 1) | {"agent": {"kind": "runtime", "id": name}}, NOW, NOW)
    assert troubles.get("runtime/a1") is None
    assert troubles.get("runtime/a3") is not None


@pytest.mark.parametrize("broken", [{}, {"agent": None, "incident_id": "i"}, {"agent": {"kind": "k"}}])
def test_what_is_no_outcome_raises(broken: dict[str, Any]) -> None:
    """The caller passes over it."""
    with pytest.raises((KeyError, TypeError)):
        Troubles().hear(broken, NOW, NOW)
