"""The users of the lab's agents: they ask for what they need, know a right answer from a wrong one, and keep count.

Nothing of the pipeline is imported here: what is a failure, and when it is over, is told from outside.
"""

import asyncio
import json
import time
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from tests.lab.sample import Project, expected

USER_SECONDS = 1.5
"""A user waits so long for an answer."""
_LINE_BYTES = 1 << 26


class AgentRefused(Exception):
    """The agent answered that it could not."""


@dataclass(frozen=True, slots=True)
class Use:
    """One request: when it was made (monotonic seconds), how long it took, and what was wrong, "" for nothing."""

    at: float
    seconds: float
    wrong: str


class Connection:
    """To the work port of one agent; made anew whenever it broke."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self, question: Mapping[str, Any], seconds: float = USER_SECONDS) -> Any:
        """Raises `OSError`, `TimeoutError`, `AgentRefused`."""
        try:
            async with asyncio.timeout(seconds):
                if self._streams is None:
                    self._streams = await asyncio.open_connection("127.0.0.1", self._port, limit=_LINE_BYTES)
                reader, writer = self._streams
                writer.write(json.dumps(question).encode() + b"\n")
                await writer.drain()
                line = await reader.readline()
        except (OSError, TimeoutError):
            self.close()
            raise
        except asyncio.CancelledError:
            self.close()
            raise
        if not line:
            self.close()
            raise ConnectionResetError("the agent went away")
        answer = json.loads(line)
        if "error" in answer:
            raise AgentRefused(f"{answer['error']}: {answer['message']}")
        return answer["value"]

    async def call(self, operation: str, *arguments: Any, seconds: float = USER_SECONDS) -> Any:
        """An operation. Raises as `ask` does."""
        return await self.ask({"do": "call", "operation": operation, "arguments": arguments}, seconds)

    def close(self) -> None:
        """Closes it."""
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None


Request = Callable[[Connection, int], Awaitable[str]]
"""Makes the n-th request; what was wrong with the answer, "" for nothing."""


class User:
    """Asks one agent for something again and again, so many times a second at most, one request at a time."""

    def __init__(self, port: int, request: Request, interval: float) -> None:
        self._connection = Connection(port)
        self._request = request
        self.interval = interval
        """Seconds from one request to the next, at least; may be changed."""
        self.uses: deque[Use] = deque(maxlen=100_000)
        self._at_work = asyncio.Event()
        self._at_work.set()
        self._turn = asyncio.Lock()

    async def run(self) -> None:
        """For ever, but for rests."""
        number = 0
        while True:
            _ = await self._at_work.wait()
            async with self._turn:
                use = await self.ask(number)
            self.uses.append(use)
            number += 1
            await asyncio.sleep(max(0.0, use.at + self.interval - time.monotonic()))

    async def ask(self, number: int) -> Use:
        """The n-th request, which is not kept."""
        begun, wrong = time.monotonic(), ""
        try:
            wrong = await self._request(self._connection, number)
        except (OSError, TimeoutError, AgentRefused) as error:
            wrong = f"{type(error).__name__}: {error}"
        return Use(begun, time.monotonic() - begun, wrong)

    async def rest(self) -> None:
        """Makes no more requests until told to go on; returns when the last one has its answer."""
        self._at_work.clear()
        async with self._turn:
            pass

    def go_on(self) -> None:
        """Ends a rest."""
        self._at_work.set()

    def since(self, at: float) -> list[Use]:
        """The requests made since then."""
        return [use for use in self.uses if use.at >= at]

    def close(self) -> None:
        """Closes its connection."""
        self._connection.close()


def requests(project: Project) -> dict[str, tuple[Request, float]]:
    """What users ask of each kind of agent, and at what interval in seconds."""
    names = sorted(project.modules)
    shaders = sorted(project.shaders)
    # The orchestrator changes the first module; users of the others ask for those that stay as they are.
    fixed = names[1:]

    async def versioning(connection: Connection, number: int) -> str:
        name = fixed[number % len(fixed)]
        return "" if await connection.call("get", name) == project.modules[name] else f"{name} is another text"

    async def build_pipeline(connection: Connection, number: int) -> str:
        if number % 3:
            modules = (await connection.call("manifest"))["modules"]
            return "" if len(modules) >= len(names) else f"only {len(modules)} modules are built"
        return "" if (await connection.call("build"))["modules"] >= len(names) else "not all modules were built"

    async def runtime(connection: Connection, number: int) -> str:
        name = fixed[number % len(fixed)]
        got, right = await connection.call("call", name, number), expected(project.modules[name], number)
        return "" if got == right else f"{name} answers {got}, not {right}"

    async def shader_pipeline(connection: Connection, number: int) -> str:
        name = shaders[number % len(shaders)]
        found = await connection.call("compile", name)
        return "" if found["words"] > 0 else f"{name} came out empty"

    async def developer_tools(connection: Connection, number: int) -> str:
        name = fixed[number % len(fixed)]
        got, right = await connection.call("get", name, 7), expected(project.modules[name], 7)
        return "" if got == right else f"{name} is shown as {got}, not {right}"

    async def orchestrator(connection: Connection, number: int) -> str:
        if number % 4:
            _ = await connection.call("status")
            return ""
        done = await connection.call("cycle", names[0], seconds=3.0)
        return "" if done["reloaded"] >= 1 else "nothing was reloaded"

    return {
        "versioning": (versioning, 0.05),
        "build_pipeline": (build_pipeline, 0.1),
        "runtime": (runtime, 0.05),
        "shader_pipeline": (shader_pipeline, 0.1),
        "developer_tools": (developer_tools, 0.05),
        "orchestrator": (orchestrator, 0.25),
    }
