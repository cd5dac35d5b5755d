"""The agent SDK against a real server: its own thread, real time, real losses."""

import asyncio
import os
import threading
import time
from typing import Any

import pytest
from tests.integration.sdk_system import System, in_thread

from mendbus import RecoveryCommand
from mendbus.contracts.messages import AgentGoodbye, AgentHello, HealthSample, SettledQuery, SettledReply
from mendbus.otlp_sink import OtlpSink
from mendbus.testing import eventually

MIB = 1 << 20


pytestmark = pytest.mark.usefixtures("traces")


async def test_an_agent_from_hello_to_goodbye(system: System) -> None:
    """Hello, samples, an error with its operation, a goodbye: what the contract says of an agent's life."""
    agent = system.agent(version="1.2", depends_on=["versioning"], interval_ms=50, limits={"queue_depth": 5})

    @agent.operation("compile", severity="critical", category="build")
    async def compile_module(name: str) -> str:
        raise SyntaxError(name)

    async with agent:
        assert await in_thread(agent.wait_ready)
        hello = system.told(AgentHello)[0]
        assert (hello.agent.instance, hello.agent.version) == (agent.instance, "1.2")
        assert (hello.strategies, hello.depends_on, hello.limits) == (
            ["retry", "isolate"],
            ["versioning"],
            {"queue_depth": 5.0},
        )
        with pytest.raises(SyntaxError):
            await compile_module("app")
        assert await in_thread(agent.flush)
        [error] = await system.errors()
        assert (error.severity, error.category, error.operation) == ("critical", "build", "compile")
        assert error.agent == hello.agent
        await eventually(lambda: len(system.told(HealthSample)) >= 5)
        assert "cpu_percent" in system.told(HealthSample)[-1].metrics
        assert agent.stats().ready
    await eventually(lambda: system.told(AgentGoodbye))


async def test_default_strategies_heal_real_operations(system: System) -> None:
    """Retry, fallback, rollback and degradation are carried out over the bus on what the agent declared."""
    agent = system.agent()
    attempts: list[str] = []
    switched: list[str] = []
    state = {"content": b"good"}

    @agent.operation("fetch", idempotent=True)
    def fetch(url: str) -> str:
        attempts.append(url)
        if len(attempts) in (1, 2, 4, 5, 6, 7):
            raise ConnectionError("refused")
        return "fetched"

    @agent.fallback("fetch", "mirror")
    def mirror(url: str) -> str:
        return f"mirror of {url}"

    agent.state(snapshot=lambda: state["content"], restore=lambda content, _: state.update(content=content))
    agent.feature("search", on=lambda: switched.append("on"), off=lambda: switched.append("off"))
    with agent:
        assert await in_thread(agent.wait_ready)
        await eventually(lambda: len(system.told(AgentHello)[-1].strategies) == 5)
        with pytest.raises(ConnectionError):
            fetch("a")
        await in_thread(agent.flush)
        [error] = await system.errors()
        assert error.count == 1
        retried = await system.command("retry", operation="fetch", event_ids=[error.id], parameters={"base_ms": 1})
        assert retried.status == "done"
        assert attempts == ["a"] * 3
        with pytest.raises(ConnectionError):
            fetch("b")
        assert not (await system.probe("fetch")).healthy
        failed = await system.command("retry", operation="fetch", parameters={"max_tries": 2, "base_ms": 1})
        assert (failed.status, failed.code) == ("failed", "ConnectionError")
        assert (await system.command("fallback", operation="fetch", parameters={"to": "mirror"})).status == "done"
        assert (await system.probe("fetch")).healthy
        assert fetch("c") == "mirror of c"
        assert (await system.command("fallback", "restore", operation="fetch")).status == "done"
        assert fetch("d") == "fetched"

        agent.checkpoint("v1")
        state["content"] = b"broken"
        rolled = await system.command("rollback", incident_id="i2")
        assert (rolled.status, state["content"]) == ("done", b"good")
        assert (await system.command("rollback", "undo", incident_id="i2")).status == "done"
        assert state["content"] == b"broken"
        assert (await system.command("graceful_degradation")).status == "done"
        assert (await system.command("graceful_degradation", "restore")).status == "done"
        assert switched == ["off", "on"]
        assert (await system.command("restart")).status == "unsupported"
    assert await system.counts() == {"refused": 2}


async def test_a_storm_is_one_failure_counted_exactly(system: System, capsys: pytest.CaptureFixture[str]) -> None:
    """However fast one failure repeats, from however many threads, the stream holds its exact number."""
    agent = system.agent()

    def storm() -> float:
        begun = time.perf_counter()
        for _ in range(10_000):
            try:
                raise RuntimeError("storm")
            except RuntimeError as error:
                agent.report(error)
        return 10_000 / (time.perf_counter() - begun)

    with agent:
        assert await in_thread(agent.wait_ready)
        alone = await in_thread(storm)
        rates = await asyncio.gather(*[in_thread(storm) for _ in range(3)])
        assert await in_thread(agent.flush)
        costs: list[float] = []
        for number in range(200):
            begun = time.perf_counter()
            agent.report(message=f"{number}")
            costs.append(time.perf_counter() - begun)
        assert await in_thread(agent.flush)
    with capsys.disabled():
        costs.sort()
        print(f"\nstorm: {alone:,.0f} calls/s in one thread, {sum(rates):,.0f} in three at once; ", end="")
        print(f"a new failure: p50 {costs[100] * 1e6:.0f} us, p99 {costs[197] * 1e6:.0f} us")
    counts = await system.counts()
    assert counts["storm"] == 40_000
    assert sum(counts.values()) == 40_200
    assert len(await system.errors()) < 1000


async def test_one_mebibyte_is_rolled_back(system: System, capsys: pytest.CaptureFixture[str]) -> None:
    """A state of 1 MiB comes back byte for byte, also in a new process from the bucket."""
    agent = system.agent()
    good = os.urandom(MIB)
    state = {"content": good}
    declared: dict[str, Any] = {
        "snapshot": lambda: state["content"],
        "restore": lambda content, _: state.update(content=content),
    }
    agent.state(**declared)
    with agent:
        assert await in_thread(agent.wait_ready)
        agent.checkpoint("v1")
        assert await in_thread(agent.flush)
        times: list[float] = []
        for number in range(5):
            state["content"] = bytes([number]) * MIB
            begun = time.perf_counter()
            assert (await system.command("rollback", incident_id=f"i{number}")).status == "done"
            times.append(time.perf_counter() - begun)
            assert state["content"] == good
            assert await in_thread(agent.flush)
    again = system.agent()
    again.state(**declared)
    state["content"] = b"broken"
    with again:
        assert await in_thread(again.wait_ready)
        begun = time.perf_counter()
        assert (await system.command("rollback", incident_id="i9")).status == "done"
        cold = time.perf_counter() - begun
    assert state["content"] == good
    with capsys.disabled():
        print(f"\nrollback of 1 MiB: {sorted(times)[2] * 1e3:.1f} ms, from the bucket {cold * 1e3:.1f} ms")


async def test_an_agent_is_used_from_threads_and_from_asyncio(system: System) -> None:
    """Synchronous operations in threads and asynchronous ones on a loop share one agent and are all counted."""
    agent = system.agent()

    @agent.operation("plain")
    def plain(number: int) -> None:
        raise ValueError(f"plain {number % 4}")

    @agent.operation("later")
    async def later(number: int) -> None:
        await asyncio.sleep(0)
        raise ValueError(f"later {number % 4}")

    def work() -> None:
        for number in range(100):
            with pytest.raises(ValueError, match="plain"):
                plain(number)

    async def work_async() -> None:
        for number in range(100):
            with pytest.raises(ValueError, match="later"):
                await later(number)

    async with agent:
        await asyncio.gather(*[in_thread(work) for _ in range(4)], *[work_async() for _ in range(4)])
        assert await in_thread(agent.flush)
    assert await system.counts() == {f"{kind} {number}": 100 for kind in ("plain", "later") for number in range(4)}


async def test_asynchronous_handlers_run_on_the_users_loop(system: System) -> None:
    """Handlers and probes that are coroutines run on the loop where the agent was started, in sight of its objects."""
    agent = system.agent()
    here = asyncio.get_running_loop()
    queue: asyncio.Queue[str] = asyncio.Queue()

    @agent.handler("restart")
    async def restart(command: RecoveryCommand) -> str:
        assert asyncio.get_running_loop() is here
        await queue.put(str(command.parameters["mode"]))
        return "restarted"

    @agent.probe()
    async def works() -> bool:
        return asyncio.get_running_loop() is here

    async with agent:
        assert await in_thread(agent.wait_ready)
        done = await system.command("restart", parameters={"mode": "component"})
        assert (done.status, done.detail, await queue.get()) == ("done", "restarted", "component")
        assert (await system.probe()).healthy


async def test_a_blocked_loop_stops_no_samples_but_fails_the_probe(system: System) -> None:
    """A blocked user loop stops neither samples nor commands, but the default probe is unhealthy."""
    agent = system.agent(interval_ms=20)

    @agent.handler("isolate")
    def isolate(_: RecoveryCommand) -> None: ...

    blocked, release = threading.Event(), threading.Event()

    def user() -> None:
        async def main() -> None:
            async with agent:
                blocked.set()
                release.wait()
                await asyncio.sleep(0)

        asyncio.run(main())

    users = asyncio.create_task(asyncio.to_thread(user))
    await asyncio.to_thread(blocked.wait)
    assert await in_thread(agent.wait_ready)
    before = len(system.told(HealthSample))
    probe = await system.probe(seconds=0.1)
    assert not probe.healthy
    assert "no answer within" in (probe.detail or "")
    assert (await system.command("isolate")).status == "done"
    await eventually(lambda: len(system.told(HealthSample)) >= before + 5)
    assert system.told(HealthSample)[-1].gauges["user_loop_lag_ms"] > 50
    release.set()
    await users


async def test_a_recovery_is_one_trace(system: System, monkeypatch: pytest.MonkeyPatch) -> None:
    """The agent's publish span is a root, and its span of a command lies inside the parent of the header."""
    async with OtlpSink() as sink:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", sink.endpoint)
        agent = system.agent()
        agent.handler("isolate")(lambda _: None)
        async with agent:
            assert await in_thread(agent.wait_ready)
            event = agent.report(ValueError("boom"), severity="critical")
            assert await in_thread(agent.flush)
            assert (await system.command("isolate")).status == "done"
        spans = {span.name: span for span in await eventually(lambda: sink.spans() if len(sink.spans()) == 2 else [])}
    root, command = spans["publish error.critical"], spans["command isolate"]
    assert (root.service, root.kind, root.parent_id) == ("agent.build_pipeline", "producer", "")
    assert root.attributes["messaging.message.id"] == event
    assert (command.kind, command.attributes["mendbus.incident.id"]) == ("consumer", "i1")


async def test_unsettled_events_are_asked_about(system: System, monkeypatch: pytest.MonkeyPatch) -> None:
    """An event without a settlement is asked about with the very sequence that the stream gave it."""
    monkeypatch.setattr("mendbus.sdk.outbox.ASK_AFTER", 0.2)
    asked: dict[str, int] = {}

    def answer(query: SettledQuery) -> SettledReply:
        asked.update(query.sequences)
        return SettledReply(settled=query.event_ids)

    await system.listen("settled", SettledQuery, answer)
    with system.agent() as agent:
        for number in range(50):
            agent.report(message=f"{number}")
        assert await in_thread(agent.flush)
        await eventually(lambda: agent.stats().settled == 50)
        assert agent.stats().unsettled_events == 0
    stored = system.bus.read(system.subjects.stream("ERRORS"), f"{system.subjects.root}.errors.>")
    assert asked == {message.headers["Nats-Msg-Id"]: message.sequence async for message in stored}


async def test_reporting_never_waits_for_the_loop_or_the_server(system: System) -> None:
    """On a loop that must not stall, a thousand reports cost far less than any wait for a server."""
    longest = 0.0
    async with system.agent() as agent:
        assert await in_thread(agent.wait_ready)
        begun = time.perf_counter()
        for number in range(1000):
            before = time.perf_counter()
            agent.report(message=f"{number}")
            longest = max(longest, time.perf_counter() - before)
        assert time.perf_counter() - begun < 5.0
        assert await in_thread(agent.flush)
    assert sum((await system.counts()).values()) == 1000
    assert longest < 2.0
