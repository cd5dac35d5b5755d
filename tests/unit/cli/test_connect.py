"""Which installation a command talks to."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from mendbus.cli.connect import running, settings_of
from mendbus.contracts.errors import SettingsError

STATE = {"url": "nats://127.0.0.1:5555", "monitor_url": "http://127.0.0.1:6666", "http_port": 7}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("NATS_URL", raising=False)
    return tmp_path


def _write(folder: Path, **changes: object) -> None:
    (folder / "up.json").write_text(json.dumps(STATE | {"pid": os.getpid()} | changes))


def test_a_running_installation_is_found(folder: Path) -> None:
    """The data folder of a running `mendbus up` is enough to reach its server."""
    _write(folder)
    settings = settings_of(data_dir=str(folder))
    assert (settings.nats_url, settings.monitor_url) == (STATE["url"], STATE["monitor_url"])


def test_what_is_said_wins(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An option wins over the environment, the environment over what runs."""
    _write(folder)
    monkeypatch.setenv("NATS_URL", "nats://environment")
    assert settings_of(data_dir=str(folder)).nats_url == "nats://environment"
    assert settings_of("nats://option", "a.b", str(folder)).nats_url == "nats://option"
    assert settings_of("nats://option", "a.b", str(folder)).root == "a.b"


def test_an_installation_that_ended_is_not_found(folder: Path) -> None:
    """What a killed `mendbus up` left behind leads nobody to a server that is not there."""
    child = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, check=True)
    _write(folder, pid=int(child.stdout))
    assert running(folder) is None
    assert settings_of(data_dir=str(folder)).nats_url == "nats://127.0.0.1:4222"


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"pid": "x"}'])
def test_a_spoilt_state_file_is_no_installation(folder: Path, content: str) -> None:
    """A file that does not say what it should is as good as none."""
    (folder / "up.json").write_text(content)
    assert running(folder) is None


def test_wrong_settings_are_refused(folder: Path) -> None:
    """A root that is no subject is named."""
    with pytest.raises(SettingsError, match="ROOT"):
        settings_of(root="a b", data_dir=str(folder))
