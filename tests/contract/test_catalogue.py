"""The catalogue agrees with the subjects, the streams and the models."""

import inspect
from types import ModuleType

import pytest

from mendbus.contracts import asks, journal, messages
from mendbus.contracts.catalogue import FAMILIES, Family
from mendbus.contracts.fields import WireModel
from mendbus.contracts.patterns import covers
from mendbus.contracts.subjects import MAX_BODY, MAX_SERVICE_BODY, Subjects
from mendbus.contracts.vocabulary import SERVICES
from mendbus.proto_schemas import models
from mendbus.streams import streams

SUBJECTS = Subjects("some.root")
BY_NAME = {family.name: family for family in FAMILIES}
BUILDERS = {
    "error": SUBJECTS.error("fatal", "k", "a"),
    "outcome": SUBJECTS.outcome("k", "a"),
    "settlement": SUBJECTS.settlement("k", "a"),
    "settled": SUBJECTS.settled("k", "a"),
    "command": SUBJECTS.command("k", "a"),
    "probe": SUBJECTS.probe("k", "a"),
    "rehearse": SUBJECTS.rehearse("k", "a"),
    "hello": SUBJECTS.hello("k", "a"),
    "goodbye": SUBJECTS.goodbye("k", "a"),
    "health": SUBJECTS.health("k", "a"),
    "status": SUBJECTS.status("k", "a"),
    "minute": SUBJECTS.history_minute("k", "a"),
    "second": SUBJECTS.history_second(7),
    "prediction": SUBJECTS.prediction("k", "a"),
    "notice": SUBJECTS.notice("k", "a"),
    "alert": SUBJECTS.alert("raised", "major"),
    "control": SUBJECTS.control("pause"),
    "classify": SUBJECTS.classify,
    "assess": SUBJECTS.assess,
    "execute": SUBJECTS.execute,
    "journal": SUBJECTS.journal(3),
    "dead": SUBJECTS.dead("executor"),
}
TOKENS = {
    "severity": "fatal",
    "kind": "k",
    "agent": "a",
    "state": "raised",
    "verb": "pause",
    "partition": "3",
    "bundle": "7",
}


def _filled(family: Family) -> str:
    address = family.address
    for name in family.parameters:
        token = {"alert": "major", "dead": "executor"}.get(family.name) if name in ("severity", "service") else None
        address = address.replace(f"{{{name}}}", token or TOKENS[name])
    return f"some.root.{address}"


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_addresses_are_those_of_the_subject_builder(family: Family) -> None:
    """The catalogue's address of a family is the subject that the rest of the code builds."""
    assert _filled(family) == BUILDERS[family.name]


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_a_family_is_stored_where_the_catalogue_says(family: Family) -> None:
    """Exactly the stream that the catalogue names listens on a family's subject, or none does."""
    holding = [
        spec.name
        for spec in streams(SUBJECTS, 1 << 30)
        if any(covers(pattern, _filled(family)) for pattern in spec.subjects)
    ]
    assert holding == ([SUBJECTS.stream(family.stream)] if family.stream else [])


def test_every_subject_builder_is_in_the_catalogue() -> None:
    """No family of messages is missing from the catalogue."""
    assert BUILDERS.keys() == BY_NAME.keys()


@pytest.mark.parametrize("module", [messages, asks, journal], ids=lambda module: module.__name__)
def test_every_model_is_part_of_a_message(module: ModuleType) -> None:
    """Every model of the contract is the body of a family or stands inside one: there is no dead model."""
    reached: set[type[WireModel]] = set()
    for model, _ in models().values():
        _reach(model, reached)
    defined = {
        value
        for _, value in inspect.getmembers(module, inspect.isclass)
        if issubclass(value, WireModel) and value.__module__ == module.__name__
    }
    assert defined <= reached


def _reach(annotation: object, reached: set[type[WireModel]]) -> None:
    if isinstance(annotation, type) and issubclass(annotation, WireModel):
        if annotation not in reached:
            reached.add(annotation)
            for field in annotation.model_fields.values():
                _reach(field.annotation, reached)
        return
    for inner in getattr(annotation, "__args__", ()):
        _reach(inner, reached)
    origin = getattr(annotation, "__origin__", None)
    if origin is not None and origin is not annotation and not isinstance(origin, type):
        _reach(origin, reached)


def test_dead_letters_are_written_by_the_first_service_that_reads() -> None:
    """The writer of a dead letter is fixed for each family, and nobody writes one for what only agents read."""
    writers = {family.name: family.dead_letter for family in FAMILIES}
    assert writers["error"] == writers["settled"] == "strategy-selector"
    assert writers["hello"] == writers["health"] == writers["outcome"] == "health-monitor"
    assert (writers["classify"], writers["assess"], writers["execute"]) == ("classifier", "predictor", "executor")
    assert (
        writers["command"]
        is writers["probe"]
        is writers["settlement"]
        is writers["notice"]
        is writers["rehearse"]
        is None
    )


def test_limits_follow_the_sender() -> None:
    """What an agent or an operator sends may have 64 KiB, what services write 512 KiB."""
    for family in FAMILIES:
        assert family.limit == (MAX_SERVICE_BODY if set(family.senders) <= set(SERVICES) else MAX_BODY)
        assert family.reply_limit == (MAX_BODY if "agent" in family.receivers else MAX_SERVICE_BODY)
