"""The health-monitor service on a bus: hellos kept and answered, changes told, alerts stored, state that survives."""

import asyncio
import itertools
import math
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from tests.support import Clock, ask, memory_runtime, tell

from mendbus import codec
from mendbus.bus import Bus, Message
from mendbus.bus.memory import MemoryServer
from mendbus.contracts.errors import BusError, ServiceFailed, WrongSequence
from mendbus.contracts.journal import Operated
from mendbus.contracts.messages import (
    AgentGoodbye,
    AgentHello,
    Alert,
    Control,
    ControlResult,
    ErrorReported,
    HealthSample,
    HealthStatus,
    HelloReply,
    RecoveryOutcome,
)
from mendbus.contracts.subjects import HEADER_CODE, MAX_BODY, Subjects
from mendbus.runtime import Runtime
from mendbus.testing import eventually
from mendbus_health_monitor import alert_storing, build, handlers

SUBJECTS = Subjects()
NOW = Clock()()


def agent(name: str = "a1", instance: str = "boot1") -> dict[str, Any]:
    return {"kind": "runtime", "id": name, "instance": instance}


def sample(sequence: int, errors_per_s: float = 0.0, **more: Any) -> HealthSample:
    known = {"agent": agent(), "time_unix_nano": NOW + sequence, "sequence": sequence, "interval_ms": 500}
    return HealthSample.model_validate({**known, "metrics": {"errors_per_s": errors_per_s}, **more})


def hello(**more: Any) -> AgentHello:
    known = {"id": "h1", "time_unix_nano": NOW, "agent": agent(), "strategies": ["retry"], "interval_ms": 500}
    return AgentHello.model_validate({**known, **more})


def goodbye(**more: Any) -> AgentGoodbye:
    return AgentGoodbye.model_validate({"id": "g1", "time_unix_nano": NOW + 10**9, "agent": agent(), **more})


def outcome(word: str, sequence: int = 0) -> RecoveryOutcome:
    return RecoveryOutcome.model_validate(
        {
            "incident_id": "i1",
            "sequence": sequence,
            "agent": agent(),
            "fingerprint": "v1:0",
            "outcome": word,
            "error_count": 1,
            "event_count": 1,
            "trace_id": "",
        }
    )


async def conclude(bus: Bus, word: str, sequence: int = 0) -> None:
    await bus.store(SUBJECTS.outcome("runtime", "a1"), codec.encode(outcome(word, sequence)))


async def control(bus: Bus, verb: str, **more: Any) -> dict[str, Any]:
    question = Control.model_validate({"id": "c1", "time_unix_nano": NOW, "verb": verb, "by": "test", **more})
    answer = await ask(bus, SUBJECTS.control(verb), question, ControlResult)
    assert (answer.ok, answer.service) == (True, "health-monitor")
    return answer.data


async def stored_alerts(bus: Bus) -> list[Alert]:
    read = bus.read(SUBJECTS.stream("ALERTS"), SUBJECTS.everyone("alert"))
    return [codec.decode(Alert, message.body) async for message in read]


class Told:
    """The statuses that a listener hears."""

    def __init__(self) -> None:
        self.statuses: list[HealthStatus] = []

    async def hear(self, message: Message) -> None:
        self.statuses.append(codec.decode(HealthStatus, message.body))

    @property
    def words(self) -> list[str]:
        return [status.status for status in self.statuses]


@asynccontextmanager
async def monitored(
    server: MemoryServer | None = None, now: Callable[[], int] = time.time_ns
) -> AsyncGenerator[tuple[Runtime, Bus, Told]]:
    """A running health-monitor, the bus of somebody else, and what that one is told."""
    server, told = server or MemoryServer(), Told()
    bus = server.connect("test")
    try:
        async with memory_runtime(build(), server, now=now) as runtime:
            subscription = await bus.subscribe(SUBJECTS.everyone("status"), told.hear)
            yield runtime, bus, told
            await subscription.stop()
    finally:
        await bus.close()


async def test_a_hello_is_stored_then_answered() -> None:
    """The reply comes when the bucket has it, and the agent is listed with what it said."""
    async with monitored() as (_, bus, _told):
        reply = await ask(bus, SUBJECTS.hello("runtime", "a1"), hello(), HelloReply)
        assert reply.stored
        kept = await bus.last(SUBJECTS.bucket_stream("agents"), SUBJECTS.key("agents", "runtime", "a1"))
        assert kept is not None
        assert codec.decode(AgentHello, kept.body) == hello()
        [row] = (await control(bus, "agents"))["agents"]
        assert (row["agent"]["id"], row["hello"]["strategies"]) == ("a1", ["retry"])


async def test_a_hello_for_somebody_else_is_refused() -> None:
    """The agent of the body must be the agent of the subject."""
    async with monitored() as (_, bus, _told):
        with pytest.raises(ServiceFailed) as refused:
            await ask(bus, SUBJECTS.hello("runtime", "other"), hello(), HelloReply)
        assert refused.value.code == 400
        assert await bus.last(SUBJECTS.stream("DEAD"), SUBJECTS.dead("health-monitor")) is not None
        assert (await control(bus, "agents"))["agents"] == []


async def test_a_hello_longer_than_an_agent_may_send_is_refused() -> None:
    """What an agent sends has at most 64 KiB, also where it is asked for an answer."""
    async with monitored() as (_, bus, _told):
        body = codec.pack({**hello().model_dump(exclude_none=True), "to come": "x" * MAX_BODY})
        with pytest.raises(ServiceFailed) as refused:
            await bus.request(SUBJECTS.hello("runtime", "a1"), body, timeout=2.0)
        assert refused.value.code == 400
        dead = await bus.last(SUBJECTS.stream("DEAD"), SUBJECTS.dead("health-monitor"))
        assert dead is not None
        assert dead.headers[HEADER_CODE] == "too_large"


async def test_changes_are_told_and_nothing_else() -> None:
    """A new agent, a worse one and one that leaves make a status each; the sample in between makes none."""
    async with monitored() as (_, bus, told):
        for number, errors in enumerate((0.0, 0.0, 5.0, 5.0)):
            await tell(bus, SUBJECTS.health("runtime", "a1"), sample(number, errors))
        await tell(bus, SUBJECTS.goodbye("runtime", "a1"), goodbye())
        await eventually(lambda: told.words == ["excellent", "poor", "retired"])
        assert told.statuses[1].metrics == {"errors_per_s": 5.0}


async def test_a_bad_sample_is_a_dead_letter_and_the_next_one_counts() -> None:
    """What is no sample, or speaks for another agent, goes to the dead letters."""
    async with monitored() as (_, bus, told):
        await bus.publish(SUBJECTS.health("runtime", "a1"), b"\xc1")
        await tell(bus, SUBJECTS.health("runtime", "other"), sample(1))
        await tell(bus, SUBJECTS.health("runtime", "a1"), sample(2))
        await eventually(lambda: told.words == ["excellent"])
        dead = await bus.subjects(SUBJECTS.stream("DEAD"), SUBJECTS.everyone("dead"))
        assert dead == {SUBJECTS.dead("health-monitor"): 2}


async def test_silence_is_told_in_time() -> None:
    """A silent agent is told of as failed within 1.5 s of its last sample."""
    async with monitored() as (_, bus, told):
        loop = asyncio.get_running_loop()
        await tell(bus, SUBJECTS.health("runtime", "a1"), sample(1))
        begun = loop.time()
        await eventually(lambda: told.words == ["excellent", "failed"])
        assert loop.time() - begun > 1.3


@pytest.mark.parametrize("jump", [3600, -3600])
async def test_a_clock_that_is_set_makes_nobody_fail(jump: int) -> None:
    """When the monitor's own clock jumps, silence is counted from there."""
    clock = Clock()
    async with monitored(now=clock) as (_, bus, told):
        await tell(bus, SUBJECTS.health("runtime", "a1"), sample(1))
        clock.pass_seconds(jump)

        async def counted_anew() -> bool:
            [row] = (await control(bus, "agents"))["agents"]
            return row["last_seen_unix_nano"] == clock()

        await eventually(counted_anew)
        assert told.words == ["excellent"]


async def test_a_goodbye_deletes_the_stored_hello_unless_there_is_a_newer_one() -> None:
    """Who left is not awaited after a restart; a new process that has said hello meanwhile stays known."""
    server = MemoryServer()
    async with monitored(server) as (_, bus, told):
        await ask(bus, SUBJECTS.hello("runtime", "a1"), hello(), HelloReply)
        await tell(bus, SUBJECTS.goodbye("runtime", "a1"), goodbye())
        await eventually(lambda: told.words == ["retired"])

        async def deleted() -> bool:
            kept = await bus.last(SUBJECTS.bucket_stream("agents"), SUBJECTS.key("agents", "runtime", "a1"))
            return kept is not None and kept.body == b"" and kept.headers["KV-Operation"] == "DEL"

        await eventually(deleted)
    async with monitored(server) as (_, bus, _told):
        assert (await control(bus, "agents"))["agents"] == []


async def test_hello_and_goodbye_reach_whoever_looks_at_metrics_and_makes_alerts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Limits and dependencies are known from the kept hello; who leaves is under watch no more, nor depended by."""
    made: list[handlers.Monitor] = []

    class Kept(handlers.Monitor):
        def __init__(self, runtime: Runtime) -> None:
            super().__init__(runtime)
            made.append(self)

    monkeypatch.setattr(handlers, "Monitor", Kept)
    async with monitored() as (_, bus, _told):
        said = hello(limits={"queue_depth": 9.0}, depends_on=["runtime/db"])
        await ask(bus, SUBJECTS.hello("runtime", "a1"), said, HelloReply)
        signals, dependencies = made[0]._signals, made[0]._alerting._dependencies
        await eventually(lambda: signals._limits == {"runtime/a1": {"queue_depth": 9.0}})
        assert dependencies.upstream("runtime/a1")
        await tell(bus, SUBJECTS.health("runtime", "a1"), sample(1))
        await eventually(lambda: "runtime/a1" in signals._agents)
        await tell(bus, SUBJECTS.goodbye("runtime", "a1"), goodbye())
        await eventually(lambda: "runtime/a1" not in signals._agents)
        await eventually(lambda: not dependencies.upstream("runtime/a1"))


async def test_an_outcome_that_is_not_valid_is_one_dead_letter_and_the_next_one_counts() -> None:
    """Bytes that are no message and a message that lacks a field are kept, each once; what follows is judged."""
    async with monitored() as (_, bus, _told):
        subject = SUBJECTS.outcome("runtime", "a1")
        lacking = outcome("escalated").model_dump(exclude_none=True)
        del lacking["trace_id"]
        await bus.store(subject, b"\xc1")
        await bus.store(subject, codec.pack(lacking))
        await conclude(bus, "escalated", 1)
        await eventually(lambda: _has_alerts(bus, 1))
        read = bus.read(SUBJECTS.stream("DEAD"), SUBJECTS.dead("health-monitor"))
        assert [dead.headers[HEADER_CODE] async for dead in read] == ["not_msgpack", "invalid"]


@pytest.mark.parametrize("problem", [WrongSequence("k", 10071, "wrong last sequence"), BusError("the disk is full")])
async def test_a_stored_hello_that_cannot_be_deleted_stays(problem: BusError, monkeypatch: pytest.MonkeyPatch) -> None:
    """A newer hello, or a server that refuses, leaves the bucket as it is; the goodbye is told all the same."""
    async with monitored() as (runtime, bus, told):
        await ask(bus, SUBJECTS.hello("runtime", "a1"), hello(), HelloReply)
        await eventually(lambda: _listed(bus, "a1"))
        asked: list[str] = []

        async def refuse(subject: str, *_: Any, **more: Any) -> Any:
            asked.append(subject)
            assert more["expected_last"] > 0
            raise problem

        monkeypatch.setattr(runtime.bus, "store", refuse)
        await tell(bus, SUBJECTS.goodbye("runtime", "a1"), goodbye())
        await tell(bus, SUBJECTS.goodbye("runtime", "a1"), goodbye())
        await eventually(lambda: asked == [SUBJECTS.key("agents", "runtime", "a1")])
        await eventually(lambda: told.words == ["retired"])
        kept = await bus.last(SUBJECTS.bucket_stream("agents"), SUBJECTS.key("agents", "runtime", "a1"))
        assert kept is not None
        assert kept.body


async def test_a_fatal_error_is_a_failure_at_once_and_its_recovery_ends_it() -> None:
    """The death that a supervisor reports is told without waiting for silence; the outcome lets the agent be well."""
    async with monitored() as (_, bus, told):
        begun = time.time_ns()
        now = iter(range(begun, begun + 10**12, 500_000_000))
        await tell(bus, SUBJECTS.health("runtime", "a1"), sample(0, time_unix_nano=next(now)))
        error = {
            "id": "e1",
            "time_unix_nano": next(now),
            "agent": agent(),
            "exception": {"type": "ProcessDied", "message": "the process was ended by SIGKILL"},
            "severity": "fatal",
        }
        await tell(bus, SUBJECTS.error("fatal", "runtime", "a1"), ErrorReported.model_validate(error))
        await eventually(lambda: told.words == ["excellent", "failed"])
        await tell(bus, SUBJECTS.health("runtime", "a1"), sample(1, time_unix_nano=next(now)))
        recovered = outcome("recovered").model_dump(exclude_none=True) | {"error": error}
        await bus.store(SUBJECTS.outcome("runtime", "a1"), codec.pack(recovered))
        numbers = itertools.count(2)

        async def well() -> bool:
            await tell(bus, SUBJECTS.health("runtime", "a1"), sample(next(numbers), time_unix_nano=next(now)))
            return told.words[-1] == "excellent"

        await eventually(well)
        assert told.statuses[1].reason == "it died: ProcessDied: the process was ended by SIGKILL"


async def test_samples_are_counted_by_what_was_the_matter() -> None:
    """Numbers that are not finite, doubled samples and clocks from tomorrow show in the list of agents."""
    async with monitored() as (_, bus, _told):
        body = sample(1).model_dump(exclude_none=True) | {"time_unix_nano": time.time_ns() + 86400 * 10**9}
        body["metrics"] = {"cpu_percent": math.nan, "memory_bytes": -1.0, "queue_depth": 3.0}
        for _ in range(2):
            await bus.publish(SUBJECTS.health("runtime", "a1"), codec.pack(body))
        await bus.barrier()

        async def counted() -> bool:
            return (await control(bus, "agents"))["samples"] == {"taken": 1, "skewed": 1, "absurd": 1, "doubled": 1}

        await eventually(counted)
        [row] = (await control(bus, "agents"))["agents"]
        assert (row["metrics"], row["samples"]) == ({"queue_depth": 3.0}, {"skewed": 1, "absurd": 1, "doubled": 1})


async def test_known_agents_survive_a_restart() -> None:
    """After a start the agents of the bucket are listed and awaited, with what they said of themselves."""
    server = MemoryServer()
    async with monitored(server) as (_, bus, _told):
        await ask(bus, SUBJECTS.hello("runtime", "a1"), hello(), HelloReply)
    async with monitored(server) as (_, bus, told):
        await eventually(lambda: _listed(bus, "a1"))
        await eventually(lambda: told.words == ["failed"])


async def _listed(bus: Bus, name: str) -> bool:
    rows = (await control(bus, "agents"))["agents"]
    return any(row["agent"]["id"] == name and "hello" in row for row in rows)


async def test_an_escalation_raises_an_alert_and_a_recovery_resolves_it() -> None:
    """The alert is stored, listed while it is open, and resolved when the incident recovers."""
    async with monitored() as (runtime, bus, _told):
        await conclude(bus, "escalated")

        async def states() -> list[str]:
            return [alert.state for alert in await stored_alerts(bus)]

        async def raised() -> bool:
            return await states() == ["raised"]

        await eventually(raised)
        [row] = (await control(bus, "alerts"))["alerts"]
        assert (row["severity"], row["incident_id"], row["agent"]["id"]) == ("major", "i1", "a1")
        assert runtime.readiness.conditions["alerts"][0]
        await conclude(bus, "recovered", 1)

        async def resolved() -> bool:
            return await states() == ["raised", "resolved"]

        await eventually(resolved)
        assert (await control(bus, "alerts"))["alerts"] == []


async def test_outcomes_told_while_no_monitor_ran_are_judged_once() -> None:
    """An escalation during a restart raises its alert at the start; another restart raises it no second time."""
    server = MemoryServer()
    async with monitored(server):
        pass
    bus = server.connect("late")
    await conclude(bus, "escalated")
    for _ in range(2):
        async with monitored(server):
            await eventually(lambda: _has_alerts(bus, 1))
    async with monitored(server) as (_, other, _told):
        assert len((await control(other, "alerts"))["alerts"]) == 1
        await conclude(other, "recovered", 1)
        await eventually(lambda: _has_alerts(other, 2))
    await bus.close()


async def _has_alerts(bus: Bus, count: int) -> bool:
    return len(await stored_alerts(bus)) == count


async def test_two_monitors_make_one_alert() -> None:
    """Replicas judge alike, and the stream keeps one."""
    server = MemoryServer()
    async with monitored(server) as (_, bus, _told), monitored(server) as (_, other, _told2):
        await conclude(bus, "escalated")

        async def both() -> bool:
            return all([len((await control(one, "alerts"))["alerts"]) == 1 for one in (bus, other, bus, other)])

        await eventually(both)
    bus = server.connect("after")
    assert await _has_alerts(bus, 1)
    await bus.close()


async def test_an_alert_that_cannot_be_stored_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """While the stream refuses, the service is not ready and says why; then the alert is stored."""
    monkeypatch.setattr(alert_storing, "_RETRY_SECONDS", 0.01)
    async with monitored() as (runtime, bus, _told):
        store = runtime.bus.store

        async def refuse(subject: str, *arguments: Any, **more: Any) -> Any:
            if subject.startswith(SUBJECTS.everyone("alert")[:-1]):
                raise BusError("the disk is full")
            return await store(subject, *arguments, **more)

        with monkeypatch.context() as broken:
            broken.setattr(runtime.bus, "store", refuse)
            await conclude(bus, "escalated")
            await eventually(lambda: not runtime.readiness.conditions.get("alerts", (True, ""))[0])
            assert "the disk is full" in runtime.readiness.conditions["alerts"][1]
        await eventually(lambda: _has_alerts(bus, 1))
        assert runtime.readiness.conditions["alerts"] == (True, "")


async def test_stored_bytes_that_are_of_no_use_are_passed_over() -> None:
    """Bytes in the streams that are no message do not stop the service, neither at the start nor later."""
    server = MemoryServer()
    async with monitored(server) as (_, bus, _told):
        for subject in (
            SUBJECTS.alert("raised", "major"),
            SUBJECTS.outcome("runtime", "a1"),
            SUBJECTS.key("agents", "runtime", "a1"),
        ):
            await bus.store(subject, b"\xc1")
    async with monitored(server) as (_, bus, _told):
        assert (await control(bus, "agents"))["agents"] == []
        await conclude(bus, "escalated")
        await eventually(lambda: _open(bus, 1))


async def _open(bus: Bus, count: int) -> bool:
    return len((await control(bus, "alerts"))["alerts"]) == count


async def test_long_lists_come_in_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    """An answer holds one page and says where the next one begins."""
    monkeypatch.setattr(handlers, "PAGE", 2)
    async with monitored() as (_, bus, told):
        for name in ("a", "b", "c"):
            await tell(bus, SUBJECTS.health("runtime", name), sample(1, agent=agent(name)))
        await eventually(lambda: len(told.words) == 3)
        first = await control(bus, "agents")
        assert ([row["agent"]["id"] for row in first["agents"]], first["next"]) == (["a", "b"], "runtime/b")
        second = await control(bus, "agents", arguments={"after": first["next"]})
        assert ([row["agent"]["id"] for row in second["agents"]], "next" in second) == (["c"], False)
        assert len((await control(bus, "agents", agent={"kind": "runtime", "id": "c"}))["agents"]) == 1
        assert (await control(bus, "agents", kind="orchestrator", arguments={"after": 5}))["agents"] == []


async def latch(bus: Bus, number: int, verb: str, **more: Any) -> None:
    entry = Operated.model_validate({"verb": verb, "by": "strategy-selector", "reason": "budget spent", **more})
    head = {"id": f"r{number}", "time_unix_nano": NOW, "partition": 0, "number": number, "owner": "o", "previous": ""}
    await bus.store(SUBJECTS.journal_control, codec.pack_with_list(head, "entries", [codec.encode(entry)]))


async def test_recovery_that_is_latched_off_is_an_alert_of_its_own() -> None:
    """It is raised once, resolved when a person resumes everything, and a pause of one agent is none of it."""
    server = MemoryServer()
    async with monitored(server) as (_, bus, _told):
        await latch(bus, 1, "latch")
        await latch(bus, 2, "pause", kind="runtime")
        await latch(bus, 3, "resume", kind="runtime")
        await eventually(lambda: stored_alerts(bus))
        [row] = (await control(bus, "alerts"))["alerts"]
        assert (row["key"], row["severity"]) == ("latched", "critical")
        assert "budget spent" in row["summary"]
    bus = server.connect("meanwhile")
    await latch(bus, 4, "resume")
    await latch(bus, 5, "pause", kind="runtime")
    await bus.close()
    async with monitored(server) as (_, bus, _told):

        async def both() -> list[Alert] | None:
            found = await stored_alerts(bus)
            return found if len(found) == 2 else None

        assert [alert.state for alert in await eventually(both)] == ["raised", "resolved"]
        assert (await control(bus, "alerts"))["alerts"] == []
