"""The life of a model: tried beside the one in use, promoted when it is better, turned back when it is worse."""

from pathlib import Path
from typing import cast

from tests.unit.shared.test_modelstore import made

from mendbus.modellife import Life
from mendbus.modelstore import PACKAGED, ModelStore
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
    """Opens models by their folder's name; `network` is what the packaged one always says."""

    def __init__(self, **says: str) -> None:
        self.says = says
        self.opened: list[Saying] = []

    def __call__(self, folder: Path | None) -> Model:
        name = folder.name if folder else "errors-1"
        self.opened.append(Saying(name, self.says.get(name.replace("-", "_"), "network")))
        return cast("Model", self.opened[-1])


def begin(tmp_path: Path, **says: str) -> tuple[ModelStore, Pair, Life[Model], Shelf]:
    store = ModelStore(tmp_path / "models", "classifier")
    shelf = Shelf(**says)
    pair = Pair(used=shelf(None), used_name=PACKAGED)
    return store, pair, Life(store, pair, shelf, lambda: NOW), shelf


def meet(pair: Pair, truth: str, times: int) -> None:
    for _ in range(times):
        assert pair.used is not None
        text = Text("", "m")
        pair.watch(text, truth, pair.used.classify(text))


async def test_a_better_model_is_promoted_and_the_other_one_goes_on_in_trial(tmp_path: Path) -> None:
    """What agents name decides; the next request is answered by the new model, and the change is recorded."""
    store, pair, life, _ = begin(tmp_path, errors_2="memory")
    store.add(made(tmp_path, "errors-2"), "t", "me")
    await life.look()
    assert pair.tried is not None
    assert pair.used is not None
    meet(pair, "memory", 20)
    await life.look()
    assert (pair.used.name, pair.used_name, pair.tried_name) == ("errors-2", "errors-2", PACKAGED)
    assert store.state().changes[-1]["by"] == "trial: 20 to 0 of 20"


async def test_a_promoted_model_that_loses_its_lift_is_turned_back(tmp_path: Path) -> None:
    """The model that was replaced wins the trial it goes on in, and is used again."""
    store, pair, life, _ = begin(tmp_path, errors_2="memory")
    store.add(made(tmp_path, "errors-2"), "t", "me")
    await life.look()
    store.promote("errors-2", "t", "me")
    await life.look()
    meet(pair, "network", 20)
    await life.look()
    assert (pair.used_name, pair.tried_name) == (PACKAGED, "errors-2")


async def test_a_worse_model_ends_its_trial(tmp_path: Path) -> None:
    """It is closed, and the one in use stays."""
    store, pair, life, shelf = begin(tmp_path, errors_2="memory")
    store.add(made(tmp_path, "errors-2"), "t", "me")
    await life.look()
    meet(pair, "network", 20)
    await life.look()
    assert (pair.used_name, pair.tried, store.state().shadow) == (PACKAGED, None, None)
    assert [model.closed for model in shelf.opened] == [False, True]


async def test_errors_whose_agents_name_nothing_tell_nothing(tmp_path: Path) -> None:
    """Without a truth there is no evidence, however often the two differ."""
    store, pair, life, _ = begin(tmp_path, errors_2="memory")
    store.add(made(tmp_path, "errors-2"), "t", "me")
    await life.look()
    assert pair.used is not None
    for _ in range(50):
        pair.watch(Text("", "m"), None, pair.used.classify(Text("", "m")))
    assert pair.trial is not None
    assert pair.trial.asked == 0


async def test_what_cannot_be_loaded_changes_nothing(tmp_path: Path) -> None:
    """A damaged state file is logged, and the model in use goes on answering."""
    store, pair, life, _ = begin(tmp_path)
    store.shadow(None, "t", "me")
    (tmp_path / "models" / "classifier" / "state.json").write_text("{")
    await life.look()
    assert pair.used is not None
    assert pair.used.name == "errors-1"
