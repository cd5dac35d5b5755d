"""Where an agent's own work runs, and where its user's callables run: two things that never wait for each other."""

import asyncio
import concurrent.futures
import contextlib
import inspect
import logging
import threading
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Final, TypeVar

from mendbus.contracts.errors import MendbusError

log = logging.getLogger("mendbus.sdk")

R = TypeVar("R")

WORKERS: Final = 16
"""Most synchronous callables of the user that may run at a time."""


class BusyError(MendbusError):
    """All worker threads are held by callables that have not returned."""


class ExitedError(MendbusError):
    """A callable tried to end the process from a worker thread or task, where that is not possible."""


Main = Callable[[], Coroutine[Any, Any, None]]


class LoopThread:
    """One daemon thread with an event loop of its own; it ends when its main coroutine does."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._ready = threading.Event()
        self._main: asyncio.Future[Main]

    def begin(self, ahead: Callable[[], Coroutine[Any, Any, None]] | None = None) -> None:
        """Starts the thread, where `ahead` runs until `start`, and returns once its loop runs."""

        async def run() -> None:
            self._loop = asyncio.get_running_loop()
            self._main = self._loop.create_future()
            early = None if ahead is None else self._loop.create_task(ahead())
            self._ready.set()
            main = await self._main
            if early is not None:
                _ = early.cancel()
                _ = await asyncio.wait((early,))
            await main()

        def body() -> None:
            try:
                with asyncio.Runner(loop_factory=_loop_factory()) as runner:
                    runner.run(run())
            except Exception:
                log.exception("the thread %r ended", threading.current_thread().name)
            finally:
                self._ready.set()

        self._thread = threading.Thread(target=body, name="mendbus", daemon=True)
        self._thread.start()
        self._ready.wait()

    def start(self, name: str, main: Main) -> None:
        """Has the thread, begun before or now, run `main`; under a name of its own."""
        if self._thread is None:
            self.begin()
        if self._thread is not None:
            self._thread.name = name
        self.call(lambda: self._main.set_result(main))

    def call(self, function: Callable[[], object]) -> None:
        """Runs a plain function on the loop, soon; nothing happens when it has ended."""
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(function)

    def wait(self, coroutine: Coroutine[Any, Any, R], timeout: float) -> R:
        """Runs a coroutine on the loop and waits for it, from another thread. Raises `TimeoutError`."""
        if self._loop is None or not self.alive:
            coroutine.close()
            msg = "the agent is not running: call start() first"
            raise RuntimeError(msg)
        if threading.current_thread() is self._thread:
            coroutine.close()
            msg = "the agent's own thread cannot wait for itself"
            raise RuntimeError(msg)
        future = asyncio.run_coroutine_threadsafe(coroutine, self._loop)
        try:
            return future.result(timeout)
        except concurrent.futures.TimeoutError:
            future.cancel()
            raise TimeoutError from None

    def join(self, timeout: float) -> bool:
        """Waits for the end of the thread, in seconds; whether it has ended."""
        if self._thread is None:
            return True
        self._thread.join(timeout)
        return not self._thread.is_alive()

    @property
    def alive(self) -> bool:
        """Whether the thread runs."""
        return self._thread is not None and self._thread.is_alive()


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """The fastest loop there is."""
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop


class Caller:
    """Runs the user's callables: synchronous ones in threads, asynchronous ones on the user's loop if there is one.

    A synchronous one that never returns holds one of `WORKERS` daemon threads, and nothing else.
    """

    def __init__(self, user_loop: asyncio.AbstractEventLoop | None = None) -> None:
        self.user_loop = user_loop
        self._busy = 0

    async def call(self, function: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
        """What the callable returns. Raises what it raises, `BusyError`, `ExitedError`, and `RuntimeError` when the
        user's loop has ended. Cancelling stops an asynchronous callable, and leaves a synchronous one to itself.
        """
        if is_async(function):
            return await self._on_loop(lambda: function(*arguments, **named))
        result = await self._in_thread(lambda: function(*arguments, **named))
        if inspect.isawaitable(result):
            return await self._on_loop(lambda: result)
        return result

    async def user_loop_answers(self) -> bool:
        """Returns as soon as the user's loop, if there is one, has run something; False when it is closed."""
        if self.user_loop is None or self.user_loop is asyncio.get_running_loop():
            return True
        if self.user_loop.is_closed():
            return False

        async def nothing() -> None:
            return

        await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(nothing(), self.user_loop))
        return True

    async def _on_loop(self, make: Callable[[], Awaitable[Any]]) -> Any:
        async def run() -> Any:
            try:
                return await make()
            except (SystemExit, KeyboardInterrupt) as error:
                raise ExitedError(_exited(error)) from error

        if self.user_loop is None or self.user_loop is asyncio.get_running_loop():
            return await run()
        if self.user_loop.is_closed():
            msg = "the event loop that the agent was started on is closed"
            raise RuntimeError(msg)
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(run(), self.user_loop))

    async def _in_thread(self, function: Callable[[], Any]) -> Any:
        if self._busy >= WORKERS:
            msg = f"all {WORKERS} worker threads of the agent are held by callables that have not returned"
            raise BusyError(msg)
        loop = asyncio.get_running_loop()
        future: asyncio.Future[tuple[Any, BaseException | None]] = loop.create_future()

        def deliver(result: Any, error: BaseException | None) -> None:
            self._busy -= 1
            if not future.done():
                future.set_result((result, error))

        def body() -> None:
            result, failure = None, None
            try:
                result = function()
            except Exception as error:
                failure = error
            except BaseException as error:
                failure = ExitedError(_exited(error))
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(deliver, result, failure)

        self._busy += 1
        threading.Thread(target=body, name="mendbus-worker", daemon=True).start()
        result, failure = await future
        if failure is not None:
            raise failure
        return result


def _exited(error: BaseException) -> str:
    return f"{error!r} was raised: use os.kill, os.execv or os._exit to end or replace the process"


def is_async(function: Callable[..., Any]) -> bool:
    """Whether calling it makes a coroutine; also for objects with an asynchronous `__call__`."""
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(getattr(function, "__call__", None))  # noqa: B004
