"""The runtime agent: runs the newest good build in a worker process, reloads it when that changes, and serves calls.

`python -m mendbus.demo.runtime_agent OUT SELFCHECK`. A second worker stands by with the last build that proved good, so
that the death of the first costs no start.
"""

import asyncio
import logging
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from mendbus import Agent, RecoveryCommand
from mendbus.demo.builds import MANIFEST, Build
from mendbus.demo.lines import Lines, changes
from mendbus.demo.workers import FailedInWorker, Worker, WorkerDied

log = logging.getLogger("mendbus.demo")

KIND: Final = "runtime"
ID: Final = "demo-runtime"
READY_SECONDS: Final = 10.0


class WrongAnswerError(Exception):
    """The loaded code answers otherwise than it did when it was found good."""


class RuntimeAgent:
    """Holds the workers; failures go to Mendbus through `agent`, and what came of each build to `lines`."""

    def __init__(self, agent: Agent, out: Path, selfcheck: str, lines: Lines, group: asyncio.TaskGroup) -> None:
        self._agent = agent
        self._out = out
        self._selfcheck = selfcheck
        self._lines = lines
        self._group = group
        self._worker: Worker | None = None
        self._standby: Worker | None = None
        self._loaded: Build | None = None
        self._good: Build | None = None
        self._wanted: Build | None = None
        self._reloaded: list[str] = []
        self._answers: dict[str, Any] = {}
        self._stopped = False
        self._reload = agent.operation("reload", probe=self._probe)(self._load)
        self._serve = agent.operation("serve", probe=self._probe)(self._call)
        _ = agent.handler("restart")(self._restart)
        agent.state(snapshot=self._snapshot, restore=self._restore)

    async def start(self) -> None:
        """Starts both workers. Raises `OSError`."""
        self._worker = await self._new_worker()
        self._standby = await self._new_worker()

    async def watch(self) -> None:
        """Loads the newest good build now, and again whenever there is another, for ever."""
        manifest = self._out / MANIFEST
        async for _ in changes(manifest):
            if not manifest.exists():
                continue
            build = Build.from_json(manifest.read_bytes())
            try:
                await self._reload(build)
            except (FailedInWorker, WorkerDied) as error:
                log.info("build %d is not served: %s", build.number, error)

    async def stop(self) -> None:
        """Ends both workers, and those that are being started."""
        self._stopped = True
        for worker in (self._worker, self._standby):
            if worker is not None:
                await worker.retire()

    async def call(self, function: str, arguments: list[Any]) -> dict[str, Any]:
        """Calls `module:function` of the loaded code; its value and the worker process that gave it."""
        return await self._serve(function, arguments)

    async def status(self) -> dict[str, Any]:
        """Which build is loaded in which worker, and the modules that were reloaded for it."""
        build = self._loaded.id if self._loaded else ""
        return {"build": build, "worker": self._present().pid, "reloaded": self._reloaded}

    # -- operations

    async def _load(self, build: Build) -> None:
        """Reloads a build in the worker that serves. Raises `FailedInWorker` or `WorkerDied`."""
        worker = self._present()
        self._loaded, self._wanted = None, build
        self._reloaded = await worker.load(build)
        self._answers[build.id] = await worker.call(self._selfcheck)
        self._loaded = self._good = build
        _ = self._agent.checkpoint(build.id)
        self._lines.tell("loaded", number=build.number)
        # Only what proved good gets into the worker that stands by.
        _ = self._group.create_task(self._follow(build), name="standby")

    async def _call(self, function: str, arguments: list[Any]) -> dict[str, Any]:
        worker = self._present()
        return {"value": await worker.call(function, *arguments), "worker": worker.pid}

    def _present(self) -> Worker:
        if self._worker is None:
            raise WorkerDied(0, "has not been started")
        return self._worker

    # -- what recovery needs

    async def _probe(self) -> None:
        """Really runs the loaded code, and compares with what the same build answered when it was found good."""
        if self._loaded is None:
            raise WrongAnswerError("no build is loaded as a whole")
        answers = await self._present().call(self._selfcheck)
        if answers != self._answers[self._loaded.id]:
            raise WrongAnswerError(f"build {self._loaded.id} answers {answers}, not {self._answers[self._loaded.id]}")

    def _snapshot(self) -> bytes:
        if self._wanted is None:
            msg = "nothing was ever loaded"
            raise LookupError(msg)
        return self._wanted.to_json().encode()

    async def _restore(self, content: bytes, _version: str | None) -> None:
        """Loads the build of a checkpoint. Raises as loading does."""
        build = Build.from_json(content)
        self._loaded, self._wanted = None, build
        self._reloaded = await self._present().load(build)
        self._loaded = build

    async def _restart(self, command: RecoveryCommand) -> str:
        """Serves from the worker that stands by, or from a new one when there is none or a cold start is asked for."""
        old, standby = self._worker, self._standby
        self._standby = None
        warm = command.parameters.get("mode") != "cold" and standby is not None and standby.alive
        self._worker = standby if warm and standby is not None else await self._new_worker()
        if not warm and self._good is not None:
            _ = await self._worker.load(self._good)
        self._loaded, self._reloaded = self._good, []
        unused = [worker for worker in (old, None if warm else standby) if worker is not None]
        _ = self._group.create_task(self._replace(unused), name="standby")
        return f"{'the warm standby' if warm else 'a new worker'}, process {self._worker.pid}, serves now"

    # -- workers

    async def _new_worker(self) -> Worker:
        worker = await Worker.start(self._out / "objects")
        if self._stopped:
            await worker.retire()
        _ = self._group.create_task(self._miss(worker), name=f"worker {worker.pid}")
        return worker

    async def _miss(self, worker: Worker) -> None:
        """Reports the death of the worker that serves as soon as it happens."""
        death = await worker.death()
        if worker is self._worker and not worker.retired:
            self._loaded = None
            # What a process died of is not to be seen in its status; that it was the runtime's is known here.
            _ = self._agent.report(death, severity="fatal", category="runtime", operation="serve")
        elif worker is self._standby and not worker.retired:
            log.warning("the worker that stood by is gone: %s", death)

    async def _follow(self, build: Build) -> None:
        standby = self._standby
        if standby is not None:
            try:
                _ = await standby.load(build)
            except (FailedInWorker, WorkerDied) as error:
                log.warning("the worker that stands by could not follow and is given up: %s", error)
                if self._standby is standby:
                    self._standby = None
                    await standby.retire()

    async def _replace(self, unused: Sequence[Worker]) -> None:
        """Ends workers that do not serve any more, and has another one stand by."""
        for worker in unused:
            await worker.retire()
        self._standby = await self._new_worker()
        if self._good is not None:
            await self._follow(self._good)


async def run(out: Path, selfcheck: str) -> None:
    """Runs until standard input ends."""
    lines = Lines()
    agent = Agent(KIND, ID)
    async with asyncio.TaskGroup() as group:
        runtime = RuntimeAgent(agent, out, selfcheck, lines, group)
        await runtime.start()
        try:
            async with agent:
                if not await asyncio.to_thread(agent.wait_ready, READY_SECONDS):
                    msg = f"the hello of {KIND}/{ID} was not answered within {READY_SECONDS:g} s"
                    raise TimeoutError(msg)
                watching = group.create_task(runtime.watch(), name="watch")
                lines.tell("ready")
                await lines.serve({"call": runtime.call, "status": runtime.status})
                _ = watching.cancel()
        finally:
            await runtime.stop()


if __name__ == "__main__":
    asyncio.run(run(Path(sys.argv[1]), sys.argv[2]))
