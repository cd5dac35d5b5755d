"""Everything on one machine: a NATS server, the five services, and one place to ask how they are.

`mendbus up` ends in `python -m mendbus.up OPTIONS` (JSON), so that the command line takes no memory meanwhile.
"""

import asyncio
import contextlib
import fcntl
import json
import logging
import os
import secrets
import signal
import socket
import sys
from collections.abc import AsyncGenerator, Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self
from urllib.parse import quote

import mendbus.bus.nats as nats_bus
from mendbus import http, streams
from mendbus.contracts.errors import CredentialsError, MendbusError, SettingsError
from mendbus.contracts.vocabulary import SERVICES
from mendbus.logs import configure_logging
from mendbus.security.access import access
from mendbus.security.credentials import ADMIN, DASHBOARD
from mendbus.security.files import is_open, place
from mendbus.server import NatsServer
from mendbus.service import exit_status, find_service, run_loop, run_services
from mendbus.settings import LEAST_TOKEN, Settings, from_environment
from mendbus.supervisor import Backoff, Board, Children, Part, first, keep_server
from mendbus.whereabouts import DASHBOARD_PORT, STATE_FILE

log = logging.getLogger("mendbus")

NATS: Final = "nats-server"
"""Name of the server among the parts."""
SECURE: Final = "secure"
"""Folder below the data folder with users, keys and certificates."""
DASHBOARD_FILE: Final = "dashboard.token"
"""Below the data folder: the token for actions in the dashboard, kept so that an open page goes on working."""

_CONNECT_SECONDS = 5.0
_TOKEN_BYTES: Final = 24
_ENDING = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


@dataclass(frozen=True, slots=True)
class Options:
    """What `mendbus up` was asked for. Ports: 0 takes any free one."""

    nats_port: int
    http_port: int
    data_dir: str
    single_process: bool = False
    json: bool = False
    dashboard_port: int = -1
    """-1: no dashboard."""
    secure: bool = False

    @classmethod
    def from_json(cls, text: str) -> Self:
        """What the command line hands over."""
        return cls(**json.loads(text))


class Voice:
    """Tells whoever started this, on standard output: nothing before everything is ready, then each change.

    Keeps the state file current too. What happens before is in the log.
    """

    def __init__(self, folder: Path, *, as_json: bool) -> None:
        self._file = folder / STATE_FILE
        self._json = as_json
        self._addresses: dict[str, Any] = {}
        self.dashboard = ""
        """Where the dashboard is; empty: nowhere."""
        self.token = ""
        """With which it may act. For people alone: what programs are told ends in logs."""
        self.token_file: Path | None = None
        """Where the token is kept; none: whoever started this has given it."""
        self.secured: dict[str, Path] = {}
        """Settings with which a user gets in; none where everybody does."""
        self._pids: dict[str, int] = {}
        self._started = False
        self._ended = False

    def reached(self, server: NatsServer, host: str, port: int) -> None:
        """The addresses are known."""
        self._addresses = {
            "url": server.url,
            "monitor_url": server.monitor_url,
            "http_url": _url(host, port),
            "http_port": port,
            "pid": os.getpid(),
        }
        if self.dashboard:
            self._addresses["dashboard_url"] = self.dashboard
        if self.secured:
            self._addresses["secured"] = {name: str(file) for name, file in self.secured.items()}
        self._keep()

    def ready(self, parts: Sequence[Part]) -> None:
        """Everything is ready; only the first time counts."""
        if self._started:
            return
        self._started = True
        url, http_url = self._addresses["url"], self._addresses["http_url"]
        self._say({"event": "nats", "url": url}, f"NATS  {url}")
        self._say({"event": "http", "url": http_url}, f"HTTP  {http_url}")
        for part in parts:
            self.changed(part)
        if self.dashboard:
            told = {"event": "dashboard", "url": self.dashboard}
            if self.token_file is not None:
                told["token_file"] = str(self.token_file)
            self._say(told, f"dashboard          {self.dashboard}#token={quote(self.token, safe='')}")
        self._say({"event": "ready"}, "")

    def changed(self, part: Part) -> None:
        """A part is in another state, or has another process."""
        if part.pid:
            self._pids[part.name] = part.pid
        else:
            self._pids.pop(part.name, None)
        self._keep()
        if self._started and not self._ended:
            process = f"pid {part.pid}" if part.state == "ready" else ""
            told = {"name": part.name, "state": part.state, "detail": part.detail, "pid": part.pid}
            line = f"{part.name:<18} {part.state:<11} {process}{part.detail}"
            self._say({"event": "part"} | told, line.rstrip())
        elif part.state in ("restarting", "not ready") and not self._ended:
            log.warning("%s: %s", part.name, part.detail)

    def stopping(self) -> None:
        """The end has begun, and is not told in detail."""
        self._ended = True
        if self._started:
            self._say({"event": "stopping"}, "stopping")

    def gone(self) -> None:
        """There is nobody to be reached any more."""
        self._addresses = {}
        self._file.unlink(missing_ok=True)

    def _say(self, event: Mapping[str, Any], line: str) -> None:
        text = json.dumps(event) if self._json else line
        if not text:
            return
        try:
            sys.stdout.write(text + "\n")
            sys.stdout.flush()
        except BrokenPipeError:
            # The reader is gone: no reason to stop, now or when Python flushes at the end.
            with open(os.devnull, "w", encoding="utf-8") as nowhere:
                os.dup2(nowhere.fileno(), sys.stdout.fileno())

    def _keep(self) -> None:
        if not self._addresses:
            return
        fresh = self._file.with_suffix(".new")
        try:
            fresh.write_text(json.dumps(self._addresses | {"pids": self._pids}) + "\n", encoding="utf-8")
            fresh.replace(self._file)
        except OSError as error:
            # A full disk must not end what could survive it.
            log.warning("%s is not current: %s", self._file, error)


async def up(options: Options, folder: Path, settings: Settings) -> None:
    """Runs everything, its files in `folder`, until SIGTERM, SIGINT or SIGHUP; a second one hurries the end.

    Raises `MendbusError` when the server cannot start, a port is taken, or this data folder is in use already.
    """
    stop, hurry = asyncio.Event(), asyncio.Event()
    voice = Voice(folder, as_json=options.json)

    def asked_to_stop() -> None:
        if stop.is_set():
            hurry.set()
        else:
            stop.set()
            voice.stopping()

    _on_signals(asked_to_stop)

    def changed(part: Part) -> None:
        voice.changed(part)
        if board.ready:
            voice.ready(list(board.parts.values()))

    board = Board((NATS, *SERVICES), changed)
    with _alone(folder):
        if options.secure:
            voice.secured, dashboard = _secured(folder, settings, dashboard=options.dashboard_port >= 0)
            settings = settings.model_copy(update=voice.secured | dashboard)
        server = await _launch(folder, options.nats_port, secure=options.secure)
        reach = {"nats_url": server.url, "monitor_url": server.monitor_url, "data_dir": folder}
        settings = settings.model_copy(update=reach | {"http_port": options.http_port})
        settings = _with_dashboard(settings, options.dashboard_port, folder, voice)
        try:
            await _ensure_streams(settings)
            async with _kept(server, board):
                if options.single_process:
                    await _in_this_process(settings, server, board, voice, stop)
                else:
                    await _as_children(settings, server, board, voice, stop, hurry)
        finally:
            voice.gone()
            await server.stop_async()


@contextlib.asynccontextmanager
async def _kept(server: NatsServer, board: Board) -> AsyncGenerator[None]:
    """Starts the server again whenever it ends, until nobody needs it any more."""
    services_gone = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        group.create_task(keep_server(server, NATS, board, services_gone), name="keep nats-server")
        try:
            yield
        finally:
            services_gone.set()


async def _as_children(
    settings: Settings, server: NatsServer, board: Board, voice: Voice, stop: asyncio.Event, hurry: asyncio.Event
) -> None:
    """Each service a process, and one HTTP server that answers for all of them."""

    def livez() -> http.Answer:
        return True, {"live": True}

    def readyz() -> http.Answer:
        reports = {name: part.report() for name, part in board.parts.items()}
        nats = reports.pop(NATS)
        return board.ready and not stop.is_set(), {"nats": nats, "services": reports}

    routes = {"/livez": livez, "/readyz": readyz}
    with _port_taken(settings):
        answering = await http.serve_health(settings.http_host, settings.http_port, routes)
    try:
        voice.reached(server, settings.http_host, http.port_of(answering))
        await Children(settings, board, stop, hurry).keep(SERVICES)
    finally:
        answering.close()


async def _in_this_process(
    settings: Settings, server: NatsServer, board: Board, voice: Voice, stop: asyncio.Event
) -> None:
    """All services on this event loop; when one fails for good, all are started again."""
    services = [find_service(name) for name in SERVICES]
    backoff, clock = Backoff(), asyncio.get_running_loop().time

    was_ready = False

    def ready(port: int) -> None:
        nonlocal settings, was_ready
        was_ready = True
        settings = settings.model_copy(update={"http_port": port})  # the same one after a restart
        voice.reached(server, settings.http_host, port)
        for name in SERVICES:
            board.set(name, "ready", pid=os.getpid())

    while not stop.is_set():
        begun = clock()
        try:
            with _port_taken(settings):
                await run_services(services, settings, stop=stop, on_ready=ready)
        except* SettingsError:
            raise
        except* Exception as group:
            if not was_ready:
                raise
            log.exception("the services ended together")
            wait = backoff.after(clock() - begun)
            for name in SERVICES:
                board.restarting(name, str(group.exceptions[0]), wait)
            await first(stop.wait(), timeout=wait)
    for name in SERVICES:
        board.set(name, "stopped")


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs `up` with `Options` as JSON; returns the exit status (2: wrong settings, 1: failed)."""
    options = Options.from_json((sys.argv[1:] if arguments is None else arguments)[0])
    try:
        settings = from_environment()
        configure_logging(settings, "up")
        folder = Path(options.data_dir).absolute()
        folder.mkdir(parents=True, exist_ok=True)
        run_loop(up(options, folder, settings))
    except OSError as error:
        _complain(str(error))
        return 1
    except (MendbusError, BaseExceptionGroup) as failure:
        return exit_status(failure, _complain)
    return 0


def _complain(text: str) -> None:
    sys.stderr.write(f"mendbus up: {text}\n")


def _on_signals(handler: Callable[[], None]) -> None:
    loop = asyncio.get_running_loop()
    for number in _ENDING:
        # nohup ignores the hang-up on purpose; shells ignore SIGINT for whatever they start with `&`
        if number is not signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN:
            loop.add_signal_handler(number, handler)
    # `mendbus up` held them back while this was loading
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _ENDING)


@contextlib.contextmanager
def _alone(folder: Path) -> Generator[None]:
    """Holds the data folder: two servers on the same files would spoil them. Raises `MendbusError`."""
    with (folder / "up.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise MendbusError(f"another `mendbus up` uses {folder}: stop it, or choose another --data-dir") from None
        yield


def _secured(folder: Path, settings: Settings, *, dashboard: bool) -> tuple[dict[str, Path], dict[str, Path]]:
    """Makes users, keys and certificates if there are none; the settings of everybody, and the dashboard's.

    Raises `CredentialsError`.
    """
    from mendbus.security import installation  # only who asks for it loads it

    users = installation.ensure(folder / SECURE, settings.subjects)
    if dashboard and DASHBOARD not in users.users:
        _ = users.add(DASHBOARD, "operator")
        users.render()
    own = {"dashboard_credentials": users.file(DASHBOARD)} if dashboard else {}
    return installation.settings_of(folder / SECURE), own


async def _launch(folder: Path, port: int, *, secure: bool) -> NatsServer:
    extra = f'include "../{SECURE}/nats-secure.conf"' if secure else ""
    try:
        return await NatsServer.launch(folder / "nats", port, extra=extra)
    except MendbusError as error:
        hint = f"; if port {port} is taken, choose another with --nats-port (0: any free one)" if port else ""
        raise MendbusError(f"{error}{hint}") from None


@contextlib.contextmanager
def _port_taken(settings: Settings) -> Generator[None]:
    try:
        yield
    except OSError as error:
        where = f"{settings.http_host}:{settings.http_port}"
        raise MendbusError(f"cannot listen on {where} ({error}): choose another port with --http-port") from None


def _url(host: str, port: int) -> str:
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"


def _with_dashboard(settings: Settings, wanted: int, folder: Path, voice: Voice) -> Settings:
    """Settings with the dashboard's port and token, which `voice` is to tell; with none where the port `wanted` is -1.

    Raises `MendbusError`.
    """
    if wanted < 0:
        return settings.model_copy(update={"dashboard_port": -1})
    port = _free_port(settings.dashboard_host, wanted)
    if not settings.dashboard_token:
        voice.token_file = folder / DASHBOARD_FILE
    voice.token = settings.dashboard_token or _kept_token(folder / DASHBOARD_FILE)
    voice.dashboard = f"{_url(settings.dashboard_host, port)}/"
    return settings.model_copy(update={"dashboard_port": port, "dashboard_token": voice.token})


def _free_port(host: str, port: int) -> int:
    """A port that is free now: this one, or any where it is 0 or the usual one is taken. Raises `MendbusError`."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_STREAM) as one:
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            one.bind((host, port))
            return int(one.getsockname()[1])
    except OSError as error:
        if port == DASHBOARD_PORT:
            return _free_port(host, 0)
        raise MendbusError(
            f"the dashboard cannot listen on {host}:{port} ({error}): choose another port with --dashboard-port"
        ) from None


def _kept_token(file: Path) -> str:
    """The token that is kept in a file; a new one where there is none, or it is spoilt.

    Raises `CredentialsError` when everybody can read it, or it cannot be written.
    """
    if file.exists():
        if is_open(file):
            raise CredentialsError(f"{file} can be read by everybody: remove it, and a new token is made")
        token = file.read_text("ascii", errors="replace").strip()
        if len(token) >= LEAST_TOKEN and token.isascii():
            return token
        file.unlink()
    token = secrets.token_urlsafe(_TOKEN_BYTES)
    place(file, f"{token}\n")
    return token


async def _ensure_streams(settings: Settings) -> None:
    """Once before all services do it at the same time."""
    user = access(settings, ADMIN)
    bus = await nats_bus.connect(settings.nats_url, name="up", connect_timeout=_CONNECT_SECONDS, access=user)
    try:
        for drift in await streams.ensure(bus, settings.subjects, settings.stream_max_bytes, settings.stream_replicas):
            log.warning("the server differs from what is needed: %s", drift)
    finally:
        await bus.close()


if __name__ == "__main__":
    sys.exit(main())
