"""What the monitor knows of agents: changes only, silence after three intervals, goodbyes, and nothing that flaps."""

from typing import Any

import pytest
from tests.support import SECOND, Clock

from mendbus.contracts.messages import AgentGoodbye, AgentHello, HealthSample, HealthStatus
from mendbus_health_monitor import agents
from mendbus_health_monitor.agents import Agents

WELL = {"errors_per_s": 0.0, "availability_ratio": 1.0}
SICK = {"errors_per_s": 5.0, "availability_ratio": 0.5}


class Watch:
    """A monitor's agents, and one agent that speaks to it."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.agents = Agents(self.clock)
        self.sequence = 0
        self.stored = 0

    def ref(self, instance: str = "boot1", agent: str = "a1") -> dict[str, Any]:
        return {"kind": "runtime", "id": agent, "instance": instance}

    def sample(self, metrics: dict[str, float] = WELL, **more: Any) -> HealthStatus | None:
        self.sequence += 1
        known = {
            "agent": self.ref(),
            "time_unix_nano": self.clock(),
            "sequence": self.sequence,
            "interval_ms": 500,
            "metrics": metrics,
        }
        return self.agents.hear(HealthSample.model_validate({**known, **more}))

    def feed(self, count: int, metrics: dict[str, float] = WELL, **more: Any) -> list[str]:
        told: list[str] = []
        for _ in range(count):
            self.clock.pass_seconds(0.5)
            status = self.sample(metrics, **more)
            told += [status.status] if status else []
        return told

    def hello(self, **more: Any) -> None:
        self.stored += 1
        known = {
            "id": "h1",
            "time_unix_nano": self.clock(),
            "agent": self.ref(),
            "strategies": ["retry"],
            "interval_ms": 500,
        }
        self.agents.greet(AgentHello.model_validate({**known, **more}), self.stored)

    def goodbye(self, instance: str = "boot1", **more: Any) -> HealthStatus | None:
        known = {"id": "g1", "time_unix_nano": self.clock(), "agent": self.ref(instance)}
        return self.agents.leave(AgentGoodbye.model_validate({**known, **more}))

    def overdue(self) -> list[tuple[str, str]]:
        return [(status.agent.id, status.status) for status in self.agents.overdue()]


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


@pytest.mark.parametrize(("interval_ms", "patience"), [(100, 1.5), (500, 1.5), (2000, 6.0)])
def test_silence_of_three_intervals_is_a_failure(interval_ms: int, patience: float) -> None:
    """An agent fails when nothing was heard for three intervals and at least 1.5 s, once."""
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
    watch.clock.pass_seconds(2.9)
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
    """Repeats and stragglers are ignored and counted; numbers that cannot be are missing."""
    watch = Watch()
    watch.feed(3)
    for sequence in (3, 2):
        assert watch.sample(SICK, sequence=sequence, time_unix_nano=watch.clock() - SECOND) is None
    assert watch.agents.ignored == 2
    watch.sequence = 10
    assert watch.sample({"errors_per_s": -5.0, "availability_ratio": 7.0}) is None
    [row] = watch.agents.listing(None, None, "", 10)
    assert (row["metrics"], row["status"]) == ({}, "excellent")


def test_a_clock_a_day_ahead_or_back_does_not_matter() -> None:
    """Liveness goes by the monitor's clock."""
    watch = Watch()
    for hours in (24, -24):
        watch.feed(4, time_unix_nano=watch.clock() + hours * 3600 * SECOND)
        assert watch.overdue() == []


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
