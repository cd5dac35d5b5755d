"""What is printed: never a control character from the wire, the same with and without a terminal."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mendbus.cli.output import ago, clean, document, line, moment, ms, table

SECOND = 1_000_000_000


@given(st.text())
def test_clean_text_is_one_line_that_cannot_steer_a_terminal(text: str) -> None:
    """Whatever an agent wrote, what is shown is printable and on one line."""
    assert clean(text).isprintable()


@given(st.text(), st.integers(1, 40))
def test_clean_text_keeps_its_limit(text: str, limit: int) -> None:
    """Text that is too long is cut, visibly."""
    shown = clean(text, limit)
    assert len(shown) <= limit
    assert shown == clean(text) or shown.endswith("…")


def test_a_table_without_a_terminal_is_plain_text(capsys: pytest.CaptureFixture[str]) -> None:
    """No colour, no markup, no escape sequences, and columns that line up."""
    table(("name", "count>", "note"), [("recovered", "7", "[red]x[/red]\x1b[31m\n"), ("b", "12", "")])
    head, first, second = capsys.readouterr().out.splitlines()
    assert head.split() == ["name", "count", "note"]
    assert first.split() == ["recovered", "7", "[red]x[/red]?[31m"]
    assert second.split() == ["b", "12"]
    assert first.index("7") == second.index("12") + 1


@pytest.mark.parametrize("forced", [None, "1"])
def test_no_color_wins(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, forced: str | None) -> None:
    """With NO_COLOR there is no colour even where one is asked for."""
    monkeypatch.setenv("NO_COLOR", "1")
    if forced:
        monkeypatch.setenv("FORCE_COLOR", forced)
    table(("outcome",), [("recovered",)])
    assert "\x1b[3" not in capsys.readouterr().out


def test_json_is_one_document_or_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    """A document and a line both read back as what they were; bytes are hex."""
    value = {"text": "ä\n", "bytes": b"\x01\xff"}
    document(value)
    assert json.loads(capsys.readouterr().out) == {"text": "ä\n", "bytes": "01ff"}
    line(value)
    assert capsys.readouterr().out.count("\n") == 1


@pytest.mark.parametrize(
    ("seconds", "shown"), [(0, "0 s"), (119, "119 s"), (120, "2 m"), (7200, "2 h"), (172800, "2 d"), (-5, "0 s")]
)
def test_ages_have_the_largest_fitting_unit(seconds: int, shown: str) -> None:
    """An age is short; one from the future is none."""
    now = 10_000_000 * SECOND
    assert ago(now - seconds * SECOND, now) == shown


def test_what_is_not_known_is_a_dash() -> None:
    """A missing time or duration is shown as missing, never as zero."""
    assert ago(None) == ms(None) == "-"
    assert ms(1_500_000) == "1.5 ms"
    assert moment(1_700_000_000 * SECOND) == "2023-11-14 22:13:20.000Z"
