"""Closed incidents whose details only the journal has: late errors are told right, recurrences skip what was tried."""

import time
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager
from unittest.mock import AsyncMock, patch

from tests.harness import ProtocolAgent
from tests.support import SECOND, memory_runtime

import mendbus_executor
import mendbus_strategy_selector
from mendbus import codec, streams
from mendbus.bus import Bus
from mendbus.bus.memory import MemoryServer
from mendbus.contracts.asks import AttemptResult, Classification
from mendbus.contracts.errors import BusError
from mendbus.contracts.journal import Attempted, Concluded, Counted, Decided, Entry, JournalRecord, Opened
from mendbus.contracts.messages import ErrorReported, RecoveryCommand, RecoveryOutcome
from mendbus.contracts.subjects import MAX_SERVICE_BODY, Subjects, partition_of
from mendbus.contracts.summaries import AttemptSummary, ClassificationSummary, DecisionSummary, Times
from mendbus.fingerprint import Fingerprints
from mendbus.testing import eventually
from mendbus_strategy_selector import partition
from mendbus_strategy_selector.journal import Journal, Position
from mendbus_strategy_selector.snapshot import restore
from mendbus_strategy_selector.state import PartitionState

SUBJECTS = Subjects()
KIND, NAME = "runtime", "a1"
NUMBER = partition_of(KIND, NAME)


async def close_one(bus: Bus, agent: ProtocolAgent, acted: int) -> RecoveryOutcome:
    """Leaves the journal of an owner that is gone: one error, recovered by a retry begun at a time, and settled."""
    await agent.report("Late")
    everything = bus.read(SUBJECTS.stream("ERRORS"), f"{SUBJECTS.root}.errors.>")
    stored = [message async for message in everything][-1]
    error = codec.decode(ErrorReported, stored.body)
    fingerprint = Fingerprints().of(error)
    command = RecoveryCommand(
        command_id="c1",
        incident_id="i1",
        attempt=1,
        agent=error.agent,
        action="apply",
        strategy="retry",
        parameters={},
        timeout_ms=100,
        deadline_unix_nano=1,
        fence=1,
    )
    attempt = AttemptSummary(
        attempt=1,
        command_id="c1",
        strategy="retry",
        status="done",
        verified=True,
        started_unix_nano=1,
        ended_unix_nano=2,
    )
    decision = DecisionSummary(policy="p", rule="first", reason="because")
    found = Classification(category="runtime", severity="error", confidence=0.5, model="m")
    times = Times(reported=1, selected=1, commanded=acted)
    recovered = RecoveryOutcome(
        incident_id="i1",
        sequence=0,
        agent=error.agent,
        fingerprint=fingerprint,
        outcome="recovered",
        reason="the probe is healthy",
        strategy="retry",
        attempts=[attempt],
        error_count=1,
        event_count=1,
        event_ids=[error.id],
        error=error,
        classification=ClassificationSummary(category="runtime", severity="error", confidence=0.5, model="m"),
        decision=decision,
        times=times,
        trace_id="t",
    )
    told = recovered.model_copy(update={"sequence": 1, "settled": True, "undone": False})
    result = AttemptResult(incident_id="i1", command_id="c1", status="done", verified=True)
    entries: list[Entry] = [
        Opened(incident_id="i1", agent=error.agent, fingerprint=fingerprint, error=error, trace_id="t"),
        Counted(incident_id="i1", lane="normal", sequences=[stored.sequence], event_ids=[error.id], error_count=1),
        Decided(
            incident_id="i1",
            attempt=1,
            strategy="retry",
            decision=decision,
            classification=found,
            command=command,
            times=times,
        ),
        Attempted(incident_id="i1", command_id="c1", result=result, ended_unix_nano=2),
        Concluded(outcome=recovered),
        Concluded(outcome=told),
    ]
    head = {
        "id": "r1",
        "time_unix_nano": time.time_ns(),
        "partition": NUMBER,
        "number": 1,
        "owner": "dead",
        "previous": "",
    }
    body = codec.pack_with_list(head, "entries", [codec.encode(entry) for entry in entries])
    await bus.store(SUBJECTS.journal(NUMBER), body)
    return told


@contextmanager
def owned() -> Generator[list[PartitionState]]:
    """The states of the partitions that are taken over in the block."""
    states: list[PartitionState] = []

    async def restored(bus: Bus, subjects: Subjects, number: int) -> tuple[PartitionState, Position]:
        state, position = await restore(bus, subjects, number)
        states.append(state)
        return state, position

    with patch.object(partition, "restore", restored):
        yield states


@asynccontextmanager
async def slim_owner(server: MemoryServer) -> AsyncGenerator[None]:
    """A strategy-selector that owns everything, once its only incident has left its details to the journal."""
    with owned() as states:
        async with memory_runtime(mendbus_strategy_selector.build(), server):
            await eventually(lambda: [i for state in states for i in state.incidents.values() if i.slim], 5.0)
            yield


async def newest(bus: Bus) -> RecoveryOutcome:
    """The last outcome stored."""
    last = await bus.last(SUBJECTS.stream("RECOVERIES"), SUBJECTS.outcome(KIND, NAME))
    assert last is not None
    return codec.decode(RecoveryOutcome, last.body, MAX_SERVICE_BODY)


@asynccontextmanager
async def closed(acted: int) -> AsyncGenerator[tuple[MemoryServer, Bus, ProtocolAgent, RecoveryOutcome]]:
    """A server, an agent on it, and its closed incident in the journal, on whose agent the last action began then."""
    server = MemoryServer()
    bus = server.connect("test")
    await streams.ensure(bus, SUBJECTS, 1 << 30)
    agent = ProtocolAgent(bus, SUBJECTS, KIND, NAME)
    await agent.start()
    try:
        yield server, bus, agent, await close_one(bus, agent, acted)
    finally:
        await bus.close()


async def test_a_late_error_is_told_with_all_that_was_known() -> None:
    """Errors older than the last action: the next outcome has their counts and ids, and all else as it was, each time
    and also after the partition has changed hands with a snapshot in between.
    """
    async with closed(acted=time.time_ns() + 3600 * SECOND) as (server, bus, agent, before):
        for times in (1, 2):
            async with slim_owner(server):
                late = await agent.report("Late", count=3)
                wanted = before.error_count + 3

                async def counted(wanted: int = wanted) -> bool:
                    return (await newest(bus)).error_count == wanted

                await eventually(counted, 5.0)
                await eventually(lambda late=late: agent.settled[late] == 1, 5.0)
            after = await newest(bus)
            assert after == before.model_copy(
                update={
                    "sequence": before.sequence + 1,
                    "error_count": wanted,
                    "event_count": times + 1,
                    "event_ids": [*before.event_ids, late],
                    "undone": None,
                }
            )
            before = after


async def test_a_late_error_is_counted_when_the_journal_has_lost_the_details() -> None:
    """Counts stay exact even then, and while the journal does not answer; what nobody knows any more is left out."""
    lost = AsyncMock(side_effect=[BusError("no answer"), None])
    async with closed(acted=time.time_ns() + 3600 * SECOND) as (server, bus, agent, before), slim_owner(server):
        with patch.object(Journal, "outcome", lost):
            late = await agent.report("Late", count=3)

            async def counted() -> bool:
                return (await newest(bus)).error_count == before.error_count + 3

            await eventually(counted, 5.0)
        after = await newest(bus)
        assert (after.sequence, after.outcome, after.settled) == (before.sequence + 1, "recovered", True)
        assert (after.event_count, after.event_ids, after.error) == (2, [late], None)
        assert lost.await_count == 2


async def test_a_recurrence_of_what_is_slim_skips_what_was_tried() -> None:
    """The same error after the last action opens a new incident, that knows of the one before and what it tried."""
    async with (
        closed(acted=time.time_ns()) as (server, bus, agent, _),
        memory_runtime(mendbus_executor.build(), server),
        slim_owner(server),
    ):
        await agent.report("Late")

        async def opened() -> list[Opened]:
            journal = bus.read(SUBJECTS.stream("JOURNAL"), SUBJECTS.journal(NUMBER))
            records = [codec.decode(JournalRecord, message.body, MAX_SERVICE_BODY) async for message in journal]
            return [e for record in records for e in record.entries if isinstance(e, Opened) and e.incident_id != "i1"]

        (again,) = await eventually(opened, 5.0)
        assert (again.recurrence_of, again.tried) == ("i1", ["retry"])
