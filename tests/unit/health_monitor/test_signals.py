"""The live part on a bus: what is heard becomes findings and capacity, is told on request, and is let go of."""

import asyncio
from math import inf
from typing import Any

from tests.support import Clock, ask, memory_runtime

from mendbus import codec, streams
from mendbus.bus import Bus
from mendbus.bus.memory import MemoryServer
from mendbus.contracts.messages import AgentGoodbye, AgentHello, Control, ControlResult, HealthSample
from mendbus.contracts.subjects import Subjects
from mendbus.runtime import Drain, Runtime, Service
from mendbus.testing import eventually
from mendbus_health_monitor import signals
from mendbus_health_monitor.signals import Signals

SUBJECTS = Subjects()
LIMITS = {"memory_bytes": 1e9, "queue_depth": 100.0, "descriptors": 1000.0}


class Held:
    """A service that is nothing but signals."""

    signals: Signals

    async def start(self, runtime: Runtime) -> Drain:
        self.signals = Signals(runtime)
        await self.signals.start()

        async def drain() -> None:
            return

        return drain

    @property
    def service(self) -> Service:
        return Service("health-monitor", "signals alone", self.start)

    @property
    def watched(self) -> set[str]:
        return set(self.signals._agents)


def sample(second: int, agent: str = "a1", instance: str = "boot1", **metrics: float) -> HealthSample:
    return HealthSample.model_validate(
        {
            "agent": {"kind": "runtime", "id": agent, "instance": instance},
            "time_unix_nano": second * 10**9,
            "sequence": second,
            "interval_ms": 1000,
            "metrics": {name: value for name, value in metrics.items() if name != "descriptors"},
            "gauges": {name: value for name, value in metrics.items() if name == "descriptors"},
            "limits": LIMITS,
        }
    )


def goodbye(agent: str, instance: str) -> AgentGoodbye:
    return AgentGoodbye.model_validate(
        {"id": "g", "time_unix_nano": 1, "agent": {"kind": "runtime", "id": agent, "instance": instance}}
    )


def leak(held: Held, clock: Clock, seconds: int, agent: str = "a1") -> None:
    """Half a minute of calm, then a leak of 5 MB a second."""
    for second in range(seconds):
        clock.pass_seconds(1)
        memory = 2e8 + (second % 3) * 1e5 + max(0, second - 60) * 5e6
        held.signals.hear(sample(second, agent, memory_bytes=memory, queue_depth=2.0, descriptors=40.0 + second % 2))
        held.signals.look(f"runtime/{agent}")


async def control(bus: Bus, verb: str, **more: Any) -> dict[str, Any]:
    question = Control.model_validate({"id": "c1", "time_unix_nano": 1, "verb": verb, "by": "test", **more})
    return (await ask(bus, SUBJECTS.control(verb), question, ControlResult)).data


async def test_a_leak_is_told_with_when_memory_runs_out_and_what_to_scale() -> None:
    """`control.signals` and `control.capacity` tell the exhaustion, its interval, the kind, and a sentence."""
    held, clock, server = Held(), Clock(), MemoryServer()
    async with memory_runtime(held.service, server, now=clock):
        leak(held, clock, 130)
        bus = server.connect("asker")
        told = await control(bus, "signals", agent={"kind": "runtime", "id": "a1"})
        row = next(row for row in told["findings"] if row["finding"] == "exhaustion")
        # 200 MB and 5 MB a second for 70 s leave 450 MB, which is 90 s.
        assert row["eta_low"] - 10 <= 90 <= row.get("eta_high", inf) + 10
        assert abs(row["eta_seconds"] - 90) < 15
        assert (row["metric"], row["to"], row["harmful"]) == ("memory_bytes", 1e9, True)
        assert {resource["metric"] for resource in told["resources"]} == {"memory_bytes", "queue_depth", "descriptors"}
        assert "memory_bytes" in told["scores"]
        capacity = await control(bus, "capacity")
        kind = next(row for row in capacity["kinds"] if row["metric"] == "memory_bytes")
        assert (kind["kind"], kind["running_out"], kind["first"]) == ("runtime", 1, "runtime/a1")
        assert "memory" in kind["scale"]
        await bus.close()


async def test_what_is_doubled_or_late_is_passed_over() -> None:
    """A sample that came before, or comes after a newer one, changes nothing."""
    held, clock = Held(), Clock()
    async with memory_runtime(held.service, now=clock):
        for second in (1, 2, 3, 3, 1):
            clock.pass_seconds(1)
            held.signals.hear(sample(second, queue_depth=1e6 if second == 1 else 1.0))
        assert held.signals.findings() == []


async def test_a_new_process_begins_anew() -> None:
    """What was found in the process before is over with the first sample of the next."""
    held, clock = Held(), Clock()
    async with memory_runtime(held.service, now=clock):
        leak(held, clock, 130)
        assert any(found.finding == "exhaustion" for found in held.signals.findings())
        held.signals.hear(sample(131, instance="boot2", memory_bytes=2e8))
        assert held.signals.findings() == []


async def test_a_clock_set_back_begins_anew_instead_of_waiting() -> None:
    """When the monitor's clock goes back by an hour, what comes then is looked at as soon as ever."""
    held, clock = Held(), Clock()
    async with memory_runtime(held.service, now=clock):
        leak(held, clock, 30)
        clock.pass_seconds(-3600)
        for second in range(30, 160):
            clock.pass_seconds(1)
            memory = 2e8 + (second % 3) * 1e5 + max(0, second - 90) * 5e6
            held.signals.hear(sample(second, memory_bytes=memory))
            held.signals.look("runtime/a1")
        assert any(found.finding == "exhaustion" for found in held.signals.findings())


async def test_nothing_is_told_of_an_agent_that_has_fallen_silent() -> None:
    """After a minute of silence its findings and resources are let go of."""
    held, clock = Held(), Clock()
    async with memory_runtime(held.service, now=clock):
        leak(held, clock, 130)
        assert held.signals.findings()
        clock.pass_seconds(signals.QUIET_SECONDS + 1)
        held.signals.look("runtime/a1")
        assert held.signals.findings() == []


async def test_a_goodbye_takes_an_agent_from_the_watch() -> None:
    """One that left on purpose is told of no more; a goodbye of an older process of it changes nothing."""
    held, clock = Held(), Clock()
    async with memory_runtime(held.service, now=clock):
        leak(held, clock, 130)
        for instance, left in (("boot0", True), ("boot1", False)):
            held.signals.leave(goodbye("a1", instance))
            assert bool(held.signals.findings()) == left


def hello(agent: str, instance: str = "boot1") -> AgentHello:
    return AgentHello.model_validate(
        {
            "agent": {"kind": "runtime", "id": agent, "instance": instance},
            "strategies": ["restart"],
            "limits": LIMITS,
            "interval_ms": 1000,
        }
    )


async def limited(held: Held, bus: Bus, clock: Clock, agent: str) -> bool:
    """Whether it is known of an agent whose samples say nothing of it how much memory it may take."""
    for second in range(40):
        clock.pass_seconds(1)
        held.signals.hear(sample(second, agent, memory_bytes=2e8).model_copy(update={"limits": {}}))
        held.signals.look(f"runtime/{agent}")
    return bool((await control(bus, "capacity", agent={"kind": "runtime", "id": agent}))["agents"])


async def test_limits_of_agents_that_are_gone_make_room(monkeypatch: Any) -> None:
    """Those of one that left, and of many those that came longest ago, are forgotten; those of the watched are not."""
    monkeypatch.setattr(signals, "MAX_AGENTS", 3)
    held, clock, server = Held(), Clock(), MemoryServer()
    async with memory_runtime(held.service, server, now=clock):
        bus = server.connect("asker")
        held.signals.greet(hello("stays"))
        assert await limited(held, bus, clock, "stays")
        for number in range(5):
            held.signals.greet(hello(f"build-{number}"))
        assert await limited(held, bus, clock, "build-4")
        held.signals.greet(hello("leaves"))
        for instance, left in (("boot0", 3), ("boot1", 2)):
            held.signals.leave(goodbye("leaves", instance))
            assert len(held.signals._greeted) == left
        await bus.close()


async def test_answers_come_in_pages(monkeypatch: Any) -> None:
    """All rows of all agents are told once, however many pages that takes."""
    monkeypatch.setattr(signals, "PAGE", 4)
    held, clock, server = Held(), Clock(), MemoryServer()
    async with memory_runtime(held.service, server, now=clock):
        for agent in ("a1", "a2", "a3"):
            leak(held, clock, 40, agent)
        bus = server.connect("asker")
        rows: list[tuple[str, str]] = []
        after = ""
        while True:
            last = await control(bus, "capacity", arguments={"after": after})
            rows += [(row["agent"], row["metric"]) for row in last["agents"]]
            if "next" not in last:
                break
            after = last["next"]
        assert len(rows) == len(set(rows)) == 9
        assert last["kinds"][0]["agents"] == 3
        await bus.close()


async def test_a_silent_agent_gives_way_when_there_are_too_many_and_no_other(monkeypatch: Any) -> None:
    """The number of agents under watch is bounded; a newcomer takes nobody's place who still speaks."""
    monkeypatch.setattr(signals, "MAX_AGENTS", 2)
    held, clock, server = Held(), Clock(), MemoryServer()
    async with memory_runtime(held.service, server, now=clock):
        for second in range(200):
            clock.pass_seconds(1)
            for agent in ("a1", "a2", "a3") if second < 100 else ("a2", "a3"):
                held.signals.hear(sample(second, agent, queue_depth=2.0))
                held.signals.look(f"runtime/{agent}")
            if second == 99:
                assert held.watched == {"runtime/a1", "runtime/a2"}
        assert held.watched == {"runtime/a2", "runtime/a3"}


async def test_recoveries_are_counted_once_and_from_the_start_on() -> None:
    """An outcome that was there before, one that comes twice, and a later one of the same incident are none."""
    held, server = Held(), MemoryServer()
    bus = server.connect("owner")
    await streams.ensure(bus, SUBJECTS, -1)
    await bus.store(SUBJECTS.outcome("runtime", "a1"), b"x", id="i1-0")
    async with memory_runtime(held.service, server, now=Clock(1)):
        await eventually(held.signals.own.row)
        await bus.store(SUBJECTS.outcome("runtime", "a1"), b"x", id="i2-0")
        await bus.store(SUBJECTS.outcome("runtime", "a1"), b"x", id="i2-1")
        async for outcome in bus.read(SUBJECTS.stream("RECOVERIES"), SUBJECTS.everyone("outcome")):
            held.signals.count(outcome)
            held.signals.count(outcome)
        assert (await held.signals._reading()).recoveries == 1
    await bus.close()


async def test_mendbus_itself_is_read_and_told(monkeypatch: Any) -> None:
    """Streams with their sizes, first outcomes as recoveries, and errors that nobody has acknowledged."""
    monkeypatch.setattr(signals, "READ_SECONDS", 0.01)
    held, server = Held(), MemoryServer()
    async with memory_runtime(held.service, server, now=Clock(1)):
        bus = server.connect("agent")
        await bus.store(SUBJECTS.error("error", "runtime", "a1"), b"x", id="e1")
        for sequence in range(2):
            await bus.store(SUBJECTS.outcome("runtime", "a1"), codec.encode(sample(1)), id=f"i1-{sequence}")
        told: dict[str, Any] = {}

        async def read() -> bool:
            told.update((await control(bus, "capacity")).get("mendbus", {}))
            return bool(told) and told["errors"]["waiting_at_most"] == 1

        async with asyncio.timeout(5.0):
            while not await read():
                await bus.barrier()
        sizes = {row["stream"]: row for row in told["streams"]}
        assert sizes["ERRORS"]["bytes"] > 0
        assert sizes["ERRORS"]["refuses_when_full"]
        assert not sizes["RECOVERIES"]["refuses_when_full"]
        assert told["recoveries"]["sustainable_per_s"] > 0
        await bus.close()
