"""What a fault keeps going while it lasts: a task of the lab's own, or clients in a process of their own.

`python -m tests.lab.faults.background` is such a process: clients that ask one agent for something again and again,
apart from the lab's own process, whose users must not be slowed by their number.
"""

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextlib import suppress
from typing import Any

from tests.lab.faults import Case
from tests.lab.users import AgentRefused, Connection

Stop = Callable[[], Awaitable[None]]
_kept: dict[tuple[int, str], list[Stop]] = {}


def _of(case: Case) -> list[Stop]:
    return _kept.setdefault((id(case.world), case.member.kind), [])


def keep(case: Case, work: Coroutine[Any, Any, None]) -> None:
    """Runs something until it returns or the fault ends."""
    task = asyncio.create_task(work, name=f"fault at {case.member.key}")

    async def stop() -> None:
        _ = task.cancel()
        _ = await asyncio.wait((task,))

    _of(case).append(stop)


async def ask(
    case: Case, *requests: Sequence[Any], clients: int, seconds: float, pause: float = 0.0, times: int = 0
) -> None:
    """Has clients ask the agent for operations (name, arguments) in turn for so many seconds, in their own process.

    Each waits for its answer as long as a user does, then for `pause` seconds, and asks so many `times` (0: no limit).
    """
    given = {"port": case.member.port, "requests": requests, "clients": clients, "pause": pause, "times": times}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.lab.faults.background"),
        *(json.dumps(given | {"seconds": seconds}),),
        stdin=asyncio.subprocess.DEVNULL,
    )

    async def stop() -> None:
        with suppress(ProcessLookupError):
            process.kill()
        _ = await process.wait()

    _of(case).append(stop)


async def end(case: Case) -> None:
    """Ends all that was kept going for a fault of that agent. Idempotent."""
    stops = _of(case)
    while stops:
        await stops.pop()()


async def _client(number: int, port: int, requests: Sequence[Sequence[Any]], pause: float, times: int) -> None:
    connection = Connection(port)
    asked = 0
    while not times or asked < times:
        with suppress(OSError, TimeoutError, AgentRefused):
            _ = await connection.call(*requests[(number + asked) % len(requests)])
        asked += 1
        # Who cannot connect would otherwise ask thousands of times a second.
        await asyncio.sleep(max(pause, 0.001))


async def _crowd(clients: int, seconds: float, **given: Any) -> None:
    tasks = [asyncio.create_task(_client(number, **given)) for number in range(clients)]
    _ = await asyncio.wait(tasks, timeout=seconds)
    for task in tasks:
        _ = task.cancel()
    _ = await asyncio.wait(tasks)


if __name__ == "__main__":
    asyncio.run(_crowd(**json.loads(sys.argv[1])))
