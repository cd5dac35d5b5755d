"""The NATS server as a child process."""

import asyncio
import signal
import sys
import time
from pathlib import Path

import pytest
from tests.integration.streams import hang

from mendbus.contracts.errors import MendbusError
from mendbus.server import NatsServer, syncs_always
from mendbus.testing import nats_server as running_server


async def test_server_syncs_and_says_so(doomed_server: NatsServer) -> None:
    """The embedded server syncs every write, and `syncs_always` sees it; where nothing can be seen it says None."""
    assert await syncs_always(doomed_server.monitor_url) is True
    assert await syncs_always("http://127.0.0.1:1") is None
    assert await syncs_always(doomed_server.url.replace("nats://", "http://"), timeout=0.3) is None
    assert await syncs_always(f"{doomed_server.monitor_url}/nowhere") is None


async def test_hung_server_is_not_waited_for(doomed_server: NatsServer) -> None:
    """The question whether a server syncs has a deadline."""
    hang(doomed_server.pid)
    assert await syncs_always(doomed_server.monitor_url, timeout=0.1) is None


def test_server_keeps_its_ports_and_its_data(tmp_path: Path) -> None:
    """Restarted, the server is at the same addresses; started twice, it refuses."""
    server = NatsServer.start(tmp_path)
    url, monitor, pid = server.url, server.monitor_url, server.pid
    with pytest.raises(MendbusError, match="runs already"):
        server.begin()
    server.restart()
    assert (server.url, server.monitor_url) == (url, monitor)
    assert server.pid != pid
    server.stop()
    server.stop()
    assert not server.running


def test_port_in_use_is_told_in_the_servers_own_words(tmp_path: Path) -> None:
    """A server that cannot listen says why."""
    with running_server(tmp_path / "one") as first:
        port = int(first.url.rpartition(":")[2])
        with pytest.raises(MendbusError, match="address already in use"):
            NatsServer.start(tmp_path / "two", port)


def test_bad_configuration_is_told_in_the_servers_own_words(tmp_path: Path) -> None:
    """A configuration that the server does not understand is quoted in the error."""
    with pytest.raises(MendbusError, match="nats-server:"):
        NatsServer.start(tmp_path, extra="nonsense: {")


async def test_end_of_the_server_can_be_waited_for(tmp_path: Path) -> None:
    """`wait` returns the exit status once the server has ended, and a server that hangs is stopped in time."""
    server = await NatsServer.launch(tmp_path)
    waiting = asyncio.create_task(server.wait())
    hang(server.pid)
    await server.stop_async(timeout=0.2)
    assert await waiting == -signal.SIGKILL


def test_server_does_not_outlive_its_parent(tmp_path: Path) -> None:
    """A parent that is killed takes its server along."""
    code = (
        "import sys, time, pathlib; from mendbus.server import NatsServer\n"
        f"print(NatsServer.start(pathlib.Path({str(tmp_path)!r})).pid, flush=True); time.sleep(60)"
    )
    import subprocess

    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        parent.kill()
    deadline = time.monotonic() + 5
    while _alive(pid) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not _alive(pid)


def _alive(pid: int) -> bool:
    try:
        return " Z " not in Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
