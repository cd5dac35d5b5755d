"""What the monitor knows of agents: changes only, silence after three intervals, goodbyes, and nothing that flaps."""

import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support import SECOND
from tests.unit.health_monitor.agent_watch import SICK, WELL, Watch

from mendbus.redaction import Redaction
from mendbus_health_monitor import agents
from mendbus_health_monitor.handlers import TakenSample


def test_a_new_agent_is_told_of_at_once_and_then_only_changes() -> None:
    """The first sample makes a status, the next ones of the same health make none."""
    watch = Watch()
    first = watch.sample()
    assert first is not None
    assert (first.status, first.previous, first.score, first.metrics) == ("excellent", None, 100.0, WELL)
    assert watch.feed(50) == []
    worse = watch.sample(SICK)
    assert worse is not None
    assert (worse.status, worse.previous, worse.score) == ("critical", "excellent", 15.0)
    assert worse.reason == "availability_ratio 0.5 (-50.0), errors_per_s 5 (-35.0)"
    assert watch.feed(9) == []
    assert watch.feed(2) == ["excellent"]


def test_reasons_go_by_the_redaction_of_the_policy() -> None:
    """What an agent said as it died or left loses what the policy names, and keeps what it allows."""
    watch = Watch()
    watch.redaction = Redaction(emails=False, names=("account",))
    said = "account=4711 of kim@example.org"
    died = watch.die(exception={"type": "E", "message": said})
    left = watch.goodbye(reason=said)
    assert died is not None
    assert left is not None
    assert died.reason == "it died: E: account=*** of kim@example.org"
    assert left.reason == "account=*** of kim@example.org"


@pytest.mark.parametrize(("interval_ms", "patience"), [(100, 1.4), (500, 1.4), (2000, 5.6)])
def test_silence_of_nearly_three_intervals_is_a_failure(interval_ms: int, patience: float) -> None:
    """An agent fails when nothing was heard for 2.8 intervals and at least 1.4 s, once."""
    watch = Watch()
    watch.sample(interval_ms=interval_ms)
    watch.clock.pass_seconds(patience)
    assert watch.overdue() == []
    watch.clock.pass_seconds(0.001)
    [failed] = watch.agents.overdue()
    assert (failed.status, failed.previous, failed.score) == ("failed", "excellent", 0.0)
    assert failed.reason.startswith("nothing heard for ")
    assert watch.overdue() == []


def test_a_failed_agent_is_back_with_its_second_sample_in_time() -> None:
    """One sign of life is none, two in a row are: an agent that speaks now and then stays failed."""
    watch = Watch()
    watch.sample()
    watch.clock.pass_seconds(2)
    assert watch.overdue() == [("a1", "failed")]
    for _ in range(5):
        watch.clock.pass_seconds(1.2)
        assert watch.sample() is None
    watch.clock.pass_seconds(0.5)
    back = watch.sample()
    assert back is not None
    assert (back.status, back.previous) == ("excellent", "failed")


def test_time_in_which_the_monitor_was_deaf_is_nobodys_silence() -> None:
    """What the monitor could not hear is not held against an agent."""
    watch = Watch()
    watch.sample()
    watch.clock.pass_seconds(60)
    watch.agents.forgive(60 * SECOND)
    assert watch.overdue() == []
    watch.clock.pass_seconds(1.6)
    assert watch.overdue() == [("a1", "failed")]


def test_a_goodbye_is_no_failure() -> None:
    """An agent that left is `retired`, stays so in silence and for stragglers, and comes back when it speaks again."""
    watch = Watch()
    watch.sample()
    watch.clock.pass_seconds(1)
    left = watch.goodbye(reason="deployed")
    assert left is not None
    assert (left.status, left.reason) == ("retired", "deployed")
    assert watch.goodbye() is None
    assert watch.sample(time_unix_nano=watch.clock() - SECOND) is None
    watch.clock.pass_seconds(60)
    assert watch.overdue() == []
    back = watch.sample(SICK)
    assert back is not None
    assert (back.status, back.previous) == ("critical", "retired")


def test_a_goodbye_of_the_process_before_is_not_heard() -> None:
    """After a restart a late goodbye of the old process does not retire the new one."""
    watch = Watch()
    watch.hello(agent=watch.ref("boot2"))
    assert watch.goodbye("boot1") is None
    assert watch.goodbye("boot2") is not None


def test_a_goodbye_of_an_unknown_agent_is_told_too() -> None:
    """Who was never heard may leave."""
    status = Watch().goodbye()
    assert status is not None
    assert (status.status, status.previous) == ("retired", None)


def test_an_agent_known_from_its_hello_alone_is_awaited() -> None:
    """After a start known agents get the same patience; a hello after a goodbye is awaited again."""
    watch = Watch()
    watch.hello(interval_ms=1000)
    watch.clock.pass_seconds(2.7)
    assert watch.overdue() == []
    watch.clock.pass_seconds(0.2)
    assert watch.overdue() == [("a1", "failed")]
    watch.goodbye()
    watch.clock.pass_seconds(1)
    watch.hello(time_unix_nano=watch.clock())
    watch.clock.pass_seconds(2)
    assert watch.overdue() == [("a1", "failed")]


def test_an_older_hello_changes_nothing() -> None:
    """What the bucket told before counts once."""
    watch = Watch()
    watch.hello(strategies=["restart"])
    watch.stored = 0
    watch.hello(strategies=["retry"])
    [row] = watch.agents.listing(None, None, "", 10)
    assert row["hello"]["strategies"] == ["restart"]


def test_limits_of_the_hello_count_and_those_of_the_sample_win() -> None:
    """Memory counts as a share of the agent's limit."""
    watch = Watch()
    watch.hello(limits={"memory_bytes": 100.0})
    status = watch.sample({"memory_bytes": 100.0})
    assert status is not None
    assert status.score == 75.0
    watch.sample({"memory_bytes": 100.0}, limits={"memory_bytes": 1000.0})
    [row] = watch.agents.listing(None, None, "", 10)
    assert row["score"] == 100.0


def test_samples_that_keep_coming_late_cost() -> None:
    """An agent whose samples need thrice their interval gets worse without failing; in time it gets well again."""
    watch = Watch()
    told: list[str] = []
    watch.sample()
    for _ in range(20):
        watch.clock.pass_seconds(1.4)
        status = watch.sample()
        told += [status.status] if status else []
        assert watch.overdue() == []
    assert told == ["good"]
    assert watch.feed(60)[-1:] == ["excellent"]


def test_doubled_late_and_absurd_samples_do_no_harm() -> None:
    """Repeats and stragglers are ignored, numbers that cannot be are missing, and each is counted by its reason."""
    watch = Watch()
    watch.feed(3)
    for sequence in (3, 2):
        assert watch.sample(SICK, sequence=sequence, time_unix_nano=watch.clock() - SECOND) is None
    assert watch.agents.counts == {"taken": 3, "doubled": 1, "late": 1}
    watch.sequence = 10
    assert watch.sample({"errors_per_s": -5.0, "availability_ratio": 7.0, "memory_bytes": -1.0}) is None
    [row] = watch.agents.listing(None, None, "", 10)
    assert (row["metrics"], row["status"]) == ({}, "excellent")
    assert row["samples"] == {"doubled": 1, "late": 1, "absurd": 1}


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, -1.0, 1e300])
def test_a_number_that_cannot_be_is_missing_and_the_others_count(value: float) -> None:
    """One absurd number takes nothing away from the rest of its sample."""
    watch = Watch()
    sample = TakenSample.model_validate(
        {
            "agent": watch.ref(),
            "time_unix_nano": watch.clock(),
            "sequence": 1,
            "interval_ms": 500,
            "metrics": {"memory_bytes": value, "cpu_percent": 3.0},
        }
    )
    status = watch.agents.hear(sample)
    assert status is not None
    assert (status.status, status.metrics) == ("excellent", {"cpu_percent": 3.0})
    assert watch.agents.counts == {"taken": 1, "absurd": 1}


def test_a_clock_a_day_ahead_or_back_does_not_matter() -> None:
    """Liveness goes by the monitor's clock, and the wrong one is counted."""
    watch = Watch()
    for hours in (24, -24):
        watch.feed(4, time_unix_nano=watch.clock() + hours * 3600 * SECOND)
        assert watch.overdue() == []
    assert watch.agents.counts == {"taken": 8, "skewed": 8, "restarted": 1}


def test_a_goodbye_from_tomorrow_does_not_keep_the_next_process_out() -> None:
    """Who left by a clock that is a day ahead is heard again: the next process at once, the same one in a moment."""
    for instance, seconds in (("boot2", 1), ("boot1", 11)):
        watch = Watch()
        watch.sample()
        watch.goodbye(time_unix_nano=watch.clock() + 86400 * SECOND)
        assert watch.sample() is None
        assert watch.agents.counts["after_goodbye"] == 1
        watch.clock.pass_seconds(seconds)
        back = watch.sample(agent=watch.ref(instance))
        assert back is not None
        assert (back.status, back.previous) == ("excellent", "retired")


def test_each_failure_makes_coming_back_take_longer() -> None:
    """Once back with the second sample, after another failure only when it has spoken for five seconds, then ten."""
    watch = Watch()
    watch.sample()
    for least in (0, 5, 10):
        watch.clock.pass_seconds(2)
        assert watch.overdue() == [("a1", "failed")]
        spoken = 0.0
        watch.sample()
        while watch.feed(1) == []:
            spoken += 0.5
        assert least <= spoken + 0.5 <= least + 1


@given(
    st.lists(st.sampled_from((WELL, SICK, {})), min_size=1, max_size=40),
    st.lists(st.tuples(st.integers(0, 39), st.integers(0, 5)), max_size=40),
)
@settings(deadline=None, max_examples=50)
def test_repeats_and_stragglers_change_nothing(told: list[dict[str, float]], again: list[tuple[int, int]]) -> None:
    """Whatever samples come a second time, at once or later, the statuses are those of the samples in their order."""
    plain, noisy = Watch(), Watch()
    expected = [status for metrics in told for status in plain.feed(1, metrics)]
    heard: list[str] = []
    sent: list[dict[str, Any]] = []
    for metrics in told:
        heard += noisy.feed(1, metrics)
        sent.append({"metrics": metrics, "sequence": noisy.sequence, "time_unix_nano": noisy.clock()})
        for place, back in again:
            if place == len(sent) - 1 and back < len(sent):
                status = noisy.sample(**sent[-1 - back])
                assert status is None
                noisy.sequence = sent[-1]["sequence"]
    assert heard == expected
    counts = noisy.agents.counts
    repeats = sum(1 for place, back in again if place < len(told) and back <= place)
    assert (counts["taken"], counts["doubled"] + counts["late"]) == (len(told), repeats)


def test_errors_that_others_counted_cost_where_the_agent_tells_none() -> None:
    """An agent without `errors_per_s` is judged by what was counted; one that tells its own is not charged twice."""
    watch = Watch()
    watch.hear_outcome("escalated", 50)
    status = watch.sample({})
    assert status is not None
    assert status.reason == "errors_per_s 5 (-35.0), 1 not recovered (-20.0)"
    assert status.score == 45.0
    status = watch.sample(WELL)
    watch.hear_outcome("recovered", 50, 1)
    [row] = watch.agents.listing(None, None, "", 10)
    assert row["score"] == 80.0
    watch.sample(WELL)
    [row] = watch.agents.listing(None, None, "", 10)
    assert row["score"] == 100.0


def test_agents_are_listed_in_order_filtered_and_in_pages() -> None:
    """The rows tell agent, status, score, time, metrics and hello; kind, id and page narrow them."""
    watch = Watch()
    watch.hello(operations=[{"name": "compile"}], sdk="test")
    for kind, name in (("runtime", "b"), ("orchestrator", "o"), ("runtime", "c")):
        watch.sample(agent={"kind": kind, "id": name})
    listed = watch.agents.listing(None, None, "", 10)
    assert [row["agent"]["id"] for row in listed] == ["o", "a1", "b", "c"]
    assert listed[1]["status"] == "unknown"
    assert listed[1]["hello"]["operations"] == ["compile"]
    assert listed[0]["last_seen_unix_nano"] == watch.clock()
    assert [row["agent"]["id"] for row in watch.agents.listing("runtime", None, "", 2)] == ["a1", "b"]
    assert [row["agent"]["id"] for row in watch.agents.listing("runtime", None, "runtime/b", 2)] == ["c"]
    assert [row["agent"]["id"] for row in watch.agents.listing("runtime", "c", "", 2)] == ["c"]


def test_the_number_of_agents_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """The agent silent for longest is forgotten first."""
    monkeypatch.setattr(agents, "MAX_AGENTS", 2)
    watch = Watch()
    for name in ("a", "b", "a", "c"):
        watch.clock.pass_seconds(0.1)
        watch.sample(agent=watch.ref(agent=name))
    assert [row["agent"]["id"] for row in watch.agents.listing(None, None, "", 10)] == ["a", "c"]
