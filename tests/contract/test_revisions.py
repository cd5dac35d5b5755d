"""Old readers and new writers, and the reverse: what one revision of the contract writes another understands."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from tests.contract.generate import values
from tests.contract.vectors import Vector, golden
from tests.upgrade.revision import as_known, known, vectors

from mendbus import codec
from mendbus.contracts.errors import Refused
from mendbus.proto_schemas import models

MODELS = models()


@pytest.mark.parametrize("vector", vectors(), ids=str)
def test_what_the_first_revision_wrote_still_means_the_same(vector: Vector) -> None:
    """New reader, old writer: nothing of it is refused, and every field that there was says what it said."""
    model, limit = MODELS[vector.message]
    again = codec.unpack(codec.encode(codec.decode(model, vector.body, limit)), limit)
    assert as_known(vector.message, again) == vector.value


@pytest.mark.parametrize("vector", golden(), ids=str)
def test_what_is_written_today_is_understood_by_the_first_revision(vector: Vector) -> None:
    """Old reader, new writer: once keys that it does not know are passed over, its own schema finds nothing wrong."""
    if vector.message in known():
        schema, parts = known()[vector.message]
        Draft202012Validator({**schema, "$defs": parts}).validate(as_known(vector.message, vector.value))


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_any_message_of_today_is_understood_by_the_first_revision(data: st.DataObject) -> None:
    """The same for messages that no vector has: no word, limit or type of a field that was there has changed."""
    name = data.draw(st.sampled_from(sorted(set(MODELS) & set(known()))))
    value = data.draw(values(name))
    schema, parts = known()[name]
    Draft202012Validator({**schema, "$defs": parts}).validate(as_known(name, value))


def test_the_older_reader_is_one() -> None:
    """It passes over what came later wherever that stands, and keeps all else."""
    operated = {"type": "operated", "verb": "pause", "by": "kim", "until_unix_nano": 5, "kind": "runtime"}
    record = {"id": "r", "entries": [operated, {"type": "claimed", "owner": "me"}]}
    assert as_known("JournalRecord", record) == {
        "id": "r",
        "entries": [{"type": "operated", "verb": "pause", "by": "kim"}, {"type": "claimed", "owner": "me"}],
    }
    assert as_known("Alert", {"id": "a", "rule": "incident"}) == {"id": "a"}
    assert as_known("HealthMinute", {"metrics": {}}) == {"metrics": {}}


@pytest.mark.parametrize("name", sorted(set(MODELS) & set(known())))
def test_nothing_was_taken_away_and_nothing_new_is_required(name: str) -> None:
    """Every field of the first revision is still there, and a message without any of the later ones is valid."""
    schema, _ = known()[name]
    model, _ = MODELS[name]
    fields = model.model_fields
    assert set(schema["properties"]) <= set(fields)
    required = {key for key, field in fields.items() if field.is_required()}
    assert required <= set(schema.get("required", ()))


@pytest.mark.parametrize("vector", [vector for vector in golden() if vector.name == "full"], ids=str)
def test_any_optional_field_may_be_missing(vector: Vector) -> None:
    """A full message without any one of its optional fields is read; without a required one it is refused."""
    model, limit = MODELS[vector.message]
    assert vector.value is not None
    for key in vector.value:
        rest = {name: value for name, value in vector.value.items() if name != key}
        if model.model_fields[key].is_required():
            with pytest.raises(Refused):
                codec.decode(model, codec.pack(rest), limit)
        else:
            codec.decode(model, codec.pack(rest), limit)


@pytest.mark.parametrize("vector", [vector for vector in golden() if vector.name == "full"], ids=str)
def test_unknown_words_are_unknown_categories_or_are_refused(vector: Vector) -> None:
    """A category of the future is read as `unknown`; any other word of the future is refused, by name of its field."""
    model, limit = MODELS[vector.message]
    assert vector.value is not None
    for key, field in model.model_fields.items():
        if not isinstance(vector.value[key], str) or "Literal" not in str(field.annotation):
            continue
        body = codec.pack({**vector.value, key: "of_the_future"})
        if key == "category":
            assert getattr(codec.decode(model, body, limit), key) == "unknown"
        else:
            with pytest.raises(Refused, match=key):
                codec.decode(model, body, limit)
