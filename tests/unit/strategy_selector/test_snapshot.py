"""State rebuilt from any snapshot and the rest of the journal is the state that was."""

import asyncio
import time
from contextlib import suppress
from dataclasses import fields
from types import SimpleNamespace
from typing import Any, cast

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mendbus import codec, streams
from mendbus.bus.memory import MemoryServer
from mendbus.contracts.asks import AttemptResult, Classification
from mendbus.contracts.journal import (
    Attempted,
    Claimed,
    Commanded,
    Concluded,
    Counted,
    Decided,
    Entry,
    Floored,
    Held,
    Opened,
    Operated,
    Released,
)
from mendbus.contracts.messages import AgentRef, ErrorReported, ExceptionInfo, RecoveryCommand, RecoveryOutcome
from mendbus.contracts.subjects import Subjects
from mendbus.contracts.summaries import DecisionSummary
from mendbus_strategy_selector.incident import Incident, restored
from mendbus_strategy_selector.journal import Journal, Position, digest_of
from mendbus_strategy_selector.snapshot import BUCKET, Snapshots, restore
from mendbus_strategy_selector.state import PartitionState
from mendbus_strategy_selector.tidying import Tidying

SUBJECTS = Subjects()
AGENT = AgentRef(kind="runtime", id="a1")
DECISION = DecisionSummary(policy="p", rule="first", reason="because")
CLASSIFIED = Classification(category="unknown", severity="error", confidence=0.5, model="m")


def error(name: str) -> ErrorReported:
    """An error of that name."""
    return ErrorReported(
        id=name, time_unix_nano=1, agent=AGENT, exception=ExceptionInfo(type=name, message="went wrong")
    )


def command(incident: str, action: str = "apply") -> RecoveryCommand:
    """A command for an incident."""
    return RecoveryCommand.model_validate(
        {
            "command_id": f"{incident}-{action}",
            "incident_id": incident,
            "attempt": 1,
            "agent": {"kind": "runtime", "id": "a1"},
            "action": action,
            "strategy": "fallback",
            "parameters": {"to": "mirror"},
            "timeout_ms": 100,
            "deadline_unix_nano": 10,
            "fence": 1,
        }
    )


def outcome(incident: str, kind: str, sequence: int, settled: bool | None) -> RecoveryOutcome:
    """An outcome of an incident."""
    return RecoveryOutcome.model_validate(
        {
            "incident_id": incident,
            "sequence": sequence,
            "agent": {"kind": "runtime", "id": "a1"},
            "fingerprint": incident,
            "outcome": kind,
            "error_count": 1,
            "event_count": 1,
            "trace_id": "",
            "settled": settled,
        }
    )


def entries_for(incident: str, number: int) -> st.SearchStrategy[Entry]:
    """Entries that may follow one another in any order; the state must cope."""
    result = AttemptResult(incident_id=incident, status="done", verified=True)
    return st.one_of(
        st.just(Opened(incident_id=incident, agent=AGENT, fingerprint=incident, error=error(incident))),
        st.tuples(st.integers(1, 200), st.sampled_from([None, True])).map(
            lambda c: Counted(
                incident_id=incident,
                lane="normal",
                sequences=[c[0] + number],
                event_ids=[f"e{c[0]}"],
                error_count=c[0],
                repeated=c[1],
            )
        ),
        st.just(
            Decided(
                incident_id=incident,
                attempt=1,
                strategy="fallback",
                decision=DECISION,
                classification=CLASSIFIED,
                command=command(incident),
            )
        ),
        st.sampled_from(["undo", "restore"]).map(
            lambda action: Commanded(incident_id=incident, command=command(incident, action))
        ),
        st.sampled_from(["apply", "undo", "restore"]).map(
            lambda action: Attempted(
                incident_id=incident, command_id=f"{incident}-{action}", result=result, ended_unix_nano=9
            )
        ),
        st.tuples(
            st.sampled_from(["recovered", "escalated", "no_action"]), st.integers(0, 5), st.sampled_from([None, True])
        ).map(lambda o: Concluded(outcome=outcome(incident, *o))),
        st.just(Held(incident_id=incident, until_unix_nano=99)),
        st.just(Released(incident_id=incident)),
        st.integers(0, 50).map(lambda f: Floored(lane="normal", floor=f)),
        st.just(Claimed(owner="me")),
        st.sampled_from(["pause", "resume", "approve"]).map(
            lambda verb: Operated(verb=verb, by="kim", agent=AGENT, incident_id=incident, until_unix_nano=9)
        ),
    )


_ENTRIES = st.lists(st.sampled_from(["A", "B"]).flatmap(lambda i: entries_for(i, ord(i))), max_size=30)


def facts(incident: Incident) -> dict[str, Any]:
    """Everything an incident says, to compare."""
    found = {field.name: getattr(incident, field.name) for field in fields(Incident)}
    # Which record has the last outcome is known when that is on disk.
    return found | {"stored": None if incident.slim else incident.details.model_dump(), "recorded": None}


def seen(state: PartitionState) -> dict[str, Any]:
    """Everything a state knows, to compare."""
    return {
        "incidents": {k: facts(v) for k, v in state.incidents.items()},
        "latest": state.latest,
        "floors": state.floors,
        "sequences": state.sequences,
        "acted": state.acted,
        "open": +state.open,
        "pauses": state.pauses.of,
    }


@given(entries=_ENTRIES, cut=st.integers(0, 30))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
async def test_snapshot_and_journal_give_the_state_that_was(entries: list[Entry], cut: int) -> None:
    """Wherever the snapshot was taken, what is rebuilt equals what the owner knew, and the position is the last."""
    bus = MemoryServer().connect("test")
    await streams.ensure(bus, SUBJECTS, 1 << 30)
    state, position = PartitionState(), Position()
    snapshots = Snapshots(bus, SUBJECTS, 0)
    for number, entry in enumerate(entries, 1):
        head = {
            "id": f"r{number}",
            "time_unix_nano": number,
            "partition": 0,
            "number": number,
            "owner": "me",
            "previous": position.digest,
        }
        body = codec.pack_with_list(head, "entries", [codec.encode(entry)])
        stored = await bus.store(SUBJECTS.journal(0), body)
        position = Position(number, stored.sequence, digest_of(body))
        state.apply(entry, number)
        if number == cut:
            await snapshots.prepare(state)
            await snapshots.write(snapshots.pack(state), position)
    rebuilt, at = await restore(bus, SUBJECTS, 0)
    assert seen(rebuilt) == seen(state)
    assert at == position
    await bus.close()


@given(entries=_ENTRIES, more=_ENTRIES)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_folded_incidents_are_what_they_were(entries: list[Entry], more: list[Entry]) -> None:
    """Whatever happens before and afterwards, an incident whose details were packed in between is the same."""
    never, folded = PartitionState(), PartitionState()
    for at, entry in enumerate(entries, 1):
        never.apply(entry, at)
        folded.apply(entry, at)
    for incident in folded.incidents.values():
        incident.fold()
        assert isinstance(incident.stored, bytes) == (incident.phase != "open" and incident.pending is None)
    assert seen(folded) == seen(never)
    for incident in folded.incidents.values():
        incident.fold()
    for at, entry in enumerate(more, 100):
        never.apply(entry, at)
        folded.apply(entry, at)
    assert seen(folded) == seen(never)


@given(entries=_ENTRIES, more=_ENTRIES)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_incidents_without_details_count_on(entries: list[Entry], more: list[Entry]) -> None:
    """One that has left its details to the journal takes any entry, counts as if it had them, and is restored so."""
    whole, slim = PartitionState(), PartitionState()
    for at, entry in enumerate(entries, 1):
        whole.apply(entry, at)
        slim.apply(entry, at)
    shown = {incident_id: list(incident.details.event_ids) for incident_id, incident in slim.incidents.items()}
    for incident in slim.incidents.values():
        incident.recorded = 1
        if incident.drop():
            slim.closing.discard(incident.id)
        assert incident.slim == incident.done
    counts = [entry for entry in more if isinstance(entry, Counted | Floored)]
    for at, entry in enumerate(counts, 100):
        whole.apply(entry, at)
        slim.apply(entry, at)
    for incident_id, incident in slim.incidents.items():
        rebuilt = restored(codec.unpack(incident.packed()))
        assert facts(rebuilt) == facts(incident)
        known = whole.incidents[incident_id]
        assert (incident.error_count, incident.event_count) == (known.error_count, known.event_count)
        assert (incident.untold, incident.standing, incident.sequence) == (known.untold, known.standing, known.sequence)
        if incident.slim:
            told = known.details.outcome
            assert told is not None
            slim.recall(incident, told.model_copy(update={"error": known.error, "event_ids": shown[incident_id]}))
            assert incident.details.event_ids == known.details.event_ids
    for at, entry in enumerate(more, 200):
        slim.apply(entry, at)


async def test_a_snapshot_of_no_use_is_passed_over() -> None:
    """A damaged snapshot, one of another version, or one without its content costs time and nothing else."""
    bus = MemoryServer().connect("test")
    await streams.ensure(bus, SUBJECTS, 1 << 30)
    for content in (b"junk", codec.pack({"version": 99})):
        await bus.put_object(SUBJECTS.bucket(BUCKET), "journal-0", content)
        state, position = await restore(bus, SUBJECTS, 0)
        assert (state.incidents, position) == ({}, Position())
    stream = f"OBJ_{SUBJECTS.bucket(BUCKET)}"
    await bus.purge(stream, (await bus.usage(stream)).last_sequence)
    state, position = await restore(bus, SUBJECTS, 0)
    assert (state.incidents, position) == ({}, Position())
    await bus.close()


async def test_two_snapshots_at_once_leave_nothing_out() -> None:
    """Who drains takes one while another is being made: the one that is kept has every incident."""
    bus = MemoryServer().connect("test")
    await streams.ensure(bus, SUBJECTS, 1 << 30)
    state = PartitionState()
    for number in range(100):
        name = f"i{number}"
        state.apply(Opened(incident_id=name, agent=AGENT, fingerprint=name, error=error(name)), number)
    journal = Journal(bus, SUBJECTS, 0, "me", Position(), time.time_ns)
    runtime = cast("Any", SimpleNamespace(bus=bus, subjects=SUBJECTS, now=time.time_ns))
    tidying = Tidying(runtime, cast("Any", None), 0, state, journal)
    writing = asyncio.create_task(journal.run())
    await asyncio.gather(tidying.snapshot(), tidying.snapshot())
    writing.cancel()
    with suppress(asyncio.CancelledError):
        await writing
    rebuilt, _ = await restore(bus, SUBJECTS, 0)
    assert rebuilt.incidents.keys() == state.incidents.keys()
    await bus.close()


def test_an_agent_that_left_is_owed_no_restore() -> None:
    """What was to be lifted when the agent said goodbye is released: nothing is pending, and the incident is done."""
    state = PartitionState()
    entries: list[Entry] = [
        Opened(incident_id="A", agent=AGENT, fingerprint="A", error=error("A")),
        Concluded(outcome=outcome("A", "recovered", 0, None)),
        Held(incident_id="A", until_unix_nano=99),
        Concluded(outcome=outcome("A", "recovered", 1, settled=True)),
        Commanded(incident_id="A", command=command("A", "restore")),
    ]
    for at, entry in enumerate(entries, 1):
        state.apply(entry, at)
    incident = state.incidents["A"]
    assert incident.pending is not None
    state.apply(Released(incident_id="A", detail="the agent said goodbye"), 9)
    assert incident.pending is None
    assert incident.done
