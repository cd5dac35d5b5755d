"""Whose turn it is: leases on the in-memory bus, with clocks that the tests move."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from mendbus import Agent, streams
from mendbus.bus import Bus
from mendbus.bus.memory import MemoryServer
from mendbus.contracts.messages import AgentRef, RecoveryCommand
from mendbus.contracts.subjects import Subjects
from mendbus.sdk.commands import Order, StrategyError
from mendbus.sdk.loop import Caller
from mendbus.sdk.operations import Operations, StandsBy
from mendbus.sdk.probes import Probes
from mendbus.sdk.reports import Words
from mendbus.sdk.standby import Standby
from mendbus.testing import eventually

SUBJECTS = Subjects()
OF = "runtime/a"
LEASE = 0.4


class One:
    """An agent as far as its turn is concerned; `slept` is how far its clock is ahead."""

    def __init__(self, bus: Bus, name: str, **changes: Any) -> None:
        self.slept = 0.0
        self.told: list[str] = []
        self.took_over: list[str] = []
        caller, ref = Caller(), AgentRef(kind="runtime", id=name, instance=f"boot-{name}")
        self.operations = Operations(self._report, lambda: None)
        self.probes = Probes(self.operations, caller, time.time_ns)
        values: dict[str, Any] = {
            "activate": lambda: self.told.append("activate"),
            "deactivate": lambda: self.told.append("deactivate"),
            "lease_seconds": LEASE,
            "clock": lambda: time.monotonic() + self.slept,
        }
        self.standby = Standby(
            OF,
            ref,
            SUBJECTS,
            caller,
            self.probes,
            lambda: 1.0,
            self.took_over.append,
            time.time_ns,
            **(values | changes),
        )
        self.operations.turn = self.standby.refusal
        self.standby.bus = bus

    @staticmethod
    def _report(error: Exception, words: Words) -> str:
        raise AssertionError((error, words))

    async def ordered(self, action: str = "apply", seconds: float = 3.0, **parameters: Any) -> str:
        """What came of a failover command."""
        command = RecoveryCommand.model_validate(
            {
                "command_id": "c1",
                "incident_id": "i1",
                "attempt": 1,
                "agent": {"kind": "runtime", "id": "a"},
                "action": action,
                "strategy": "failover",
                "parameters": parameters,
                "timeout_ms": 1000,
                "deadline_unix_nano": time.time_ns(),
                "fence": 1,
            }
        )
        deadline = asyncio.get_running_loop().time() + seconds
        return (await self.standby.handle(Order(command, deadline))).detail or ""


@asynccontextmanager
async def living(*ones: One) -> AsyncIterator[None]:
    """They tend to their turns for the length of a block."""
    tasks = [asyncio.create_task(one.standby.tend()) for one in ones]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        _ = await asyncio.wait(tasks)


@pytest.fixture
async def bus() -> AsyncIterator[Bus]:
    """With the buckets there are."""
    bus = MemoryServer().connect("test")
    await streams.ensure(bus, SUBJECTS, 1 << 28)
    yield bus
    await bus.close()


async def test_nobody_acts_before_it_is_sure(bus: Bus) -> None:
    """At the start the primary waits out a lease that might have been lost with the server, and comes first."""
    a, b = One(bus, "a"), One(bus, "b")
    begun = time.monotonic()
    async with living(b, a):
        with pytest.raises(StandsBy, match="nobody"):
            a.operations.check_turn()
        assert a.standby.elsewhere() == (False, f"nobody acts as {OF}")
        await eventually(lambda: a.standby.active)
        assert time.monotonic() - begun >= LEASE
        assert (a.told, b.told, b.standby.active) == (["activate"], [], False)
        a.operations.check_turn()
        assert a.standby.elsewhere() is None
        assert b.standby.elsewhere() is None


async def test_who_slept_may_not_act(bus: Bus) -> None:
    """When its own clock says that the lease may have run out, the holder refuses work before it has asked anybody."""
    a = One(bus, "a")
    async with living(a):
        await eventually(lambda: a.standby.active)
        a.slept += LEASE
        assert not a.standby.active
        with pytest.raises(StandsBy, match="nobody for sure"):
            a.operations.check_turn()
        # Nobody took it, so it is renewed.
        await eventually(lambda: a.standby.active)


async def test_silence_is_a_takeover_under_a_higher_fence(bus: Bus) -> None:
    """A holder that renews no more is replaced; it keeps its own fence, so that what it writes late is refused."""
    a, b = One(bus, "a"), One(bus, "b")
    async with living(b):
        async with living(a):
            await eventually(lambda: a.standby.active)
        await eventually(lambda: b.standby.active)
        assert (b.took_over, a.standby.active) == ([OF], False)
        assert 0 < a.standby.fence < b.standby.fence
        async with living(a):
            await eventually(lambda: a.standby.elsewhere() == (True, f"runtime/b acts as {OF}"))
            assert await a.ordered() == f"runtime/b acts as {OF} already"


async def test_one_that_is_not_well_does_not_take_over(bus: Bus) -> None:
    """A standby whose probe fails leaves the turn alone, and is not handed it; nor is a primary given it back."""
    a, b = One(bus, "a"), One(bus, "b")
    b.probes.general = lambda: False
    async with living(a, b):
        await eventually(lambda: a.standby.active)
        with pytest.raises(StrategyError, match="no healthy standby"):
            await a.ordered()
        b.probes.general = None

        async def handed() -> bool:
            try:
                return bool(await a.ordered(to="b"))
            except StrategyError:
                return False

        await eventually(handed)
        a.probes.general = lambda: False
        with pytest.raises(StrategyError, match="not fit"):
            await a.ordered("restore")
        a.probes.general = None
        assert await a.ordered("undo") == f"{OF} acts as {OF} again"
        assert await a.ordered("undo") == f"{OF} acts as {OF}"


async def test_a_takeover_that_fails_is_given_up(bus: Bus) -> None:
    """Whose `activate` raises does not act and does not try again soon; another takes its turn."""

    def fail() -> None:
        raise OSError("no disk")

    a, b = One(bus, "a", activate=fail), One(bus, "b")
    async with living(a):
        await eventually(lambda: a.told)
        assert not a.standby.active
        await asyncio.sleep(2 * LEASE)
        async with living(b):
            await eventually(lambda: b.standby.active)
    assert a.told == ["deactivate"]


async def test_a_lease_lost_with_the_server_is_written_anew(bus: Bus) -> None:
    """When the bucket is empty the holder stops, and one of them acts again after a lease."""
    a, b = One(bus, "a"), One(bus, "b")
    async with living(a, b):
        await eventually(lambda: a.standby.active)
        fence = a.standby.fence
        stream = SUBJECTS.bucket_stream("leases")

        async def lost() -> bool:
            # A renewal may come between the two, and then the lease is still there.
            _ = await bus.purge(stream, (await bus.usage(stream)).last_sequence + 1)
            return "deactivate" in a.told

        await eventually(lost, 20.0)
        await eventually(lambda: max(a.standby.fence, b.standby.fence) > fence, 20.0)
        await eventually(lambda: a.standby.active != b.standby.active, 20.0)


async def test_who_leaves_hands_on(bus: Bus) -> None:
    """An agent that stops is followed at once by the one that is there, and takes no turn any more."""
    a, b = One(bus, "a"), One(bus, "b")
    async with living(a, b):
        await b.standby.stop()
        await eventually(lambda: a.standby.active)
        b.standby._stopped = False
        await eventually(lambda: b.standby._healthy)
        await a.standby.stop()
        assert a.told == ["activate", "deactivate"]
        await eventually(lambda: b.standby.active, LEASE * 0.9)
        assert not b.took_over


def test_what_is_declared_is_checked() -> None:
    """Another kind, no key at all, and a second declaration are refused; the hello will say what is supported."""
    agent = Agent("runtime", "b")
    for wrong in ("a", "versioning/a", "runtime/a/b", "runtime/"):
        with pytest.raises(ValueError, match="kind/id"):
            _ = agent.standby(wrong)
    found = agent.standby(OF)
    assert (found.primary, found.active, found.fence) == (False, False, 0)
    assert "failover" in agent._core.strategies.supported()
    with pytest.raises(RuntimeError, match="already"):
        _ = agent.standby(OF)
