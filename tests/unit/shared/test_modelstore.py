"""The models of an installation: what is in use, in trial, and how one goes back."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.support import memory_models

from mendbus import codec, models
from mendbus.bus.memory import MemoryServer
from mendbus.contracts.errors import MendbusError, ModelRefused
from mendbus.contracts.subjects import Subjects
from mendbus.modelstore import PACKAGED, ModelStore, Overtaken, State


def made(folder: Path, name: str, service: str = "classifier", content: bytes = b"m") -> Path:
    card = models.Card(
        name=name,
        service=service,
        created="2026-01-01",
        inputs={},
        features=(),
        labels={},
        files={"m.txt": models.digest(content)},
        data={},
        samples=0,
        seed=0,
        library="none",
    )
    models.write_folder(folder / f"made-{name}", card, {"m.txt": content})
    return folder / f"made-{name}"


@pytest.fixture
async def store() -> AsyncIterator[ModelStore]:
    """The classifier's models."""
    async with memory_models("classifier") as found:
        yield found


async def test_a_model_goes_from_trial_to_use_and_back(store: ModelStore, tmp_path: Path) -> None:
    """Added: in trial. Promoted: in use, the one before in trial. Rolled back: as before, and each change is told."""
    assert (await store.state(), await store.names()) == (State(), [])
    assert await store.add(made(tmp_path, "errors-2"), "t1", "me") == "errors-2"
    state = await store.state()
    assert (state.active, state.shadow) == (PACKAGED, "errors-2")
    told = await store.promote("errors-2", "t2", "me")
    assert told == await store.state()
    assert (told.active, told.shadow) == ("errors-2", PACKAGED)
    assert await store.rollback("t3", "you") == PACKAGED
    state = await store.state()
    assert (state.active, state.shadow) == (PACKAGED, None)
    assert state.sequence > told.sequence
    assert [(c["change"], c["from"], c["to"], c["by"]) for c in state.changes] == [
        ("trial", PACKAGED, "errors-2", "me"),
        ("promoted", PACKAGED, "errors-2", "me"),
        ("rolled back", "errors-2", PACKAGED, "you"),
    ]


async def test_what_was_put_is_read_wherever_one_is_connected(tmp_path: Path) -> None:
    """Card and files come back to another machine with digests checked; each service sees its own models only."""
    server = MemoryServer()
    async with memory_models("classifier", server) as here, memory_models("classifier", server) as there:
        _ = await here.add(made(tmp_path, "errors-2", content=bytes(300_000)), "t", "me")
        content = await there.content("errors-2")
        assert content is not None
        assert models.read(content) == models.read(tmp_path / "made-errors-2")
        assert await there.content(PACKAGED) is None
        async with memory_models("predictor", server) as other:
            assert (await other.names(), await other.state()) == ([], State())


async def test_of_two_who_decide_on_the_same_state_the_second_is_told(store: ModelStore, tmp_path: Path) -> None:
    """Nothing is overwritten: whoever was overtaken hears so, and what the first one wrote stays."""
    for name in ("errors-2", "errors-3"):
        _ = await store.add(made(tmp_path, name), "t", "me")
    state = await store.state()
    both = (store.promote("errors-2", "t", "kim", state), store.promote("errors-3", "t", "lee", state))
    first, second = await asyncio.gather(*both, return_exceptions=True)
    assert isinstance(first, State)
    assert isinstance(second, Overtaken)
    assert "mendbus models list --service classifier" in str(second)
    assert await store.state() == first


async def test_the_same_model_can_be_added_again(store: ModelStore, tmp_path: Path) -> None:
    """Whoever was cut off while adding does it again; another model under the name needs a new one."""
    _ = await store.put(made(tmp_path, "errors-2"))
    assert await store.add(made(tmp_path, "errors-2"), "t", "me") == "errors-2"
    assert ((await store.state()).shadow, await store.names()) == ("errors-2", ["errors-2"])
    with pytest.raises(MendbusError, match="needs a new name"):
        _ = await store.add(made(tmp_path, "errors-2", content=b"other"), "t", "me")


async def test_what_cannot_be_is_said(store: ModelStore, tmp_path: Path) -> None:
    """Unknown and foreign models, nothing to roll back to, one in use already: each is an error in words."""
    with pytest.raises(MendbusError, match="nothing can be rolled back"):
        _ = await store.rollback("t", "me")
    for work in (store.promote("none", "t", "me"), store.content("none")):
        with pytest.raises(MendbusError, match="no model 'none'"):
            _ = await work
    with pytest.raises(MendbusError, match="in use already"):
        _ = await store.promote(PACKAGED, "t", "me")
    with pytest.raises(MendbusError, match="model of predictor"):
        _ = await store.add(made(tmp_path, "other-1", "predictor"), "t", "me")
    assert (await store.state(), await store.names()) == (State(), [])


@pytest.mark.parametrize("value", [b"{", b"[]", b'{"active": ""}', b'{"active": "", "shadow": null, "changes": 3}'])
async def test_a_damaged_key_names_itself(value: bytes) -> None:
    """Whoever reads it hears which key it is, and what to do."""
    server = MemoryServer()
    async with memory_models("classifier", server) as store:
        bus = server.connect("test")
        _ = await bus.store(Subjects().key("promotions", "classifier"), value)
        await bus.close()
        with pytest.raises(MendbusError, match=r"promotions\.classifier cannot be read: .*; delete this key"):
            _ = await store.state()


@pytest.mark.parametrize(
    ("parts", "says"),
    [
        (b"\xc1", "not msgpack"),
        (codec.pack({"m.txt": b"m"}), "card.json"),
        (codec.pack({"card.json": "text"}), "card.json"),
    ],
)
def test_what_is_no_packed_model_is_refused(parts: bytes, says: str) -> None:
    """Whatever stands in the bucket, reading it ends in words."""
    with pytest.raises(ModelRefused, match=says):
        _ = models.read(parts)


def test_a_packed_model_that_was_altered_is_refused(tmp_path: Path) -> None:
    """The card's digests are checked again, and nothing may stand beside what it names."""
    card, files = models.read(made(tmp_path, "errors-2"))
    with pytest.raises(ModelRefused, match="has digest"):
        _ = models.read(models.pack(card, {"m.txt": b"x"}))
    with pytest.raises(ModelRefused, match="is not in the card"):
        _ = models.read(models.pack(card, {**files, "n.txt": b""}))


def test_a_model_that_is_too_large_is_not_packed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The limit is that of one file."""
    card, files = models.read(made(tmp_path, "errors-2"))
    monkeypatch.setattr(models, "MAX_FILE_BYTES", 100)
    with pytest.raises(ModelRefused, match="100 are allowed"):
        _ = models.pack(card, files)
