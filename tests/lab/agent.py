"""A reference agent: keeps the worker that does the work of its kind, serves it to others, and can be recovered.

`python -m tests.lab.agent KIND ID FOLDER PORT`. It listens on the port for JSON lines: `call` from users and other
agents, `status` and `inside` from the lab. `FOLDER/a` and `FOLDER/b` are its two sites. With the process id of the
agent that it is to take the place of as one more argument, it gets ready first, and then has that one end.
"""

import asyncio
import base64
import errno
import json
import logging
import os
import signal
import ssl
import sys
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import Any

import psutil
from tests.lab import site
from tests.lab.credentials import Serving, obey_permissions
from tests.lab.kinds import KINDS
from tests.lab.paces import Paces
from tests.lab.workers import CallerFault, Worker, WorkerDied, WorkerHung, WorkerStuck

from mendbus import Agent, Done, RecoveryCommand
from mendbus.contracts.vocabulary import Severity

log = logging.getLogger("mendbus.lab")

CALL_SECONDS = 2.0
TAKE_OVER_SECONDS = 1.0
PING_SECONDS = 0.1
HUNG_SECONDS = 0.6
STUCK_SECONDS = 1.5
"""More than any one of those that are asked may take."""
CHECKPOINT_SECONDS = 3.0
"""From one checkpoint to the next, at least; every operation is exercised for each."""
_CALM_SECONDS = 1.0
_FIRST_SECONDS = 0.25
_LAST_SECONDS = 1.0
_POLL_SECONDS = 0.005
_WORKER_GAUGES = ("worker_cpu", "worker_rss", "worker_threads", "worker_fds")
_LINE_BYTES = 1 << 26


def severity_of(error: BaseException) -> Severity | None:
    """What a failure says of the agent; None: it is one operation's, as far as this can tell."""
    return "critical" if isinstance(error, WorkerDied) or getattr(error, "grave", False) else None


class LabAgent:
    """What the process does."""

    def __init__(self, agent: Agent, kind: str, folder: Path, group: asyncio.TaskGroup) -> None:
        self.agent = agent
        self.kind = KINDS[kind]
        self.folder = folder
        self.site = "a"
        self.worker: Worker | None = None
        self.standby: Worker | None = None
        self.checkpoints = 0
        self._steady = asyncio.Event()
        """Not set while there is no worker on purpose: at the start, at the end, and while one takes over."""
        self.serving = Serving.read(folder)
        self._group = group
        self._under_way = 0
        self._failed_at = 0.0
        self._saved = b""
        self._level = 4
        self._off: set[str] = set()
        self._paces = Paces(self.kind.operations)
        self._numbers: dict[str, float | None] = {}
        self._used: dict[int, psutil.Process] = {}
        self._operations: dict[str, Callable[..., Awaitable[Any]]] = {}
        self._first = next(iter(self.kind.operations))
        for operation in self.kind.operations:
            self._declare(operation)
        for feature in self.kind.features:
            agent.feature(
                feature, on=lambda f=feature: self._feature(f, True), off=lambda f=feature: self._feature(f, False)
            )
        agent.level("workers", self._get_level, self._set_level)
        agent.state(snapshot=self._snapshot, restore=self._restore)
        _ = agent.handler("restart")(self._restart)
        _ = agent.handler("failover")(self._failover)
        _ = agent.probe()(self._probe_all)
        _ = agent.metrics(self._tell)
        _ = agent.severity(severity_of)

    def _declare(self, operation: str) -> None:
        async def call(*arguments: Any) -> Any:
            return await self._call(operation, "", arguments)

        async def probe() -> None:
            _ = await self._present().ask("probe", CALL_SECONDS, operation=operation)

        self._operations[operation] = self.agent.operation(operation, probe=probe)(call)
        for way in self.kind.ways.get(operation, ()):

            async def other(*arguments: Any, way: str = way) -> Any:
                return await self._call(operation, way, arguments)

            async def probe_other(way: str = way) -> None:
                _ = await self._present().ask("probe", CALL_SECONDS, operation=operation, way=way)

            _ = self.agent.fallback(operation, way, probe=probe_other)(other)

    # -- work

    async def call(self, operation: str, arguments: Sequence[Any]) -> Any:
        """An operation, for users and other agents. Raises what it raises, `PeerIsolated`, `TimeoutError`."""
        async with AsyncExitStack() as stack:
            for kind in self.kind.needs:
                stack.enter_context(self.agent.breaker(f"{kind}/lab"))
            # While a worker takes over, callers wait a moment: that is no failure of theirs to report.
            async with asyncio.timeout(TAKE_OVER_SECONDS):
                _ = await self._steady.wait()
            return await self._operations[operation](*arguments)

    async def _call(self, operation: str, way: str, arguments: tuple[Any, ...]) -> Any:
        begun = time.monotonic()
        self._under_way += 1
        try:
            value = await self._present().ask("call", CALL_SECONDS, operation=operation, arguments=arguments, way=way)
        except CallerFault as error:
            # Nothing failed here, and nothing here could be recovered.
            _ = self.agent.report(error, severity="warning", operation=operation)
            return error
        except Exception:
            self._failed_at = time.monotonic()
            raise
        finally:
            self._under_way -= 1
        self._time(operation, (time.monotonic() - begun) * 1000)
        return value

    def _time(self, operation: str, milliseconds: float) -> None:
        """Reports an operation that has been slower than its objective for a while, once."""
        slow = self._paces.slow(operation, milliseconds)
        if slow is not None:
            self._failed_at = time.monotonic()
            message, severity = slow
            _ = self.agent.report(type="SlowOperation", message=message, severity=severity, operation=operation)

    def _present(self) -> Worker:
        if self.worker is None:
            raise WorkerDied("there is no worker")
        return self.worker

    async def _probe_all(self) -> None:
        for operation in self.kind.operations:
            _ = await self._present().ask("probe", CALL_SECONDS, operation=operation)

    # -- workers

    async def warm(self) -> None:
        """Starts two workers, which take up no work yet."""
        self.worker = await self._new_worker()
        self.standby = await self._new_worker()

    async def start(self) -> None:
        """Has a worker take up the work on the first site; another stands by."""
        if self.worker is None:
            self.worker = await self._new_worker()
        await self.worker.open(str(self.folder / self.site))
        self._level = await self.worker.ask("level", CALL_SECONDS)
        if self.standby is None:
            self.standby = await self._new_worker()
        for name in ("_watch", "_checkpoint"):
            _ = self._group.create_task(getattr(self, name)(), name=name)

    def open(self) -> None:
        """Takes calls from now on."""
        self._steady.set()

    def close(self) -> None:
        """Takes no more: who calls waits for who comes next."""
        self._steady.clear()

    async def stop(self) -> None:
        """Ends all workers, once what is under way is done."""
        with suppress(TimeoutError):
            async with asyncio.timeout(_LAST_SECONDS):
                while self._under_way:
                    await asyncio.sleep(_POLL_SECONDS)
        unused = [worker for worker in (self.worker, self.standby) if worker is not None]
        self.worker = self.standby = None
        for worker in unused:
            await worker.kill()

    async def _new_worker(self) -> Worker:
        worker = await Worker.start(self.kind.name)
        worker.warned = self._warn
        _ = self._group.create_task(self._miss(worker), name=f"miss {worker.pid}")
        _ = await worker.warm
        return worker

    def _warn(self, name: str, message: str) -> None:
        _ = self.agent.report(type=name, message=message, severity="warning")

    async def _miss(self, worker: Worker) -> None:
        death = await worker.death()
        if worker is self.worker:
            self._failed_at = time.monotonic()
            # What a process died of is not to be seen in its status; that it was this agent's own is known here.
            _ = self.agent.report(death, severity="fatal", category="runtime", operation=self._first)
        elif worker is self.standby:
            self.standby = await self._new_worker()

    async def _watch(self) -> None:
        """Looks after the worker that serves: is it answering, what does it use."""
        told = None
        while True:
            await asyncio.sleep(PING_SECONDS)
            worker = self.worker
            if worker is None or not worker.alive:
                # What is not there uses nothing and has no queue: unknown, not as it was.
                self._numbers = dict.fromkeys(self._numbers)
                continue
            _ = self._group.create_task(self._ping(worker), name="ping")
            silent = time.monotonic() - worker.last_answer
            if silent > HUNG_SECONDS and told is not worker:
                told = worker
                self._failed_at = time.monotonic()
                hung = WorkerHung(f"worker process {worker.pid} has answered to nothing for {silent * 1000:.0f} ms")
                _ = self.agent.report(hung, severity="critical", category="runtime", operation=self._first)
            elif silent < HUNG_SECONDS and told is worker:
                told = None

    async def _ping(self, worker: Worker) -> None:
        with suppress(Exception):
            found = await worker.ask("ping", 5.0)
            if worker is self.worker:
                self._numbers["queue_depth"] = float(found["queue"])
                self._look_at_lanes(worker, found)

    def _look_at_lanes(self, worker: Worker, found: Mapping[str, Any]) -> None:
        """Reports a worker in which nothing has come to an end for long, although it has no lane free; once."""
        now = time.monotonic()
        if found["busy"] < found["limit"] or found["done"] != worker.done:
            worker.done, worker.ended_at, worker.stuck = found["done"], now, False
        elif now - worker.ended_at > STUCK_SECONDS and not worker.stuck:
            worker.stuck = True
            self._failed_at = now
            stuck = WorkerStuck(
                f"all {found['limit']} lanes of worker process {worker.pid} are busy, and none comes free"
            )
            _ = self.agent.report(stuck, severity="critical", category="concurrency", operation=self._first)

    def _tell(self) -> dict[str, float | None]:
        """Numbers for a health sample: an agent is its worker too, and what that uses, the agent uses."""
        worker, numbers = self.worker, dict(self._numbers)
        used = self._used
        self._used = {}
        if worker is None or not worker.alive:
            return numbers | dict.fromkeys(("cpu_percent", "memory_bytes", *_WORKER_GAUGES))
        with suppress(psutil.Error, OSError):
            self._used = {pid: used.get(pid) or psutil.Process(pid) for pid in (os.getpid(), worker.pid)}
            cpu = [process.cpu_percent() for process in self._used.values()]
            memory = [float(process.memory_info().rss) for process in self._used.values()]
            serves = self._used[worker.pid]
            # The first reading of a process has nothing to compare with.
            numbers["cpu_percent"] = sum(cpu) if self._used.keys() <= used.keys() else None
            numbers["memory_bytes"] = sum(memory)
            gauges = cpu[1], memory[1], float(serves.num_threads()), float(serves.num_fds())
            numbers |= dict(zip(_WORKER_GAUGES, gauges, strict=True))
        return numbers

    # -- what recovery needs

    async def _checkpoint(self) -> None:
        """Keeps what has proved good: every operation exercised, and nothing failed for a while."""
        while True:
            if time.monotonic() - self._failed_at > _CALM_SECONDS:
                with suppress(Exception):
                    await self._keep()
            # Until there is one nothing can be taken back: the first comes as soon as all is well.
            await asyncio.sleep(CHECKPOINT_SECONDS if self.checkpoints else _FIRST_SECONDS)

    async def _keep(self) -> None:
        begun = time.monotonic()
        await self._probe_all()
        content = base64.b64decode(await self._present().ask("snapshot", CALL_SECONDS))
        if self._failed_at < begun and content != self._saved:
            self._saved = content
            _ = self.agent.checkpoint()
            self.checkpoints += 1
            if self.site == "a":
                await asyncio.to_thread(site.replicate, self.folder / "a", self.folder / "b")

    def _snapshot(self) -> bytes:
        if not self._saved:
            raise RuntimeError("nothing has proved good yet")
        return self._saved

    async def _restore(self, content: bytes, _version: str | None) -> None:
        # A worker that has come upon what was bad may hold on to it: what is restored is for a fresh one.
        await asyncio.to_thread(site.restore, self.folder / self.site, content)
        _ = await self._replace(cold=False)

    async def _take_up(self, worker: Worker) -> None:
        await worker.open(str(self.folder / self.site))
        await worker.ask("set", CALL_SECONDS, workers=self._level)
        for feature in self._off:
            await worker.ask("set", CALL_SECONDS, feature=feature, on=False)

    async def _replace(self, cold: bool) -> str:
        old, standby = self.worker, self.standby
        self.worker = self.standby = None
        self._steady.clear()
        warm = not cold and standby is not None and standby.alive
        if old is not None:
            await old.kill()
        new = standby if warm and standby is not None else await self._new_worker()
        try:
            await self._take_up(new)
        finally:
            self.worker = new
            self._steady.set()
            self._paces.forget()
            _ = self._group.create_task(self._stand_by(None if warm else standby), name="standby")
        return f"{'warm' if warm else 'cold'}, process {new.pid} serves from site {self.site}"

    async def _stand_by(self, unused: Worker | None) -> None:
        if unused is not None:
            await unused.kill()
        self.standby = await self._new_worker()

    async def _restart(self, command: RecoveryCommand) -> str:
        return await self._replace(command.parameters.get("mode") == "cold")

    async def _failover(self, command: RecoveryCommand) -> Done:
        self.site = "b" if command.action == "apply" else "a"
        return Done(await self._replace(cold=False), code="in_place")

    def _get_level(self) -> int:
        return self._level

    async def _set_level(self, level: int) -> None:
        await self._present().ask("set", CALL_SECONDS, workers=level)
        self._level = level

    async def _feature(self, feature: str, on: bool) -> None:
        await self._present().ask("set", CALL_SECONDS, feature=feature, on=on)
        (self._off.discard if on else self._off.add)(feature)

    # -- serving

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answers one connection's questions, one after the other."""
        # Cancelled when the agent ends: whoever is connected then finds out at once, and may ask who comes next.
        with suppress(ConnectionError, asyncio.CancelledError):
            while line := await reader.readline():
                writer.write(json.dumps(await self._answer(json.loads(line))).encode() + b"\n")
                await writer.drain()
        writer.close()

    async def _answer(self, question: dict[str, Any]) -> dict[str, Any]:
        try:
            if question["do"] == "status":
                return {"value": self._status()}
            if question["do"] == "inside":
                worker = self._present()
                return {"value": await worker.ask("inside", 5.0, fault=question["fault"], **question["parameters"])}
            if question["do"] == "take_up":
                self.serving.load()
                return {"value": await self._take_up(self._present())}
            self.serving.admit(question)
            value = await self.call(question["operation"], question["arguments"])
            if isinstance(value, CallerFault):
                raise value
            return {"value": value}
        except Exception as error:
            return {"error": type(error).__name__, "message": str(error)}

    def _status(self) -> dict[str, Any]:
        return {
            "ready": self.agent.stats().ready and self.checkpoints > 0,
            "pid": self.worker.pid if self.worker and self.worker.alive else 0,
            "standby": self.standby.pid if self.standby else 0,
            "site": self.site,
            "level": self._level,
            "off": sorted(self._off),
            "checkpoints": self.checkpoints,
        }


async def _listen(lab: LabAgent, port: int, context: ssl.SSLContext | None = None) -> asyncio.Server:
    """Listens as soon as nobody else does."""
    while True:
        try:
            return await asyncio.start_server(lab.serve, "127.0.0.1", port, limit=_LINE_BYTES, ssl=context)
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
            await asyncio.sleep(_POLL_SECONDS)


async def _gone(process: int) -> None:
    """Waits until a process works no more: it has ended, or has no children left."""
    with suppress(psutil.NoSuchProcess):
        while psutil.Process(process).children():
            await asyncio.sleep(_POLL_SECONDS)


async def run(kind: str, id_: str, folder: Path, port: int, before: int = 0) -> None:
    """Runs until SIGTERM. `before`: the process whose place it takes."""
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    depends = [f"{needed}/{id_}" for needed in KINDS[kind].needs]
    agent = Agent(kind, id_, depends_on=depends)
    async with asyncio.TaskGroup() as group:
        lab = LabAgent(agent, kind, folder, group)
        if before:
            await lab.warm()
            os.kill(before, signal.SIGTERM)
        # The address is there before the work is: who depends on it finds out what is missing by asking.
        servers = [await _listen(lab, port)]
        servers += [await _listen(lab, own, context) for own, context in lab.serving.contexts.items()]
        if before:
            await _gone(before)
        await lab.start()
        async with agent:
            lab.open()
            _ = await stop.wait()
            lab.close()
            for server in servers:
                server.close()
            # What ends from here on is no failure, and nobody is told of it.
        await lab.stop()
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            _ = task.cancel()


if __name__ == "__main__":
    obey_permissions()
    with suppress(asyncio.CancelledError):
        asyncio.run(run(sys.argv[1], sys.argv[2], Path(sys.argv[3]), *map(int, sys.argv[4:])))
