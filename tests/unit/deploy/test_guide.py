"""k8s/README.md: its tables are those of the code."""

from k8s.reference import README, render, settings_table, streams_table

from mendbus.settings import Settings


def test_tables_are_current() -> None:
    """The settings and streams in the operating guide are those of the code; `k8s/reference.py` makes it so."""
    text = README.read_text(encoding="utf-8")
    assert render(text) == text


def test_every_setting_and_stream_is_described() -> None:
    """Each setting has a row with words in it, and so has each stream."""
    rows = settings_table().splitlines()[2:]
    assert len(rows) == len(Settings.model_fields)
    assert all(len(row.split(" | ")[2]) > 10 for row in rows)
    assert "ERRORS" in streams_table()
