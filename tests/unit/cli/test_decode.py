"""`mendbus decode`: bytes of the wire as JSON, from a file or a pipe, binary or hex."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.cli.samples import error, outcome
from typer.testing import CliRunner

from mendbus import codec
from mendbus.cli.app import build
from mendbus.cli.decode import as_binary, family_of
from mendbus.contracts.catalogue import FAMILIES

ERROR = codec.encode(error())


@pytest.fixture
def runner(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> CliRunner:
    monkeypatch.setenv("MENDBUS_DATA_DIR", str(tmp_path))
    return CliRunner()


@pytest.mark.parametrize("content", [ERROR, ERROR.hex().encode(), ERROR.hex(" ").upper().encode() + b"\n"])
@pytest.mark.parametrize(
    "subject", [None, "mendbus.v1.error.unknown.runtime.r1", "mendbus.v1.errors.3.error.runtime.r1"]
)
def test_a_message_becomes_one_line_of_json(runner: CliRunner, content: bytes, subject: str | None) -> None:
    """Binary and hex from standard input give the same line, with and without a subject."""
    shown = runner.invoke(build(), ["decode", *(["--subject", subject] if subject else [])], input=content)
    assert shown.exit_code == 0, shown.stderr
    assert shown.stdout.count("\n") == 1
    assert json.loads(shown.stdout)["exception"]["type"] == "ValueError"


def test_a_file_is_read(runner: CliRunner, tmp_path: Path) -> None:
    """A file is decoded like a pipe, and what services write may be larger."""
    file = tmp_path / "message.bin"
    file.write_bytes(codec.encode(outcome(reason="x" * 900)))
    shown = runner.invoke(build(), ["decode", str(file), "--subject", "mendbus.v1.outcome.runtime.r1"])
    assert json.loads(shown.stdout)["outcome"] == "recovered"


@pytest.mark.parametrize(
    ("content", "subject", "said"),
    [
        (b"\xc1", None, "not_msgpack"),
        (ERROR + b"\x00", None, "trailing_bytes"),
        (b"", None, "not_msgpack"),
        (codec.pack({"id": 7}), "mendbus.v1.error.unknown.runtime.r1", "invalid"),
        (ERROR, "other.error.unknown.runtime.r1", "no subject of this contract"),
        (ERROR, "mendbus.v1.nonsense", "no subject of this contract"),
    ],
)
def test_what_is_no_message_is_refused(runner: CliRunner, content: bytes, subject: str | None, said: str) -> None:
    """What the services would refuse is refused with the same code, and status 1."""
    shown = runner.invoke(build(), ["decode", *(["--subject", subject] if subject else [])], input=content)
    assert shown.exit_code == 1
    assert said in shown.stderr


@given(st.dictionaries(st.text(), st.one_of(st.integers(-(2**63), 2**63 - 1), st.text(), st.booleans()), max_size=5))
def test_no_message_is_taken_for_hex(value: dict[str, object]) -> None:
    """Every map is seen as the bytes that it is, and its hex text as the same bytes."""
    body = codec.pack(value)
    assert as_binary(body) == body
    assert as_binary(body.hex().encode()) == body


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_every_subject_of_the_contract_is_known(family: object) -> None:
    """Each family is found by its subject, whatever stands for what varies, under any root."""
    found = next(one for one in FAMILIES if one is family)
    subject = ".".join("x7" if token.startswith("{") else token for token in found.address.split("."))
    assert family_of(f"a.b.{subject}", "a.b") is found
    assert family_of(f"a.c.{subject}", "a.b") is None
