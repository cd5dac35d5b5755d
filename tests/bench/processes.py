"""Child processes of the bench: Python modules that end when their standard input does."""

import asyncio
import json
import os
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from tests.bench.plan import ROOT

_LINE_BYTES = 256 << 20
_END_SECONDS = 15.0


class Child:
    """One module of the project as a process; JSON lines go in and come out."""

    def __init__(self, process: asyncio.subprocess.Process, log: Path) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self.pid = process.pid
        self._process = process
        self._in = process.stdin
        self._out = process.stdout
        self._log = log

    def tell(self, **command: object) -> None:
        """Writes a line."""
        self._in.write(json.dumps(command).encode() + b"\n")

    async def line(self, timeout: float) -> str:
        """Reads a line. Raises `RuntimeError` with the end of the process's own words when there is none."""
        try:
            line = await asyncio.wait_for(self._out.readline(), timeout)
        except TimeoutError:
            line = b""
        if not line:
            msg = f"process {self.pid} said nothing within {timeout:g} s:\n{self._log.read_text()[-3000:]}"
            raise RuntimeError(msg)
        return line.decode().strip()

    async def answer(self, timeout: float) -> dict[str, Any]:
        """Reads a line of JSON; see `line`."""
        return json.loads(await self.line(timeout))

    async def end(self) -> None:
        """Ends its input and waits; kills what stays."""
        with suppress(OSError):
            self._in.close()
        try:
            await asyncio.wait_for(self._process.wait(), _END_SECONDS)
        except TimeoutError:
            self._process.kill()
            await self._process.wait()

    async def terminate(self) -> None:
        """SIGTERM, and does not wait."""
        with suppress(ProcessLookupError):
            self._process.terminate()


async def spawn(module: Sequence[str], environment: Mapping[str, str], folder: Path) -> Child:
    """Starts `python -m` module and arguments; what it says on standard error goes to a file in the folder."""
    log = folder / f"{module[0]}-{len(list(folder.glob('*.err')))}.err"
    with log.open("wb") as errors:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            *module,
            cwd=ROOT,
            env={**os.environ, **environment},
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=errors,
            limit=_LINE_BYTES,
        )
    return Child(process, log)
