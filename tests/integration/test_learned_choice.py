"""Learned choice in a running owner: noted while in trial, acted upon once promoted, replayed exactly, kept."""

import asyncio
import time
from pathlib import Path
from typing import Any

import pytest
from tests.integration.operating import order
from tests.integration.test_pipeline import QUICK, Pipeline, pipeline
from tests.support import memory_models, talk_to
from tests.unit.strategy_selector.learning import attempt, concluded

from mendbus import codec, models, streams
from mendbus.bus.memory import MemoryServer
from mendbus.bus.nats import connect
from mendbus.cli import train
from mendbus.contracts.subjects import MAX_SERVICE_BODY, Subjects
from mendbus.server import NatsServer
from mendbus_strategy_selector import choice_model, keeping
from mendbus_strategy_selector.experience import Experience, Lesson, Seen
from mendbus_strategy_selector.lessons import Lessons
from mendbus_strategy_selector.offline import commands

CERTAIN = QUICK + "learned_holdout_share = 0.0\nlearned_explore_share = 0.0\n"
"""Nothing left to chance."""
INCIDENTS = commands.LEAST_ATTEMPTS


async def promoted(folder: Path) -> MemoryServer:
    """Puts a model in use that knows of nothing but that restarts help runtimes, and retries do not."""
    known = Experience()
    for _ in range(60):
        known.learn(Lesson(Seen("runtime", "unknown", "Broken"), "restart", helped=True, seconds=0.1))
        known.learn(Lesson(Seen("runtime", "unknown", "Broken"), "retry", helped=False))
    files = {choice_model.CELLS: choice_model.packed(known)}
    card, _ = models.read_folder(choice_model.included())
    digests = {name: models.digest(content) for name, content in files.items()}
    models.write_folder(folder / "made", card.model_copy(update={"name": "choice-9", "files": digests}), files)
    server = MemoryServer()
    async with memory_models(choice_model.SERVICE, server) as store:
        _ = await store.promote(await store.add(folder / "made", "2026-01-01", "test"), "2026-01-01", "test")
    return server


async def test_in_trial_a_model_is_asked_and_changes_nothing(tmp_path: Path) -> None:
    """The decision record names the model, what it would have done and the numbers; the policy decides."""
    async with pipeline(tmp_path) as run:
        agent = await run.agent()
        await agent.report("Broken")
        told = await run.outcome(lambda o: o.sequence == 0)
        assert told.decision is not None
        assert told.decision.learned is not None
        assert (told.strategy, told.decision.rule, told.decision.learned.acts) == ("retry", "first", False)
        assert told.decision.learned.model == choice_model.load().name
        assert set(told.decision.state["learned"]["helps"]) == {"retry", "restart"}
        standing = (await order(run, "status")).data["choice"]
        assert (standing["decides"], standing["in_trial"]) == ("policy", choice_model.load().name)


async def test_a_promoted_model_decides_and_its_decisions_are_replayed_exactly(tmp_path: Path) -> None:
    """What it chose is chosen again from the record alone; under a policy that is not to learn it is not."""
    async with pipeline(tmp_path, CERTAIN, await promoted(tmp_path)) as run:
        agent = await run.agent()
        await agent.report("Broken")
        told = await run.outcome(lambda o: o.sequence == 0)
        assert told.decision is not None
        assert (told.strategy, told.decision.rule) == ("restart", "learned")
        assert "choice-9" in told.decision.reason
        same = await order(run, "replay", arguments={"policy": CERTAIN})
        assert (same.data["decided"], same.data["different"], same.data["unreadable"]) == (1, 0, 0)
        other = await order(run, "replay", arguments={"policy": "enable_learned_choice = false\n"})
        assert other.data["changes"] == {"restart -> retry": 1}


async def test_a_model_is_trained_on_what_was_recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`mendbus train selector` reads the outcomes of an installation, and learns each attempt once."""
    async with pipeline(tmp_path, QUICK + "retries_per_second = 100\n") as run:
        talk_to(monkeypatch, run.bus, train)
        agent = await run.agent()
        agent.works = False
        for number in range(INCIDENTS):
            await agent.report(f"Broken{number}")
        await run.outcome(lambda o: sum(told.outcome == "escalated" for told in run.outcomes) == INCIDENTS, 10.0)
        recorded = await eventually_all(run)
        card = commands.train(recorded, tmp_path / "made", "choice-2")
        assert card.samples == sum(len(one["attempts"]) for one in recorded)
        assert choice_model.load(tmp_path / "made").prior.lessons > choice_model.load().prior.lessons


async def eventually_all(run: Pipeline) -> list[dict[str, Any]]:
    """The outcomes of all incidents, once they are stored."""
    while True:
        found = [outcome async for outcome in train.recorded(run.settings, 0)]
        if len(found) >= INCIDENTS:
            return found
        await asyncio.sleep(0)


async def test_a_real_server_keeps_what_was_learned(nats_server: NatsServer, root: str) -> None:
    """Checkpoint and journal of a server on disk give back what was taken in, and nothing twice."""
    bus, subjects = await connect(nats_server.url, name="learned"), Subjects(root)
    await streams.ensure(bus, subjects, 1 << 24)
    told = [attempt("retry", verified=False), attempt("restart", verified=True)]

    async def again() -> Lessons:
        found = await keeping.restore(bus, subjects)
        found.follow(["choice-9"])
        await keeping.catch_up(bus, subjects, found, time.time_ns)
        return found

    for number in (1, 2):
        record = {"time_unix_nano": time.time_ns(), "entries": [concluded(f"i{number}", *told)]}
        await bus.store(subjects.journal(number), codec.pack(record))
        lessons = await again()
        assert lessons.experiences["choice-9"].lessons == 2 * number
        assert await keeping.store(bus, subjects, lessons) == lessons.seen
    assert await again() == lessons
    await bus.close()


async def test_the_next_owner_knows_what_the_last_one_learned(tmp_path: Path) -> None:
    """Ends of attempts are counted from the journal by whoever owns the partition then."""
    server = MemoryServer()
    name = choice_model.load().name
    async with pipeline(tmp_path, server=server) as run:
        agent = await run.agent()
        agent.works = False
        await agent.report("Broken")
        await run.outcome(lambda o: o.outcome == "escalated")
    async with pipeline(tmp_path, server=server) as run:
        agent = await run.agent()
        await agent.report("Other")
        told = await run.outcome(lambda o: o.error is not None and o.error.exception.type == "Other")
        assert told.decision is not None
        lessons = await keeping.restore(run.bus, run.subjects)
        lessons.follow([name])
        await keeping.catch_up(run.bus, run.subjects, lessons, time.time_ns)
        assert lessons.experiences[name].lessons >= 2
        before = choice_model.load().prior.cells["all"]["retry"]
        records = [
            codec.unpack(message.body, MAX_SERVICE_BODY)
            async for message in run.bus.read(run.subjects.stream("JOURNAL"), run.subjects.everyone("journal"))
        ]
        decided = [e for record in records for e in record["entries"] if e["type"] == "decided"]
        first, last = (one["decision"]["state"]["learned"]["helps"]["retry"] for one in (decided[0], decided[-1]))
        assert sum(before[:2]) > 0
        assert last < first
