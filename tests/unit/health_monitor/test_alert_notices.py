"""Notifications: alerts that belong together, told once, again when there is reason, and none lost."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from tests.unit.health_monitor.alert_samples import SECOND, agent, alert, happen
from tests.unit.health_monitor.test_alerts import KEYS, quick

from mendbus.alert_policy import AlertTimes, Webhook
from mendbus.contracts.messages import Alert
from mendbus_health_monitor.alert_notices import Notice, Shown, due, group_of, wanted
from mendbus_health_monitor.alerts import Alerts

HOOK = Webhook(name="w", url="http://localhost/")


class Told:
    """A webhook that takes everything, and what it was told."""

    def __init__(self, times: AlertTimes | None = None, hook: Webhook = HOOK) -> None:
        self.times = times or AlertTimes()
        self.hook = hook
        self.shown: dict[str, Shown] = {}
        self.notices: list[Notice] = []

    def look(self, seconds: float, *alerts: Alert, resolved: dict[str, Alert] | None = None) -> list[str]:
        """Sends what is due; returns why each was."""
        now = round(seconds * SECOND)
        found = due(self.hook, self.times, alerts, resolved or {}, self.shown, now)
        for notice in found:
            known = {"webhook": notice.webhook, "group": notice.group, "at_unix_nano": now, "alerts": notice.shown}
            self.shown[notice.group] = Shown.model_validate(known)
        self.notices += found
        return [notice.why for notice in found]


def test_a_first_notification_waits_for_what_belongs_to_it() -> None:
    """After five seconds all alerts of the group are told at once, the gravest first."""
    told = Told()
    one, other = alert("c1"), alert("c2", "major", time_unix_nano=2 * SECOND)
    assert told.look(4.9, one, other) == []
    assert told.look(5, one, other) == ["raised"]
    assert [found.key for found in told.notices[0].alerts] == ["c2", "c1"]
    assert told.notices[0].severity == "major"
    assert told.look(100, one, other) == []


def test_a_critical_alert_waits_for_none() -> None:
    """It is told at once, and so is what becomes graver than all that was told."""
    told = Told()
    assert told.look(0, alert(severity="critical")) == ["raised"]
    told = Told()
    told.look(5, alert())
    worse = alert(severity="critical", time_unix_nano=6 * SECOND, since_unix_nano=0)
    assert told.look(6, worse) == ["worsened"]


def test_more_of_the_same_waits_for_a_minute() -> None:
    """A new alert that is no graver is told when a minute has passed since the last notification."""
    told = Told()
    told.look(5, alert("c1"))
    more = alert("c2", time_unix_nano=6 * SECOND)
    assert told.look(60, alert("c1"), more) == []
    assert told.look(65, alert("c1"), more) == ["raised"]


def test_what_is_over_before_anybody_was_told_is_never_told() -> None:
    """Nobody is woken for what has healed itself."""
    told = Told()
    assert told.look(1, alert()) == []
    assert told.look(10, resolved={"c1": alert(state="resolved", time_unix_nano=2 * SECOND)}) == []


def test_what_was_told_is_told_to_be_over() -> None:
    """With what it was; a webhook that does not want that hears nothing, and one that was forgotten is named."""
    for hook in (HOOK, HOOK.model_copy(update={"resolved": False})):
        told = Told(hook=hook)
        told.look(5, alert())
        ended = {"c1": alert(state="resolved", time_unix_nano=70 * SECOND)}
        assert told.look(80, resolved=ended) == (["resolved"] if hook.resolved else [])
    told = Told()
    told.look(5, alert())
    assert told.look(80) == ["resolved"]
    assert told.notices[1].resolved[0].key == "c1"


def test_it_is_told_again_until_somebody_acknowledges() -> None:
    """Every four hours; an acknowledged alert never, unless it becomes graver."""
    told = Told()
    told.look(5, alert())
    assert told.look(4 * 3600 + 4, alert()) == []
    assert told.look(4 * 3600 + 5, alert()) == ["repeated"]
    taken = alert(state="acknowledged")
    assert told.look(40 * 3600, taken) == []
    assert told.look(41 * 3600, alert(severity="major", state="acknowledged")) == ["worsened"]
    fresh = Told()
    assert fresh.look(5, taken) == []


def test_an_alert_that_is_raised_anew_is_a_new_one() -> None:
    """Even when nobody was told that the one before it was over."""
    told = Told(hook=HOOK.model_copy(update={"resolved": False}))
    told.look(5, alert())
    assert told.look(200, alert(time_unix_nano=100 * SECOND)) == ["raised"]


def test_what_is_muted_is_not_told_and_not_over() -> None:
    """A mute is silent in both directions; when it ends, what was never told is."""
    told = Told()
    assert told.look(50, alert(muted_by="silence:s1")) == []
    assert told.look(60, alert(time_unix_nano=50 * SECOND)) == ["raised"]
    assert told.look(4 * 3600 + 70, alert(muted_by="silence:s1")) == []
    assert told.shown[told.notices[0].group].alerts == {"c1": "minor"}


def test_a_webhook_hears_what_it_wants() -> None:
    """By severity, rule and kind."""
    for fits, named in ((True, {}), (False, {"min_severity": "major"}), (True, {"min_severity": "minor"})):
        assert wanted(alert(), HOOK.model_copy(update=named)) is fits
    for fits, named in ((True, {"rules": ["r1"]}), (False, {"rules": ["r2"]}), (True, {"kinds": ["runtime"]})):
        assert wanted(alert(), HOOK.model_copy(update=named)) is fits
    assert not wanted(alert(agent=None), HOOK.model_copy(update={"kinds": ["runtime"]}))


def test_groups_are_made_by_labels() -> None:
    """By rule and kind unless told otherwise; by nothing: all in one."""
    found = alert(agent=agent("build/b1"))
    assert group_of(found, AlertTimes()) == "rule=r1,kind=build"
    assert group_of(found, AlertTimes(group_by=["agent"])) == "agent=build/b1"
    assert group_of(alert(agent=None, rule=None), AlertTimes()) == "rule=,kind="
    assert group_of(found, AlertTimes(group_by=[])) == "all"


events = st.lists(
    st.tuples(
        st.floats(0.0, 200.0),
        st.sampled_from(KEYS),
        st.sampled_from(["holds", "worse", "over", "ack", "mute", "unmute", "wait"]),
    ),
    max_size=30,
)
TIMES = AlertTimes(escalate_seconds={"minor": 300, "major": 100}, calm_seconds=200, group_by=[])


def play(told: list[tuple[float, str, str]], restarts: bool = False) -> tuple[Told, Alerts, float]:
    """Has events happen, looked at after each; with `restarts` everything is rebuilt from what is stored, each time."""
    alerts, hook, mutes, now, stored = Alerts(TIMES), Told(TIMES), dict[str, str](), 0.0, list[Alert]()
    for seconds, key, what in told:
        now += seconds
        stored += happen(alerts, key, what, round(now * SECOND), mutes, worse="critical")
        if restarts:
            alerts = Alerts(TIMES)
            for one in stored:
                alerts.take(one)
        hook.look(now, *alerts.open.values(), resolved=alerts.resolved)
    return hook, alerts, now


@quick
@given(events)
def test_no_alert_is_lost(told: list[tuple[float, str, str]]) -> None:
    """In the end whoever listens knows of each open alert that nobody has taken on, with the severity that it has."""
    hook, alerts, now = play(told)
    hook.look(now + 70, *alerts.open.values(), resolved=alerts.resolved)
    hook.look(now + 140, *alerts.open.values(), resolved=alerts.resolved)
    known = hook.shown["all"].alerts if "all" in hook.shown else {}
    for key, one in alerts.open.items():
        if one.state == "raised" and not one.muted_by:
            assert known.get(key) == one.severity
    assert not set(known) - set(alerts.open)


@quick
@given(events)
def test_a_restart_tells_nothing_twice(told: list[tuple[float, str, str]]) -> None:
    """With a restart after every single event, exactly the same is told."""
    straight, _, _ = play(told)
    restarted, _, _ = play(told, restarts=True)
    facts: Any = [[(one.id, one.why, one.shown) for one in each.notices] for each in (straight, restarted)]
    assert facts[0] == facts[1]


@quick
@given(events)
def test_notifications_do_not_flap(told: list[tuple[float, str, str]]) -> None:
    """Between two of them lies a minute, unless it got graver than it had been."""
    hook, _, _ = play([(seconds, key, what) for seconds, key, what in told if what != "worse"])
    ids = [notice.id for notice in hook.notices]
    assert len(set(ids)) == len(ids)
    assert len(ids) <= 2 + sum(seconds for seconds, _, _ in told) / 60 + len(
        [one for one in hook.notices if one.why == "worsened"]
    )
