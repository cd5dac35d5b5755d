"""The policy file is read again when it changes, and refused whole when it is wrong."""

import os
from pathlib import Path

import pytest

from mendbus_strategy_selector.policies import Policies


def write(file: Path, text: str, stamp: int) -> None:
    """A file as it is at a time."""
    file.write_text(text)
    os.utime(file, (stamp, stamp))


def test_a_changed_file_is_taken_over(tmp_path: Path) -> None:
    """The next look has the new values and another digest; an untouched file changes nothing."""
    file = tmp_path / "policy.toml"
    write(file, "settle_seconds = 1.0\n", 1)
    policies = Policies(file)
    first = policies.current
    policies.look()
    assert policies.current is first
    write(file, "settle_seconds = 2.0\n", 2)
    policies.look()
    assert policies.current.settle_seconds == 2.0
    assert policies.current.digest != first.digest


def test_a_wrong_file_is_refused_whole_and_everything_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The old policy stays, each error is logged, and a right file is taken over again."""
    file = tmp_path / "policy.toml"
    write(file, "settle_seconds = 1.0\n", 1)
    policies = Policies(file)
    write(file, 'settle_seconds = 3.0\nnonsense = 1\nfirst = "pray"\n', 2)
    policies.look()
    assert policies.current.settle_seconds == 1.0
    assert len(policies.problems) == 2
    assert "nonsense" in caplog.text
    assert "first" in caplog.text
    file.unlink()
    policies.look()
    assert policies.current.settle_seconds == 1.0
    write(file, "settle_seconds = 4.0\n", 3)
    policies.look()
    assert (policies.current.settle_seconds, policies.problems) == (4.0, [])


async def test_without_a_file_there_is_nothing_to_watch() -> None:
    """The default policy stays."""
    policies = Policies(None)
    await policies.watch()
    assert policies.problems == []
