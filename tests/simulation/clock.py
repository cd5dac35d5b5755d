"""An event loop in which time jumps to the next timer, and in which whole processes can be killed or stopped.

Everything that runs belongs to a process, named by a context variable that tasks, timers and callbacks inherit. What
belongs to a dead process never runs again, without a chance to clean up; what belongs to a stopped one waits.
"""

import asyncio
import heapq
import itertools
from collections.abc import Callable
from contextvars import Context, ContextVar
from typing import Any

PROCESS: ContextVar[str] = ContextVar("process", default="")
"""The simulated process that runs now; empty: the world outside, such as the server and the network."""

EPOCH_SECONDS = 1_700_000_000
_BEGIN = 1000.0


class Task(asyncio.Task[Any]):
    """A task with a hash that is the same in every run, so that sets of tasks have the same order."""

    def __init__(self, number: int, loop: asyncio.AbstractEventLoop, coroutine: Any, **more: Any) -> None:
        self._number = number
        super().__init__(coroutine, loop=loop, **more)

    def __hash__(self) -> int:
        return self._number


class SimulatedLoop(asyncio.BaseEventLoop):
    """Runs callbacks in the order in which they became due; nothing depends on the real time."""

    def __init__(self) -> None:
        super().__init__()
        tasks = itertools.count()
        self._now = _BEGIN
        self._timers: list[tuple[float, int, asyncio.TimerHandle]] = []
        self._numbers = itertools.count()
        self._dead: set[str] = set()
        self._stopped: dict[str, list[asyncio.Handle]] = {}
        self._graves: list[asyncio.Task[Any]] = []
        self.set_task_factory(lambda loop, coroutine, **more: Task(next(tasks), loop, coroutine, **more))
        self.set_exception_handler(lambda _, __: None)

    def time(self) -> float:
        return self._now

    def time_unix_nano(self) -> int:
        """The simulated time of day."""
        return EPOCH_SECONDS * 1_000_000_000 + round((self._now - _BEGIN) * 1e9)

    def seconds(self) -> float:
        """Simulated seconds since the beginning."""
        return self._now - _BEGIN

    def call_at(
        self, when: float, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> asyncio.TimerHandle:
        handle = asyncio.TimerHandle(when, callback, args, self, context)
        heapq.heappush(self._timers, (when, next(self._numbers), handle))
        return handle

    def kill(self, process: str) -> None:
        """Nothing of the process runs any more."""
        self._dead.add(process)
        self._stopped.setdefault(process, [])
        # Kept until the end: what the garbage collector destroys would clean up, at a time that differs.
        self._graves += [task for task in asyncio.all_tasks(self) if not task.done()]

    def stop_process(self, process: str) -> None:
        """Holds everything of the process until `continue_process`."""
        self._stopped.setdefault(process, [])

    def continue_process(self, process: str) -> None:
        """What has become due meanwhile runs now."""
        if process not in self._dead:
            self._ready.extend(self._stopped.pop(process, ()))

    def bury(self) -> None:
        """Lets everything that is left run once more, the dead too, so that it can end."""
        self._dead.clear()
        for process in list(self._stopped):
            self.continue_process(process)

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        """Cancelled timers are passed over when they become due."""

    def _write_to_self(self) -> None:
        """There is nobody to wake: no other thread."""

    def _run_once(self) -> None:
        ready, timers = self._ready, self._timers
        while timers and timers[0][2].cancelled():
            heapq.heappop(timers)
        if not ready:
            if not timers:
                raise RuntimeError("nothing will ever happen again")
            self._now = max(self._now, timers[0][0])
        while timers and timers[0][0] <= self._now:
            ready.append(heapq.heappop(timers)[2])
        for _ in range(len(ready)):
            handle = ready.popleft()
            if handle.cancelled():
                continue
            process = handle._context.get(PROCESS, "")
            if process:
                held = self._stopped.get(process)
                if held is not None:
                    held.append(handle)
                    continue
            handle._run()
