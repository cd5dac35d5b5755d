"""Which outcomes a person should know of, each once, whatever it is told how often."""

from typing import Any

import pytest
from tests.unit.health_monitor.alert_samples import error, outcome

from mendbus.contracts.journal import Operated
from mendbus.redaction import Redaction
from mendbus_health_monitor import alert_conditions as module
from mendbus_health_monitor.alert_conditions import Judge, cut, graver, key_of


@pytest.mark.parametrize("word", ["escalated", "failed", "suppressed", "awaiting_approval"])
def test_what_recovery_could_not_end_is_a_condition(word: str) -> None:
    """It names agent, outcome, failure and reason, says what to do, and points to incident and trace."""
    verdict = Judge().outcome(outcome(word, error=error("error"), reason="tried all"))
    assert verdict is not None
    found = verdict.condition
    assert found is not None
    severity = "minor" if word == "awaiting_approval" else "major"
    assert (found.key, found.rule, found.severity) == ("incident:i1", "incident", severity)
    assert found.summary == f"runtime/a1 {word.replace('_', ' ')}: E: it broke (tried all)"
    assert (found.incident_id, found.trace_id, found.flaps) == ("i1", "t" * 32, False)
    assert found.hint


@pytest.mark.parametrize("word", ["recovered", "no_action", "rejected"])
def test_what_recovery_ended_raises_none(word: str) -> None:
    """Problems that healed themselves are over, and nobody is told."""
    verdict = Judge().outcome(outcome(word))
    assert verdict is None or verdict.condition is None


def test_texts_go_by_the_redaction_of_the_policy() -> None:
    """Failure and reasons of outcomes and latches lose what it names, and keep what it allows; as it is then."""
    rules = Redaction()
    judge = Judge(lambda: rules)
    said = "account=4711 of kim@example.org"
    rules = Redaction(emails=False, names=("account",))
    told = judge.outcome(outcome("escalated", error=error("error", said), reason=said))
    over = judge.outcome(outcome("recovered", 1, reason=said))
    latched = judge.operate(Operated(verb="latch", by="s", reason=said), 5)
    assert told is not None
    assert told.condition is not None
    assert over is not None
    assert latched is not None
    assert latched.condition is not None
    for text, times in ((told.condition.summary, 2), (over.said, 1), (latched.condition.summary, 1)):
        assert text.count("account=*** of kim@example.org") == times


def test_the_canary_is_no_condition() -> None:
    """What fails on purpose alarms by its absence only."""
    assert Judge().outcome(outcome("escalated", agent={"kind": "mendbus", "id": "canary"})) is None


def test_a_fatal_incident_is_critical() -> None:
    """The agent's own word and the classifier's both count."""
    said = {"category": "memory", "severity": "fatal", "confidence": 1.0, "model": "m"}
    for more in ({"error": error("fatal")}, {"classification": said}):
        verdict = Judge().outcome(outcome("escalated", **more))
        assert verdict is not None
        assert verdict.condition is not None
        assert verdict.condition.severity == "critical"


@pytest.mark.parametrize(
    "closing", [{"word": "recovered"}, {"word": "no_action"}, {"word": "escalated", "settled": True}]
)
def test_it_is_over_when_the_incident_ends(closing: dict[str, Any]) -> None:
    """Recovered, harmless after all, or closed by a person."""
    verdict = Judge().outcome(outcome(**closing))
    assert verdict is not None
    assert (verdict.key, verdict.condition) == ("incident:i1", None)


def test_an_outcome_told_twice_or_late_says_nothing() -> None:
    """The highest sequence is the truth; what is not higher is passed over."""
    judge = Judge()
    assert judge.outcome(outcome("escalated", 1))
    assert judge.outcome(outcome("recovered", 3))
    for sequence in (0, 1, 2, 3):
        assert judge.outcome(outcome("escalated", sequence)) is None


def test_what_is_remembered_of_incidents_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of very many incidents those not heard of for longest are forgotten."""
    monkeypatch.setattr(module, "MAX_INCIDENTS", 2)
    judge = Judge()
    for number in range(5):
        judge.outcome(outcome("escalated", 1, f"i{number}"))
    assert judge.outcome(outcome("escalated", 1, "i4")) is None
    assert judge.outcome(outcome("escalated", 1, "i0")) is not None


def test_a_latch_holds_until_everything_is_resumed() -> None:
    """A latch is a condition, the resumption of everything ends it; what is about one kind or seen says nothing."""
    judge = Judge()
    latched = judge.operate(Operated(verb="latch", by="s", reason="budget spent"), 5)
    assert latched is not None
    assert latched.condition is not None
    assert (latched.condition.severity, "budget spent" in latched.condition.summary) == ("critical", True)
    assert judge.operate(Operated(verb="latch", by="s"), 5) is None
    assert judge.operate(Operated(verb="resume", by="kim", kind="runtime"), 6) is None
    assert judge.operate(Operated(verb="pause", by="kim"), 7) is None
    resumed = judge.operate(Operated(verb="resume", by="kim"), 8)
    assert resumed is not None
    assert (resumed.condition, resumed.said) == (None, "kim resumed recovery")


def test_keys_and_texts_fit_the_wire() -> None:
    """A key that is too long ends in a digest of the whole, so that two stay two; texts are cut at a character."""
    one, other = key_of("rule", "x" * 300), key_of("rule", "x" * 301)
    assert one != other
    assert len(one.encode()) <= 256
    assert len(cut("ü€" * 999).encode()) <= 1000
    assert cut("short") == "short"


def test_severities_go_up_one_by_one() -> None:
    """There is nothing graver than critical."""
    assert [graver(one) for one in ("info", "warning", "minor", "major", "critical")] == [
        "warning",
        "minor",
        "major",
        "critical",
        "critical",
    ]
