"""Which model decides: the policy at first, a model once it has shown lift, the policy again when that is lost."""

import asyncio
import json
from pathlib import Path

import pytest
from tests.unit.strategy_selector.learning import SEEN, attempt, concluded, ended

from mendbus import codec, models, streams
from mendbus.bus.memory import MemoryServer
from mendbus.contracts.errors import MendbusError, ModelRefused
from mendbus.contracts.subjects import Subjects
from mendbus.lift import Trial
from mendbus.modelstore import ModelStore
from mendbus_strategy_selector import choice_model, keeping
from mendbus_strategy_selector.choices import Choices, Life
from mendbus_strategy_selector.lessons import Lessons, restored
from mendbus_strategy_selector.offline import commands

PACKAGE = choice_model.load().name


def life_of(folder: Path, choices: Choices) -> tuple[Life, ModelStore]:
    store = ModelStore(folder, "strategy-selector")
    return Life(store, choices, lambda: 1_700_000_000_000_000_000), store


def begun(folder: Path) -> tuple[Choices, Life, ModelStore]:
    choices = Choices()
    life, store = life_of(folder, choices)
    life.begin()
    return choices, life, store


def test_the_model_of_the_package_is_in_trial_at_first_and_nothing_is_written(tmp_path: Path) -> None:
    """The policy decides; what the model expects is said, and does not act."""
    choices, _, store = begun(tmp_path)
    assert choices.pair == ("policy", PACKAGE)
    learned, rival = choices.expect("i1", 1, SEEN, ("retry", "restart"))
    assert learned is not None
    assert (learned.model, learned.acts, set(learned.helps), rival) == (PACKAGE, False, {"retry", "restart"}, None)
    assert choices.expect("i1", 1, SEEN, ("retry", "restart")) == (learned, None)
    assert not store.stamp()


def test_lift_promotes_and_loss_turns_back(tmp_path: Path) -> None:
    """The whole life: in trial, in use with the policy in trial beside it, and back to the policy."""
    choices, life, store = begun(tmp_path)
    choices.lessons.trials["policy", PACKAGE] = Trial(20, 15, 0)
    life.look()
    assert choices.pair == (PACKAGE, "policy")
    learned, _ = choices.expect("i1", 1, SEEN, ("retry",))
    assert learned is not None
    assert learned.acts
    assert (store.state().active, store.state().shadow) == (PACKAGE, "")
    choices.lessons.trials[PACKAGE, "policy"] = Trial(20, 15, 0)
    life.look()
    assert (store.state().active, choices.used) == ("", None)


def test_what_was_not_better_stays_in_trial_and_is_counted_anew(tmp_path: Path) -> None:
    """A model that was never done first has not lost; the policy beside a model in use can always come back."""
    choices, life, store = begun(tmp_path)
    choices.lessons.trials["policy", PACKAGE] = Trial(20, 0, 15)
    life.look()
    assert (choices.pair, choices.lessons.trials, store.stamp()) == (("policy", PACKAGE), {}, 0)
    choices.lessons.trials["policy", PACKAGE] = Trial(20, 15, 0)
    life.look()
    choices.lessons.trials[PACKAGE, "policy"] = Trial(20, 0, 15)
    life.look()
    assert (choices.pair, store.state().shadow) == ((PACKAGE, "policy"), "")
    choices.lessons.trials[PACKAGE, "policy"] = Trial(20, 15, 0)
    life.look()
    assert store.state().active == ""


def test_after_a_new_start_a_model_can_be_promoted_again(tmp_path: Path) -> None:
    """Removing a damaged state.json, as its error advises, leaves the models where they are, and learning goes on."""
    choices, life, store = begun(tmp_path)
    choices.lessons.trials["policy", PACKAGE] = Trial(20, 15, 0)
    life.look()
    state = tmp_path / "strategy-selector" / "state.json"
    state.write_text("damaged")
    with pytest.raises(MendbusError, match="remove it to start anew"):
        _ = store.state()
    state.unlink()
    life.look()
    assert choices.pair == ("policy", PACKAGE)
    choices.lessons.trials["policy", PACKAGE] = Trial(20, 15, 0)
    life.look()
    assert (choices.pair, store.names()) == ((PACKAGE, "policy"), [PACKAGE])


def test_an_owner_without_a_store_of_its_own_comes_to_the_same_verdict(tmp_path: Path) -> None:
    """The verdict is kept with what was learned: what was promoted is used, what was turned back is not."""
    choices, life, _ = begun(tmp_path / "first")
    choices.lessons.trials["policy", PACKAGE] = Trial(20, 15, 0)
    life.look()
    choices.lessons.trials[PACKAGE, "policy"] = Trial(2, 1, 1)

    def another(folder: str) -> Choices:
        found = Choices(restored(codec.unpack(codec.pack(choices.lessons.packed()), 1 << 20)))
        new, _ = life_of(tmp_path / folder, found)
        new.begin()
        for _ in range(2):
            new.look()
        return found

    second = another("second")
    assert (second.pair, second.lessons.trials[PACKAGE, "policy"]) == ((PACKAGE, "policy"), Trial(2, 1, 1))
    choices.lessons.trials[PACKAGE, "policy"] = Trial(20, 15, 0)
    for _ in range(3):
        life.look()
    assert (choices.pair, another("third").pair) == (("policy", PACKAGE), ("policy", PACKAGE))


def test_owners_that_share_a_store_do_not_turn_each_other_back(tmp_path: Path) -> None:
    """The one that looks second keeps to what the first has written, both times."""
    both = [Choices(), Choices()]
    lives = [life_of(tmp_path, choices)[0] for choices in both]
    for pair in (("policy", PACKAGE), (PACKAGE, "policy")):
        for life in lives:
            life.look()
        for choices in both:
            assert choices.pair == pair
            choices.lessons.trials[pair] = Trial(20, 15, 0)
        for life in (*lives, *lives):
            life.look()
    assert [choices.pair for choices in both] == [("policy", PACKAGE)] * 2


def test_a_person_who_rolls_back_overrules_the_verdict(tmp_path: Path) -> None:
    """What a model had shown before is not held up to a person who went back to the policy."""
    choices, life, store = begun(tmp_path)
    choices.lessons.trials["policy", PACKAGE] = Trial(20, 15, 0)
    life.look()
    _ = store.rollback("2026-01-01", "test")
    for _ in range(2):
        life.look()
    assert (choices.pair, choices.lessons.trials) == (("policy", "policy"), {})


def test_the_policy_comes_back_even_where_nothing_is_in_trial(tmp_path: Path) -> None:
    """After a person rolled back to a model, it still has to be at least as good as the policy."""
    choices = Choices()
    life, store = life_of(tmp_path, choices)
    store.promote(store.add(choice_model.included(), "2026-01-01", "test"), "2026-01-01", "test")
    store.shadow(None, "2026-01-01", "test")
    life.begin()
    assert (choices.pair, store.state().shadow) == ((PACKAGE, "policy"), None)
    choices.lessons.trials[PACKAGE, "policy"] = Trial(20, 15, 0)
    life.look()
    assert choices.pair == ("policy", PACKAGE)


def test_evidence_stays_until_the_store_has_taken_the_verdict(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that is full loses no trial: the verdict is written once there is room."""
    choices, life, store = begun(tmp_path)
    choices.lessons.trials["policy", PACKAGE] = Trial(20, 15, 0)

    def full(_self: ModelStore, _name: str, _now: str, _by: str) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(ModelStore, "promote", full)
        life.look()
    assert (choices.lessons.trials["policy", PACKAGE], store.state().active) == (Trial(20, 15, 0), "")
    life.look()
    assert (store.state().active, choices.pair) == (PACKAGE, (PACKAGE, "policy"))


def test_a_verdict_without_evidence_changes_nothing(tmp_path: Path) -> None:
    """A few cases are none."""
    choices, life, store = begun(tmp_path)
    choices.lessons.trials["policy", PACKAGE] = Trial(5, 3, 0)
    life.look()
    assert (choices.pair, store.stamp()) == (("policy", PACKAGE), 0)


def test_what_is_no_model_is_refused_and_the_policy_decides(tmp_path: Path) -> None:
    """A damaged store or model leaves automation as it was."""
    choices = Choices()
    store = ModelStore(tmp_path, "strategy-selector")

    def refused(folder: Path | None) -> choice_model.Model:
        raise ModelRefused("choice-9", ["damaged"])

    Life(store, choices, lambda: 0, refused).begin()
    assert choices.pair == ("policy", "policy")
    card, files = models.read_folder(choice_model.included())
    with pytest.raises(ModelRefused, match=r"cells\.json"):
        _ = choice_model.Model(card, {choice_model.CELLS: b'{"cells": 3}'})
    with pytest.raises(ModelRefused, match="experience version 2"):
        _ = choice_model.Model(card.model_copy(update={"inputs": {"experience": 2}}), files)


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
