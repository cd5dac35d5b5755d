"""Keeps processes running: what dies is started again, what has to stop gets its time, and nobody is left behind."""

import asyncio
import contextlib
import json
import logging
import os
import signal
import sys
from collections.abc import AsyncGenerator, Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, cast

from mendbus.contracts.errors import MendbusError, SettingsError
from mendbus.server import NatsServer, die_with_parent
from mendbus.settings import Settings

log = logging.getLogger("mendbus")

_FIRST_PAUSE_SECONDS = 0.5
_LONGEST_PAUSE_SECONDS = 10.0
_GOOD_RUN_SECONDS = 60.0
_STARTING_POLL_SECONDS = 0.1
_POLL_SECONDS = 1.0
_ASK_SECONDS = 2.0
_AFTER_DRAIN_SECONDS = 5.0
_WRONG_SETTINGS = 2
_DASHBOARD = "health-monitor"
"""The service that serves the dashboard."""

State = Literal["starting", "ready", "not ready", "restarting", "stopped"]


@dataclass(slots=True)
class Part:
    """One of the supervised, as people and `/readyz` see it."""

    name: str
    state: State = "starting"
    detail: str = ""
    pid: int = 0
    restarts: int = 0
    conditions: dict[str, Any] = field(default_factory=dict[str, Any])

    def report(self) -> dict[str, Any]:
        """For `/readyz`."""
        return {
            "ready": self.state == "ready",
            "state": self.state,
            "detail": self.detail,
            "pid": self.pid,
            "restarts": self.restarts,
            "conditions": self.conditions,
        }


class Board:
    """The state of every part; each change is told to `on_change`."""

    def __init__(self, names: Sequence[str], on_change: Callable[[Part], None]) -> None:
        self.parts = {name: Part(name) for name in names}
        self._on_change = on_change

    @property
    def ready(self) -> bool:
        """Whether every part is ready."""
        return all(part.state == "ready" for part in self.parts.values())

    def set(self, name: str, state: State, detail: str = "", pid: int = 0) -> None:
        """Records the state of a part, and its process id if it has one."""
        part = self.parts[name]
        if (part.state, part.detail, part.pid) != (state, detail, pid):
            part.state, part.detail, part.pid = state, detail, pid
            self._on_change(part)

    def restarting(self, name: str, why: str, seconds: float) -> None:
        """Records that a part is started again after so many seconds."""
        self.parts[name].restarts += 1
        self.set(name, "restarting", f"{why}; starting it again {f'in {seconds:g} s' if seconds else 'now'}")


class Backoff:
    """How long to wait before what died is started again: not at all, then 0.5 s, doubled, at most 10 s."""

    def __init__(self) -> None:
        self._next = 0.0

    def after(self, ran_seconds: float) -> float:
        """Seconds to wait after a run of this length; a good run (60 s) makes up for all deaths before it."""
        if ran_seconds >= _GOOD_RUN_SECONDS:
            self._next = 0.0
        wait = self._next
        self._next = min(_LONGEST_PAUSE_SECONDS, max(_FIRST_PAUSE_SECONDS, wait * 2))
        return wait


def ended(status: int) -> str:
    """An exit status in words."""
    if status >= 0:
        return f"ended with status {status}"
    try:
        return f"ended on {signal.Signals(-status).name}"
    except ValueError:
        return f"ended on signal {-status}"


async def keep_server(server: NatsServer, name: str, board: Board, stop: asyncio.Event) -> None:
    """Starts a server again, on the same ports, whenever it dies, and stops it in the end."""
    backoff, clock = Backoff(), asyncio.get_running_loop().time
    why = "did not start"
    while not stop.is_set():
        begun = clock()
        if server.running:
            board.set(name, "ready", pid=server.pid)
            await first(server.wait(), stop.wait())
            if stop.is_set():
                break
            status = await server.wait()
            why = f"{ended(status)}: {server.fatal_line()}" if status > 0 else ended(status)
        wait = backoff.after(clock() - begun)
        board.restarting(name, why, wait)
        await first(stop.wait(), timeout=wait)
        try:
            await server.begin_async()
        except MendbusError as error:
            why = str(error)
    await server.stop_async()
    board.set(name, "stopped")


@dataclass(slots=True)
class _Child:
    """One life of a service. `port` is where it answers once it is ready."""

    name: str
    process: asyncio.subprocess.Process
    ready: asyncio.Event
    port: int = 0


class Children:
    """Services as child processes of this one."""

    def __init__(self, settings: Settings, board: Board, stop: asyncio.Event, hurry: asyncio.Event) -> None:
        """`hurry` ends the patience with children that are slow to stop."""
        self._settings = settings
        self._board = board
        self._stop = stop
        self._hurry = hurry
        self._answering: dict[str, _Child] = {}

    async def keep(self, names: Sequence[str]) -> None:
        """Runs the services until `stop`. Raises `SettingsError` (in a group) when one cannot start with its own."""
        async with asyncio.TaskGroup() as group:
            poll = group.create_task(self._poll(), name="poll")
            async with asyncio.TaskGroup() as children:
                for name in names:
                    children.create_task(self._keep(name), name=f"keep {name}")
            poll.cancel()

    async def _keep(self, name: str) -> None:
        backoff, clock = Backoff(), asyncio.get_running_loop().time
        while not self._stop.is_set():
            begun = clock()
            status = await self._run(name)
            if self._stop.is_set():
                break
            if status == _WRONG_SETTINGS and self._board.parts[name].state == "starting":
                raise SettingsError([f"{name} cannot start with its settings: its own words are above"])
            wait = backoff.after(clock() - begun)
            self._board.restarting(name, ended(status), wait)
            await first(self._stop.wait(), timeout=wait)
        self._board.set(name, "stopped")

    async def _run(self, name: str) -> int:
        """One life of a child; returns its exit status."""
        async with self._spawn(name) as child:
            process = child.process
            await first(process.wait(), child.ready.wait(), self._stop.wait())
            if child.ready.is_set():
                self._answering[name] = child
                await self._ask(child)
                await first(process.wait(), self._stop.wait())
                del self._answering[name]
            if process.returncode is None:
                await self._end(child)
            return await process.wait()

    @contextlib.asynccontextmanager
    async def _spawn(self, name: str) -> AsyncGenerator[_Child]:
        reader, writer = os.pipe()
        settings = self._settings
        environment = os.environ | {
            "NATS_URL": settings.nats_url,
            "MENDBUS_MONITOR_URL": settings.monitor_url,
            "MENDBUS_DATA_DIR": str(settings.data_dir),
            "MENDBUS_HTTP_HOST": "127.0.0.1",
            "MENDBUS_HTTP_PORT": "0",
            "MENDBUS_DASHBOARD_PORT": str(settings.dashboard_port),
            "MENDBUS_READY_FD": str(writer),
        }
        if settings.dashboard_token and name == _DASHBOARD:
            environment["MENDBUS_DASHBOARD_TOKEN"] = settings.dashboard_token
        if settings.dashboard_credentials is not None and name == _DASHBOARD:
            environment["MENDBUS_DASHBOARD_CREDENTIALS"] = str(settings.dashboard_credentials)
        for setting in ("nats_credentials", "nats_ca", "trusted_keys"):
            if (file := getattr(settings, setting)) is not None:
                environment[f"MENDBUS_{setting.upper()}"] = str(file)
        try:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "mendbus.service", name),
                env=environment,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=2,  # standard output is for what this process itself has to say
                pass_fds=(writer,),
                start_new_session=True,  # so that Ctrl-C reaches the child only through its parent
                preexec_fn=die_with_parent(signal.SIGKILL),  # no other way to ask for the signal before exec
            )
        except BaseException:
            os.close(reader)
            raise
        finally:
            os.close(writer)
        child = _Child(name, process, asyncio.Event())
        loop = asyncio.get_running_loop()

        def hear() -> None:
            loop.remove_reader(reader)
            said = os.read(reader, 64).split()
            if len(said) == 2:
                child.port = int(said[1])
                child.ready.set()

        loop.add_reader(reader, hear)
        try:
            yield child
        finally:
            loop.remove_reader(reader)
            os.close(reader)
            if process.returncode is None:
                _send(process, signal.SIGKILL)

    async def _end(self, child: _Child) -> None:
        _send(child.process, signal.SIGTERM)
        patience = self._settings.drain_seconds + _AFTER_DRAIN_SECONDS
        await first(child.process.wait(), self._hurry.wait(), timeout=patience)
        if child.process.returncode is None:
            log.warning("%s did not end in time and is killed", child.name)
            _send(child.process, signal.SIGKILL)

    async def _poll(self) -> None:
        while True:
            await asyncio.sleep(_POLL_SECONDS if self._board.ready else _STARTING_POLL_SECONDS)
            await asyncio.gather(*map(self._ask, list(self._answering.values())))

    async def _ask(self, child: _Child) -> None:
        """Takes over what a child says of itself."""
        name = child.name
        try:
            async with asyncio.timeout(_ASK_SECONDS):
                conditions = (await readiness("127.0.0.1", child.port))["services"][name]["conditions"]
            unmet = [f"{condition}: {told['detail']}" for condition, told in conditions.items() if not told["ok"]]
        except (OSError, TimeoutError, ValueError, KeyError, TypeError):
            conditions, unmet = {}, ["does not answer /readyz"]
        # It may have died, or have been asked to stop, while it was asked.
        if self._answering.get(name) is child and child.process.returncode is None and not self._stop.is_set():
            self._board.parts[name].conditions = conditions
            self._board.set(name, "not ready" if unmet else "ready", "; ".join(unmet), child.process.pid)


async def readiness(host: str, port: int) -> dict[str, Any]:
    """What `/readyz` answers there, be it good or bad. Raises `OSError`, and `ValueError` where it is no JSON."""
    reader, writer = await asyncio.open_connection(host, port)
    try:
        writer.write(b"GET /readyz HTTP/1.0\r\n\r\n")
        answer = await reader.read(-1)
    finally:
        writer.close()
    return cast("dict[str, Any]", json.loads(answer.partition(b"\r\n\r\n")[2]))


async def first(*waits: Coroutine[Any, Any, object], timeout: float | None = None) -> None:
    """Returns when one of the waits is over, or after `timeout` seconds; the others are cancelled."""
    tasks = [asyncio.ensure_future(wait) for wait in waits]
    try:
        await asyncio.wait(tasks, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()


def _send(process: asyncio.subprocess.Process, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        process.send_signal(number)
