"""What every owner knows of all partitions: from what stands in the journal, and from what is written later."""

import time
from collections.abc import AsyncIterator

import pytest
from tests.support import Clock
from tests.unit.strategy_selector.test_snapshot import CLASSIFIED, DECISION, SUBJECTS, command, error, outcome

from mendbus import streams
from mendbus.bus import Bus
from mendbus.bus.memory import MemoryServer
from mendbus.contracts.asks import AttemptResult
from mendbus.contracts.journal import Attempted, Concluded, Decided, Entry, Opened, Operated
from mendbus.contracts.messages import AgentRef
from mendbus.testing import eventually
from mendbus_strategy_selector.journal import Journal, Position
from mendbus_strategy_selector.overview import Overview

AGENT = AgentRef(kind="runtime", id="a1")
HOUR = 3_600_000_000_000


@pytest.fixture
async def bus() -> AsyncIterator[Bus]:
    """A memory bus with the streams there are."""
    found = MemoryServer().connect("test")
    await streams.ensure(found, SUBJECTS, 1 << 30)
    yield found
    await found.close()


def decided(incident: str, strategy: str, rule: str = "first") -> Decided:
    """A decision with its intent."""
    intent = command(incident).model_copy(update={"strategy": strategy, "command_id": f"{incident}-{strategy}"})
    return Decided(
        incident_id=incident,
        attempt=1,
        strategy=intent.strategy,
        decision=DECISION.model_copy(update={"rule": rule}),
        classification=CLASSIFIED,
        command=intent,
    )


def attempted(incident: str, strategy: str, *, verified: bool) -> Attempted:
    """What came of that intent."""
    result = AttemptResult(incident_id=incident, status="done", verified=verified)
    return Attempted(incident_id=incident, command_id=f"{incident}-{strategy}", result=result, ended_unix_nano=1)


def apply(overview: Overview, at: int, *entries: Entry) -> None:
    """Has entries taken in as they come over the wire."""
    for entry in entries:
        overview.apply(entry.model_dump(exclude_none=True), at)


async def test_it_knows_what_was_written_before_and_what_is_written_later(bus: Bus) -> None:
    """Pauses and restarts of other owners are known at the start, and soon after they are on disk."""
    until = time.time_ns() + HOUR
    control = Journal(bus, SUBJECTS, 0, "a", Position(), time.time_ns, subject=SUBJECTS.journal_control)
    other = Journal(bus, SUBJECTS, 5, "b", Position(), time.time_ns)
    await control.write(Operated(verb="pause", by="kim", kind="runtime", until_unix_nano=until))
    await other.write(decided("i1", "restart"))
    overview = Overview(time.time_ns)
    following = await overview.follow(bus, SUBJECTS)
    assert overview.pauses.holding(AGENT, time.time_ns()) is not None
    assert overview.restarts("runtime/a1") == (1, 1, 1)
    await other.write(decided("i2", "restart"))
    await control.write(Operated(verb="resume", by="kim", kind="runtime"))
    await eventually(lambda: overview.restarts("runtime/a1") == (2, 2, 2))
    await eventually(lambda: overview.pauses.holding(AGENT, time.time_ns()) is None)
    await following.stop()


def test_budgets_look_back_a_minute_and_a_second() -> None:
    """Older restarts and retries count no more; other kinds count only in all."""
    clock = Clock()
    overview = Overview(clock)
    apply(overview, clock(), decided("i1", "restart"), decided("i2", "retry"), decided("i3", "rollback"))
    assert overview.restarts("runtime/a1") == (1, 1, 1)
    assert overview.restarts("runtime/a2") == (0, 1, 1)
    assert overview.restarts("run/a1") == (0, 0, 1)
    assert overview.retries("runtime/a1") == 1
    clock.pass_seconds(1.5)
    assert overview.retries("runtime/a1") == 0
    clock.pass_seconds(60)
    assert overview.restarts("runtime/a1") == (0, 0, 0)


def test_an_agent_is_sick_while_an_attempt_has_not_helped() -> None:
    """From the first attempt that is not verified until one is, or the incident ends."""
    overview = Overview(Clock())
    opened = Opened(incident_id="i1", agent=AGENT, fingerprint="f", error=error("X"))
    apply(overview, 1, opened, decided("i1", "retry"))
    assert overview.incidents.sick() == set()
    apply(overview, 2, attempted("i1", "retry", verified=False))
    assert overview.incidents.sick() == {"runtime/a1"}
    apply(overview, 3, decided("i1", "restart"), attempted("i1", "restart", verified=True))
    assert overview.incidents.sick() == set()
    apply(
        overview, 4, attempted("i1", "restart", verified=False), Concluded(outcome=outcome("i1", "escalated", 0, None))
    )
    assert overview.incidents.sick() == set()
    assert overview.incidents.of("runtime/a1") == []
    assert overview.incidents.outcome("i1") == "escalated"


def test_the_latch_holds_until_everything_is_resumed() -> None:
    """A decision asks for it, an entry of operators sets it, `resume` of everything alone ends it."""
    overview = Overview(Clock())
    apply(overview, 1, decided("i1", "restart", rule="latched"))
    assert overview.latch_due
    apply(overview, 2, Operated(verb="latch", by="strategy-selector", reason="too many"))
    assert (overview.latched, overview.latch_due) == ("too many", "")
    apply(overview, 3, Operated(verb="resume", by="kim", kind="runtime"))
    assert overview.latched
    apply(overview, 4, Operated(verb="resume", by="kim"))
    assert not overview.latched
    assert overview.restarts("runtime/a1")[2] == 0


def test_it_knows_when_a_strategy_was_begun_for_as_long_as_it_looks_back() -> None:
    """The last time counts, each agent for itself, and what is longer ago than a minute is forgotten."""
    clock = Clock()
    overview = Overview(clock)
    apply(overview, clock(), decided("i1", "failover"), decided("i2", "restart"))
    clock.pass_seconds(5)
    apply(overview, clock(), decided("i3", "failover"))
    clock.pass_seconds(7)
    agent = command("i1").agent.key
    assert overview.seconds_since(agent, ["failover", "restart", "isolate"]) == {"failover": 7.0, "restart": 12.0}
    assert overview.seconds_since("runtime/other", ["failover"]) == {}
    clock.pass_seconds(60)
    apply(overview, clock(), decided("i4", "isolate"))
    assert overview.seconds_since(agent, ["failover", "restart", "isolate"]) == {"isolate": 0.0}
