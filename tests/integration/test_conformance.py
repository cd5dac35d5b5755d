"""The conformance driver: a right agent passes every check, and each wrong one fails the check of its fault."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from mendbus import Agent, codec, streams
from mendbus.bus import Bus, Message
from mendbus.conformance import Check, conform
from mendbus.contracts.errors import BusError, Refused
from mendbus.contracts.ids import new_id
from mendbus.contracts.messages import HelloReply, RecoveryCommand
from mendbus.contracts.subjects import HEADER_ID, Subjects, partition_of
from mendbus.server import NatsServer
from mendbus.testing import eventually

KIND, ID, BOOT = "runtime", "model-1", "boot-1"
INTERVAL_MS = 20
AGENT = {"kind": KIND, "id": ID, "instance": BOOT}


class ModelAgent:
    """The shortest agent that keeps the contract; `fault` names the duty that it breaks."""

    def __init__(self, bus: Bus, subjects: Subjects, fault: str = "") -> None:
        self.bus = bus
        self.subjects = subjects
        self.fault = fault
        self.memory: dict[str, dict[str, Any]] = {}
        self.fence = 0
        self.done = 0
        self.dead = False

    async def command(self, message: Message) -> None:
        """Answers a command."""
        self.dead = self.dead or (self.fault == "dies" and len(message.body) < 30)
        if self.dead:
            return
        try:
            value = codec.unpack(message.body)
            codec.validate(RecoveryCommand, value | {"strategy": "retry"})
        except Refused:
            return
        if self.fault == "strict" and len(value) > 12 and "another" in value:
            return
        result = self.memory.get(value["command_id"]) or {"command_id": value["command_id"], **self.judge(value)}
        if self.fault != "forgets":
            self.memory[value["command_id"]] = result
        if self.fault == "confused":
            result = result | {"command_id": "another"}
        await self.bus.publish(message.reply, codec.pack(result))

    def judge(self, value: dict[str, Any]) -> dict[str, Any]:
        """What becomes of a command that was not seen before."""
        fault = self.fault
        if value["agent"]["id"] != ID and fault != "takes all":
            return {"status": "misaddressed"}
        if value.get("instance", BOOT) != BOOT and fault != "takes the dead's":
            return {"status": "misaddressed"}
        if value["fence"] < self.fence and fault != "no fence":
            return {"status": "stale"}
        late = value["deadline_unix_nano"] < time.time_ns() and fault != "patient"
        if late and (value["timeout_ms"] == 0 or fault == "clock"):
            return {"status": "expired"}
        if value["strategy"] != "retry" and fault != "does all":
            return {"status": "unsupported"}
        self.fence = value["fence"]
        self.done += 1
        return {"status": "failed", "code": "no_such_operation", "duration_ms": 0, "detail": f"try {self.done}"}

    async def probe(self, message: Message) -> None:
        """Answers a probe."""
        try:
            value = codec.unpack(message.body)
        except Refused:
            return
        if self.fault == "no probe" or (self.fault == "picky" and "operation" in value):
            return
        if self.fault == "case" and "Traceparent" in message.headers:
            return
        result: dict[str, Any] = {"healthy": True, "checked_unix_nano": time.time_ns()}
        if self.fault == "vague":
            result = {"healthy": "yes"}
        await self.bus.publish(message.reply, codec.pack(result))

    async def live(self) -> None:
        """Hello until it is answered, then samples."""
        hello: dict[str, Any] = {"agent": AGENT, "strategies": ["retry"], "interval_ms": INTERVAL_MS}
        if self.fault == "wrong hello":
            hello["strategies"] = ["everything"]
        if self.fault != "no hello":
            await self.bus.publish(self.subjects.hello(KIND, ID), codec.pack(hello))
        sequence = 0
        while True:
            await asyncio.sleep(INTERVAL_MS / 1000 * (8 if self.fault == "slow" else 1))
            sample = {"agent": AGENT, "time_unix_nano": time.time_ns(), "sequence": sequence, "metrics": {}}
            interval = 2 * INTERVAL_MS if self.fault == "other interval" else INTERVAL_MS
            if self.fault != "no samples":
                await self.bus.publish(self.subjects.health(KIND, ID), codec.pack(sample | {"interval_ms": interval}))
            sequence += 2 if self.fault == "skips" else 1
            if self.fault != "no hello":
                await self.bus.publish(self.subjects.hello(KIND, ID), codec.pack(hello))
            await self.error()

    async def error(self) -> None:
        """Publishes an error now and then."""
        error = {
            "id": new_id(),
            "time_unix_nano": 1,
            "agent": AGENT,
            "exception": {"type": "T", "message": "m"},
            "severity": "warning" if self.fault == "severity" else "error",
        }
        headers = {} if self.fault == "no id" else {HEADER_ID: error["id"]}
        try:
            await self.bus.request(self.subjects.error("error", KIND, ID), codec.pack(error), headers, timeout=0.01)
        except BusError:
            return  # nobody stores it in this test


@asynccontextmanager
async def living(agent: ModelAgent) -> AsyncIterator[ModelAgent]:
    """An agent at work."""
    subjects = agent.subjects
    subscriptions = [
        await agent.bus.subscribe(subjects.command(KIND, ID), agent.command),
        await agent.bus.subscribe(subjects.probe(KIND, ID), agent.probe),
    ]
    life = asyncio.create_task(agent.live())
    try:
        yield agent
    finally:
        life.cancel()
        await asyncio.wait((life,))
        for subscription in subscriptions:
            await subscription.stop()


def verdicts(checks: list[Check]) -> dict[str, str]:
    """Verdict by name of the check."""
    return {check.name: check.verdict for check in checks}


async def test_an_agent_that_keeps_the_contract_passes(connect_bus: Callable[[str], Any], root: str) -> None:
    """Nothing is held against a right agent, on either bus, and no command is carried out twice."""
    subjects = Subjects(root)
    async with living(ModelAgent(await connect_bus("agent"), subjects)) as agent:
        checks = await conform(await connect_bus("driver"), subjects, KIND, ID, timeout=2.0, error_wait=2.0)
    assert [check for check in checks if check.verdict != "pass"] == []
    assert all(check.rule.endswith(".") and check.detail for check in checks)
    assert agent.done == 3  # the command, the one that sets the fence, the one with a deadline of long ago


async def test_what_was_kept_is_used(connect_bus: Callable[[str], Any], root: str) -> None:
    """The stored hello is read, and commands carry the fence of the agent's journal, so that later ones still pass."""
    subjects = Subjects(root)
    bus = await connect_bus("driver")
    await bus.ensure(streams.streams(subjects, 1 << 24), [])
    for number in range(5):
        await bus.store(subjects.journal(partition_of(KIND, ID)), b"", id=f"{root}-{number}")
    hello = {"agent": AGENT, "strategies": ["retry"], "interval_ms": INTERVAL_MS}
    await bus.store(subjects.key("agents", KIND, ID), codec.pack(hello))
    async with living(ModelAgent(await connect_bus("agent"), subjects, "no hello")) as agent:
        checks = await conform(bus, subjects, KIND, ID, timeout=2.0)
    assert verdicts(checks).pop("error") == "skip"
    assert {check.name for check in checks if check.verdict != "pass"} == {"error"}
    assert agent.fence == 5


@pytest.mark.parametrize("connect_bus", ["nats"], indirect=True)
async def test_the_sdk_conforms(
    connect_bus: Callable[[str], Any], nats_server: NatsServer, root: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An agent made with the SDK passes every check; it has an operation, so it supports `retry`."""
    monkeypatch.setenv("MENDBUS_TRACE", "false")
    agent = Agent(KIND, ID, nats_url=nats_server.url, root=root, interval_ms=100)

    @agent.operation("work", idempotent=True)
    def work() -> None:
        raise ValueError("it does not work")

    bus, subjects = await connect_bus("driver"), Subjects(root)
    await bus.ensure(streams.streams(subjects, 1 << 24), [])

    async def store_hello(message: Message) -> None:
        await bus.store(subjects.key("agents", KIND, ID), message.body)
        await bus.publish(message.reply, codec.encode(HelloReply(stored=True, time_unix_nano=1)))

    await bus.subscribe(subjects.everyone("agent.hello"), store_hello)
    with agent:

        async def fail_now_and_then() -> None:
            while True:
                await asyncio.to_thread(_fails, work)
                await asyncio.sleep(0.2)

        failing = asyncio.create_task(fail_now_and_then())
        await eventually(lambda: agent.stats().ready, 15.0)
        checks = await conform(bus, subjects, KIND, ID, error_wait=5.0)
        failing.cancel()
        await asyncio.wait((failing,))
    assert [check for check in checks if check.verdict != "pass"] == []


def _fails(work: Callable[[], None]) -> None:
    with pytest.raises(ValueError, match="does not work"):
        work()


FAULTS = [
    ("no hello", "hello"),
    ("wrong hello", "hello"),
    ("no samples", "health_samples"),
    ("slow", "health_samples"),
    ("skips", "health_samples"),
    ("other interval", "health_samples"),
    ("no probe", "probe"),
    ("vague", "probe"),
    ("picky", "probe_unknown_operation"),
    ("strict", "unknown_keys"),
    ("case", "trace_context"),
    ("confused", "command"),
    ("forgets", "command_once"),
    ("takes all", "misaddressed_agent"),
    ("takes the dead's", "misaddressed_instance"),
    ("no fence", "stale"),
    ("patient", "expired"),
    ("clock", "wrong_clock"),
    ("does all", "unsupported"),
    ("does all", "unknown_strategy"),
    ("dies", "undecodable"),
    ("severity", "error"),
    ("no id", "error"),
]


@pytest.mark.parametrize("connect_bus", ["memory"], indirect=True)
@pytest.mark.parametrize(("fault", "check"), FAULTS)
async def test_each_fault_fails_its_check(connect_bus: Callable[[str], Any], root: str, fault: str, check: str) -> None:
    """An agent that breaks one duty fails the check of that duty."""
    subjects = Subjects(root)
    async with living(ModelAgent(await connect_bus("agent"), subjects, fault)):
        checks = await conform(await connect_bus("driver"), subjects, KIND, ID, timeout=0.2, error_wait=0.2)
    assert verdicts(checks)[check] == "fail", checks


@pytest.mark.parametrize("connect_bus", ["memory"], indirect=True)
async def test_nobody_there_fails_without_waiting_for_each_answer(connect_bus: Callable[[str], Any], root: str) -> None:
    """An agent that is not there fails what it should answer, quickly; what cannot be known is skipped."""
    checks = verdicts(await conform(await connect_bus("driver"), Subjects(root), KIND, ID, timeout=0.2))
    unknown = ("error", "command_once", "misaddressed_instance", "health_samples")
    assert {checks.pop(name) for name in unknown} == {"skip"}
    assert set(checks.values()) == {"fail"}
