"""The life of a model: tried beside the one in use, promoted when it is better, turned back when it is worse."""

import logging
from collections.abc import AsyncIterator
from pathlib import Path
from typing import cast

import pytest
from tests.support import memory_models
from tests.unit.shared.test_modelstore import made

from mendbus import models
from mendbus.bus.memory import MemoryServer
from mendbus.contracts.errors import BusTimeout, ModelRefused
from mendbus.contracts.subjects import Subjects
from mendbus.modellife import Life
from mendbus.modelstore import PACKAGED, ModelStore, State
from mendbus_classifier.features import Text
from mendbus_classifier.life import Pair
from mendbus_classifier.model import Guess, Model

NOW = 1_700_000_000_000_000_000


class Saying:
    """A model that always says the same."""

    def __init__(self, name: str, says: str) -> None:
        self.name = name
        self.says = says
        self.closed = False

    def classify(self, _: Text) -> Guess:
        assert not self.closed
        return Guess(self.says, "error", 1.0, None)

    def close(self) -> None:
        self.closed = True


class Shelf:
    """Opens models by the name of their card; `network` is what the packaged one always says."""

    def __init__(self, **says: str) -> None:
        self.says = says
        self.opened: list[Saying] = []

    def __call__(self, content: bytes | None) -> Model:
        name = models.read(content)[0].name if content else "errors-1"
        if name == "refused-1":
            raise ModelRefused(name, ["made for other features"])
        self.opened.append(Saying(name, self.says.get(name.replace("-", "_"), "network")))
        return cast("Model", self.opened[-1])


@pytest.fixture
async def store() -> AsyncIterator[ModelStore]:
    """The classifier's models."""
    async with memory_models("classifier") as found:
        yield found


def begin(store: ModelStore, **says: str) -> tuple[Pair, Life[Model], Shelf]:
    shelf = Shelf(**says)
    pair = Pair(used=shelf(None), used_name=PACKAGED)
    return pair, Life(store, pair, shelf, lambda: NOW), shelf


def meet(pair: Pair, truth: str, times: int) -> None:
    for _ in range(times):
        assert pair.used is not None
        text = Text("", "m")
        pair.watch(text, truth, pair.used.classify(text))


async def test_a_better_model_is_promoted_and_the_other_one_goes_on_in_trial(store: ModelStore, tmp_path: Path) -> None:
    """What agents name decides; the next request is answered by the new model, and the change is recorded."""
    pair, life, _ = begin(store, errors_2="memory")
    _ = await store.add(made(tmp_path, "errors-2"), "t", "me")
    await life.look()
    assert pair.tried is not None
    assert pair.used is not None
    meet(pair, "memory", 20)
    await life.look()
    assert (pair.used.name, pair.used_name, pair.tried_name) == ("errors-2", "errors-2", PACKAGED)
    assert (await store.state()).changes[-1]["by"] == "trial: 20 to 0 of 20"


async def test_a_promoted_model_that_loses_its_lift_is_turned_back(store: ModelStore, tmp_path: Path) -> None:
    """The model that was replaced wins the trial it goes on in, and is used again."""
    pair, life, _ = begin(store, errors_2="memory")
    _ = await store.add(made(tmp_path, "errors-2"), "t", "me")
    await life.look()
    _ = await store.promote("errors-2", "t", "me")
    await life.look()
    meet(pair, "network", 20)
    await life.look()
    assert (pair.used_name, pair.tried_name) == (PACKAGED, "errors-2")


async def test_a_worse_model_ends_its_trial(store: ModelStore, tmp_path: Path) -> None:
    """It is closed, and the one in use stays."""
    pair, life, shelf = begin(store, errors_2="memory")
    _ = await store.add(made(tmp_path, "errors-2"), "t", "me")
    await life.look()
    meet(pair, "network", 20)
    await life.look()
    assert (pair.used_name, pair.tried, (await store.state()).shadow) == (PACKAGED, None, None)
    assert [model.closed for model in shelf.opened] == [False, True]


async def test_errors_whose_agents_name_nothing_tell_nothing(store: ModelStore, tmp_path: Path) -> None:
    """Without a truth there is no evidence, however often the two differ."""
    pair, life, _ = begin(store, errors_2="memory")
    _ = await store.add(made(tmp_path, "errors-2"), "t", "me")
    await life.look()
    assert pair.used is not None
    for _ in range(50):
        pair.watch(Text("", "m"), None, pair.used.classify(Text("", "m")))
    assert pair.trial is not None
    assert pair.trial.asked == 0


async def test_of_several_replicas_one_verdict_counts(tmp_path: Path) -> None:
    """Each has counted its own trial; the first to look promotes, the others follow, and nobody turns it back."""
    server = MemoryServer()
    async with memory_models("classifier", server) as store, memory_models("classifier", server) as second:
        replicas = [begin(store, errors_2="memory"), begin(second, errors_2="memory")]
        _ = await store.add(made(tmp_path, "errors-2"), "t", "me")
        for _, life, _ in replicas:
            await life.look()
        for truth, (pair, _, _) in zip(("memory", "network"), replicas, strict=True):
            meet(pair, truth, 20)
        for _ in range(2):
            for _, life, _ in replicas:
                await life.look()
        assert [pair.used_name for pair, _, _ in replicas] == ["errors-2", "errors-2"]
        assert [change["change"] for change in (await store.state()).changes] == ["trial", "promoted"]


async def test_a_verdict_on_what_is_in_use_no_more_is_not_written(
    store: ModelStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A person who decides between look and verdict is not overruled: the key is written over what was read only."""
    pair, life, _ = begin(store, errors_2="memory")
    _ = await store.add(made(tmp_path, "errors-2"), "t", "me")
    await life.look()
    meet(pair, "memory", 20)
    before = await store.state()
    decided = await store.shadow(None, "t", "kim")

    async def stale(_: ModelStore) -> State:
        return before

    with monkeypatch.context() as patched, caplog.at_level(logging.INFO):
        patched.setattr(ModelStore, "state", stale)
        await life.look()
    assert "somebody else changed the models" in caplog.text
    await life.look()
    assert (await store.state(), pair.used_name, pair.tried) == (decided, PACKAGED, None)


async def test_a_promoted_model_is_found_again_after_a_restart(store: ModelStore, tmp_path: Path) -> None:
    """What a replica that starts anew takes from its package is replaced at the first look."""
    _ = await store.promote(await store.add(made(tmp_path, "errors-2"), "t", "me"), "t", "me")
    pair, life, _ = begin(store)
    await life.look()
    assert (pair.used_name, pair.tried_name) == ("errors-2", PACKAGED)


async def test_a_store_out_of_reach_changes_nothing_and_is_told_of_once(
    store: ModelStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The packaged model answers until the store does, without opening anything twice."""
    pair, life, shelf = begin(store)
    _ = await store.promote(await store.add(made(tmp_path, "errors-2"), "t", "me"), "t", "me")

    async def silent(*_: object) -> bytes | None:
        raise BusTimeout("$JS", 2.0)

    for asked in ("state", "content"):
        caplog.clear()
        with monkeypatch.context() as patched:
            patched.setattr(ModelStore, asked, silent)
            for _ in range(3):
                await life.look()
        assert caplog.text.count("no answer on '$JS' within 2 s; what is in use goes on") == (asked == "state")
        assert (pair.used_name, len(shelf.opened)) == (PACKAGED, 1)
    await life.look()
    assert (pair.used_name, pair.tried_name) == ("errors-2", PACKAGED)


async def test_a_refused_model_changes_nothing_and_is_opened_once(
    store: ModelStore, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The model in use goes on answering, what was opened beside is closed, and the next change is followed."""
    pair, life, shelf = begin(store)
    for name in ("errors-2", "refused-1"):
        _ = await store.add(made(tmp_path, name), "t", "me")
    _ = await store.promote("errors-2", "t", "me")
    _ = await store.shadow("refused-1", "t", "me")
    for _ in range(3):
        await life.look()
    assert caplog.text.count("made for other features") == 1
    assert (pair.used_name, [model.closed for model in shelf.opened]) == (PACKAGED, [False, True])
    _ = await store.shadow(None, "t", "me")
    await life.look()
    assert (pair.used_name, pair.tried_name) == ("errors-2", None)


async def test_what_cannot_be_read_changes_nothing() -> None:
    """A damaged key is logged, and the model in use goes on answering."""
    server = MemoryServer()
    async with memory_models("classifier", server) as store:
        pair, life, _ = begin(store)
        bus = server.connect("test")
        _ = await bus.store(Subjects().key("promotions", "classifier"), b"{")
        await bus.close()
        await life.look()
        assert pair.used is not None
        assert pair.used.name == "errors-1"
