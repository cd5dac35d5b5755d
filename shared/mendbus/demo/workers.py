"""Worker processes as the runtime agent sees them: asked one thing at a time, and missed at once when they die."""

import asyncio
import json
import logging
import signal
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, Self

from mendbus.contracts.errors import MendbusError
from mendbus.demo.builds import Build, load_order

log = logging.getLogger("mendbus.demo")

ASK_SECONDS: Final = 5.0
_RETIRE_SECONDS: Final = 1.0
_LINE_BYTES: Final = 1 << 20


class WorkerDied(MendbusError):
    """A worker process is gone. Attribute: `pid`."""

    def __init__(self, pid: int, how: str) -> None:
        self.pid = pid
        super().__init__(f"worker process {pid} {how}")


class FailedInWorker(MendbusError):
    """What was asked of a worker raised there; the cause holds the trace of it."""


class WorkerTrace(MendbusError):
    """The trace of an exception in a worker process."""


class Worker:
    """One worker process. `dead` is set as soon as it has ended, for whatever reason."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._turn = asyncio.Lock()
        self.pid = process.pid
        self.retired = False
        """Whether it was ended on purpose."""

    @classmethod
    async def start(cls, objects: Path) -> Self:
        """A worker without any module. Raises `OSError`."""
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "mendbus.demo.worker", str(objects)),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            limit=_LINE_BYTES,
        )
        return cls(process)

    @property
    def alive(self) -> bool:
        """Whether its process has not ended, as far as is known."""
        return self._process.returncode is None

    async def death(self) -> WorkerDied:
        """Waits for the end of the process, and says how it came about."""
        return WorkerDied(self.pid, _how(await self._process.wait()))

    async def load(self, build: Build) -> list[str]:
        """Loads a build; the modules that were (re)loaded. Raises as `ask` does."""
        modules = [
            {"name": name, "object": build.modules[name].object, "imports": build.modules[name].imports}
            for name in load_order(build.modules)
        ]
        return await self.ask({"do": "load", "modules": modules, "changed": build.changed})

    async def call(self, function: str, *arguments: Any) -> Any:
        """Calls `module:function`. Raises as `ask` does."""
        return await self.ask({"do": "call", "function": function, "arguments": arguments})

    async def ask(self, request: dict[str, Any]) -> Any:
        """Has something done. Raises `WorkerDied`, or `FailedInWorker` for what was raised there.

        One that does not answer in time is killed: what it would answer later would be taken for another answer.
        """
        async with self._turn:
            stdin, stdout = self._process.stdin, self._process.stdout
            if stdin is None or stdout is None or not self.alive:
                raise WorkerDied(self.pid, "is not there any more")
            try:
                async with asyncio.timeout(ASK_SECONDS):
                    stdin.write(json.dumps(request).encode() + b"\n")
                    await stdin.drain()
                    line = await stdout.readline()
            except (BrokenPipeError, ConnectionResetError):
                line = b""
            except TimeoutError:
                self._kill()
                raise WorkerDied(self.pid, f"gave no answer for {ASK_SECONDS:g} s and is killed") from None
            except asyncio.CancelledError:
                self._kill()
                raise
        if not line.endswith(b"\n"):
            raise WorkerDied(self.pid, "went away while it was at work")
        reply: dict[str, Any] = json.loads(line)
        if "failed" in reply:
            raise FailedInWorker(reply["failed"]) from WorkerTrace(reply["trace"])
        return reply["value"]

    async def retire(self) -> None:
        """Ends it on purpose: by the end of its standard input, or by force when it hangs; waits until it is gone."""
        self.retired = True
        if self._process.stdin is not None:
            self._process.stdin.close()
        try:
            async with asyncio.timeout(_RETIRE_SECONDS):
                _ = await self._process.wait()
        except TimeoutError:
            self._kill()
            _ = await self._process.wait()

    def _kill(self) -> None:
        with suppress(ProcessLookupError):
            self._process.kill()


def _how(status: int) -> str:
    if status >= 0:
        return f"ended with status {status}"
    with suppress(ValueError):
        return f"was ended by {signal.Signals(-status).name}"
    return f"was ended by signal {-status}"
