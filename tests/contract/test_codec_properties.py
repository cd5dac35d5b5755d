"""Properties of the wire format that hold for every message and for any bytes."""

from collections.abc import Callable
from typing import Any

import msgpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.contract.generate import near_msgpack, values
from tests.contract.vectors import golden

from mendbus import codec
from mendbus.contracts.errors import Refused
from mendbus.contracts.fields import WireModel
from mendbus.contracts.messages import ErrorReported, Probe, ProbeResult
from mendbus.proto_schemas import models

MODELS = models()


@pytest.mark.parametrize("name", sorted(MODELS))
@settings(max_examples=20, deadline=None)
@given(data=st.data())
def test_round_trip(name: str, data: st.DataObject) -> None:
    """Every valid message survives the wire unchanged, and the same message is always the same bytes."""
    model, limit = MODELS[name]
    message = codec.validate(model, data.draw(values(name)))
    body = codec.encode(message)
    assert codec.decode(model, body, limit) == message
    assert codec.encode(codec.decode(model, body, limit)) == body


@pytest.mark.parametrize("name", sorted(MODELS))
@settings(max_examples=10, deadline=None)
@given(data=st.data())
def test_an_old_reader_reads_a_new_writer(name: str, data: st.DataObject) -> None:
    """Keys that this version does not know, at any level that has fields, change nothing."""
    model, limit = MODELS[name]
    old = codec.validate(model, data.draw(values(name)))
    later = data.draw(st.sampled_from((None, 1, 0.5, "x", b"x", b"", True)))
    value = _with_unknown_keys(old, old.model_dump(exclude_none=True), later)
    assert codec.decode(model, msgpack.packb(value), limit) == old


def _with_unknown_keys(model: object, value: Any, later: object) -> Any:
    if isinstance(model, WireModel):
        known = {key: _with_unknown_keys(getattr(model, key), inner, later) for key, inner in value.items()}
        return {"a_new_key": "1", **known, "another": later}
    if isinstance(model, list):
        return [_with_unknown_keys(one, inner, later) for one, inner in zip(model, value, strict=True)]
    return value


def _carefully(pairs: list[tuple[Any, Any]]) -> dict[str, Any]:
    if len({key for key, _ in pairs}) < len(pairs) or not all(isinstance(key, str) for key, _ in pairs):
        raise ValueError
    return {key: value for key, value in pairs if value is not None}


@settings(max_examples=400, deadline=None)
@given(body=near_msgpack())
def test_any_bytes_are_a_map_or_are_refused(body: bytes) -> None:
    """Any bytes are read as an independent, careful reading has it, or refused; nothing else is ever raised."""
    got = _outcome(lambda: codec.unpack(body))
    if isinstance(got, Refused):
        assert got.code in ("not_msgpack", "trailing_bytes", "duplicate_key", "not_a_map", "too_deep")
        return
    wanted = msgpack.unpackb(body, object_pairs_hook=_carefully, ext_hook=None)
    assert repr(got) == repr(wanted)


@settings(max_examples=300, deadline=None)
@given(
    vector=st.sampled_from([vector for vector in golden() if len(vector.body) < 900]),
    changes=st.lists(st.tuples(st.integers(0, 899), st.integers(0, 255)), min_size=1, max_size=4),
    cut=st.integers(0, 3),
)
def test_damaged_messages_are_messages_or_are_refused(vector: Any, changes: list[tuple[int, int]], cut: int) -> None:
    """A message with some bytes changed or cut off is still read or refused, and the reason fits into a header."""
    body = bytearray(vector.body)
    for place, byte in changes:
        body[place % len(body)] = byte
    model, limit = MODELS[vector.message]
    got = _outcome(lambda: codec.decode(model, bytes(body[: len(body) - cut]), limit))
    if isinstance(got, Refused):
        assert got.reason.isprintable()
        assert len(got.reason) <= 480


def _outcome(read: Callable[[], object]) -> object:
    try:
        return read()
    except Refused as refused:
        return refused


@given(text=st.text(st.characters(exclude_categories=("Cs",)), max_size=300))
def test_text_is_limited_in_bytes(text: str) -> None:
    """Text of a field is taken up to its limit in bytes of UTF-8, however many characters these are."""
    value = {"operation": text, "deadline_unix_nano": 1}
    if len(text.encode()) <= 256:
        assert codec.validate(Probe, value).operation == text
    else:
        with pytest.raises(Refused, match="longer than 256 bytes"):
            codec.validate(Probe, value)


def test_half_a_surrogate_pair_does_not_stop_a_message() -> None:
    """Text from the file system may hold halves of surrogate pairs; they are written as question marks."""
    body = codec.encode(ProbeResult(healthy=False, detail="caf\udce9.py", checked_unix_nano=1))
    assert codec.decode(ProbeResult, body).detail == "caf?.py"


def test_a_flood_of_problems_is_refused_quickly_and_in_one_sentence() -> None:
    """A message with thousands of wrong values is refused without naming them all."""
    value = {"id": 1, "metrics": {f"m{number}": "wrong" for number in range(5000)}}
    with pytest.raises(Refused, match=r"500\d problems"):
        codec.decode(ErrorReported, msgpack.packb(value), 1 << 20)


def test_pack_with_list_is_pack() -> None:
    """A map whose last key is a list packed in pieces has the bytes that packing it whole gives."""
    items = [{"n": number} for number in range(20)]
    made = codec.pack_with_list({"a": 1, "b": "x"}, "items", [codec.pack(item) for item in items])
    assert made == codec.pack({"a": 1, "b": "x", "items": items})
