"""Model cards: what fits is used, what differs in anything is refused with all that differs."""

from pathlib import Path

import pytest

from mendbus import models
from mendbus.contracts.errors import ModelRefused

FEATURES = ("a", "b")
LABELS = {"y": ("no", "yes")}


def card(**changes: object) -> models.Card:
    known = {
        "name": "test-1",
        "service": "classifier",
        "created": "2026-01-01",
        "inputs": {"features": 1},
        "features": FEATURES,
        "labels": LABELS,
        "files": {"m.txt": models.digest(b"model")},
        "data": {"corpus": models.digest(b"data")},
        "samples": 3,
        "seed": 1,
        "library": "lightgbm 4",
    }
    return models.Card.model_validate({**known, **changes})


def check(found: models.Card) -> None:
    models.check_inputs(found, service="classifier", inputs={"features": 1}, features=FEATURES, labels=LABELS)


def test_a_folder_is_read_as_it_was_written(tmp_path: Path) -> None:
    """Card and files come back, and the card fits the program it was made for."""
    models.write_folder(tmp_path / "m", card(), {"m.txt": b"model"})
    found, files = models.read_folder(tmp_path / "m")
    assert (found, files) == (card(), {"m.txt": b"model"})
    check(found)
    assert "features" not in models.summary(found)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"service": "predictor"}, "a model of 'predictor'"),
        ({"inputs": {"features": 2}}, "features version 2, here it is 1"),
        ({"inputs": {}}, "features version None"),
        ({"features": ("a", "c")}, "features[1] is 'c' in the card and 'b' here"),
        ({"features": ("a",)}, "lists 1 features, here are 2"),
        ({"labels": {"y": ("yes", "no")}}, "labels of y[0]"),
        ({"labels": {}}, "lists 0 labels of y"),
    ],
)
def test_a_card_that_differs_is_refused(changes: dict[str, object], says: str) -> None:
    """Each difference is named."""
    with pytest.raises(ModelRefused) as refused:
        check(card(**changes))
    assert says in str(refused.value)


def test_an_altered_missing_or_hidden_file_is_refused(tmp_path: Path) -> None:
    """A digest that does not fit, a file that is not there, a file the card does not name, a path that leads out."""
    models.write_folder(tmp_path, card(), {"m.txt": b"modeL"})
    with pytest.raises(ModelRefused, match="has digest"):
        models.read_folder(tmp_path)
    (tmp_path / "m.txt").unlink()
    with pytest.raises(ModelRefused, match=r"cannot read m\.txt"):
        models.read_folder(tmp_path)
    with pytest.raises(ModelRefused, match="is missing"):
        models.check_files(card(), {})
    with pytest.raises(ModelRefused, match="not in the card"):
        models.check_files(card(), {"m.txt": b"model", "n.txt": b""})
    models.write_folder(tmp_path, card(files={"../m.txt": ""}), {})
    with pytest.raises(ModelRefused, match="leads out"):
        models.read_folder(tmp_path)


def test_a_file_that_is_no_card_is_refused(tmp_path: Path) -> None:
    """Neither text nor an unknown field passes, nor a file too large to be a model's."""
    for content in (b"", b"{}", models.write_card(card()).replace(b'"seed"', b'"sead"')):
        with pytest.raises(ModelRefused):
            models.read_card(content, "m")
    models.write_folder(tmp_path, card(), {})
    with (tmp_path / "m.txt").open("wb") as file:
        file.truncate(models.MAX_FILE_BYTES + 1)
    with pytest.raises(ModelRefused, match="larger than"):
        models.read_folder(tmp_path)
