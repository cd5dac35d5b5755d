"""The outbox's file."""

from pathlib import Path

import pytest

from mendbus.sdk.disk import DiskKeeper, OutboxError
from mendbus.sdk.entries import Entry


def entry(name: str = "e1", count: int = 1) -> Entry:
    return Entry(name, ("kept", name), "error", None, count, 1, 2, 10, body=b"body")


def test_a_file_has_one_holder(tmp_path: Path) -> None:
    """A second process that opens the same outbox is told so."""
    first = DiskKeeper(tmp_path, "runtime", "r1")
    first.keep([(entry(), b"body")], [])
    with pytest.raises(OutboxError, match="does another process hold it"):
        DiskKeeper(tmp_path, "runtime", "r1")
    DiskKeeper(tmp_path, "runtime", "r2").close()
    first.close()


def test_a_file_that_is_none_is_told(tmp_path: Path) -> None:
    """A path that cannot be used gives an error that names it."""
    (tmp_path / "runtime.r1.outbox").write_bytes(b"this is no database, " * 100)
    with pytest.raises(OutboxError, match=r"runtime\.r1\.outbox"):
        DiskKeeper(tmp_path, "runtime", "r1")
    (tmp_path / "file").write_text("")
    with pytest.raises(OutboxError, match="cannot be opened"):
        DiskKeeper(tmp_path / "file", "runtime", "r1")


def test_writes_are_all_or_nothing(tmp_path: Path) -> None:
    """A row that cannot be written leaves everything as it was, and the file stays of use."""
    keeper = DiskKeeper(tmp_path, "runtime", "r1")
    broken = entry("e2")
    broken.count = None  # type: ignore[assignment]
    with pytest.raises(OutboxError, match="cannot be written"):
        keeper.keep([(entry("e1"), b"body"), (broken, b"body")], [])
    assert keeper.load() == []
    keeper.keep([(entry("e1", 3), b"body")], [])
    keeper.keep([(entry("e1", 3), None)], [])
    assert [(kept.id, kept.count) for kept in keeper.load()] == [("e1", 3)]
    assert keeper.body("e1") == b"body"
    keeper.keep([], ["e1"])
    assert keeper.load() == []
    keeper.close()
    with pytest.raises(OutboxError):
        keeper.load()
    with pytest.raises(OutboxError):
        keeper.body("e1")
