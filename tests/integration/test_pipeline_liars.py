"""Agents that lie, hang, answer twice, answer late or vanish: what comes of them is told, and never as `recovered`."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from tests.harness import ProtocolAgent
from tests.integration.test_pipeline import Pipeline, pipeline

from mendbus import codec
from mendbus.bus import Message, Subscription
from mendbus.contracts.messages import AgentHello, CommandResult, Probe, ProbeResult, RecoveryCommand
from mendbus.contracts.vocabulary import CommandStatus, Strategy

POLICY = "settle_seconds = 0.3\nrecovery_timeout_ms = 600\n"
LATE_SECONDS = 0.4
"""Later than an attempt lasts: a third of 600 ms, and the executor's margin."""


@dataclass
class Liar(ProtocolAgent):
    """An agent that has its own way with commands and probes."""

    way: "Callable[[Liar, Message], Awaitable[None]] | None" = None
    sees: "Callable[[Liar, Message], Awaitable[None]] | None" = None
    listening: list[Subscription] = field(default_factory=list[Subscription])

    async def start(self) -> list[Subscription]:
        """Listens, several messages at a time."""
        bus, subjects = self.bus, self.subjects
        self.listening = [
            await bus.subscribe(subjects.command(self.kind, self.id), self._on_command, concurrency=8),
            await bus.subscribe(subjects.probe(self.kind, self.id), self._on_probe, concurrency=8),
        ]
        return self.listening

    async def _on_command(self, message: Message) -> None:
        command = codec.decode(RecoveryCommand, message.body)
        if command.command_id not in self._results:
            self._results[command.command_id] = CommandResult(command_id=command.command_id, status="done")
            self.effects[command.incident_id, command.attempt, command.action] += 1
        if self.way:
            await self.way(self, message)

    async def _on_probe(self, message: Message) -> None:
        if self.sees:
            await self.sees(self, message)

    async def answer(self, message: Message, status: CommandStatus) -> None:
        """Says of a command what came of it."""
        command = codec.decode(RecoveryCommand, message.body)
        result = CommandResult(command_id=command.command_id, status=status)
        await self.bus.publish(message.reply, codec.encode(result))

    async def see(self, message: Message, healthy: bool) -> None:
        """Answers a probe."""
        at = codec.decode(Probe, message.body).deadline_unix_nano
        await self.bus.publish(message.reply, codec.encode(ProbeResult(healthy=healthy, checked_unix_nano=at)))


async def done(agent: Liar, message: Message) -> None:
    """Says that it did it."""
    await agent.answer(message, "done")


async def accepted(agent: Liar, message: Message) -> None:
    """Says that it is at work, for ever."""
    await agent.answer(message, "accepted")


async def says_only_that_it_undid(agent: Liar, message: Message) -> None:
    """Does it and says nothing of it; says that it took it back."""
    if codec.decode(RecoveryCommand, message.body).action == "undo":
        await agent.answer(message, "done")


async def twice(agent: Liar, message: Message) -> None:
    """Says two things."""
    await agent.answer(message, "failed")
    await agent.answer(message, "done")


async def late(agent: Liar, message: Message) -> None:
    """Says it when nobody waits any more."""
    await asyncio.sleep(LATE_SECONDS)
    await agent.answer(message, "done")


async def vanish(agent: Liar, message: Message) -> None:
    """Says that it did it, and is gone."""
    await agent.answer(message, "done")
    await asyncio.gather(*(subscription.stop() for subscription in agent.listening[1:]))


async def ill(agent: Liar, message: Message) -> None:
    """Finds itself unhealthy."""
    await agent.see(message, healthy=False)


async def well(agent: Liar, message: Message) -> None:
    """Finds itself healthy."""
    await agent.see(message, healthy=True)


async def ill_then_well(agent: Liar, message: Message) -> None:
    """Finds itself both."""
    await agent.see(message, healthy=False)
    await agent.see(message, healthy=True)


async def well_but_late(agent: Liar, message: Message) -> None:
    """Finds itself healthy when nobody waits any more."""
    await asyncio.sleep(LATE_SECONDS)
    await agent.see(message, healthy=True)


@pytest.mark.parametrize(
    ("way", "sees"),
    [
        pytest.param(done, ill, id="lies"),
        pytest.param(accepted, ill, id="works-for-ever"),
        pytest.param(None, None, id="hangs"),
        pytest.param(None, well, id="hangs-in-the-command"),
        pytest.param(done, None, id="hangs-in-the-probe"),
        pytest.param(twice, well, id="answers-twice"),
        pytest.param(done, ill_then_well, id="answers-the-probe-twice"),
        pytest.param(late, well, id="answers-late"),
        pytest.param(done, well_but_late, id="answers-the-probe-late"),
        pytest.param(vanish, well, id="vanishes"),
    ],
)
async def test_it_ends_with_a_person_and_never_as_recovered(
    tmp_path: Path,
    way: Callable[[Liar, Message], Awaitable[None]] | None,
    sees: Callable[[Liar, Message], Awaitable[None]] | None,
) -> None:
    """No attempt is verified, each takes effect once, every one is told as what it was, and a person is called."""
    async with pipeline(tmp_path, POLICY) as run:
        agent = await _introduce(run, Liar(run.bus, run.subjects, "runtime", "a1", way=way, sees=sees))
        await agent.report("Strange")
        told = await run.outcome(lambda o: o.outcome == "escalated", 10.0)
        assert told.attempts
        assert not any(attempt.verified for attempt in told.attempts)
        assert not [o for o in run.outcomes if o.outcome == "recovered"]
        assert set(agent.effects.values()) == {1}
        # What comes after the end changes nothing, either.
        await asyncio.sleep(2 * LATE_SECONDS)
        assert run.outcomes[-1].outcome == "escalated"


@pytest.mark.parametrize("strategy", ["isolate", "fallback"])
async def test_what_may_have_been_done_is_undone_before_the_next_rung(tmp_path: Path, strategy: Strategy) -> None:
    """No answer is no proof that nothing happened: an agent is not left cut off by a command whose answer was lost."""
    async with pipeline(tmp_path, POLICY + f'first = "{strategy}"\n') as run:
        liar = Liar(run.bus, run.subjects, "runtime", "a1", way=says_only_that_it_undid, sees=ill)
        agent = await _introduce(run, liar, strategy, "restart")
        await agent.report("Strange")
        told = await run.outcome(lambda o: o.outcome == "escalated", 10.0)
        did = [(attempt, action) for _, attempt, action in agent.effects]
        assert did == [(1, "apply"), (1, "undo"), (2, "apply")]
        assert [(a.strategy, a.undone) for a in told.attempts] == [(strategy, True), ("restart", False)]


async def test_an_agent_that_vanishes_while_it_settles_has_not_recovered(tmp_path: Path) -> None:
    """Healthy once and gone without a goodbye: the settle window's probe finds nobody, and that is told."""
    async with pipeline(tmp_path, POLICY) as run:
        agent = await _introduce(run, Liar(run.bus, run.subjects, "runtime", "a1", way=done, sees=well))
        await agent.report("Strange")
        await run.outcome(lambda o: o.outcome == "recovered")
        await asyncio.gather(*(subscription.stop() for subscription in agent.listening))
        told = await run.outcome(lambda o: o.outcome == "escalated", 10.0)
        assert told.settled is None
        assert not any(o.settled for o in run.outcomes)


async def _introduce(run: Pipeline, agent: Liar, *strategies: Strategy) -> Liar:
    await agent.start()
    hello = AgentHello(agent=agent.ref, strategies=list(strategies) or ["retry", "restart"], interval_ms=500)
    await run.bus.store(run.subjects.key("agents", agent.kind, agent.id), codec.encode(hello))
    await run.bus.barrier()
    return agent
