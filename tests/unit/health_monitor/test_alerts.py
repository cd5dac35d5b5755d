"""Alerts: every change recorded, none without a reason, and the same after any restart."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.health_monitor.alert_samples import SECOND, error, happen, holds, outcome, over

from mendbus import codec
from mendbus.alert_policy import AlertTimes
from mendbus.contracts.messages import Alert
from mendbus_health_monitor import alerts as module
from mendbus_health_monitor.alert_conditions import Judge
from mendbus_health_monitor.alerts import Alerts


def changes(found: list[Alert]) -> list[str | None]:
    return [alert.change for alert in found]


def step(alerts: Alerts, seconds: float, mutes: dict[str, str] | None = None) -> list[Alert]:
    return alerts.step(round(seconds * SECOND), mutes or {}, list(alerts.open))


def test_a_condition_is_raised_once_and_resolved_once() -> None:
    """While it holds nothing more is said of it, unless it becomes graver."""
    alerts = Alerts()
    raised = alerts.judge(holds(), 1)
    assert raised is not None
    assert (raised.state, raised.severity, raised.change, raised.version) == ("raised", "minor", "raised", 1)
    assert alerts.judge(holds(), 2) is None
    worse = alerts.judge(holds(severity="major"), 3)
    assert worse is not None
    assert (worse.change, worse.severity, worse.since_unix_nano) == ("worsened", "major", 1)
    assert alerts.judge(holds(), 4) is None
    resolved = alerts.judge(over(), 5)
    assert resolved is not None
    assert (resolved.state, resolved.severity, resolved.summary) == ("resolved", "major", "c1 is over")
    assert alerts.judge(over(), 6) is None
    assert alerts.open == {}


def test_very_long_texts_are_cut_to_what_the_wire_takes() -> None:
    """An alert can be encoded and decoded whatever the error and the reason are."""
    verdict = Judge().outcome(outcome("failed", error=error(None, "ü" * 4000), reason="€" * 330))
    assert verdict is not None
    alert = Alerts().judge(verdict, 1)
    assert alert is not None
    assert codec.decode(Alert, codec.encode(alert)) == alert


def test_an_incident_that_goes_on_says_what_to_do_now() -> None:
    """Paused, then out of strategies: the alert is the same and what it says is new, once."""
    alerts, judge = Alerts(), Judge()
    made: list[Alert | None] = []
    for sequence, word in enumerate(["suppressed", "suppressed", "escalated", "escalated"]):
        verdict = judge.outcome(outcome(word, sequence))
        assert verdict is not None
        made.append(alerts.judge(verdict, sequence))
    assert [one.change if one else None for one in made] == ["raised", None, "updated", None]
    assert made[2] is not None
    assert "no strategy is left" in (made[2].hint or "")


def test_who_acknowledges_has_it_until_it_is_resolved() -> None:
    """An acknowledged alert gets no graver by waiting; raised anew it is nobody's again."""
    alerts = Alerts()
    alerts.judge(holds(), 0)
    taken = alerts.acknowledge("c1", "kim", "on it", 1)
    assert (taken.state, taken.acknowledged_by, taken.reason) == ("acknowledged", "kim", "on it")
    assert step(alerts, 7 * 86400) == []
    worse = alerts.judge(holds(severity="critical"), 2)
    assert worse is not None
    assert (worse.state, worse.severity) == ("acknowledged", "critical")
    alerts.judge(over(), 3)
    again = alerts.judge(holds(), 4)
    assert again is not None
    assert (again.state, again.acknowledged_by, again.version) == ("raised", None, 5)
    with pytest.raises(ValueError, match="no alert 'other' is open"):
        alerts.acknowledge("other", "kim", None, 5)


def test_what_nobody_acknowledges_gets_graver_step_by_step() -> None:
    """Each severity has its own patience, and critical is the end."""
    alerts = Alerts(AlertTimes(escalate_seconds={"minor": 60, "major": 30}))
    alerts.judge(holds(), 0)
    assert step(alerts, 59) == []
    assert [one.severity for one in step(alerts, 60)] == ["major"]
    assert step(alerts, 89) == []
    assert [one.severity for one in step(alerts, 90)] == ["critical"]
    assert step(alerts, 9999) == []


def test_what_is_muted_does_not_get_graver_while_nobody_can_hear_of_it() -> None:
    """The wait for an answer begins anew when the mute ends; both are recorded."""
    alerts = Alerts(AlertTimes(escalate_seconds={"minor": 60}))
    alerts.judge(holds(), 0)
    [muted] = step(alerts, 10, {"c1": "silence:s1"})
    assert (muted.change, muted.muted_by, muted.state) == ("muted", "silence:s1", "raised")
    assert step(alerts, 600, {"c1": "silence:s1"}) == []
    assert changes(step(alerts, 700)) == ["unmuted"]
    assert step(alerts, 759) == []
    assert changes(step(alerts, 760)) == ["escalated"]


def test_what_comes_and_goes_is_kept_open_and_made_graver() -> None:
    """Raised for the third time it flaps: it stays open until it has been calm for long enough."""
    alerts = Alerts(AlertTimes(flap_raises=3, flap_seconds=600, calm_seconds=300))
    made: list[Alert | None] = []
    for number in range(3):
        made += [alerts.judge(holds(), number * 20 * SECOND), alerts.judge(over(), (number * 20 + 10) * SECOND)]
    assert [one.change if one else None for one in made] == [
        *("raised", "resolved", "raised", "resolved", "raised", "calmed"),
    ]
    assert made[4] is not None
    assert (made[4].flapping, made[4].severity) == (True, "major")
    back = alerts.judge(holds(), 60 * SECOND)
    assert back is not None
    assert (back.change, back.calm_unix_nano) == ("returned", None)
    assert alerts.judge(over(), 70 * SECOND)
    assert alerts.judge(over(), 71 * SECOND) is None
    assert step(alerts, 369) == []
    assert changes(step(alerts, 370)) == ["resolved"]


def test_an_incident_does_not_flap() -> None:
    """What a person ends is over at once, however often it was raised."""
    alerts = Alerts()
    for number in range(6):
        alerts.judge(holds(flaps=False), number)
        resolved = alerts.judge(over(), number)
        assert resolved is not None
        assert resolved.state == "resolved"


def test_what_is_remembered_is_bounded_and_open_alerts_are_not_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of very many resolved alerts the oldest are forgotten, with what was counted of them."""
    monkeypatch.setattr(module, "MAX_RESOLVED", 2)
    alerts = Alerts()
    for number in range(5):
        alerts.judge(holds(f"c{number}"), 1)
    assert len(alerts.open) == 5
    for number in range(5):
        alerts.judge(over(f"c{number}"), 2)
    assert list(alerts.resolved) == ["c3", "c4"]


# What a day may bring: (seconds later, what happens to which alert)
KEYS = ("c1", "c2")
events = st.lists(
    st.tuples(
        st.floats(0.0, 400.0),
        st.sampled_from(KEYS),
        st.sampled_from(["holds", "worse", "over", "ack", "mute", "unmute", "wait"]),
    ),
    max_size=40,
)
quick = settings(max_examples=60, deadline=None)
TIMES = AlertTimes(escalate_seconds={"minor": 300, "major": 100}, flap_seconds=600, calm_seconds=200)


def play(alerts: Alerts, told: list[tuple[float, str, str]]) -> tuple[list[Alert], dict[str, str], int]:
    """Has events happen; returns every change, the mutes and the time at the end."""
    made: list[Alert] = []
    mutes: dict[str, str] = {}
    now = 0
    for seconds, key, what in told:
        now += round(seconds * SECOND)
        made += happen(alerts, key, what, now, mutes)
    return made, mutes, now


@quick
@given(events, st.integers(0, 40))
def test_a_restart_is_nothing_to_notice(told: list[tuple[float, str, str]], restart: int) -> None:
    """Whoever takes the stored changes in has the same alerts, and makes the same changes from then on."""
    straight = Alerts(TIMES)
    stored, mutes, now = play(straight, told[:restart])
    again = Alerts(TIMES)
    for alert in stored:
        again.take(codec.decode(Alert, codec.encode(alert)))
    assert (again.open, again.resolved) == (straight.open, straight.resolved)
    for seconds, key, what in told[restart:]:
        now += round(seconds * SECOND)
        verdict = holds(key) if what in ("holds", "worse") else over(key) if what == "over" else None
        if verdict is not None:
            assert again.judge(verdict, now) == straight.judge(verdict, now)
        assert again.step(now, mutes, list(again.open)) == straight.step(now, mutes, list(straight.open))


@quick
@given(events)
def test_stored_changes_may_come_twice_and_late(told: list[tuple[float, str, str]]) -> None:
    """Taking in again what was taken in before changes nothing."""
    alerts = Alerts(TIMES)
    stored, _, _ = play(alerts, told)
    before = dict(alerts.open), dict(alerts.resolved)
    for alert in (*stored, *stored[::-1]):
        alerts.take(alert)
    assert (dict(alerts.open), dict(alerts.resolved)) == before


@quick
@given(events)
def test_ids_are_unique_and_versions_count_up(told: list[tuple[float, str, str]]) -> None:
    """No change takes another one's id, so the stream drops none of them."""
    stored, _, _ = play(Alerts(TIMES), told)
    assert len({alert.id for alert in stored}) == len(stored)
    for key in KEYS:
        assert [alert.version for alert in stored if alert.key == key] == list(
            range(1, 1 + sum(alert.key == key for alert in stored))
        )


@quick
@given(events)
def test_nothing_flaps(told: list[tuple[float, str, str]]) -> None:
    """In no ten minutes is an alert raised more often than flapping allows, however fast its condition changes."""
    stored, _, _ = play(Alerts(TIMES), told)
    most = TIMES.flap_raises + 600 // TIMES.calm_seconds
    for key in KEYS:
        raised = [alert.time_unix_nano for alert in stored if (alert.key, alert.change) == (key, "raised")]
        for number, first in enumerate(raised):
            assert sum(first <= at < first + 600 * SECOND for at in raised[number:]) <= most


@quick
@given(events)
def test_a_mute_never_drops_the_record(told: list[tuple[float, str, str]]) -> None:
    """With every alert muted from the start, the same alerts are raised, at the same times, as without."""

    def facts(stored: list[Alert]) -> list[Any]:
        return [(one.key, one.time_unix_nano) for one in stored if one.change in ("raised", "resolved")]

    plain = [event for event in told if event[2] in ("holds", "over", "wait")]
    muted = [(0.0, key, "mute") for key in KEYS] + plain
    assert facts(play(Alerts(TIMES), muted)[0]) == facts(play(Alerts(TIMES), plain)[0])


@quick
@given(events)
def test_no_escalation_is_lost(told: list[tuple[float, str, str]]) -> None:
    """Whatever came before: an alert that is open, heard and unanswered gets graver within its patience."""
    alerts = Alerts(TIMES)
    _, _, now = play(alerts, told)
    waiting = {
        key: one.severity
        for key, one in alerts.open.items()
        if one.state == "raised" and one.calm_unix_nano is None and one.severity != "critical"
    }
    made = alerts.step(now, {}, list(alerts.open)) + alerts.step(now + 300 * SECOND, {}, list(alerts.open))
    escalated = {alert.key for alert in made if alert.change == "escalated"}
    assert escalated >= set(waiting)
