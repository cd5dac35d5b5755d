"""Worker processes as a lab agent sees them: many requests at a time, missed at once when they die."""

import asyncio
import json
import logging
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Self

log = logging.getLogger("mendbus.lab")

OPEN_SECONDS = 10.0
_LINE_BYTES = 1 << 26


class WorkerDied(Exception):
    """A worker process is gone."""


class WorkerHung(Exception):
    """A worker process answers to nothing."""


class WorkerStuck(Exception):
    """A worker process answers, but all that it does at a time has been under way for long."""


class CallerFault(Exception):
    """What was asked for cannot be had, and nothing is wrong with the worker. Base of such exceptions."""


class WorkerTrace(Exception):
    """The trace of an exception in a worker process."""


class Worker:
    """One worker process."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._asked = 0
        self._answers: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self.pid = process.pid
        self.site = ""
        self.last_answer = self.ended_at = time.monotonic()
        """When it last answered, and when anything that it did last came to an end."""
        self.done = 0
        self.stuck = False
        self.warned: Callable[[str, str], None] = lambda _name, _message: None
        """Told of what the worker could deal with: the name of the exception, and what was done."""
        self.warm: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._answers[0] = self.warm
        self._reading = asyncio.create_task(self._read(), name=f"read {process.pid}")

    @classmethod
    async def start(cls, kind: str) -> Self:
        """A worker that has taken up no work yet. Raises `OSError`."""
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.lab.worker", kind),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            limit=_LINE_BYTES,
        )
        return cls(process)

    @property
    def alive(self) -> bool:
        """Whether its process has not ended, as far as is known."""
        return self._process.returncode is None and not self._reading.done()

    async def death(self) -> WorkerDied:
        """Waits for the end of the process, and says how it came about."""
        status = await self._process.wait()
        how = f"was ended by {signal.Signals(-status).name}" if status < 0 else f"ended with status {status}"
        return WorkerDied(f"worker process {self.pid} {how}")

    async def open(self, site: str) -> None:
        """Has it take up the work in a site. Raises as `ask` does."""
        await self.ask("open", OPEN_SECONDS, folder=site)
        self.site = site

    async def ask(self, do: str, seconds: float, /, **arguments: Any) -> Any:
        """Has something done. Raises `WorkerDied`, `TimeoutError`, or what was raised there, by its name."""
        stdin = self._process.stdin
        if stdin is None or not self.alive:
            raise WorkerDied(f"worker process {self.pid} is not there any more")
        self._asked += 1
        number = self._asked
        answer = self._answers[number] = asyncio.get_running_loop().create_future()
        try:
            stdin.write(json.dumps({"id": number, "do": do} | arguments).encode() + b"\n")
            async with asyncio.timeout(seconds):
                reply = await answer
        except TimeoutError:
            late = TimeoutError(f"{arguments.get('operation', do)} gave no answer within {seconds:g} s")
            late.grave = True  # type: ignore[attr-defined]
            raise late from None
        except (BrokenPipeError, ConnectionResetError):
            raise WorkerDied(f"worker process {self.pid} went away") from None
        finally:
            self._answers.pop(number, None)
        if "error" in reply:
            base = CallerFault if reply["callers"] else Exception
            error = named(reply["error"], reply["message"], base)
            error.grave = bool(reply["grave"])  # type: ignore[attr-defined]
            raise error from WorkerTrace(reply["trace"])
        return reply["value"]

    async def _read(self) -> None:
        stdout = self._process.stdout
        assert stdout is not None
        try:
            while line := await stdout.readline():
                reply = json.loads(line)
                self.last_answer = time.monotonic()
                if "warning" in reply:
                    self.warned(**reply["warning"])
                waiting = self._answers.pop(reply["id"], None)
                if waiting is not None and not waiting.done():
                    waiting.set_result(reply)
        finally:
            for waiting in self._answers.values():
                if not waiting.done():
                    waiting.set_exception(WorkerDied(f"worker process {self.pid} went away while it was at work"))
                    # Nobody may be waiting for this one.
                    _ = waiting.exception()

    async def kill(self) -> None:
        """Ends it at once, and waits until it is gone."""
        with suppress(ProcessLookupError):
            self._process.kill()
        _ = await self._process.wait()
        _ = await asyncio.wait((self._reading,))


def named(name: str, message: str, base: type[Exception] = Exception) -> Exception:
    """An exception of that name, so that what is reported is what was raised in the worker."""
    error: Exception = type(name, (base,), {"__module__": "builtins"})(message)
    return error
