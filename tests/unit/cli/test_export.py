"""The export command's own parts: times as people write them, files that are complete or not there, progress."""

from pathlib import Path

import pytest
import typer

from mendbus.cli.export import opened
from mendbus.cli.options import moment_of
from mendbus.cli.progress import Progress
from mendbus.contracts.errors import MendbusError

NOW = 1_700_000_000 * 10**9


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("90s", NOW - 90 * 10**9),
        ("2023-11-14T22:13:20Z", NOW),
        ("2023-11-14T23:13:20.5+01:00", NOW + 500_000_000),
        ("2023-11-14", NOW - 80_000 * 10**9),
    ],
)
def test_a_time_is_an_age_or_a_moment(text: str, at: int) -> None:
    """Both ways of writing a time are understood, UTC where nothing else is said."""
    assert moment_of(text, NOW) == at


@pytest.mark.parametrize("text", ["yesterday", "2023-99-01", "", "12-7"])
def test_what_is_no_time_is_refused(text: str) -> None:
    """Anything else is wrong usage."""
    with pytest.raises(typer.BadParameter):
        moment_of(text, NOW)


def test_a_file_is_complete_or_not_there(tmp_path: Path) -> None:
    """An export that breaks off leaves what was there before."""
    file = tmp_path / "out.csv"
    file.write_text("before")

    def broken() -> None:
        with opened(file) as out:
            out.write("half")
            raise MendbusError("the bus is gone")

    with pytest.raises(MendbusError):
        broken()
    assert file.read_text() == "before"
    with opened(file) as out:
        out.write("whole")
    assert file.read_text() == "whole"
    assert list(tmp_path.iterdir()) == [file]


@pytest.mark.parametrize("people", [True, False])
def test_progress_is_for_people(
    people: bool, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A terminal sees how far it is, and the line is gone at the end; a program sees nothing."""
    monkeypatch.setattr("sys.stderr.isatty", lambda: people)
    with Progress("exporting") as progress:
        progress.at(51, 1, 100)
    said = capsys.readouterr().err
    assert ("exporting  51%" in said) is people
    assert said.endswith("\r\x1b[K") is people
