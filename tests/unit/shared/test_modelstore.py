"""The models of an installation: what is in use, in trial, and how one goes back."""

from pathlib import Path

import pytest

from mendbus import models
from mendbus.contracts.errors import MendbusError
from mendbus.modelstore import PACKAGED, ModelStore


def made(folder: Path, name: str, service: str = "classifier") -> Path:
    card = models.Card(
        name=name,
        service=service,
        created="2026-01-01",
        inputs={},
        features=(),
        labels={},
        files={"m.txt": models.digest(b"m")},
        data={},
        samples=0,
        seed=0,
        library="none",
    )
    models.write_folder(folder / f"made-{name}", card, {"m.txt": b"m"})
    return folder / f"made-{name}"


def test_a_model_goes_from_trial_to_use_and_back(tmp_path: Path) -> None:
    """Added: in trial. Promoted: in use, the one before in trial. Rolled back: as before, and each change is told."""
    store = ModelStore(tmp_path / "s", "classifier")
    assert (store.state().active, store.stamp(), store.names()) == (PACKAGED, 0, [])
    assert store.add(made(tmp_path, "errors-2"), "t1", "me") == "errors-2"
    assert (store.state().active, store.state().shadow) == (PACKAGED, "errors-2")
    store.promote("errors-2", "t2", "me")
    assert (store.state().active, store.state().shadow) == ("errors-2", PACKAGED)
    first = store.stamp()
    assert store.rollback("t3", "you") == PACKAGED
    assert (store.state().active, store.state().shadow) == (PACKAGED, None)
    assert store.stamp() != first
    assert [(c["change"], c["from"], c["to"], c["by"]) for c in store.state().changes] == [
        ("trial", PACKAGED, "errors-2", "me"),
        ("promoted", PACKAGED, "errors-2", "me"),
        ("rolled back", "errors-2", PACKAGED, "you"),
    ]


def test_what_cannot_be_is_said(tmp_path: Path) -> None:
    """Unknown, doubled and foreign models, nothing to roll back to, a damaged state: each is an error in words."""
    store = ModelStore(tmp_path / "s", "classifier")
    with pytest.raises(MendbusError, match="nothing can be rolled back"):
        store.rollback("t", "me")
    with pytest.raises(MendbusError, match="no model 'none'"):
        store.promote("none", "t", "me")
    with pytest.raises(MendbusError, match="in use already"):
        store.promote(PACKAGED, "t", "me")
    with pytest.raises(MendbusError, match="model of predictor"):
        store.add(made(tmp_path, "other-1", "predictor"), "t", "me")
    store.add(made(tmp_path, "errors-2"), "t", "me")
    with pytest.raises(MendbusError, match="needs a new name"):
        store.add(tmp_path / "made-errors-2", "t", "me")
    (tmp_path / "s" / "classifier" / "state.json").write_text("{")
    with pytest.raises(MendbusError, match="remove it"):
        store.state()
