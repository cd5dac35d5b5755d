"""The agent's own thread, and the user's callables."""

import asyncio
import functools
import threading

import pytest

from mendbus.sdk import loop as module
from mendbus.sdk.loop import BusyError, Caller, ExitedError, LoopThread, is_async


async def test_synchronous_callables_run_in_threads() -> None:
    """A synchronous callable runs elsewhere than on the loop, with its arguments, and its exception comes back."""
    caller = Caller()
    here = threading.get_ident()
    assert await caller.call(lambda value, more: (value, more, threading.get_ident() != here), 1, more=2) == (
        1,
        2,
        True,
    )
    with pytest.raises(ZeroDivisionError):
        await caller.call(lambda: 1 // 0)
    with pytest.raises(RuntimeError):
        await caller.call(lambda: next(iter(())))


async def test_asynchronous_callables_run_on_the_users_loop() -> None:
    """An asynchronous callable, also one hidden in a lambda, runs on the user's loop where there is one."""

    async def where() -> asyncio.AbstractEventLoop:
        return asyncio.get_running_loop()

    own = asyncio.get_running_loop()
    assert await Caller().call(where) is own
    assert await Caller(own).call(lambda *_: where(), 1) is own
    ready, users = threading.Event(), asyncio.new_event_loop()

    def run() -> None:
        users.call_soon(ready.set)
        users.run_forever()

    thread = threading.Thread(target=run)
    thread.start()
    ready.wait()
    caller = Caller(users)
    assert await caller.call(where) is users
    assert await caller.user_loop_answers()
    users.call_soon_threadsafe(users.stop)
    thread.join()
    users.close()
    assert not await caller.user_loop_answers()
    with pytest.raises(RuntimeError, match="closed"):
        await caller.call(where)


async def test_a_callable_cannot_end_the_agent() -> None:
    """SystemExit in a callable is an error that says what to do instead."""

    def sync() -> None:
        raise SystemExit(1)

    async def asynchronous() -> None:
        raise SystemExit(1)

    for function in (sync, asynchronous):
        with pytest.raises(ExitedError, match=r"os\._exit"):
            await Caller().call(function)


async def test_worker_threads_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Callables that never return hold a bounded number of threads; one more is refused at once."""
    monkeypatch.setattr(module, "WORKERS", 2)
    go = threading.Event()
    caller = Caller()
    held = [asyncio.create_task(caller.call(go.wait)) for _ in range(2)]
    await asyncio.sleep(0.01)
    with pytest.raises(BusyError):
        await caller.call(go.wait)
    held[0].cancel()
    await asyncio.gather(held[0], return_exceptions=True)
    go.set()
    assert await held[1] is True
    while caller._busy:
        await asyncio.sleep(0.001)
    assert await caller.call(lambda: "free") == "free"


def test_coroutine_functions_are_recognised() -> None:
    """Partial functions and objects with an asynchronous `__call__` count as asynchronous."""

    async def function(_: int) -> None: ...

    class Callable:
        async def __call__(self) -> None: ...

    assert is_async(function)
    assert is_async(functools.partial(function, 1))
    assert is_async(Callable())
    assert not is_async(print)


def test_the_thread_runs_what_it_is_given() -> None:
    """Plain functions and coroutines reach the loop from outside; it says so when it is not running."""
    thread = LoopThread()
    assert thread.join(0.0)
    with pytest.raises(RuntimeError, match="start"):
        thread.wait(asyncio.sleep(0), 1.0)
    thread.call(lambda: None)
    stop: list[asyncio.Event] = []

    async def main() -> None:
        stop.append(asyncio.Event())
        await stop[0].wait()

    thread.start("test", main)

    async def answer() -> int:
        return 42

    assert thread.wait(answer(), 1.0) == 42
    with pytest.raises(TimeoutError):
        thread.wait(asyncio.sleep(60), 0.01)
    while not stop:
        threading.Event().wait(0.001)
    thread.call(stop[0].set)
    assert thread.join(5.0)
    assert not thread.alive
    thread.call(lambda: None)


def test_the_thread_cannot_wait_for_itself() -> None:
    """Waiting for the loop on the loop is an error, not a deadlock."""
    thread = LoopThread()
    seen: list[str] = []

    async def main() -> None:
        await asyncio.sleep(0)
        try:
            thread.wait(asyncio.sleep(0), 1.0)
        except RuntimeError as error:
            seen.append(str(error))
        raise ValueError("logged, not lost")

    thread.start("test", main)
    assert thread.join(5.0)
    assert "wait for itself" in seen[0]
