"""Commands: each rule of the contract about when one is done, and what is answered."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from typing import Any

import pytest

from mendbus.contracts.messages import AgentRef, RecoveryCommand
from mendbus.sdk import commands
from mendbus.sdk.commands import CommandDesk, Done, Order, StrategyError

REF = AgentRef(kind="runtime", id="r1", instance="boot-1")
LATE = 10**18


def command(command_id: str = "c1", *, fence: int = 1, agent: AgentRef = REF, **changes: Any) -> RecoveryCommand:
    values: dict[str, Any] = {
        "command_id": command_id,
        "incident_id": "i1",
        "attempt": 1,
        "agent": AgentRef(kind=agent.kind, id=agent.id),
        "action": "apply",
        "strategy": "restart",
        "parameters": {},
        "timeout_ms": 500,
        "deadline_unix_nano": LATE,
        "fence": fence,
        "instance": "boot-1",
    }
    return RecoveryCommand(**(values | changes))


class Desk:
    """A desk whose one handler is the test's, and the tasks it started."""

    def __init__(self, handler: Callable[[Order], Awaitable[Done]] | None = None) -> None:
        self.done: list[str] = []
        self.now = 0
        self.handler = handler or self._note
        self.tasks: set[asyncio.Task[None]] = set()
        self.desk = CommandDesk(
            REF, lambda strategy: self.handler if strategy != "failover" else None, self._time, self.spawn
        )

    def _time(self) -> int:
        return self.now

    async def _note(self, order: Order) -> Done:
        self.done.append(order.command.command_id)
        return Done("did it", "token")

    def spawn(self, coroutine: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(coroutine, name=name)
        self.tasks.add(task)
        return task


@pytest.fixture
async def made() -> AsyncIterator[Desk]:
    desk = Desk()
    yield desk
    for task in desk.tasks:
        task.cancel()
    await asyncio.gather(*desk.tasks, return_exceptions=True)


async def test_a_command_is_done_once(made: Desk) -> None:
    """A repeat is answered with the stored result, also after others with higher fences, and not done again."""
    first = await made.desk.take(command("c1", fence=1))
    assert (first.status, first.detail, first.undo_token) == ("done", "did it", "token")
    await made.desk.take(command("c2", fence=5))
    assert await made.desk.take(command("c1", fence=1)) == first
    assert made.done == ["c1", "c2"]


async def test_a_repeat_waits_for_the_first(made: Desk) -> None:
    """A repeat that comes while the command is under way gets the very same result, later."""
    go = asyncio.Event()

    async def slow(order: Order) -> Done:
        made.done.append(order.command.command_id)
        await go.wait()
        return Done("slow")

    made.handler = slow
    repeats = [asyncio.create_task(made.desk.take(command("c1"))) for _ in range(3)]
    await asyncio.sleep(0)
    go.set()
    results = await asyncio.gather(*repeats)
    assert made.done == ["c1"]
    assert results[0].detail == "slow"
    assert results == [results[0]] * 3


async def test_a_lost_asker_does_not_stop_the_command(made: Desk) -> None:
    """When whoever asked is gone the command goes on, and its result is there for the next who asks."""
    go = asyncio.Event()

    async def slow(_order: Order) -> Done:
        await go.wait()
        return Done("finished")

    made.handler = slow
    asked = asyncio.create_task(made.desk.take(command("c1")))
    await asyncio.sleep(0.01)
    asked.cancel()
    go.set()
    assert (await made.desk.take(command("c1"))).detail == "finished"


@pytest.mark.parametrize(
    "wrong",
    [{"agent": AgentRef(kind="runtime", id="r2")}, {"agent": AgentRef(kind="other", id="r1")}, {"instance": "boot-0"}],
)
async def test_commands_for_others_are_misaddressed(made: Desk, wrong: dict[str, Any]) -> None:
    """A command for another agent or another instance is not done, and not remembered either."""
    assert (await made.desk.take(command("c1", **wrong))).status == "misaddressed"
    assert (await made.desk.take(command("c1"))).status == "done"
    assert made.done == ["c1"]


async def test_no_instance_means_any(made: Desk) -> None:
    """A command that names no instance is for whichever runs."""
    assert (await made.desk.take(command("c1", instance=None))).status == "done"


async def test_a_lower_fence_is_stale(made: Desk) -> None:
    """A command with a lower fence than the last is not done; an equal one is."""
    await made.desk.take(command("c1", fence=7))
    assert (await made.desk.take(command("c2", fence=6))).status == "stale"
    assert (await made.desk.take(command("c3", fence=7))).status == "done"
    assert made.done == ["c1", "c3"]


@pytest.mark.parametrize(("deadline", "timeout_ms", "status"), [(5, 0, "expired"), (LATE, 0, "done"), (5, 500, "done")])
async def test_expiry_takes_clock_and_waiting(made: Desk, deadline: int, timeout_ms: int, status: str) -> None:
    """A command expires only when its deadline passed by the clock and its time-out passed since it came in."""
    made.now = 10
    result = await made.desk.take(command("c1", deadline_unix_nano=deadline, timeout_ms=timeout_ms))
    assert result.status == status
    assert (made.done == []) == (status == "expired")


async def test_a_command_expires_in_the_queue(made: Desk) -> None:
    """Commands are done one at a time; one whose time passes while it waits is not begun."""
    go = asyncio.Event()

    async def slow(order: Order) -> Done:
        made.done.append(order.command.command_id)
        await go.wait()
        return Done()

    made.handler = slow
    first = asyncio.create_task(made.desk.take(command("c1", timeout_ms=100)))
    await asyncio.sleep(0)
    made.now = LATE + 1
    second = await made.desk.take(command("c2", timeout_ms=20))
    assert second.status == "expired"
    assert (await first).status == "accepted"
    assert made.done == ["c1"]
    go.set()


async def test_unsupported_strategies_and_actions(made: Desk) -> None:
    """Without a handler, and for undoing what cannot be undone, the answer is unsupported and nothing is done."""
    assert (await made.desk.take(command("c1", strategy="failover"))).status == "unsupported"
    assert (await made.desk.take(command("c2", strategy="restart", action="undo"))).status == "unsupported"
    assert (await made.desk.take(command("c3", strategy="retry", action="restore"))).status == "unsupported"
    assert (await made.desk.take(command("c4", strategy="isolate", action="restore"))).status == "done"
    assert made.done == ["c4"]


async def test_what_a_handler_raises_is_its_answer(made: Desk) -> None:
    """An exception is a failed result with its class as code, and a strategy's own verdict has its own code."""

    async def broken(_order: Order) -> Done:
        raise ZeroDivisionError("x" * 5000)

    made.handler = broken
    result = await made.desk.take(command("c1"))
    assert (result.status, result.code, len(result.detail or "")) == ("failed", "ZeroDivisionError", 1024)

    async def verdict(_order: Order) -> Done:
        raise StrategyError("no_checkpoint", "there is none")

    made.handler = verdict
    result = await made.desk.take(command("c2"))
    assert (result.status, result.code, result.detail) == ("failed", "no_checkpoint", "there is none")


async def test_an_overrunning_handler_is_accepted_before_the_time_out(made: Desk) -> None:
    """What is still at work shortly before the time-out is answered accepted; who asks later gets the final result."""
    go = asyncio.Event()

    async def slow(_order: Order) -> Done:
        await go.wait()
        return Done("at last")

    made.handler = slow
    begun = asyncio.get_running_loop().time()
    assert (await made.desk.take(command("c1", timeout_ms=100))).status == "accepted"
    assert asyncio.get_running_loop().time() - begun < 0.1
    assert (await made.desk.take(command("c1", timeout_ms=100))).status == "accepted"
    go.set()
    for _ in range(5):
        await asyncio.sleep(0)
    assert (await made.desk.take(command("c1"))).detail == "at last"


async def test_the_next_command_cancels_what_overran(made: Desk) -> None:
    """Two commands never work against each other: the older one that did not end is cancelled."""
    cancelled: list[str] = []

    async def slow(order: Order) -> Done:
        if order.command.command_id == "c2":
            return Done("second")
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.append(order.command.command_id)
        return Done()

    made.handler = slow
    assert (await made.desk.take(command("c1", timeout_ms=20))).status == "accepted"
    assert (await made.desk.take(command("c2", fence=2))).detail == "second"
    await asyncio.sleep(0)
    assert cancelled == ["c1"]
    assert (await made.desk.take(command("c1"))).code == "cancelled"


async def test_the_memory_is_bounded(made: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """The last thousand results are kept, for ten minutes, and a command under way is never forgotten."""
    monkeypatch.setattr(commands, "REMEMBERED", 3)
    go = asyncio.Event()

    async def handle(order: Order) -> Done:
        made.done.append(order.command.command_id)
        if order.command.command_id == "slow":
            await go.wait()
        return Done()

    made.handler = handle
    assert (await made.desk.take(command("slow", timeout_ms=1))).status == "accepted"
    for number in range(6):
        await made.desk.take(command(f"c{number}"))
    assert list(made.desk._memory) == ["c3", "c4", "c5"]
    await made.desk.take(command("c0"))
    assert made.done.count("c0") == 2
    monkeypatch.setattr(commands, "REMEMBERED_SECONDS", 0.0)
    await made.desk.take(command("c0"))
    assert made.done.count("c0") == 3
    go.set()


async def test_a_stopping_agent_answers(made: Desk) -> None:
    """A command that the end of the agent cuts short is answered as failed."""

    async def slow(_order: Order) -> Done:
        await asyncio.Event().wait()
        return Done()

    made.handler = slow
    asked = asyncio.create_task(made.desk.take(command("c1", timeout_ms=10_000)))
    await asyncio.sleep(0.01)
    for task in made.tasks:
        task.cancel()
    assert (await asked).status == "failed"
