"""Recovery commands: each done at most once, and only if it is meant for this agent, here and now."""

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Final, Protocol

from mendbus.contracts.errors import MendbusError
from mendbus.contracts.messages import AgentRef, CommandResult, RecoveryCommand
from mendbus.contracts.vocabulary import UNDOABLE, CommandStatus, Strategy
from mendbus.sdk.texts import DETAIL, SHORT, cut, message_of, type_name

log = logging.getLogger("mendbus.sdk")

REMEMBERED: Final = 1000
"""Commands whose results are kept."""
REMEMBERED_SECONDS: Final = 600.0
_MARGIN_SECONDS: Final = 0.05
"""How long before the time-out `accepted` is answered, so that the answer is there in time; a fifth of short ones."""


@dataclass(slots=True, frozen=True)
class Done:
    """What a handler may return: a word on what it did, how to take it back, and a code such as `in_place`."""

    detail: str | None = None
    undo_token: str | None = None
    code: str | None = None


class StrategyError(MendbusError):
    """A strategy could not be carried out. Attributes: `code`, a stable token; `detail`, one sentence."""

    def __init__(self, code: str, detail: str) -> None:
        self.code = code
        self.detail = detail
        super().__init__(f"{code}: {detail}")


@dataclass(slots=True, frozen=True)
class Order:
    """A command under way; `deadline` in seconds of the loop, when it will have been answered at the latest."""

    command: RecoveryCommand
    deadline: float

    def left(self) -> float:
        """Seconds that are left, never negative."""
        return max(0.0, self.deadline - asyncio.get_running_loop().time())


Handler = Callable[[Order], Awaitable[Done]]


class Spawn(Protocol):
    """Starts a task that somebody owns."""

    def __call__(self, coroutine: Coroutine[Any, Any, None], name: str) -> "asyncio.Task[None]":
        """The coroutine as a task of that name."""
        ...


@dataclass(slots=True, eq=False)
class _Remembered:
    """A command and what came of it; `ended` in seconds of the loop, None while it is under way."""

    answer: "asyncio.Future[CommandResult]"
    result: CommandResult | None = None
    ended: float | None = None


class CommandDesk:
    """Takes commands one at a time and remembers their results.

    `find` gives the handler of a strategy; `now` nanoseconds since 1970. One that overruns its time-out is answered
    `accepted` and goes on by itself, until the next command begins: then it is cancelled, so that two never
    work against each other (a synchronous callable in a thread cannot be stopped and is left to end).
    """

    def __init__(
        self, agent: AgentRef, find: Callable[[Strategy], Handler | None], now: Callable[[], int], spawn: Spawn
    ) -> None:
        self._agent = agent
        self._find = find
        self._now = now
        self._spawn = spawn
        self._fence = -1
        self.done_ns = 0
        """When a command was last done, by the agent's clock."""
        self._memory: OrderedDict[str, _Remembered] = OrderedDict()
        self._turn = asyncio.Lock()
        self._overrun: asyncio.Task[None] | None = None

    async def take(self, command: RecoveryCommand) -> CommandResult:
        """Does what is asked, unless it must not; always an answer, never an exception of a handler."""
        arrived = asyncio.get_running_loop().time()
        wrong = self._misaddressed(command)
        if wrong:
            return CommandResult(command_id=command.command_id, status="misaddressed", detail=wrong)
        known = self._memory.get(command.command_id)
        if known is None or (known.ended is not None and arrived - known.ended >= REMEMBERED_SECONDS):
            known = _Remembered(asyncio.get_running_loop().create_future())
            self._remember(command.command_id, known, arrived)
            # A task of its own: the command goes on, and is remembered, when the connection it came by is lost.
            _ = self._spawn(self._work(command, known, arrived), f"command {command.strategy}")
        if known.result is not None:
            return known.result
        return await asyncio.shield(known.answer)

    def _misaddressed(self, command: RecoveryCommand) -> str | None:
        if command.agent.key != self._agent.key:
            return f"this is {self._agent.key!r}, the command is for {command.agent.key!r}"
        if command.instance is not None and command.instance != self._agent.instance:
            return f"this is instance {self._agent.instance!r}, the command is for {command.instance!r}"
        return None

    def _remember(self, command_id: str, entry: _Remembered, now: float) -> None:
        self._memory[command_id] = entry
        self._memory.move_to_end(command_id)
        for oldest, known in list(self._memory.items()):
            old = known.ended is not None and now - known.ended >= REMEMBERED_SECONDS
            if not old and len(self._memory) <= REMEMBERED:
                break
            if known.ended is not None:
                del self._memory[oldest]

    async def _work(self, command: RecoveryCommand, known: _Remembered, arrived: float) -> None:
        result: CommandResult | None = None
        timeout = command.timeout_ms / 1000
        try:
            async with self._turn:
                result = self._refused(command, arrived, timeout)
                if result is None:
                    self._fence = command.fence
                    result = await self._begin(command, known, arrived + timeout - min(_MARGIN_SECONDS, timeout / 5))
                elif result.status == "stale":
                    # Its fence stays too low whatever happens, so there is nothing to remember.
                    del self._memory[command.command_id]
        finally:
            if result is None:
                result = CommandResult(
                    command_id=command.command_id, status="failed", code="stopped", detail="the agent is stopping"
                )
            self._answer(known, result)

    @staticmethod
    def _answer(known: _Remembered, result: CommandResult) -> None:
        if known.result is None:
            known.result = result
        known.ended = known.answer.get_loop().time()
        if not known.answer.done():
            known.answer.set_result(result)

    def _refused(self, command: RecoveryCommand, arrived: float, timeout: float) -> CommandResult | None:
        def refuse(status: CommandStatus, detail: str) -> CommandResult:
            return CommandResult(command_id=command.command_id, status=status, detail=detail)

        if command.fence < self._fence:
            return refuse("stale", f"fence {command.fence} is lower than {self._fence}, which was seen before")
        waited = asyncio.get_running_loop().time() - arrived
        if self._now() > command.deadline_unix_nano and waited >= timeout:
            return refuse("expired", f"its deadline passed before it could begin, after {waited * 1000:.0f} ms here")
        return None

    async def _begin(self, command: RecoveryCommand, known: _Remembered, deadline: float) -> CommandResult:
        handler = self._find(command.strategy)
        if handler is None or (command.action != "apply" and command.strategy not in UNDOABLE):
            what = f"{command.action} of {command.strategy}"
            return CommandResult(
                command_id=command.command_id, status="unsupported", detail=f"this agent does not support {what}"
            )
        if self._overrun is not None and not self._overrun.done():
            log.warning("a newer command cancels one that has not ended")
            self._overrun.cancel()
        loop = asyncio.get_running_loop()

        async def run() -> None:
            result = await self._run(handler, command, deadline)
            if result.status == "done":
                self.done_ns = self._now()
            # Told to whoever asks again, also when `accepted` was answered before.
            known.result = result

        task = self._spawn(run(), f"handler {command.strategy}")
        _ = await asyncio.wait((task,), timeout=max(0.0, deadline - loop.time()))
        if known.result is not None:
            return known.result
        self._overrun = task
        return CommandResult(command_id=command.command_id, status="accepted", detail="still at work")

    @staticmethod
    async def _run(handler: Handler, command: RecoveryCommand, deadline: float) -> CommandResult:
        loop = asyncio.get_running_loop()
        begun = loop.time()
        status: CommandStatus = "failed"
        code: str | None = None
        detail: str | None = None
        token: str | None = None
        try:
            done = await handler(Order(command, deadline))
            status, code, detail, token = "done", done.code, done.detail, done.undo_token
        except StrategyError as error:
            code, detail = error.code, error.detail
        except asyncio.CancelledError:
            code, detail = "cancelled", "a newer command or the end of the agent cancelled it"
        except Exception as error:
            code, detail = type_name(type(error)), message_of(error)
            log.warning("the handler of %s failed: %s: %s", command.strategy, code, detail)
        return CommandResult(
            command_id=command.command_id,
            status=status,
            code=cut(code, SHORT) if code else None,
            detail=cut(detail, DETAIL) if detail else None,
            undo_token=cut(token, SHORT) if token else None,
            duration_ms=round((loop.time() - begun) * 1000),
        )
