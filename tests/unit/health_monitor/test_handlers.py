"""The health-monitor service on a bus: hellos kept and answered, changes told, state that survives."""

import asyncio
import itertools
import math
import time
from typing import Any

import pytest
from tests.support import Clock, ask, tell
from tests.unit.health_monitor.monitored import SUBJECTS, agent, control, goodbye, hello, monitored, outcome, sample

from mendbus import codec
from mendbus.bus import Bus
from mendbus.bus.memory import MemoryServer
from mendbus.contracts.errors import BusError, ServiceFailed, WrongSequence
from mendbus.contracts.messages import AgentHello, ErrorReported, HelloReply
from mendbus.contracts.subjects import HEADER_CODE, MAX_BODY
from mendbus.runtime import Runtime
from mendbus.testing import eventually
from mendbus_health_monitor import handlers


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


@pytest.mark.parametrize("count", [math.inf, math.nan, "many", None, {}])
async def test_an_outcome_with_a_count_that_is_none_is_a_dead_letter(count: object) -> None:
    """Whatever stands where a number should, it is refused as what it is."""
    async with monitored() as (_, bus, _):
        odd = outcome("recovered").model_dump(exclude_none=True) | {"error_count": count}
        await bus.store(SUBJECTS.outcome("runtime", "a1"), codec.pack(odd))

        async def dead() -> bool:
            return bool(await bus.subjects(SUBJECTS.stream("DEAD"), SUBJECTS.everyone("dead")))

        await eventually(dead)


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
        await eventually(
            lambda: {key: one.limits for key, one in signals._greeted.items()} == {"runtime/a1": {"queue_depth": 9.0}}
        )
        assert dependencies.upstream("runtime/a1")
        await tell(bus, SUBJECTS.health("runtime", "a1"), sample(1))
        await eventually(lambda: "runtime/a1" in signals._agents)
        await tell(bus, SUBJECTS.goodbye("runtime", "a1"), goodbye())
        await eventually(lambda: "runtime/a1" not in signals._agents)
        await eventually(lambda: not dependencies.upstream("runtime/a1"))


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
