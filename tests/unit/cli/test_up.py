"""`mendbus up` without processes: what it makes of failures."""

import asyncio
import json
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mendbus import up
from mendbus.contracts.errors import CredentialsError, MendbusError, SettingsError
from mendbus.contracts.vocabulary import SERVICES
from mendbus.server import NatsServer
from mendbus.service import Died
from mendbus.settings import Settings
from mendbus.supervisor import Board


def _options(folder: Path) -> str:
    return json.dumps({"nats_port": 0, "http_port": 0, "data_dir": str(folder)})


def test_a_data_folder_that_cannot_be_is_a_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Where a file stands, no folder can be made: status 1, and the file is named."""
    (tmp_path / "file").touch()
    assert up.main([_options(tmp_path / "file" / "data")]) == 1
    assert str(tmp_path / "file") in capsys.readouterr().err


@pytest.mark.parametrize(
    ("failure", "status"),
    [
        (MendbusError("no way"), 1),
        (ExceptionGroup("", [ExceptionGroup("", [SettingsError(["wrong"])]), MendbusError("no way")]), 2),
    ],
)
def test_failures_are_sentences(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    failure: Exception,
    status: int,
) -> None:
    """The project's own errors are said however deep they come; wrong settings are status 2."""

    async def fail(*_: object) -> None:
        raise failure

    monkeypatch.setattr(up, "up", fail)
    assert up.main([_options(tmp_path)]) == status
    assert "mendbus up: no way" in capsys.readouterr().err


def test_a_bug_is_not_hidden(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is no error of the project's own keeps its traceback."""

    async def fail(*_: object) -> None:
        raise ExceptionGroup("", [RuntimeError("a bug")])

    monkeypatch.setattr(up, "up", fail)
    with pytest.raises(ExceptionGroup):
        up.main([_options(tmp_path)])


async def test_services_that_fail_together_are_started_again_on_their_port(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In one process, too, what dies is started again; the address does not change."""
    ports: list[int] = []

    async def run(
        services: list[Any], settings: Settings, *, stop: asyncio.Event, on_ready: Callable[[int], None]
    ) -> None:
        assert [service.name for service in services] == list(SERVICES)
        ports.append(settings.http_port)
        if len(ports) == 2:
            raise OSError("not yet")
        on_ready(5000)
        if len(ports) == 1:
            raise ExceptionGroup("", [Died("the connection is deaf")])
        stop.set()

    monkeypatch.setattr(up, "run_services", run)
    monkeypatch.setattr("mendbus.supervisor._FIRST_PAUSE_SECONDS", 0.01)
    stop, told = asyncio.Event(), []
    board = Board((up.NATS, *SERVICES), lambda part: told.append((part.name, part.state, part.detail)))
    voice = up.Voice(tmp_path, as_json=False)
    await up._in_this_process(Settings(http_port=0), NatsServer(tmp_path), board, voice, stop)
    assert ports == [0, 5000, 5000]
    states = [state for name, state, _ in told if name == "executor"]
    assert states == ["ready", "restarting", "restarting", "ready", "stopped"]
    assert ("executor", "restarting", "the connection is deaf; starting it again now") in told


async def test_services_that_cannot_start_together_are_not_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What fails before it was ever ready fails for the person who started it."""

    async def run(*_: object, **__: object) -> None:
        raise RuntimeError("broken")

    monkeypatch.setattr(up, "run_services", run)
    board = Board((up.NATS, *SERVICES), lambda _part: None)
    with pytest.raises(ExceptionGroup):
        await up._in_this_process(
            Settings(http_port=0), NatsServer(tmp_path), board, up.Voice(tmp_path, as_json=False), asyncio.Event()
        )


def test_the_dashboard_s_token_is_made_once_and_kept_to_its_owner(tmp_path: Path) -> None:
    """The next start has the same one, for pages that are open; a file that was spoilt is made anew."""
    file = tmp_path / up.DASHBOARD_FILE
    token = up._kept_token(file)  # pyright: ignore[reportPrivateUsage]
    assert len(token) >= 32
    assert file.stat().st_mode & 0o777 == 0o600
    assert up._kept_token(file) == token  # pyright: ignore[reportPrivateUsage]
    for spoilt in (b"short\n", b"\xff" * 40):
        file.write_bytes(spoilt)
        fresh = up._kept_token(file)  # pyright: ignore[reportPrivateUsage]
        assert (len(fresh), fresh.isascii()) == (len(token), True)
        assert file.read_bytes() == f"{fresh}\n".encode()
        assert file.stat().st_mode & 0o777 == 0o600
    file.chmod(0o604)
    with pytest.raises(CredentialsError, match="can be read by everybody"):
        up._kept_token(file)  # pyright: ignore[reportPrivateUsage]


def test_a_port_that_is_taken_is_said_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that was asked for is an error that names the option; instead of the usual one any other does."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(MendbusError, match=f":{port} .*--dashboard-port"):
            up._free_port("127.0.0.1", port)  # pyright: ignore[reportPrivateUsage]
        monkeypatch.setattr(up, "DASHBOARD_PORT", port)
        assert up._free_port("127.0.0.1", port) not in (0, port)  # pyright: ignore[reportPrivateUsage]
