"""Model cards: what a model says of itself, and the check without which no service uses one.

A model is a folder: `card.json`, the files that it names with their digests, and golden predictions that the program
must reproduce. What a card names must be what the program computes; anything else is refused as a whole.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from mendbus import codec
from mendbus.contracts.errors import ModelRefused, Refused

CARD: Final = "card.json"
MAX_FILE_BYTES: Final = 64 * 1024 * 1024
"""No model file, and no packed model, is larger; what is, is refused unread."""


class Card(BaseModel):
    """What a model says of itself."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9.-]{0,62}$")]
    """Name and version in one, such as `errors-1`; it stands in every answer."""
    service: str
    created: str
    """Date of the training, ISO 8601."""
    inputs: Mapping[str, int]
    """Versions of the functions that make the features; another version here means another model is needed."""
    features: tuple[str, ...]
    labels: Mapping[str, tuple[str, ...]]
    """The classes of each thing predicted, in the order of the model's outputs."""
    files: Mapping[str, str]
    """File name to SHA-256 (hex)."""
    data: Mapping[str, str]
    """What it was trained on: source to SHA-256 (hex) of its samples."""
    samples: int
    seed: int
    library: str
    """Library and version that trained it."""
    thresholds: Mapping[str, float] = {}
    figures: Mapping[str, float] = {}
    """Measured on data that it was not fitted on; how, says the note."""
    note: str = ""


def digest(content: bytes) -> str:
    """SHA-256 of a file's content, hex."""
    return hashlib.sha256(content).hexdigest()


def read_card(content: bytes, name: str) -> Card:
    """A card from the bytes of its file. Raises `ModelRefused`."""
    try:
        return Card.model_validate_json(content)
    except ValidationError as error:
        problems = [f"{CARD}: {'.'.join(map(str, item['loc']))}: {item['msg']}" for item in error.errors()]
        raise ModelRefused(name, problems) from None


def write_card(card: Card) -> bytes:
    """The bytes of a card's file."""
    return (json.dumps(card.model_dump(mode="json"), indent=1, sort_keys=True) + "\n").encode()


def check_inputs(
    card: Card,
    *,
    service: str,
    inputs: Mapping[str, int],
    features: tuple[str, ...],
    labels: Mapping[str, tuple[str, ...]],
) -> None:
    """Raises `ModelRefused` that names everything in which a card and this program differ."""
    problems: list[str] = []
    if card.service != service:
        problems.append(f"it is a model of {card.service!r}, not of {service!r}")
    problems += [
        f"made with {name} version {card.inputs.get(name)}, here it is {inputs.get(name)}"
        for name in sorted({*card.inputs, *inputs})
        if card.inputs.get(name) != inputs.get(name)
    ]
    problems += differences("features", card.features, features)
    for name in sorted({*card.labels, *labels}):
        problems += differences(f"labels of {name}", card.labels.get(name, ()), labels.get(name, ()))
    if problems:
        raise ModelRefused(card.name, problems)


def differences(what: str, listed: tuple[str, ...], computed: tuple[str, ...]) -> list[str]:
    """In what a card's list and the program's differ, as one sentence; nothing where they are equal."""
    if listed == computed:
        return []
    if len(listed) != len(computed):
        return [f"the card lists {len(listed)} {what}, here are {len(computed)}"]
    slot = next(slot for slot, pair in enumerate(zip(listed, computed, strict=True)) if pair[0] != pair[1])
    return [f"{what}[{slot}] is {listed[slot]!r} in the card and {computed[slot]!r} here"]


def check_files(card: Card, files: Mapping[str, bytes]) -> None:
    """Raises `ModelRefused` where a file is missing, altered or not named by the card."""
    problems = [f"{name} is missing" for name in sorted(card.files.keys() - files.keys())]
    problems += [f"{name} is not in the card" for name in sorted(files.keys() - card.files.keys())]
    problems += [
        f"{name} has digest {digest(files[name])}, the card says {card.files[name]}"
        for name in sorted(files.keys() & card.files.keys())
        if digest(files[name]) != card.files[name]
    ]
    if problems:
        raise ModelRefused(card.name, problems)


def read_folder(folder: Path) -> tuple[Card, dict[str, bytes]]:
    """Card and files of a model's folder, digests checked. Raises `ModelRefused`."""
    card = read_card(_content(folder / CARD, folder.name), folder.name)
    if any(Path(name).name != name for name in card.files):
        raise ModelRefused(card.name, ["a file name leads out of its folder"])
    files = {name: _content(folder / name, card.name) for name in card.files}
    check_files(card, files)
    return card, files


def pack(card: Card, files: Mapping[str, bytes]) -> bytes:
    """A model as one piece; the same model gives the same bytes. Raises `ModelRefused` for one that is too large."""
    content = codec.pack({CARD: write_card(card), **dict(sorted(files.items()))})
    if len(content) > MAX_FILE_BYTES:
        raise ModelRefused(card.name, [f"it has {len(content)} bytes, {MAX_FILE_BYTES} are allowed"])
    return content


def read(source: Path | bytes) -> tuple[Card, dict[str, bytes]]:
    """Card and files of a folder, or of what `pack` gave, digests checked. Raises `ModelRefused`."""
    if isinstance(source, Path):
        return read_folder(source)
    try:
        parts = codec.unpack(source, MAX_FILE_BYTES)
    except Refused as error:
        raise ModelRefused("(packed)", [error.reason]) from None
    files = {name: content for name, content in parts.items() if isinstance(content, bytes)}
    card = read_card(files.pop(CARD, b""), "(packed)")
    check_files(card, files)
    return card, files


def _content(path: Path, name: str) -> bytes:
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise ModelRefused(name, [f"{path.name} is larger than {MAX_FILE_BYTES} bytes"])
        return path.read_bytes()
    except OSError as error:
        raise ModelRefused(name, [f"cannot read {path.name}: {error.strerror}"]) from None


def write_folder(folder: Path, card: Card, files: Mapping[str, bytes]) -> None:
    """Writes a model's folder, the card last: an interrupted write leaves no folder that passes for a model."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / CARD).unlink(missing_ok=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    (folder / CARD).write_bytes(write_card(card))


def summary(card: Card) -> dict[str, Any]:
    """A card without its long lists, for tables and answers."""
    return card.model_dump(mode="json", exclude={"features", "files"})
