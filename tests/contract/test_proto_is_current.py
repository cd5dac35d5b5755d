"""`proto/` says what the code does: it is generated from it, valid, and complete."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft7Validator, Draft202012Validator
from tests.contract.vectors import PROTO

from mendbus.contracts.catalogue import FAMILIES, REFUSALS
from mendbus.contracts.fields import WireModel
from mendbus.proto import document, files, main
from mendbus.proto_schemas import models, schema
from mendbus.proto_yaml import to_yaml

DATA = Path(__file__).parents[1] / "data"
PROSE = (PROTO / "README.md").read_text(encoding="utf-8")


def read_yaml(text: str) -> Any:
    """Reads the part of YAML that `to_yaml` writes; strict, so that anything else fails."""
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    value, rest = _block(lines, 0)
    assert not rest
    return value


def _scalar(text: str) -> Any:
    return text if re.match("[A-Za-z]", text) and text not in ("null", "true", "false") else json.loads(text)


def _block(lines: list[str], indent: int) -> tuple[Any, list[str]]:
    found: Any = [] if lines[0].lstrip().startswith("- ") else {}
    while lines and len(lines[0]) - len(lines[0].lstrip()) == indent:
        line, lines = lines[0][indent:], lines[1:]
        if isinstance(found, list):
            assert line.startswith("- ")
            if re.match(r'- (- |("[^"]*"|[^":]+):( |$))', line):
                inner, lines = _block([" " * (indent + 2) + line[2:], *lines], indent + 2)
                found.append(inner)
            else:
                found.append(_scalar(line[2:]))
            continue
        match = re.fullmatch(r'("[^"]*"|[^":]+):(?: (.*))?', line)
        assert match, line
        key = _scalar(match[1])
        assert key not in found
        if match[2] is None:
            found[key], lines = _block(lines, len(lines[0]) - len(lines[0].lstrip()))
        else:
            found[key] = _scalar(match[2])
    return found, lines


def test_generated_files_are_current(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What is committed below `proto/` is byte for byte what the generator makes now."""
    assert main(["--check", str(PROTO)]) == 0, capsys.readouterr().err


def test_generator_writes_checks_and_tidies(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Writing makes the check pass; a changed, a missing and a left-over file each make it fail by name."""
    assert main(["--check", str(tmp_path)]) == 1
    assert main(["--write", str(tmp_path)]) == 0
    assert main(["--check", str(tmp_path)]) == 0
    capsys.readouterr()
    (tmp_path / "asyncapi.yaml").write_text("asyncapi: 2.6.0\n", encoding="utf-8")
    (tmp_path / "schemas" / "Probe.v1.json").unlink()
    (tmp_path / "schemas" / "Gone.v1.json").write_text("{}", encoding="utf-8")
    assert main(["--check", str(tmp_path)]) == 1
    named = capsys.readouterr().err
    assert all(name in named for name in ("asyncapi.yaml", "schemas/Probe.v1.json", "schemas/Gone.v1.json"))
    assert main(["--write", str(tmp_path)]) == 0
    assert not (tmp_path / "schemas" / "Gone.v1.json").exists()
    assert main(["--check", str(tmp_path)]) == 0


def test_asyncapi_document_is_valid() -> None:
    """The document fits the official JSON Schema of AsyncAPI 3.0.0, and every reference in it leads somewhere."""
    official = json.loads((DATA / "asyncapi-3.0.0.schema.json").read_text(encoding="utf-8"))
    whole = document()
    assert [error.message for error in Draft7Validator(official).iter_errors(whole)] == []
    made = files()
    for reference in re.findall(r'"\$ref": "([^"]+)"', json.dumps(whole)):
        if reference.startswith("#/"):
            target: Any = whole
            for step in reference[2:].split("/"):
                target = target[step]
        else:
            assert reference.removeprefix("./") in made


def test_yaml_says_what_the_document_says() -> None:
    """Reading the YAML file gives the document back, so nothing was lost or read as another type."""
    assert read_yaml((PROTO / "asyncapi.yaml").read_text(encoding="utf-8")) == document()
    awkward: dict[str, Any] = {
        "no": "yes",
        "a b": ["on", "1", 1, 1.5, None, True, "null", "", [], {}, "a: b", "a #b", " a", "-", "é", "a,b"],
        "$x": {"y": [{"a": {"b": "c"}, "d": 1}, {"e": []}, [[1, "x"], ["a: b"]]]},
    }
    assert read_yaml(to_yaml(awkward)) == awkward


def test_every_address_and_operation_is_there() -> None:
    """Each family of the catalogue is a channel at its real subject, with an operation for each end of it."""
    whole = document()
    for family in FAMILIES:
        assert whole["channels"][family.name]["address"] == f"mendbus.v1.{family.address}"
        for action, roles in (("send", family.senders), ("receive", family.receivers)):
            for role in roles:
                operation = whole["operations"][f"{role}.{action}.{family.name}"]
                assert operation["action"] == action
                assert ("reply" in operation) == (family.reply is not None)


@pytest.mark.parametrize("name", sorted(models()))
def test_schemas_are_valid_and_open(name: str) -> None:
    """Each schema is a valid one of draft 2020-12, allows unknown keys, and shows the limits in bytes."""
    made = schema(*models()[name])
    Draft202012Validator.check_schema(made)
    text = json.dumps(made)
    assert '"additionalProperties": false' not in text
    assert '"type": "null"' not in text
    for limited in re.findall(r'\{[^{}]*"type": "string"[^{}]*\}', text):
        assert any(word in limited for word in ("x-max-bytes", "pattern", "enum", "const")) or name in _FREE_TEXT


_FREE_TEXT = ("ErrorReported", "Classify", "Assess", "RecoveryOutcome", "JournalRecord")
"""Messages that hold an error's attributes, whose text is limited by the body alone."""


def test_prose_names_everything() -> None:
    """README.md names every subject, message, field and refusal code of the contract."""
    for family in FAMILIES:
        assert f"`{family.address}`" in PROSE, family.address
    for code in REFUSALS:
        assert f"`{code}`" in PROSE, code
    for name, (model, _) in models().items():
        assert re.search(rf"^#+ {name}\b", PROSE, re.MULTILINE), name
        section = _section(name)
        for field in _fields(model):
            assert f"`{field}`" in section, f"{name}.{field}"


def _section(name: str) -> str:
    found = re.search(rf"^(#+) {name}\b.*?(?=^#|\Z)", PROSE, re.MULTILINE | re.DOTALL)
    assert found
    return found[0]


def _fields(model: type[WireModel]) -> list[str]:
    return list(model.model_fields)
