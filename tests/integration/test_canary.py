"""The canary on all five services: it comes back through the whole pipeline, and leaves no mark on any statistic."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from types import ModuleType

import pytest
from tests.simulation import world
from tests.simulation.plain import simulated
from tests.support import memory_runtime

import mendbus_classifier
import mendbus_executor
import mendbus_health_monitor
import mendbus_predictor
import mendbus_strategy_selector
from mendbus import codec
from mendbus.bus import Bus, Message
from mendbus.bus.memory import MemoryServer
from mendbus.contracts import canary
from mendbus.contracts.ids import new_id
from mendbus.contracts.messages import Control, ControlResult, RecoveryOutcome
from mendbus.contracts.subjects import MAX_SERVICE_BODY, Subjects
from mendbus.runtime import Runtime
from mendbus.settings import Settings
from mendbus_health_monitor.canary import Canary

SUBJECTS = Subjects()
OTHERS: tuple[ModuleType, ...] = (
    mendbus_classifier,
    mendbus_predictor,
    mendbus_executor,
    mendbus_strategy_selector,
)
PERIOD = 10.0
MINUTE = 60.0


def settings(policy_file: Path | None = None, canary_seconds: float = PERIOD) -> Settings:
    return Settings(trace=False, canary_seconds=canary_seconds, policy_file=policy_file)


def now() -> int:
    # Looked up at each call: the simulation puts its own clock there.
    return time.time_ns()


class Told:
    """The outcomes that somebody else hears."""

    def __init__(self) -> None:
        self.outcomes: list[RecoveryOutcome] = []

    async def hear(self, message: Message) -> None:
        self.outcomes.append(codec.decode(RecoveryOutcome, message.body, MAX_SERVICE_BODY))


async def start(stack: AsyncExitStack, server: MemoryServer, found: Settings, *packages: ModuleType) -> None:
    for package in packages:
        await stack.enter_async_context(memory_runtime(package.build(), server, settings=found, now=now))


@asynccontextmanager
async def running(
    server: MemoryServer, policy_file: Path | None = None, monitors: int = 1
) -> AsyncIterator[tuple[Bus, Told, list[Runtime]]]:
    """All five services; the monitors' runtimes."""
    found, told = settings(policy_file), Told()
    async with AsyncExitStack() as stack:
        await start(stack, server, found, *OTHERS)
        bus = server.connect("test")
        stack.push_async_callback(bus.close)
        await bus.subscribe(SUBJECTS.everyone("outcome"), told.hear)
        runtimes = [
            await stack.enter_async_context(
                memory_runtime(
                    mendbus_health_monitor.build(), server, settings=found, instance=f"monitor{number}", now=now
                )
            )
            for number in range(monitors)
        ]
        yield bus, told, runtimes


def test_a_canary_is_classified_decided_commanded_and_verified_and_then_is_over() -> None:
    """One outcome each, with all that a recovery leaves, settled at once; `/readyz` says that all is well."""

    async def main(server: MemoryServer) -> None:
        async with running(server) as (_, told, [monitor]):
            await asyncio.sleep(2 * MINUTE + PERIOD / 2)
            assert len(told.outcomes) == 2 * MINUTE / PERIOD
            assert {(o.outcome, o.settled, o.sequence) for o in told.outcomes} == {("recovered", True, 0)}
            # Neither a repeat of one before, nor a recurrence.
            assert len({o.fingerprint for o in told.outcomes}) == len(told.outcomes)
            assert {o.strategy for o in told.outcomes} == {"retry"}
            first = told.outcomes[0]
            assert first.agent.key == canary.KEY
            assert first.classification is not None
            assert first.classification.category == "network"
            assert [attempt.verified for attempt in first.attempts] == [True]
            assert first.trace_id == canary.TRACEPARENT[3:35]
            assert monitor.readiness.conditions["canary"] == (True, "")

    simulated(main)


def test_nothing_holds_the_canary_back(tmp_path: Path) -> None:
    """Neither switches nor approvals: it acts on nobody, and parked ones would pile up."""
    policy = tmp_path / "policy.toml"
    policy.write_text('enable_automatic_recovery = false\ndry_run = true\nrequire_approval = ["retry"]\n')

    async def main(server: MemoryServer) -> None:
        async with running(server, policy) as (_, told, _monitors):
            await asyncio.sleep(MINUTE)
            assert {outcome.outcome for outcome in told.outcomes} == {"recovered"}

    simulated(main)


def test_the_canary_spends_no_budget_of_others(tmp_path: Path) -> None:
    """A canary that is restarted six times a minute, while three restarts in all are allowed, latches nothing."""
    policy = tmp_path / "policy.toml"
    policy.write_text('first = "restart"\nrestarts_in_all = 3\n')

    async def main(server: MemoryServer) -> None:
        async with running(server, policy) as (bus, told, _monitors):
            await asyncio.sleep(2 * MINUTE)
            assert {(o.outcome, o.strategy) for o in told.outcomes} == {("recovered", "restart")}
            question = Control(id=new_id(), time_unix_nano=1, verb="status", by="test")
            answer = await bus.request(SUBJECTS.control("status"), codec.encode(question), timeout=5.0)
            assert codec.decode(ControlResult, answer.body, MAX_SERVICE_BODY).data["latched"] == ""

    simulated(main)


def test_the_canary_is_no_agent_and_no_alert() -> None:
    """Neither agents nor alerts show it."""

    async def main(server: MemoryServer) -> None:
        async with running(server) as (bus, told, _monitors):
            await asyncio.sleep(MINUTE)
            assert told.outcomes
            for verb in ("agents", "alerts"):
                question = Control(id=new_id(), time_unix_nano=1, verb=verb, by="test")
                answer = await bus.request(SUBJECTS.control(verb), codec.encode(question), timeout=5.0)
                rows = codec.decode(ControlResult, answer.body, MAX_SERVICE_BODY).data[verb]
                assert [row for row in rows if row.get("agent", {}).get("kind") == canary.KIND] == []

    simulated(main)


def test_of_several_replicas_one_sends_and_all_know() -> None:
    """The server keeps one error for each slot of time; every replica hears that it was recovered."""

    async def main(server: MemoryServer) -> None:
        async with running(server, monitors=3) as (_, told, monitors):
            await asyncio.sleep(MINUTE + PERIOD / 2)
            assert len(told.outcomes) == MINUTE / PERIOD
            assert {outcome.outcome for outcome in told.outcomes} == {"recovered"}
            assert [m.readiness.conditions["canary"] for m in monitors] == [(True, "")] * 3

    simulated(main)


class Phone:
    """The direct path to people."""

    def __init__(self) -> None:
        self.said: list[tuple[str, str, bool, str]] = []

    async def notify(self, text: str, *, key: str, severity: str, resolved: bool) -> None:
        self.said.append((key, severity, resolved, text))


def test_an_alarm_is_raised_without_the_bus_and_resolves_by_itself() -> None:
    """Without anybody who recovers, `/readyz` and the direct path say so once; with somebody again, likewise."""
    phone = Phone()

    async def main(server: MemoryServer) -> None:
        off = settings(canary_seconds=0)
        async with memory_runtime(mendbus_health_monitor.build(), server, settings=off, now=now) as monitor:
            monitor.settings = settings()
            await Canary(monitor, phone.notify).start()
            await asyncio.sleep(25.0)
            assert "canary" not in monitor.readiness.conditions
            await asyncio.sleep(2 * MINUTE)
            [(key, severity, resolved, text)] = phone.said
            assert (key, severity, resolved) == ("canary", "critical", False)
            assert "nobody commanded a recovery" in text
            assert not monitor.readiness.ready
            async with AsyncExitStack() as stack:
                await start(stack, server, settings(), *OTHERS)
                await asyncio.sleep(20.0)
                assert [resolved for _, _, resolved, _ in phone.said] == [False, True]
                assert monitor.readiness.conditions["canary"] == (True, "")

    simulated(main)


def test_the_monitor_tells_of_a_broken_canary_by_its_own_direct_path(caplog: pytest.LogCaptureFixture) -> None:
    """The running service has the canary tell it: a line at CRITICAL, and whatever webhooks there are."""

    async def main(server: MemoryServer) -> None:
        async with memory_runtime(mendbus_health_monitor.build(), server, settings=settings(), now=now) as monitor:
            await asyncio.sleep(MINUTE)
            assert monitor.readiness.conditions["canary"][1].startswith("no canary has come back for ")
            assert any("no canary has come back" in r.message for r in caplog.records if r.levelname == "CRITICAL")

    simulated(main)


def test_who_cannot_be_told_does_not_end_the_watchdog() -> None:
    """A direct path that fails is logged; the alarm stands in `/readyz` all the same, and ends there too."""

    async def notify(text: str, *, key: str, severity: str, resolved: bool) -> None:
        raise OSError(f"no route: {text} {key} {severity} {resolved}")

    async def main(server: MemoryServer) -> None:
        off = settings(canary_seconds=0)
        async with memory_runtime(mendbus_health_monitor.build(), server, settings=off, now=now) as monitor:
            monitor.settings = settings()
            await Canary(monitor, notify, patience=5.0).start()
            await asyncio.sleep(MINUTE)
            assert monitor.readiness.conditions["canary"][1].startswith("no canary has come back for ")

    simulated(main)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_under_faults_the_canary_flies_and_nothing_else_goes_wrong(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed services, lost and doubled messages: the same must hold as without a canary."""
    monkeypatch.setattr(world, "_SETTINGS", world._SETTINGS.model_copy(update={"canary_seconds": 2.0}))
    seen: list[world.World] = []
    result = world.simulate(seed, seen.append)
    assert result.wrong == []
    assert any(canary.is_canary(outcome.agent) for outcome in seen[0].audit.told.values())
