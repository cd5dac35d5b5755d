"""Owner and executor together on the in-memory bus: the way of an incident, and what is left of it on disk."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.harness import ProtocolAgent, read_ledger
from tests.support import ask, memory_runtime, tell

import mendbus_executor
import mendbus_strategy_selector
from mendbus import codec
from mendbus.bus import Bus, Message
from mendbus.bus.memory import MemoryServer
from mendbus.contracts.errors import BusError
from mendbus.contracts.journal import Counted
from mendbus.contracts.messages import (
    AgentGoodbye,
    AgentHello,
    RecoveryOutcome,
    SettledQuery,
    SettledReply,
)
from mendbus.contracts.subjects import HEADER_CODE, HEADER_SUBJECT, MAX_SERVICE_BODY, Subjects
from mendbus.contracts.vocabulary import Strategy
from mendbus.settings import Settings
from mendbus.testing import eventually
from mendbus_strategy_selector.journal import read_record

QUICK = "settle_seconds = 0.2\nhold_seconds = 0.2\n"


@dataclass
class SlowAgent(ProtocolAgent):
    """One that carries commands out when it may."""

    commanded: asyncio.Event = field(default_factory=asyncio.Event)
    held: asyncio.Event = field(default_factory=asyncio.Event)

    async def _command(self, message: Message) -> None:
        self.commanded.set()
        await self.held.wait()
        await super()._command(message)


@dataclass
class Pipeline:
    """Selector and executor in one process, with an agent and the outcomes they tell."""

    server: MemoryServer
    bus: Bus
    settings: Settings
    stack: AsyncExitStack
    outcomes: list[RecoveryOutcome] = field(default_factory=list[RecoveryOutcome])
    subjects: Subjects = field(default_factory=Subjects)

    async def listen(self) -> None:
        async def hear(message: Message) -> None:
            self.outcomes.append(codec.decode(RecoveryOutcome, message.body, MAX_SERVICE_BODY))

        await self.bus.subscribe(self.subjects.everyone("outcome"), hear)

    async def agent(
        self,
        name: str = "a1",
        strategies: tuple[Strategy, ...] = ("retry", "restart"),
        as_: type[ProtocolAgent] = ProtocolAgent,
    ) -> ProtocolAgent:
        """An agent whose hello is stored, as the health-monitor would."""
        agent = as_(self.bus, self.subjects, "runtime", name)
        await agent.start()
        hello = AgentHello(id="hello", time_unix_nano=1, agent=agent.ref, strategies=list(strategies), interval_ms=500)
        await self.bus.store(self.subjects.key("agents", "runtime", name), codec.encode(hello))
        return agent

    async def outcome(self, wanted: Callable[[RecoveryOutcome], bool], timeout: float = 5.0) -> RecoveryOutcome:
        """The first outcome told that is as wanted."""
        return await eventually(lambda: next((o for o in self.outcomes if wanted(o)), None), timeout)


@asynccontextmanager
async def pipeline(folder: Path, policy: str = QUICK, server: MemoryServer | None = None) -> AsyncIterator[Pipeline]:
    file = folder / "policy.toml"
    file.write_text(policy)
    server = server or MemoryServer()
    conditions = Settings(trace=False, policy_file=file, data_dir=file.parent)
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(memory_runtime(mendbus_executor.build(), server, settings=conditions))
        await stack.enter_async_context(memory_runtime(mendbus_strategy_selector.build(), server, settings=conditions))
        bus = server.connect("test")
        stack.push_async_callback(bus.close)
        found = Pipeline(server, bus, conditions, stack)
        await found.listen()
        yield found


async def test_an_error_is_retried_verified_told_settled(tmp_path: Path) -> None:
    """The first outcome comes when the probe is healthy, the second when the settle window ended."""
    async with pipeline(tmp_path) as run:
        agent = await run.agent()
        event_id = await agent.report("Flaky")
        first = await run.outcome(lambda o: o.sequence == 0)
        assert (first.outcome, first.strategy, first.settled) == ("recovered", "retry", None)
        assert first.decision is not None
        assert first.decision.rule == "first"
        assert first.event_ids == [event_id]
        assert [a.verified for a in first.attempts] == [True]
        times = first.times
        order = [times.reported, times.selected, times.commanded, times.acted, times.verified]
        assert order == sorted(t or 0 for t in order)
        await eventually(lambda: agent.settled[event_id] == 1)
        second = await run.outcome(lambda o: o.settled is True)
        assert (second.sequence, second.incident_id, second.undone) == (1, first.incident_id, False)


async def test_a_warning_whose_agent_is_healthy_needs_no_action(tmp_path: Path) -> None:
    """Nothing is commanded for a warning when the probe is healthy."""
    async with pipeline(tmp_path) as run:
        agent = await run.agent()
        await agent.report("Slow", severity="warning")
        told = await run.outcome(lambda o: o.sequence == 0)
        assert (told.outcome, told.attempts) == ("no_action", [])
        assert not agent.effects


async def test_what_a_recovery_has_healed_as_well_is_probed_and_not_acted_upon(tmp_path: Path) -> None:
    """Two failures of one outage: the one that waited for its turn finds its agent healthy."""
    async with pipeline(tmp_path) as run:
        agent = await run.agent(as_=SlowAgent)
        assert isinstance(agent, SlowAgent)
        await agent.report("Down")
        await asyncio.wait_for(agent.commanded.wait(), 5.0)
        await agent.report("AlsoDown")

        async def opened() -> int:
            return len((await read_ledger(run.bus, run.subjects)).opened)

        while await opened() < 2:
            await asyncio.sleep(0)
        agent.held.set()
        down = await run.outcome(lambda o: o.error is not None and o.error.exception.type == "Down")
        also = await run.outcome(lambda o: o.error is not None and o.error.exception.type == "AlsoDown")
        assert (down.outcome, len(down.attempts)) == ("recovered", 1)
        assert (also.outcome, also.attempts) == ("no_action", [])
        assert also.reason == "the error is older than the last action, and the agent's probe is healthy"


async def test_what_does_not_help_is_undone_and_the_next_rung_tried(tmp_path: Path) -> None:
    """An unhealthy agent gets rung after rung; what can be undone is undone; then a person is called."""
    async with pipeline(tmp_path) as run:
        agent = await run.agent(strategies=("retry", "restart", "rollback"))
        agent.works = False
        await agent.report("Broken")
        told = await run.outcome(lambda o: o.outcome == "escalated")
        assert [(a.strategy, a.verified, a.undone) for a in told.attempts] == [
            ("retry", False, False),
            ("restart", False, False),
            ("rollback", False, True),
        ]
        assert "3 of 3 attempts" in (told.reason or "")
        assert [action for _, _, action in agent.effects].count("undo") == 1


async def test_a_repeat_in_the_settle_window_takes_the_next_rung_in_the_same_incident(tmp_path: Path) -> None:
    """An error that comes back while its recovery settles is not recovered: the ladder goes on."""
    async with pipeline(tmp_path, "settle_seconds = 30.0\n") as run:
        agent = await run.agent()
        await agent.report("Again")
        first = await run.outcome(lambda o: o.outcome == "recovered")
        await agent.report("Again")
        second = await run.outcome(lambda o: o.outcome == "recovered" and len(o.attempts) == 2)
        assert second.incident_id == first.incident_id
        assert [a.strategy for a in second.attempts] == ["retry", "restart"]
        assert second.error_count == 2


async def test_what_the_agent_says_is_overtaken_is_no_relapse(tmp_path: Path) -> None:
    """A call that was under way while the agent was acted upon, and failed afterwards, is counted and not acted on."""
    async with pipeline(tmp_path, "settle_seconds = 0.5\n") as run:
        agent = await run.agent()
        await agent.report("Again")
        first = await run.outcome(lambda o: o.outcome == "recovered")
        await agent.report("Again", overtaken=True)
        settled = await run.outcome(lambda o: o.settled is True and o.error_count == 2)
        assert settled.incident_id == first.incident_id
        assert [a.strategy for a in settled.attempts] == ["retry"]


async def test_a_repeat_in_the_settle_window_is_on_disk_as_one(tmp_path: Path) -> None:
    """Whoever reads the journal knows from the count itself that the recovery did not hold."""
    async with pipeline(tmp_path, "settle_seconds = 30.0\n") as run:
        agent = await run.agent()
        await agent.report("Again")
        await run.outcome(lambda o: o.outcome == "recovered")
        again = await agent.report("Again")
        await run.outcome(lambda o: o.outcome == "recovered" and len(o.attempts) == 2)
        journal = run.bus.read(run.subjects.stream("JOURNAL"), run.subjects.everyone("journal"))
        records = [read_record(message) async for message in journal]
        counts = [entry for record in records for entry in record.entries if isinstance(entry, Counted)]
        assert [(again in entry.event_ids, entry.repeated) for entry in counts] == [(False, None), (True, True)]


async def test_a_recurrence_starts_at_the_next_rung(tmp_path: Path) -> None:
    """An error that comes back after its incident closed opens a new one that skips what was tried."""
    async with pipeline(tmp_path) as run:
        agent = await run.agent()
        await agent.report("Back")
        first = await run.outcome(lambda o: o.settled is True)
        await agent.report("Back")
        second = await run.outcome(lambda o: o.incident_id != first.incident_id)
        assert (first.strategy, second.strategy) == ("retry", "restart")


async def test_a_limiting_strategy_is_lifted_after_good_health(tmp_path: Path) -> None:
    """A fallback that held is restored after the hold time."""
    async with pipeline(tmp_path, QUICK + 'first = "fallback"\n') as run:
        agent = await run.agent(strategies=("fallback",))
        await agent.report("Remote")
        told = await run.outcome(lambda o: o.settled is True)
        assert told.strategy == "fallback"
        await eventually(lambda: (told.incident_id, 1, "restore") in agent.effects)


async def test_a_limiting_strategy_is_held_while_the_agent_is_ill(tmp_path: Path) -> None:
    """An unhealthy agent keeps its fallback until it is well."""
    async with pipeline(tmp_path, "settle_seconds = 0.2\nhold_seconds = 0.3\nfirst = 'fallback'\n") as run:
        agent = await run.agent(strategies=("fallback",))
        await agent.report("Remote")
        told = await run.outcome(lambda o: o.settled is True)
        agent.works = False
        ledger = run.subjects.everyone("journal")

        async def held_twice() -> bool:
            stored = [m async for m in run.bus.read(run.subjects.stream("JOURNAL"), ledger)]
            return sum(b"held" in m.body for m in stored) >= 2

        await eventually(held_twice)
        assert (told.incident_id, 1, "restore") not in agent.effects
        agent.works = True
        await eventually(lambda: (told.incident_id, 1, "restore") in agent.effects)


async def test_an_agent_that_said_goodbye_is_not_chased(tmp_path: Path) -> None:
    """A recovery whose agent leaves settles; its silence is no relapse."""
    async with pipeline(tmp_path) as run:
        agent = await run.agent()
        await agent.report("Parting")
        await run.outcome(lambda o: o.outcome == "recovered")
        agent.answers = False
        bye = AgentGoodbye(id="bye", time_unix_nano=1, agent=agent.ref)
        await tell(run.bus, run.subjects.goodbye(agent.kind, agent.id), bye)
        told = await run.outcome(lambda o: o.settled is True)
        assert told.reason == "the agent said goodbye"


async def test_a_dry_run_decides_and_parks_and_goes_on_counting(tmp_path: Path) -> None:
    """Suppressed incidents command nothing; later errors are counted, told within a second, and settled."""
    async with pipeline(tmp_path, "dry_run = true\n") as run:
        agent = await run.agent()
        await agent.report("Watched")
        told = await run.outcome(lambda o: o.outcome == "suppressed")
        assert told.strategy == "retry"
        late = await agent.report("Watched", count=5)
        more = await run.outcome(lambda o: o.error_count == 6)
        assert (more.incident_id, more.sequence) == (told.incident_id, 1)
        await eventually(lambda: agent.settled[late] == 1)
        assert not agent.effects


async def test_an_agent_that_comes_back_in_time_is_recovered_under_the_same_command(tmp_path: Path) -> None:
    """Nobody listening is waited out for the attempt's time; the command keeps its id."""
    async with pipeline(tmp_path) as run:
        agent = ProtocolAgent(run.bus, run.subjects, "runtime", "late")
        await agent.report("Away")

        async def commanded() -> bool:
            return (await read_ledger(run.bus, run.subjects)).decided == 1

        await eventually(commanded)
        await agent.start()
        told = await run.outcome(lambda o: o.outcome == "recovered")
        assert len(told.attempts) == 1


async def test_an_absent_agent_ends_with_a_person(tmp_path: Path) -> None:
    """An agent that never comes uses up its budget and is escalated."""
    async with pipeline(tmp_path, "recovery_timeout_ms = 300\n") as run:
        agent = ProtocolAgent(run.bus, run.subjects, "runtime", "gone")
        await agent.report("Away")
        told = await run.outcome(lambda o: o.outcome == "escalated")
        assert all(a.status == "failed" for a in told.attempts)


async def test_a_new_owner_finishes_what_the_old_one_began(tmp_path: Path) -> None:
    """State is rebuilt from journal and snapshot: the open incident ends under its first command id."""
    server = MemoryServer()
    file = tmp_path / "policy.toml"
    file.write_text(QUICK)
    conditions = Settings(trace=False, policy_file=file, data_dir=file.parent)
    bus = server.connect("test")
    agent = ProtocolAgent(bus, Subjects(), "runtime", "a1")
    async with memory_runtime(mendbus_strategy_selector.build(), server, settings=conditions):
        await agent.report("Waiting")

        async def decided() -> bool:
            return (await read_ledger(bus, agent.subjects)).decided == 1

        await eventually(decided)
        # Without an executor the recovery waits; the block ends as a killed process would: nothing is finished.
        for task in asyncio.all_tasks():
            if task.get_name().startswith("strategy-selector: partition"):
                task.cancel()
    await agent.start()
    async with pipeline(tmp_path, server=server) as run:
        told = await run.outcome(lambda o: o.outcome == "recovered")
        assert len(told.attempts) == 1
        assert set(agent.effects.values()) == {1}
    await bus.close()


async def test_settled_queries_are_answered_exactly(tmp_path: Path) -> None:
    """Done with is settled, counted but undecided is open, never stored is unknown; with sequences and without."""
    async with pipeline(tmp_path, QUICK + "recovery_timeout_ms = 1500\n") as run:
        agent = await run.agent()
        done = await agent.report("Done")
        await run.outcome(lambda o: o.sequence == 0)
        agent.answers = False
        waiting = await agent.report("Waiting")
        subject = run.subjects.settled(agent.kind, agent.id)
        for sequences in ({}, {done: 1, waiting: 2, "never": 9}):
            query = SettledQuery(event_ids=[done, waiting, "never"], sequences=sequences)
            reply = await ask(run.bus, subject, query, SettledReply)
            assert (reply.settled, reply.open, reply.unknown) == ([done], [waiting], ["never"])
        agent.answers = True


@given(body=st.binary(max_size=200), severity=st.sampled_from(["unknown", "error", "fatal"]))
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_what_is_no_error_becomes_a_dead_letter_and_the_next_is_processed(
    tmp_path: Path, body: bytes, severity: str
) -> None:
    """Any bytes on an error subject are kept with a reason, and the valid error after them is recovered."""
    async with pipeline(tmp_path) as run:
        agent = await run.agent()
        subject = run.subjects.error(severity, agent.kind, agent.id)
        await run.bus.store(subject, body, id="junk")
        await agent.report("Valid")
        told = await run.outcome(lambda o: o.outcome == "recovered")
        assert told.error_count == 1
        dead = await run.bus.last(run.subjects.stream("DEAD"), run.subjects.dead("strategy-selector"))
        assert dead is not None
        assert dead.body == body
        assert dead.headers[HEADER_CODE]
        assert dead.headers[HEADER_SUBJECT] == subject


async def test_a_refused_error_with_a_readable_id_is_rejected_to_its_sender(tmp_path: Path) -> None:
    """The sender of an error that does not fit hears `rejected` under the event's id."""
    async with pipeline(tmp_path) as run:
        await run.bus.store(run.subjects.error("error", "runtime", "a1"), codec.pack({"id": "e1"}), id="e1")
        told = await run.outcome(lambda o: o.outcome == "rejected")
        assert (told.incident_id, told.error_count, told.trace_id) == ("e1", 0, "")


async def test_an_error_under_an_unknown_severity_is_stored_by_nobody(tmp_path: Path) -> None:
    """A misspelt severity in the subject is refused to its sender at once."""
    async with pipeline(tmp_path) as run:
        try:
            await run.bus.store(f"{run.subjects.root}.error.terrible.runtime.a1", b"x", timeout=1.0)
        except BusError:
            return
        raise AssertionError("it was stored")
