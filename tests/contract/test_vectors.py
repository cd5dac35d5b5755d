"""The golden bytes: what is written, what is taken, what is refused."""

import pytest
from jsonschema import Draft202012Validator
from tests.contract.vectors import Vector, golden, invalid, tolerated

from mendbus import codec
from mendbus.contracts.catalogue import REFUSALS
from mendbus.contracts.errors import Refused
from mendbus.contracts.subjects import Subjects
from mendbus.proto_schemas import models, schema

SUBJECTS = Subjects()
MODELS = models()


def receive(vector: Vector) -> object:
    """What a service does with a message: header, body, then whether it stands on the right subject."""
    model, limit = MODELS[vector.message]
    codec.check_content_type(dict(vector.headers))
    message = codec.decode(model, vector.body, limit)
    if vector.subject:
        subject = f"{SUBJECTS.root}.{vector.subject}"
        codec.check_agent(getattr(message, "agent"), *SUBJECTS.agent_of(subject))  # noqa: B009
        if vector.subject.startswith("error."):
            codec.check_severity(getattr(message, "severity"), vector.subject.split(".")[1])  # noqa: B009
    return message


@pytest.mark.parametrize("vector", golden(), ids=str)
def test_golden_bytes_say_their_value_and_are_what_we_write(vector: Vector) -> None:
    """A golden vector's bytes decode to its value, its value packs to its bytes, and so does the model."""
    model, limit = MODELS[vector.message]
    # repr tells 1 from 1.0 and from True, and 0.0 from -0.0.
    assert repr(codec.unpack(vector.body, limit)) == repr(vector.value)
    assert codec.pack(vector.value) == vector.body
    assert codec.encode(codec.decode(model, vector.body, limit)) == vector.body


@pytest.mark.parametrize("name", sorted(MODELS))
def test_schema_accepts_every_vector_of_its_message(name: str) -> None:
    """The JSON Schema of a message validates each of its golden and tolerated values."""
    model, limit = MODELS[name]
    validator = Draft202012Validator(schema(model, limit))
    for vector in (*golden(), *tolerated()):
        if vector.message == name:
            validator.validate(vector.value)


def test_every_message_has_golden_vectors() -> None:
    """Each message of the catalogue has a minimal, a full, a unicode and an extreme vector, and no other has any."""
    wanted = {(name, kind) for name in MODELS for kind in ("minimal", "full", "unicode", "extremes")}
    assert {(vector.message, vector.name) for vector in golden()} == wanted


def test_full_vectors_use_every_field() -> None:
    """The full vector of a message holds every field that its model has."""
    for vector in golden():
        if vector.name == "full":
            assert vector.value is not None
            assert list(vector.value) == list(MODELS[vector.message][0].model_fields)


@pytest.mark.parametrize("vector", tolerated(), ids=str)
def test_readers_take_what_others_write_differently(vector: Vector) -> None:
    """Bytes that we would not write ourselves, but that the contract allows, are read as the value says."""
    model, limit = MODELS[vector.message]
    assert codec.encode(codec.decode(model, vector.body, limit)) == codec.pack(vector.value)


@pytest.mark.parametrize("vector", invalid(), ids=str)
def test_invalid_bytes_are_refused_with_their_code(vector: Vector) -> None:
    """What does not fit is refused with the code that the vector states, and a reason fit for a header."""
    with pytest.raises(Refused) as refused:
        receive(vector)
    assert refused.value.code == vector.code
    assert refused.value.reason.isprintable()


def test_every_refusal_has_a_vector() -> None:
    """Each code that a body can be refused with is shown by a vector, and each message has one that is refused."""
    assert {vector.code for vector in invalid()} == REFUSALS.keys() - {"bad_subject"}
    assert {vector.message for vector in invalid()} == set(MODELS)


@pytest.mark.parametrize("subject", ["", "web-1", "runtime.web-1", "a.run time.web-1", "a.runtime.", "a..web-1"])
def test_a_subject_without_kind_and_agent_is_refused(subject: str) -> None:
    """A subject that does not end in a kind and an id, with something before them, names no agent."""
    with pytest.raises(Refused, match="bad_subject"):
        SUBJECTS.agent_of(subject)
