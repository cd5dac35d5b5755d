"""What a new owner of a partition finds on disk, and what it makes of it."""

import asyncio
from pathlib import Path
from unittest.mock import patch

import pytest
from tests.harness import ProtocolAgent
from tests.support import DRAIN_SECONDS, ask, memory_runtime

import mendbus_executor
import mendbus_strategy_selector
from mendbus import codec, streams
from mendbus.bus import Message
from mendbus.bus.memory import MemoryServer, Packet
from mendbus.contracts.asks import AttemptResult, Classification
from mendbus.contracts.errors import BusError
from mendbus.contracts.journal import Attempted, Claimed, Commanded, Concluded, Counted, Decided, Entry, Opened
from mendbus.contracts.messages import (
    AgentRef,
    Control,
    ControlResult,
    ErrorReported,
    ExceptionInfo,
    RecoveryCommand,
    RecoveryOutcome,
)
from mendbus.contracts.subjects import MAX_SERVICE_BODY, PARTITIONS, Subjects, partition_of
from mendbus.contracts.summaries import DecisionSummary
from mendbus.contracts.vocabulary import Action
from mendbus.settings import Settings
from mendbus.testing import eventually
from mendbus_strategy_selector import tidying
from mendbus_strategy_selector.journal import digest_of

SUBJECTS = Subjects()
AGENT = AgentRef(kind="runtime", id="a1")


async def test_a_parked_outcome_that_was_not_told_is_told_by_the_next_owner() -> None:
    """An owner that dies between writing `escalated` and telling it leaves that to its successor."""
    server = MemoryServer()
    bus = server.connect("test")
    await streams.ensure(bus, SUBJECTS, 1 << 30)
    outcome = RecoveryOutcome(
        incident_id="i1",
        sequence=0,
        agent=AGENT,
        fingerprint="f",
        outcome="escalated",
        error_count=1,
        event_count=1,
        trace_id="",
    )
    error = ErrorReported(
        id="e1", time_unix_nano=1, agent=AGENT, exception=ExceptionInfo(type="Lost", message="went wrong")
    )
    entries: list[Entry] = [
        Opened(incident_id="i1", agent=AGENT, fingerprint="f", error=error),
        Counted(incident_id="i1", lane="normal", sequences=[1], event_ids=["e1"], error_count=1),
        Concluded(outcome=outcome),
    ]
    number = partition_of(AGENT.kind, AGENT.id)
    head = {"id": "r1", "time_unix_nano": 5, "partition": number, "number": 1, "owner": "dead", "previous": ""}
    await bus.store(
        SUBJECTS.journal(number), codec.pack_with_list(head, "entries", [codec.encode(entry) for entry in entries])
    )
    async with memory_runtime(mendbus_strategy_selector.build(), server):

        async def told() -> RecoveryOutcome | None:
            last = await bus.last(SUBJECTS.stream("RECOVERIES"), SUBJECTS.outcome(AGENT.kind, AGENT.id))
            return codec.decode(RecoveryOutcome, last.body, MAX_SERVICE_BODY) if last else None

        assert (await eventually(told)) == outcome
    await bus.close()


async def test_an_owner_that_cannot_store_its_last_snapshot_still_says_goodbye(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A snapshot spares the next owner reading; without it the end goes on, and nobody waits for the lease."""
    server = MemoryServer()
    bus = server.connect("test")
    said: list[bytes] = []

    async def hear(message: Message) -> None:
        said.append(message.body)

    await bus.subscribe(SUBJECTS.key("leases", ">"), hear)
    full = patch.object(tidying.Tidying, "snapshot", side_effect=BusError("the disk is full"))
    with full, caplog.at_level("WARNING"):
        async with memory_runtime(mendbus_strategy_selector.build(), server):
            pass
    assert "no last snapshot" in caplog.text
    await eventually(lambda: said[-1] == b"bye")
    await bus.close()


async def test_an_owner_that_stops_does_not_wait_for_an_executor() -> None:
    """Where everything is told to stop at once the executor may be gone first: the next owner goes on."""
    server = MemoryServer()
    bus = server.connect("test")
    agent = ProtocolAgent(bus, SUBJECTS, "runtime", "a1")
    await agent.start()
    async with asyncio.timeout(DRAIN_SECONDS / 2):
        async with memory_runtime(mendbus_strategy_selector.build(), server) as runtime:
            await agent.report("Left")
            await eventually(lambda: not runtime.readiness.conditions.get("executor", (True, ""))[0])
    assert not agent.effects
    async with (
        memory_runtime(mendbus_executor.build(), server),
        memory_runtime(mendbus_strategy_selector.build(), server, instance="next"),
    ):
        await eventually(lambda: agent.effects)
    assert set(agent.effects.values()) == {1}
    await bus.close()


async def test_a_command_is_meant_for_the_process_that_reported_the_error() -> None:
    """Before its hello is known, an agent's boot id is the one in its error: a restarted agent must not obey."""
    server = MemoryServer()
    bus = server.connect("test")
    agent = ProtocolAgent(bus, SUBJECTS, "runtime", "a1")
    await agent.start()
    commanded: asyncio.Future[RecoveryCommand] = asyncio.get_running_loop().create_future()

    async def hear(message: Message) -> None:
        if not commanded.done():
            commanded.set_result(codec.decode(RecoveryCommand, message.body))

    await bus.subscribe(SUBJECTS.command("runtime", "a1"), hear)
    async with (
        memory_runtime(mendbus_executor.build(), server),
        memory_runtime(mendbus_strategy_selector.build(), server),
    ):
        await agent.report("Hasty")
        assert (await asyncio.wait_for(commanded, 5.0)).instance == agent.instance
    await bus.close()


async def test_an_idle_owner_notices_that_somebody_else_owned_its_partition() -> None:
    """What another owner left open while this one was stopped is taken up, without any error that comes later."""
    server = MemoryServer()
    bus = server.connect("test")
    number = partition_of(AGENT.kind, AGENT.id)
    error = ErrorReported(
        id="e1", time_unix_nano=1, agent=AGENT, exception=ExceptionInfo(type="Left", message="went wrong")
    )
    entries: list[Entry] = [
        Claimed(owner="other"),
        Opened(incident_id="i1", agent=AGENT, fingerprint="f", error=error),
        Counted(incident_id="i1", lane="normal", sequences=[1], event_ids=["e1"], error_count=1),
    ]
    async with (
        memory_runtime(mendbus_executor.build(), server),
        memory_runtime(mendbus_strategy_selector.build(), server),
    ):
        agent = ProtocolAgent(bus, SUBJECTS, AGENT.kind, AGENT.id)
        await agent.start()
        claim = await bus.last(SUBJECTS.stream("JOURNAL"), SUBJECTS.journal(number))
        assert claim is not None
        head = {
            "id": "r2",
            "time_unix_nano": 5,
            "partition": number,
            "number": 2,
            "owner": "other",
            "previous": digest_of(claim.body),
        }
        body = codec.pack_with_list(head, "entries", [codec.encode(entry) for entry in entries])
        await bus.store(SUBJECTS.journal(number), body, expected_last=claim.sequence)
        await eventually(lambda: agent.effects, 6.0)
    await bus.close()


class _NoObjects(MemoryServer):
    """Whose object buckets do not answer."""

    silent = True

    def publish(self, packet: Packet) -> None:
        if not (self.silent and packet.subject.startswith("$O.")):
            super().publish(packet)


async def test_a_snapshot_that_hangs_holds_up_no_outcome(tmp_path: Path) -> None:
    """Errors counted after the last outcome are told within about a second, also while no snapshot can be stored."""
    server = _NoObjects()
    bus = server.connect("test")
    policy = tmp_path / "policy.toml"
    policy.write_text("enable_automatic_recovery = false\n")
    outcomes: list[RecoveryOutcome] = []

    async def hear(message: Message) -> None:
        outcomes.append(codec.decode(RecoveryOutcome, message.body, MAX_SERVICE_BODY))

    await bus.subscribe(SUBJECTS.outcome("runtime", "a1"), hear)
    agent = ProtocolAgent(bus, SUBJECTS, "runtime", "a1")
    with patch.object(tidying, "SNAPSHOT_RECORDS", 1):
        async with memory_runtime(
            mendbus_strategy_selector.build(), server, settings=Settings(trace=False, policy_file=policy)
        ):
            await agent.report("Again")
            assert (await eventually(lambda: outcomes, 3.0))[-1].outcome == "suppressed"
            await asyncio.sleep(1.0)
            await agent.report("Again")
            await eventually(lambda: outcomes[-1].error_count == 2, 3.0)
            server.silent = False
    await bus.close()


async def test_agents_that_stand_by_for_each_other_are_given_no_partition() -> None:
    """Leases of agents are in the bucket of the replicas' own; whoever holds one owns nothing else."""
    server = MemoryServer()
    bus = server.connect("test")
    await streams.ensure(bus, SUBJECTS, 1 << 30)
    await bus.store(SUBJECTS.key("leases", "pair", "k", "a", "lease"), b"held")
    async with memory_runtime(mendbus_strategy_selector.build(), server):
        question = Control(id="o1", time_unix_nano=1, verb="status", by="kim")
        status = await ask(bus, SUBJECTS.control("status"), question, ControlResult)
        assert status.data["partitions"] == list(range(PARTITIONS))
    await bus.close()


def command(action: Action) -> RecoveryCommand:
    """A fallback, or its undo."""
    return RecoveryCommand(
        command_id=f"c-{action}",
        incident_id="i1",
        attempt=1,
        agent=AGENT,
        action=action,
        strategy="fallback",
        parameters={},
        timeout_ms=100,
        deadline_unix_nano=1,
        fence=1,
    )


def attempted(action: Action) -> Attempted:
    """What came of it, long ago."""
    result = AttemptResult(incident_id="i1", command_id=f"c-{action}", status="done", verified=action == "apply")
    return Attempted(incident_id="i1", command_id=f"c-{action}", result=result, ended_unix_nano=2)


@pytest.mark.parametrize(
    ("last", "undos"),
    [
        pytest.param(
            [Counted(incident_id="i1", lane="normal", sequences=[2], event_ids=["e2"], error_count=1, repeated=True)],
            1,
            id="repeated",
        ),
        pytest.param([Commanded(incident_id="i1", command=command("undo")), attempted("undo")], 0, id="undone"),
    ],
)
async def test_a_recovery_that_did_not_hold_is_not_settled_by_the_next_owner(last: list[Entry], undos: int) -> None:
    """An owner that dies between what shows it and the next rung leaves that rung to its successor."""
    server = MemoryServer()
    bus = server.connect("test")
    await streams.ensure(bus, SUBJECTS, 1 << 30)
    outcomes: list[RecoveryOutcome] = []

    async def hear(message: Message) -> None:
        outcomes.append(codec.decode(RecoveryOutcome, message.body, MAX_SERVICE_BODY))

    await bus.subscribe(SUBJECTS.outcome(AGENT.kind, AGENT.id), hear)
    agent = ProtocolAgent(bus, SUBJECTS, AGENT.kind, AGENT.id)
    await agent.start()
    error = ErrorReported(
        id="e1", time_unix_nano=1, agent=AGENT, exception=ExceptionInfo(type="Back", message="went wrong")
    )
    recovered = RecoveryOutcome(
        incident_id="i1",
        sequence=0,
        agent=AGENT,
        fingerprint="f",
        outcome="recovered",
        strategy="fallback",
        error_count=1,
        event_count=1,
        trace_id="",
    )
    entries: list[Entry] = [
        Opened(incident_id="i1", agent=AGENT, fingerprint="f", error=error),
        Counted(incident_id="i1", lane="normal", sequences=[1], event_ids=["e1"], error_count=1),
        Decided(
            incident_id="i1",
            attempt=1,
            strategy="fallback",
            decision=DecisionSummary(policy="p", rule="first", reason="because"),
            classification=Classification(category="unknown", severity="error", confidence=0.5, model="m"),
            command=command("apply"),
        ),
        attempted("apply"),
        Concluded(outcome=recovered),
        *last,
    ]
    number = partition_of(AGENT.kind, AGENT.id)
    head = {"id": "r1", "time_unix_nano": 5, "partition": number, "number": 1, "owner": "dead", "previous": ""}
    body = codec.pack_with_list(head, "entries", [codec.encode(entry) for entry in entries])
    await bus.store(SUBJECTS.journal(number), body)
    async with (
        memory_runtime(mendbus_executor.build(), server),
        memory_runtime(mendbus_strategy_selector.build(), server),
    ):
        told = await eventually(lambda: next((o for o in outcomes if len(o.attempts) == 2), None), 5.0)
        assert told.outcome == "recovered"
        assert [(a.strategy, a.undone) for a in told.attempts] == [("fallback", True), ("retry", False)]
        assert not any(o.settled for o in outcomes)
        assert agent.effects["i1", 1, "undo"] == undos
    await bus.close()
