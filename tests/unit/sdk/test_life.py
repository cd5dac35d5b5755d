"""An agent's life on its loop: hello, samples, answers, reconnects, goodbye. On the in-memory bus, without a thread."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeVar, cast

import pytest
from pydantic import BaseModel
from tests.unit.sdk.scripted import RecordingTracer

from mendbus import codec, streams
from mendbus.bus import Bus, Message
from mendbus.bus.memory import MemoryServer, Packet
from mendbus.contracts.errors import BusError, BusTimeout, NoResponders
from mendbus.contracts.ids import new_id
from mendbus.contracts.messages import (
    AgentGoodbye,
    AgentHello,
    AgentRef,
    CommandResult,
    ErrorReported,
    HealthSample,
    HelloReply,
    PeerNotice,
    Probe,
    ProbeResult,
    Settlement,
)
from mendbus.contracts.subjects import HEADER_SERVICE_ERROR_CODE, Subjects
from mendbus.sdk import life as module
from mendbus.sdk.core import Core, Identity
from mendbus.sdk.life import Life
from mendbus.sdk.outbox import Outbox
from mendbus.sdk.peers import PeerIsolated
from mendbus.sdk.reports import Words
from mendbus.telemetry import Tracer
from mendbus.testing import eventually

M = TypeVar("M", bound=BaseModel)
SUBJECTS = Subjects()
REF = AgentRef(kind="runtime", id="r1", version="1.0", instance="boot-1")
PARENT = "00-" + "a" * 32 + "-" + "b" * 16 + "-01"


class World:
    """A server with the streams, somebody who answers hellos, and one agent."""

    def __init__(self) -> None:
        self.server = MemoryServer()
        self.bus = self.server.connect("world")
        self.heard: list[tuple[str, BaseModel]] = []
        self.refuse_connections = 0
        self.buses: list[Any] = []
        self.deaths: list[Callable[[str], None]] = []
        self.tracer = RecordingTracer()
        identity = Identity(REF, SUBJECTS, 20, ("build_pipeline",), {"queue_depth": 10.0})
        self.core = Core(identity, Outbox(), time.time_ns)
        self.life = Life(self.core, self.connect, cast("Tracer", self.tracer), None)

    async def connect(self, on_dead: Callable[[str], None]) -> Bus:
        if self.refuse_connections:
            self.refuse_connections -= 1
            raise BusError("no server yet")
        self.deaths.append(on_dead)
        self.buses.append(self.server.connect("agent"))
        return self.buses[-1]

    async def listen(self, family: str, model: type[BaseModel], answer: BaseModel | None = None) -> None:
        async def hear(message: Message) -> None:
            self.heard.append((message.subject, codec.decode(model, message.body)))
            if answer is not None:
                await self.bus.publish(message.reply, codec.encode(answer))

        await self.bus.subscribe(SUBJECTS.everyone(family), hear)

    def told(self, model: type[M]) -> list[M]:
        return [body for _, body in self.heard if isinstance(body, model)]

    async def ask(self, subject: str, body: bytes, answer: type[M], **headers: str) -> M:
        reply = await self.bus.request(subject, body, headers, timeout=2.0)
        return codec.decode(answer, reply.body)

    def command(self, **changes: Any) -> bytes:
        return codec.pack(
            {
                "command_id": new_id(),
                "incident_id": "i1",
                "attempt": 1,
                "agent": {"kind": "runtime", "id": "r1"},
                "action": "apply",
                "strategy": "isolate",
                "parameters": {"reason": "sick"},
                "timeout_ms": 500,
                "deadline_unix_nano": time.time_ns() + 10**9,
                "fence": 1,
                "of_the_future": [1],
            }
            | changes
        )

    @asynccontextmanager
    async def alive(self, stop_seconds: float = 2.0) -> AsyncIterator[None]:
        loop = asyncio.get_running_loop()
        self.life.wire(loop.call_soon)
        running = asyncio.create_task(self.life.run())
        try:
            yield
        finally:
            self.life.stop(stop_seconds)
            await asyncio.wait_for(running, 5.0)


@pytest.fixture
async def world() -> AsyncIterator[World]:
    world = World()
    await streams.ensure(world.bus, SUBJECTS, 1 << 28)
    yield world
    await world.bus.close()


async def greeted(world: World) -> None:
    await world.listen("agent.hello", AgentHello, HelloReply(stored=True, time_unix_nano=1))


async def test_hello_is_repeated_until_it_is_stored(world: World) -> None:
    """The agent says what it is again and again, until somebody says that it is stored, and anew when it changes."""
    replies = [HelloReply(stored=False, time_unix_nano=1), HelloReply(stored=True, time_unix_nano=1)]

    async def answer(message: Message) -> None:
        world.heard.append((message.subject, codec.decode(AgentHello, message.body)))
        await world.bus.publish(message.reply, codec.encode(replies.pop(0) if len(replies) > 1 else replies[0]))

    async with world.alive():
        await asyncio.sleep(0.05)
        assert not world.core.greeted.is_set()
        await world.bus.subscribe(SUBJECTS.everyone("agent.hello"), answer)
        await eventually(world.core.greeted.is_set)
        hellos = world.told(AgentHello)
        assert len(hellos) == 2
        assert (hellos[1].agent, hellos[1].depends_on, hellos[1].interval_ms) == (REF, ["build_pipeline"], 20)
        assert (hellos[1].strategies, hellos[1].limits, hellos[1].sdk) == ([], {"queue_depth": 10.0}, module.SDK)
        world.core.strategies.add_handler("isolate", lambda _: None)
        await eventually(lambda: world.told(AgentHello)[-1].strategies == ["isolate"])


async def test_samples_come_at_the_interval_and_end_before_the_goodbye(world: World) -> None:
    """Samples are numbered without gaps; the last word of a stopped agent is its goodbye."""
    await greeted(world)
    await world.listen("health", HealthSample)
    await world.listen("agent.goodbye", AgentGoodbye)
    async with world.alive():
        await eventually(lambda: len(world.told(HealthSample)) >= 5)
    [goodbye] = world.told(AgentGoodbye)
    await asyncio.sleep(0.05)
    assert world.heard[-1][1] == goodbye
    numbers = [sample.sequence for sample in world.told(HealthSample)]
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))


async def test_an_error_is_stored_and_settled(world: World) -> None:
    """A report ends in the stream with its metrics, and a settlement empties the outbox."""
    await greeted(world)
    async with world.alive():
        await eventually(world.core.greeted.is_set)
        event = world.core.report(ValueError("boom"), Words("error"))
        await eventually(lambda: world.core.outbox.unsettled == 1)
        [stored] = [m async for m in world.bus.read(SUBJECTS.stream("ERRORS"), f"{SUBJECTS.root}.errors.>")]
        error = codec.decode(ErrorReported, stored.body)
        assert (error.id, stored.headers["Nats-Msg-Id"], error.agent) == (event, event, REF)
        assert "memory_bytes" in error.metrics
        body = codec.encode(Settlement(agent=REF, event_ids=[event], outcome="recovered"))
        await world.bus.publish(SUBJECTS.settlement("runtime", "r1"), body)
        await eventually(lambda: world.core.outbox.counts.settled == 1)


async def test_commands_and_probes_are_answered_inside_the_askers_trace(world: World) -> None:
    """A command and a probe make a span each, children of the header in any letter case, and answer as they end."""
    await greeted(world)
    world.core.strategies.add_handler("isolate", lambda command: command.parameters["reason"])
    world.core.strategies.add_handler("scale_down", lambda _: 1 // 0)
    command, probe = SUBJECTS.command("runtime", "r1"), SUBJECTS.probe("runtime", "r1")
    async with world.alive():
        await eventually(world.core.greeted.is_set)
        result = await world.ask(command, world.command(operation="reload"), CommandResult, Traceparent=PARENT)
        assert (result.status, result.detail) == ("done", "sick")
        failed = await world.ask(command, world.command(strategy="scale_down"), CommandResult, traceparent=PARENT)
        assert (failed.status, failed.code) == ("failed", "ZeroDivisionError")
        asked = Probe(incident_id="i1", operation="reload", deadline_unix_nano=time.time_ns() + 10**9)
        healthy = await world.ask(probe, codec.encode(asked), ProbeResult, traceparent=PARENT)
        assert healthy.healthy
        assert healthy.operation == "reload"
    first, second, third = world.tracer.spans
    assert [(span.name, span.kind, span.parent) for span in world.tracer.spans] == [
        ("command isolate", "consumer", PARENT),
        ("command scale_down", "consumer", PARENT),
        ("probe", "consumer", PARENT),
    ]
    assert first.attributes["mendbus.status"] == "done"
    assert first.attributes["mendbus.operation"] == "reload"
    assert (second.error, second.attributes["error.type"]) == (failed.detail, "ZeroDivisionError")
    assert (third.error, third.attributes["mendbus.healthy"]) == (None, True)


async def test_no_secret_gets_out_with_what_became_of_a_command_or_a_probe(world: World) -> None:
    """Neither with the answer nor with the span of it."""
    await greeted(world)

    def leak(_: object) -> None:
        raise RuntimeError("login failed: password=hunter2-1")

    world.core.strategies.add_handler("isolate", leak)
    world.core.probes.general = lambda: leak(None)
    async with world.alive():
        await eventually(world.core.greeted.is_set)
        failed = await world.ask(SUBJECTS.command("runtime", "r1"), world.command(), CommandResult)
        sick = await world.ask(
            SUBJECTS.probe("runtime", "r1"), codec.encode(Probe(deadline_unix_nano=time.time_ns() + 10**9)), ProbeResult
        )
    for told in (failed.detail, sick.detail, *(f"{span.error} {span.attributes}" for span in world.tracer.spans)):
        assert told is not None
        assert "hunter2" not in told
    assert failed.detail == "login failed: password=***"


async def test_what_does_not_fit_is_refused_and_the_next_command_works(world: World) -> None:
    """Nonsense gets an error reply, an unknown strategy is unsupported, and neither harms what follows."""
    await greeted(world)
    world.core.strategies.add_handler("isolate", lambda _: None)
    command, probe = SUBJECTS.command("runtime", "r1"), SUBJECTS.probe("runtime", "r1")
    async with world.alive():
        await eventually(world.core.greeted.is_set)
        wrong = [b"\xc1", b"", codec.pack({"command_id": "c 1", "strategy": "dance"}), codec.pack({"command_id": "c1"})]
        for subject, body in [(command, body) for body in wrong] + [(probe, b"\xc1")]:
            inbox: asyncio.Future[Message] = asyncio.get_running_loop().create_future()

            async def hear(message: Message, inbox: asyncio.Future[Message] = inbox) -> None:
                inbox.set_result(message)

            listening = await world.bus.subscribe("replies", hear)
            world.server.publish(Packet(subject, "replies", body, None))
            reply = await asyncio.wait_for(inbox, 2.0)
            await listening.stop()
            assert (reply.body, reply.headers[HEADER_SERVICE_ERROR_CODE]) == (b"", "400")
        unknown = await world.ask(command, world.command(strategy="dance"), CommandResult)
        assert unknown.status == "unsupported"
        await world.bus.publish(command, world.command())
        assert (await world.ask(command, world.command(), CommandResult)).status == "done"


async def test_a_dead_connection_is_replaced(world: World) -> None:
    """When the connection is gone for good a new one is made: hello again, commands again, nothing lost."""
    await greeted(world)
    world.core.strategies.add_handler("isolate", lambda _: None)
    world.refuse_connections = 1
    async with world.alive():
        await eventually(world.core.greeted.is_set)
        world.deaths[0]("the reader has ended")
        world.deaths[0]("told twice")
        await eventually(lambda: len(world.buses) == 2)
        await eventually(lambda: len(world.told(AgentHello)) == 2)
        assert world.buses[0].closed
        result = await world.ask(SUBJECTS.command("runtime", "r1"), world.command(), CommandResult)
        assert result.status == "done"
        world.core.report(ValueError("boom"), Words())
        await eventually(lambda: world.core.outbox.unsettled == 1)
        await world.buses[1].close()
        await eventually(lambda: len(world.told(AgentHello)) == 3)


async def test_a_session_that_cannot_begin_is_tried_again(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever goes wrong while subscribing, the agent tries again with a new connection."""
    await greeted(world)
    faults: list[Exception] = [BusTimeout("PING", 1.0), ZeroDivisionError("a bug")]
    connect = world.connect

    async def faulty(on_dead: Callable[[str], None]) -> Bus:
        bus = await connect(on_dead)
        if faults:
            error = faults.pop(0)

            async def barrier() -> None:
                raise error

            monkeypatch.setattr(bus, "barrier", barrier)
        return bus

    world.life._connect = faulty
    async with world.alive():
        await eventually(world.core.greeted.is_set)
    assert len(world.buses) == 3


async def test_a_lost_link_is_noticed_and_hello_said_again(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """While the link is down nothing is sent and the agent says that it is not connected; then hello comes again."""
    monkeypatch.setattr(module, "_WATCH_SECONDS", 0.005)
    await greeted(world)
    await world.listen("health", HealthSample)
    up = [True]
    async with world.alive():
        await eventually(world.core.greeted.is_set)
        bus = world.buses[0]
        monkeypatch.setattr(type(bus), "connected", property(lambda self: up[0] or self is world.bus))
        up[0] = False
        await eventually(lambda: not world.core.connected.is_set())
        world.core.report(ValueError("boom"), Words())
        await asyncio.sleep(0.03)
        samples = len(world.told(HealthSample))
        await asyncio.sleep(0.05)
        assert len(world.told(HealthSample)) == samples
        assert world.core.outbox.waiting == 1
        up[0] = True
        await eventually(lambda: world.core.outbox.unsettled == 1)
        await eventually(lambda: len(world.told(AgentHello)) == 2)


async def test_stopping_without_a_server_ends_in_time_and_says_what_is_lost(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    """Without a connection the stop waits for one until its deadline, and the log counts the failures nobody took."""
    world.refuse_connections = 10**6
    async with world.alive(stop_seconds=0.6):
        for _ in range(3):
            world.core.report(ValueError("boom"), Words())
        await asyncio.sleep(0.01)
    assert "3 failure(s) that NATS never took" in caplog.text


async def test_stopping_gives_up_in_time(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stream that takes nothing does not hold up the end beyond the deadline."""
    await greeted(world)
    async with world.alive(stop_seconds=0.7):
        await eventually(world.core.greeted.is_set)

        async def store(*_: Any, **__: Any) -> None:
            raise NoResponders("errors")

        monkeypatch.setattr(world.buses[0], "store", store)
        world.core.report(ValueError("boom"), Words())
        begun = asyncio.get_running_loop().time()
    assert asyncio.get_running_loop().time() - begun < 2.0
    assert world.core.outbox.waiting == 1


async def test_a_handler_under_way_does_not_cost_the_errors(world: World) -> None:
    """Stopping while a handler hangs still sends what waits and says goodbye, in time."""
    await greeted(world)
    await world.listen("agent.goodbye", AgentGoodbye)

    async def hangs(_: Any) -> None:
        await asyncio.Event().wait()

    world.core.strategies.add_handler("isolate", hangs)
    async with world.alive(stop_seconds=1.0):
        await eventually(world.core.greeted.is_set)
        asked = asyncio.create_task(
            world.ask(SUBJECTS.command("runtime", "r1"), world.command(timeout_ms=60_000), CommandResult)
        )
        await eventually(lambda: world.tracer.spans)
        world.core.report(ValueError("boom"), Words())
    assert (world.core.outbox.waiting, len(world.told(AgentGoodbye))) == (0, 1)
    asked.cancel()
    await asyncio.gather(asked, return_exceptions=True)


async def test_a_fault_in_a_task_is_survived(
    world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A bug while sampling costs samples for a moment, not the agent."""
    monkeypatch.setattr(module, "_FAULT_SECONDS", 0.01)
    await world.listen("health", HealthSample)
    sample, faults = world.core.sampler.sample, [ZeroDivisionError("a bug")] * 2

    def faulty(*arguments: Any) -> HealthSample:
        if faults:
            raise faults.pop()
        return sample(*arguments)

    monkeypatch.setattr(world.core.sampler, "sample", faulty)
    async with world.alive():
        await eventually(lambda: world.told(HealthSample))
    assert caplog.text.count("goes on after a fault") == 2


async def test_an_answer_that_is_lost_is_given_again(
    world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """When the answer to a command cannot be sent, whoever asks again gets the stored one, and it is done once."""
    await greeted(world)
    done: list[str] = []
    world.core.strategies.add_handler("isolate", lambda command: done.append(command.command_id))
    async with world.alive():
        await eventually(world.core.greeted.is_set)
        publish, faults = world.buses[0].publish, [BusError("the buffer is full")]

        async def faulty(subject: str, *rest: Any) -> None:
            if subject.startswith("_INBOX") and faults:
                raise faults.pop()
            await publish(subject, *rest)

        monkeypatch.setattr(world.buses[0], "publish", faulty)
        body = world.command(command_id="c1")
        with pytest.raises(BusTimeout):
            await world.bus.request(SUBJECTS.command("runtime", "r1"), body, timeout=0.1)
        assert (await world.ask(SUBJECTS.command("runtime", "r1"), body, CommandResult)).status == "done"
    assert done == ["c1"]
    assert "could not be sent: the buffer is full" in caplog.text


async def test_notices_of_peers_cut_calls_until_the_connection_is_lost(world: World) -> None:
    """A notice on the bus reaches the breaker; after a new connection nothing old is held against a peer."""
    async with world.alive():
        await eventually(world.core.connected.is_set)
        peer = AgentRef(kind="runtime", id="peer")
        notice = PeerNotice(id=new_id(), time_unix_nano=1, agent=peer, event="isolated")
        await world.bus.publish(SUBJECTS.notice("runtime", "peer"), codec.encode(notice))

        def cut() -> bool:
            try:
                world.core.peers.check("runtime/peer")
            except PeerIsolated:
                return True
            return False

        await eventually(cut)
        world.deaths[-1]("gone")
        await eventually(lambda: not cut())
