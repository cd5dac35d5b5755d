"""The demo's child processes: started apart from the terminal, listened to line by line, and never left behind."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, Self

from mendbus.contracts.errors import MendbusError

ASK_SECONDS: Final = 5.0
STOP_SECONDS: Final = 10.0

_LINE_BYTES: Final = 1 << 20
_LOG_LINES: Final = 12


class DemoFailed(MendbusError):
    """The demo did not come to what it is to show; the text says what was missing."""


class Child:
    """A Python process that writes JSON lines: events, by their `event`, and answers to what it was asked, by `id`."""

    def __init__(self, name: str, process: asyncio.subprocess.Process, log: Path) -> None:
        self.name = name
        self._process = process
        self._log = log
        self._events: list[dict[str, Any]] = []
        self._answers: dict[int, dict[str, Any]] = {}
        self._asked = 0
        self._changed = asyncio.Condition()
        self._silent = False
        self._reading = asyncio.create_task(self._read(), name=f"read {name}")

    @classmethod
    async def start(cls, name: str, arguments: Sequence[str], environment: Mapping[str, str], log: Path) -> Self:
        """Starts `python ARGUMENTS`; its standard error goes to `log`."""
        with log.open("wb") as errors:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, *arguments),
                env=os.environ | environment,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=errors,
                limit=_LINE_BYTES,
                # Ctrl-C is for the demo alone, which then ends its children in order.
                start_new_session=True,
            )
        return cls(name, process, log)

    async def event(self, event: str, fits: Callable[[dict[str, Any]], bool], seconds: float) -> dict[str, Any]:
        """The first such event, past or to come. Raises `DemoFailed` when there is none in time."""

        def found() -> dict[str, Any] | None:
            return next((told for told in self._events if told["event"] == event and fits(told)), None)

        return await self._wait(found, f"said nothing of {event!r}", seconds)

    async def ask(self, do: str, **arguments: Any) -> Any:
        """Has the process do something. Raises `DemoFailed` with what it says when that fails."""
        self._asked += 1
        number, stdin = self._asked, self._process.stdin
        if stdin is not None:
            stdin.write(json.dumps({"id": number, "do": do} | arguments).encode() + b"\n")
        answer = await self._wait(lambda: self._answers.get(number), f"did not answer to {do!r}", ASK_SECONDS)
        if "failed" in answer:
            msg = f"the {self.name} could not {do}: {answer['failed']}"
            raise DemoFailed(msg)
        return answer["value"]

    async def _wait(self, found: Callable[[], dict[str, Any] | None], missing: str, seconds: float) -> dict[str, Any]:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds), self._changed:
                await self._changed.wait_for(lambda: found() is not None or self._silent)
        answer = found()
        if answer is None:
            what = "has ended" if self._silent else f"{missing} for {seconds:g} s"
            msg = f"the {self.name} {what}; its last words:\n{self.last_words()}"
            raise DemoFailed(msg)
        return answer

    async def _read(self) -> None:
        stdout = self._process.stdout
        try:
            while stdout is not None and (line := await stdout.readline()):
                told: dict[str, Any] = json.loads(line)
                async with self._changed:
                    if "event" in told:
                        self._events.append(told)
                    else:
                        self._answers[told["id"]] = told
                    self._changed.notify_all()
        finally:
            async with self._changed:
                self._silent = True
                self._changed.notify_all()

    def last_words(self) -> str:
        """The end of its log."""
        lines = self._log.read_text("utf-8", "replace").splitlines()
        return "\n".join(lines[-_LOG_LINES:]) or "(none)"

    async def stop(self) -> None:
        """Ends it by the end of its standard input and SIGTERM, or by SIGKILL when it takes too long."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        self._send(signal.SIGTERM)
        try:
            async with asyncio.timeout(STOP_SECONDS):
                _ = await self._process.wait()
        except TimeoutError:
            self._send(signal.SIGKILL)
            _ = await self._process.wait()
        _ = self._reading.cancel()
        _ = await asyncio.wait((self._reading,))

    def _send(self, number: signal.Signals) -> None:
        with suppress(ProcessLookupError):
            self._process.send_signal(number)
