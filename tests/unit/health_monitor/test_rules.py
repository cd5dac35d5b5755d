"""Rules: what is known of agents, recoveries and services becomes conditions, what is not known changes nothing."""

from dataclasses import dataclass
from typing import Any

import pytest
from tests.unit.health_monitor.alert_samples import SECOND, outcome, sample, status

from mendbus.alert_policy import AlertPolicy
from mendbus_health_monitor import rules as module
from mendbus_health_monitor.rules import SERVICES, Rules


class Day:
    """Rules, a clock, and the alerts that are open because of them."""

    def __init__(self, **policy: Any) -> None:
        self.now = 1000 * SECOND
        self.rules = Rules(AlertPolicy.model_validate(policy), self.now)
        self.open: dict[str, str] = {}
        self.said: dict[str, str] = {}

    def after(self, seconds: float) -> dict[str, str]:
        """The open alerts, key: severity, that much later; looked at each second, as the service does."""
        for _ in range(max(1, round(seconds))):
            self.now += SECOND
            self.look()
        return self.open

    def look(self) -> None:
        """One look."""
        for verdict in self.rules.judge(self.now, self.open.__contains__, list(self.open)):
            if verdict.condition:
                self.open[verdict.key] = verdict.condition.severity
                self.said[verdict.key] = verdict.condition.summary
                assert verdict.condition.hint
            elif self.open.pop(verdict.key, None):
                self.said[verdict.key] = verdict.said

    def status(self, word: str, key: str = "runtime/a1") -> None:
        """An agent's status."""
        self.rules.hear_status(status(word, key), self.now)


def test_an_agent_that_nobody_recovers_is_an_alert() -> None:
    """Failed for 15 s with no open incident: major; alive for 5 s: over."""
    day = Day()
    day.status("failed")
    assert day.after(14) == {}
    assert day.after(2) == {"agent_failed:runtime/a1": "major"}
    day.status("excellent")
    assert len(day.after(5)) == 1
    assert day.after(2) == {}
    assert "is excellent" in day.said["agent_failed:runtime/a1"]


def test_an_agent_with_an_open_incident_is_none() -> None:
    """The incident is what a person hears of, until it has settled; repeated outcomes change nothing."""
    day = Day()
    day.status("failed")
    for sequence in (1, 0):
        day.rules.hear_outcome(outcome("escalated", sequence))
    assert day.after(60) == {}
    day.rules.hear_outcome(outcome("escalated", 2, settled=True))
    day.rules.hear_outcome(outcome("escalated", 1))
    assert list(day.after(20)) == ["agent_failed:runtime/a1"]
    day.rules.hear_outcome(outcome("escalated", 0, "i2"))
    assert list(day.after(20)) == ["agent_failed:runtime/a1"]


def test_who_says_goodbye_has_not_failed_and_is_forgotten() -> None:
    """A goodbye ends what was raised, and after a minute nothing of the agent is kept."""
    day = Day(rules=[{"name": "bad", "status": "failed", "for_seconds": 0}])
    day.status("failed")
    assert len(day.after(16)) == 2
    day.status("retired")
    assert day.after(6) == {}
    assert "goodbye" in day.said["rule:bad:runtime/a1"]
    assert len(day.rules._agents) == 1
    day.after(60)
    assert len(day.rules._agents) == 0


def test_a_critical_status_must_last() -> None:
    """Two minutes of it are minor; a moment of better health begins them anew."""
    day = Day()
    day.status("critical")
    day.after(100)
    day.status("poor")
    day.after(1)
    day.status("critical")
    assert day.after(119) == {}
    assert day.after(2) == {"agent_critical:runtime/a1": "minor"}


@pytest.mark.parametrize(
    ("rule", "bad", "good"),
    [
        ({"metric": "queue_depth", "above": 100}, {"queue_depth": 101.0}, {"queue_depth": 100.0}),
        ({"metric": "cache_hit_ratio", "below": 0.5}, {"cache_hit_ratio": 0.4}, {"cache_hit_ratio": 0.5}),
        ({"gauge": "lag", "above": 7}, {"gauges": {"lag": 8.0}}, {"gauges": {"lag": 1.0}}),
    ],
)
def test_a_rule_compares_a_metric_or_gauge_for_a_time(
    rule: dict[str, Any], bad: dict[str, Any], good: dict[str, Any]
) -> None:
    """It is raised after `for_seconds` and over after `clear_seconds`, each without a break."""
    day = Day(rules=[{"name": "r", "severity": "major", "for_seconds": 10, "clear_seconds": 5, **rule}])

    def pass_with(values: dict[str, Any], seconds: int) -> dict[str, str]:
        for _ in range(seconds):
            day.rules.hear_sample(sample(**values), day.now)
            day.after(1)
        return day.open

    assert pass_with(bad, 10) == {}
    assert pass_with(good, 1) == {}
    assert pass_with(bad, 11) == {"rule:r:runtime/a1": "major"}
    assert "has" in day.said["rule:r:runtime/a1"]
    assert len(pass_with(good, 5)) == 1
    assert pass_with(good, 1) == {}


def test_a_missing_or_old_metric_is_neither_good_nor_bad() -> None:
    """What is open stays open while the metric is not known."""
    day = Day(rules=[{"name": "r", "metric": "queue_depth", "above": 1, "for_seconds": 0}])
    day.rules.hear_sample(sample(queue_depth=2.0), day.now)
    assert len(day.after(1)) == 1
    day.rules.hear_sample(sample(cpu_percent=2.0), day.now)
    assert len(day.after(600)) == 1
    day.rules.hear_sample(sample(queue_depth=2.0), day.now)
    assert len(day.after(600)) == 1


def test_a_rule_may_be_about_some_agents_only() -> None:
    """Those of a kind, or one; a status counts when it is at least as bad."""
    rules = [
        {"name": "kind", "status": "fair", "kind": "build", "for_seconds": 0},
        {"name": "one", "status": "fair", "agent": "runtime/a2", "for_seconds": 0},
    ]
    day = Day(rules=rules, alerts={"disabled": ["agent_critical"]})
    for key in ("build/b1", "runtime/a1", "runtime/a2"):
        day.status("critical", key)
    day.rules.hear_sample(sample("runtime/a3"), day.now)
    assert set(day.after(1)) == {"rule:kind:build/b1", "rule:one:runtime/a2"}
    day.status("good", "build/b1")
    assert set(day.after(20)) == {"rule:one:runtime/a2"}


def test_a_rule_that_is_gone_takes_its_alerts_with_it() -> None:
    """So does a built-in one that is switched off, and a webhook that is there no more."""
    day = Day(rules=[{"name": "r", "status": "failed", "for_seconds": 0}])
    day.status("failed")
    assert len(day.after(20)) == 2
    day.open["webhook:gone"] = "minor"
    day.rules.policy = AlertPolicy.model_validate({"alerts": {"disabled": ["agent_failed"]}})
    assert day.after(1) == {}


def test_an_alert_that_nothing_speaks_of_any_more_ends_after_an_hour() -> None:
    """After a restart an agent may never be heard of again; what recovery raised is not touched."""
    day = Day()
    day.open = {"agent_failed:runtime/gone": "major", "incident:i1": "major", "latched": "critical"}
    assert len(day.after(3500)) == 3
    assert set(day.after(200)) == {"incident:i1", "latched"}


def recovered(number: int, now: int, taken_ms: int) -> Any:
    times = {"reported": now - taken_ms * 1_000_000, "verified": now}
    return outcome("recovered", 0, f"i{number}", times=times, settled=True)


def test_slow_recoveries_are_an_alert() -> None:
    """When one in ten of the last five minutes takes longer than promised; few recoveries say nothing."""
    day = Day()
    for number in range(9):
        day.rules.hear_outcome(recovered(number, day.now, 20))
    day.rules.hear_outcome(recovered(9, day.now, 5000))
    assert day.after(1) == {"recovery_latency": "warning"}
    day.now += 200 * SECOND
    for number in range(10, 40):
        day.rules.hear_outcome(recovered(number, day.now, 20))
    assert day.after(1) == {}
    few = Day()
    few.rules.hear_outcome(recovered(1, few.now, 5000))
    assert few.after(1) == {}


def test_a_missing_service_is_an_alert() -> None:
    """Each of the others after 15 s, the more it is needed the graver; what is not known is not missing."""
    day = Day()
    day.rules.hear_services(dict.fromkeys(SERVICES, False))
    assert day.after(14) == {}
    assert day.after(3) == {
        "service:strategy-selector": "critical",
        "service:executor": "critical",
        "service:classifier": "major",
        "service:predictor": "minor",
    }
    day.rules.hear_services({"executor": True})
    assert "service:executor" not in day.after(7)
    assert len(day.open) == 3


@dataclass
class Found:
    """A finding."""

    agent: str = "runtime/a1"
    metric: str = "memory_bytes"
    finding: str = "exhaustion"
    harmful: bool = True
    sentence: str = "memory_bytes reaches its limit"
    eta_seconds: float | None = 600.0


def test_findings_are_alerts_as_long_as_they_stand() -> None:
    """What runs out within the hour is major, later minor; what gets worse is a warning, the rest nothing."""
    day = Day()
    found = [Found(), Found(metric="disk_percent", eta_seconds=9000.0), Found(metric="x", finding="trend")]
    day.rules.hear_findings([*found, Found(metric="y", harmful=False), Found(agent="mendbus/canary")])
    assert day.after(1) == {
        "exhaustion:runtime/a1:memory_bytes": "major",
        "exhaustion:runtime/a1:disk_percent": "minor",
        "degradation:runtime/a1:x": "warning",
    }
    day.rules.hear_findings([])
    assert len(day.after(300)) == 3
    assert day.after(700) == {}
    day.rules.hear_findings(found[:1])
    assert len(day.after(1)) == 1
    day.rules.hear_findings([])
    assert day.after(10) == {}


def test_a_webhook_that_takes_nothing_is_an_alert() -> None:
    """After two minutes, until it takes something again."""
    day = Day(webhooks=[{"name": "w", "url": "http://localhost/"}])
    day.rules.hear_webhook("w", day.now)
    assert day.after(119) == {}
    assert day.after(2) == {"webhook:w": "minor"}
    day.rules.hear_webhook("w", None)
    assert day.after(1) == {}


def test_the_canary_is_in_no_rule() -> None:
    """Neither its status nor its samples nor its recoveries count."""
    day = Day()
    day.status("failed", "mendbus/canary")
    day.rules.hear_sample(sample("mendbus/canary"), day.now)
    day.rules.hear_outcome(outcome("escalated", agent={"kind": "mendbus", "id": "canary"}))
    assert day.after(20) == {}
    assert not day.rules._agents


def test_what_rules_remember_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Agents, outcomes and latencies; the oldest are forgotten."""
    for name in ("MAX_AGENTS", "MAX_OUTCOMES", "MAX_OVER", "MAX_LATENCIES"):
        monkeypatch.setattr(module, name, 3)
    day = Day()
    for number in range(9):
        day.status("good", f"runtime/a{number}")
        day.rules.hear_outcome(recovered(number, day.now, 20))
        day.rules.hear_outcome(outcome("escalated", 0, f"p{number}"))
        day.rules.hear_outcome(outcome("no_action", 0, f"n{number}"))
    rules = day.rules
    assert [len(kept) for kept in (rules._agents, rules._outcomes, rules._over, rules._latencies)] == [3, 3, 3, 3]
    assert sum(map(len, rules._parked.values())) <= 3


def test_what_is_found_of_mendbus_itself_is_about_no_agent() -> None:
    """Nor is what names none; both are alerts all the same."""
    day = Day()
    found = [Found(agent="mendbus/a stream", metric="bytes"), Found(agent="nobody")]
    day.rules.hear_findings(found)
    verdicts = day.rules.judge(day.now, day.open.__contains__, [])
    assert [verdict.condition.agent for verdict in verdicts if verdict.condition] == [None, None]
