"""Which model decides: the policy at first, a model once it has shown lift, the policy again when that is lost."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from tests.support import memory_models
from tests.unit.strategy_selector.learning import SEEN, attempt, concluded, ended

from mendbus import codec, models, streams
from mendbus.bus.memory import MemoryServer
from mendbus.contracts.errors import MendbusError, ModelRefused, StoreRefused
from mendbus.contracts.subjects import Subjects
from mendbus.lift import Trial
from mendbus.modelstore import ModelStore, State
from mendbus_strategy_selector import choice_model, keeping
from mendbus_strategy_selector.choices import Choices, Life
from mendbus_strategy_selector.lessons import Lessons, restored
from mendbus_strategy_selector.offline import commands

PACKAGE = choice_model.load().name


@pytest.fixture
async def store() -> AsyncIterator[ModelStore]:
    """An installation's models of which nobody has decided anything."""
    async with memory_models("strategy-selector") as found:
        yield found


def life_of(store: ModelStore, choices: Choices) -> Life:
    return Life(store, choices, lambda: 1_700_000_000_000_000_000)


async def begun(store: ModelStore) -> tuple[Choices, Life]:
    choices = Choices()
    life = life_of(store, choices)
    await life.look()
    return choices, life


async def active(store: ModelStore) -> str:
    return (await store.state()).active


async def shadow(store: ModelStore) -> str | None:
    return (await store.state()).shadow


async def test_the_model_of_the_package_is_in_trial_at_first_and_nothing_is_written(store: ModelStore) -> None:
    """The policy decides; what the model expects is said, and does not act."""
    choices, _ = await begun(store)
    assert choices.pair == ("policy", PACKAGE)
    learned, rival = choices.expect("i1", 1, SEEN, ("retry", "restart"))
    assert learned is not None
    assert (learned.model, learned.acts, set(learned.helps), rival) == (PACKAGE, False, {"retry", "restart"}, None)
    assert choices.expect("i1", 1, SEEN, ("retry", "restart")) == (learned, None)
    assert (await store.state(), await store.names()) == (State(), [])


async def test_lift_promotes_and_loss_turns_back(store: ModelStore) -> None:
    """The whole life: in trial, in use with the policy in trial beside it, and back to the policy."""
    choices, life = await begun(store)
    choices.lessons.trials["policy", PACKAGE] = Trial(20, 15, 0)
    await life.look()
    assert choices.pair == (PACKAGE, "policy")
    learned, _ = choices.expect("i1", 1, SEEN, ("retry",))
    assert learned is not None
    assert learned.acts
    assert (await active(store), await shadow(store)) == (PACKAGE, "")
    choices.lessons.trials[PACKAGE, "policy"] = Trial(20, 15, 0)
    await life.look()
    assert (await active(store), choices.used) == ("", None)


async def test_what_was_not_better_stays_in_trial_and_is_counted_anew(store: ModelStore) -> None:
    """A model that was never done first has not lost; the policy beside a model in use can always come back."""
    choices, life = await begun(store)
    choices.lessons.trials["policy", PACKAGE] = Trial(20, 0, 15)
    await life.look()
    assert (choices.pair, choices.lessons.trials, await store.state()) == (("policy", PACKAGE), {}, State())
    choices.lessons.trials["policy", PACKAGE] = Trial(20, 15, 0)
    await life.look()
    choices.lessons.trials[PACKAGE, "policy"] = Trial(20, 0, 15)
    await life.look()
    assert (choices.pair, await shadow(store)) == ((PACKAGE, "policy"), "")
    choices.lessons.trials[PACKAGE, "policy"] = Trial(20, 15, 0)
    await life.look()
    assert await active(store) == ""


async def test_after_a_new_start_a_model_can_be_promoted_again() -> None:
    """Deleting a damaged key, as its error advises, leaves the models where they are, and learning goes on."""
    server, key = MemoryServer(), Subjects().key("promotions", "strategy-selector")
    bus = server.connect("operator")
    async with memory_models("strategy-selector", server) as store:
        choices, life = await begun(store)
        choices.lessons.trials["policy", PACKAGE] = Trial(20, 15, 0)
        await life.look()
        _ = await bus.store(key, b"damaged")
        with pytest.raises(MendbusError, match="delete this key to start anew"):
            _ = await store.state()
        # As the usual tools delete a key.
        _ = await bus.store(key, b"", {"KV-Operation": "DEL"})
        await life.look()
        assert choices.pair == ("policy", PACKAGE)
        choices.lessons.trials["policy", PACKAGE] = Trial(20, 15, 0)
        await life.look()
        assert (choices.pair, await store.names()) == ((PACKAGE, "policy"), [PACKAGE])
    await bus.close()


async def test_an_owner_where_the_key_is_lost_comes_to_the_same_verdict(store: ModelStore) -> None:
    """The verdict is kept with what was learned: what was promoted is used, what was turned back is not."""
    choices, life = await begun(store)
    choices.lessons.trials["policy", PACKAGE] = Trial(20, 15, 0)
    await life.look()
    choices.lessons.trials[PACKAGE, "policy"] = Trial(2, 1, 1)

    async def another() -> Choices:
        found = Choices(restored(codec.unpack(codec.pack(choices.lessons.packed()), 1 << 20)))
        async with memory_models("strategy-selector") as empty:
            new = life_of(empty, found)
            for _ in range(3):
                await new.look()
        return found

    second = await another()
    assert (second.pair, second.lessons.trials[PACKAGE, "policy"]) == ((PACKAGE, "policy"), Trial(2, 1, 1))
    choices.lessons.trials[PACKAGE, "policy"] = Trial(20, 15, 0)
    for _ in range(3):
        await life.look()
    assert (choices.pair, (await another()).pair) == (("policy", PACKAGE), ("policy", PACKAGE))


async def test_owners_do_not_turn_each_other_back(store: ModelStore) -> None:
    """The one that looks second keeps to what the first has written, both times; so do those that look at once."""
    both = [Choices(), Choices()]
    lives = [life_of(store, choices) for choices in both]
    for pair in (("policy", PACKAGE), (PACKAGE, "policy")):
        for life in lives:
            await life.look()
        for choices in both:
            assert choices.pair == pair
            choices.lessons.trials[pair] = Trial(20, 15, 0)
        _ = await asyncio.gather(*(life.look() for life in lives))
        for life in lives:
            await life.look()
    assert [choices.pair for choices in both] == [("policy", PACKAGE)] * 2
    assert [change["change"] for change in (await store.state()).changes] == ["promoted", "promoted"]


async def test_a_person_who_rolls_back_overrules_the_verdict(store: ModelStore) -> None:
    """What a model had shown before is not held up to a person who went back to the policy."""
    choices, life = await begun(store)
    choices.lessons.trials["policy", PACKAGE] = Trial(20, 15, 0)
    await life.look()
    _ = await store.rollback("2026-01-01", "test")
    for _ in range(2):
        await life.look()
    assert (choices.pair, choices.lessons.trials) == (("policy", "policy"), {})


async def test_the_policy_comes_back_even_where_nothing_is_in_trial(store: ModelStore) -> None:
    """After a person rolled back to a model, it still has to be at least as good as the policy."""
    choices = Choices()
    life = life_of(store, choices)
    _ = await store.promote(await store.add(choice_model.included(), "t", "test"), "t", "test")
    _ = await store.shadow(None, "t", "test")
    await life.look()
    assert (choices.pair, await shadow(store)) == ((PACKAGE, "policy"), None)
    choices.lessons.trials[PACKAGE, "policy"] = Trial(20, 15, 0)
    await life.look()
    assert choices.pair == ("policy", PACKAGE)


async def test_evidence_stays_until_the_store_has_taken_the_verdict(
    store: ModelStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bucket that is full loses no trial: the verdict is written once there is room."""
    choices, life = await begun(store)
    choices.lessons.trials["policy", PACKAGE] = Trial(20, 15, 0)

    async def full(*_: Any) -> State:
        raise StoreRefused("$KV", 10077, "maximum bytes exceeded")

    with monkeypatch.context() as patched:
        patched.setattr(ModelStore, "promote", full)
        await life.look()
    assert (choices.lessons.trials["policy", PACKAGE], await active(store)) == (Trial(20, 15, 0), "")
    await life.look()
    assert (await active(store), choices.pair) == (PACKAGE, (PACKAGE, "policy"))


async def test_a_verdict_without_evidence_changes_nothing(store: ModelStore) -> None:
    """A few cases are none."""
    choices, life = await begun(store)
    choices.lessons.trials["policy", PACKAGE] = Trial(5, 3, 0)
    await life.look()
    assert (choices.pair, await store.state()) == (("policy", PACKAGE), State())


async def test_what_is_no_model_is_refused_and_the_policy_decides(store: ModelStore) -> None:
    """A damaged model leaves automation as it was."""
    choices = Choices()

    def refused(_: bytes | None) -> choice_model.Model:
        raise ModelRefused("choice-9", ["damaged"])

    await Life(store, choices, lambda: 0, refused).look()
    assert choices.pair == ("policy", "policy")
    card, files = models.read_folder(choice_model.included())
    with pytest.raises(ModelRefused, match=r"cells\.json"):
        _ = choice_model.Model(card, {choice_model.CELLS: b'{"cells": 3}'})
    with pytest.raises(ModelRefused, match="experience version 3"):
        _ = choice_model.Model(card.model_copy(update={"inputs": {"experience": 3}}), files)


async def test_what_was_learned_survives_a_restart() -> None:
    """From the checkpoint, from the journal after it, and from the journal alone where there is no checkpoint."""
    subjects, now = Subjects(), 1_700_000_000_000_000_000
    bus = MemoryServer().connect("test")
    await streams.ensure(bus, subjects, 1 << 30)

    async def write(incident: str) -> None:
        entry = concluded(incident, attempt("retry", verified=False), outcome="escalated", settled=False)
        await bus.store(subjects.journal(3), codec.pack({"time_unix_nano": now, "entries": [entry]}))

    async def again() -> Lessons:
        found = await keeping.restore(bus, subjects)
        found.follow(["choice-9"])
        await keeping.catch_up(bus, subjects, found, lambda: 0)
        return found

    await write("i1")
    lessons = await again()
    assert lessons.experiences["choice-9"].lessons == 1
    await keeping.store(bus, subjects, lessons)
    await write("i2")
    assert (await again()).experiences["choice-9"].lessons == 2
    await bus.put_object(subjects.bucket(keeping.BUCKET), keeping.NAME, b"\xc1")
    assert (await again()).experiences["choice-9"].lessons == 2
    await bus.close()


async def test_a_checkpoint_is_left_when_there_is_anything_new(monkeypatch: pytest.MonkeyPatch) -> None:
    """The owner that keeps what was learned does so again and again, as long as more is learned."""
    monkeypatch.setattr(keeping, "KEEP_SECONDS", 0.001)
    subjects, lessons = Subjects(), Lessons()
    bus = MemoryServer().connect("test")
    await streams.ensure(bus, subjects, 1 << 30)
    keeper = asyncio.create_task(keeping.keep(bus, subjects, lessons))
    for number in (1, 2):
        entry = concluded(f"i{number}", attempt("retry", verified=False), outcome="escalated", settled=False)
        lessons.take(number, [entry])

        async def kept(wanted: int = number) -> bool:
            return (await keeping.restore(bus, subjects)).seen == wanted

        while not await kept():
            await asyncio.sleep(0)
    keeper.cancel()
    with pytest.raises(asyncio.CancelledError):
        await keeper
    await bus.close()


def test_training_learns_from_recorded_outcomes_and_foretells_each_before(tmp_path: Path) -> None:
    """The model can be loaded, knows what happened, and its figures are of attempts that it had not seen."""
    told = [ended(f"i{n}", attempt("retry", verified=False), attempt("restart", verified=True)) for n in range(30)]
    card = commands.train(told, tmp_path / "m", "choice-2")
    assert (card.samples, card.figures["helped"]) == (60, 0.5)
    assert card.figures["log_loss"] < card.figures["log_loss_by_strategy_alone"]
    model = choice_model.load(tmp_path / "m")
    counts = json.loads((tmp_path / "m" / choice_model.CELLS).read_text())["cells"]["error runtime TimeoutError"]
    assert (model.name, counts["restart"][0] >= 15.0) == ("choice-2", True)
    with pytest.raises(MendbusError, match="too little"):
        _ = commands.train(told[:3], tmp_path / "n", "choice-3")
