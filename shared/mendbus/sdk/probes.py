"""Whether the thing that failed works now: by exercising it, never by what the last command said."""

import asyncio
from collections.abc import Callable
from typing import Any, Final

from mendbus.contracts.messages import Probe, ProbeResult
from mendbus.sdk.loop import Caller
from mendbus.sdk.operations import Operation, Operations
from mendbus.sdk.strategies import run_again
from mendbus.sdk.texts import DETAIL, cut, message_of, type_name

_LONGEST_SECONDS: Final = 60.0


class Probes:
    """Answers probes, each by the strongest means there is:

    1. the probe registered for the operation;
    2. an idempotent operation without one: its last failed call, made again for real;
    3. any other operation: how its last real execution ended (weaker: it says nothing of the state since then);
    4. no operation, or one that never ran here: the general probe; without one, whether the agent's own loop and,
       where there is one, the loop it was started on still answer.
    """

    def __init__(self, operations: Operations, caller: Caller, now: Callable[[], int]) -> None:
        self._operations = operations
        self._caller = caller
        self._now = now
        self.general: Callable[[], Any] | None = None
        self.elsewhere: Callable[[], tuple[bool, str] | None] = lambda: None
        """What is to be said while another agent does the work of this one; None when none does."""

    async def answer(self, probe: Probe) -> ProbeResult:
        """The result, within the probe's deadline."""
        found = self.elsewhere()
        return self._result(probe, *found) if found is not None else await self.of_its_own(probe)

    async def of_its_own(self, probe: Probe) -> ProbeResult:
        """The same, whoever does the work."""
        left = (probe.deadline_unix_nano - self._now()) / 1e9
        if left <= 0:
            return self._result(probe, False, "the deadline of this probe had passed by this agent's clock")
        limit = asyncio.timeout(min(left, _LONGEST_SECONDS))
        try:
            async with limit:
                healthy, detail = await self._check(probe.operation)
        except Exception as error:
            healthy, detail = False, f"{type_name(type(error))}: {message_of(error)}"
            if limit.expired():
                detail = f"no answer within {min(left, _LONGEST_SECONDS) * 1000:.0f} ms"
        return self._result(probe, healthy, detail)

    def _result(self, probe: Probe, healthy: bool, detail: str) -> ProbeResult:
        return ProbeResult(
            healthy=healthy,
            operation=probe.operation,
            detail=cut(detail, DETAIL) or None,
            checked_unix_nano=self._now(),
        )

    async def _check(self, name: str | None) -> tuple[bool, str]:
        operation = self._operations.get(name)
        probing = None if operation is None else operation.probing()
        if probing is not None:
            return await self._run(probing)
        if operation is not None and operation.has_run:
            return await self._by_execution(operation)
        if self.general is not None:
            return await self._run(self.general)
        if await self._caller.user_loop_answers():
            return True, "the event loop answers"
        return False, "the event loop that the agent was started on is closed"

    async def _run(self, probe: Callable[[], Any]) -> tuple[bool, str]:
        result = await self._caller.call(probe)
        return (False, "the probe returned False") if result is False else (True, "")

    async def _by_execution(self, operation: Operation) -> tuple[bool, str]:
        if operation.idempotent and operation.last_failed is not None:
            await run_again(operation.last_failed, self._operations, self._caller)
            return True, "the failed call succeeded when made again"
        if operation.last_failure is not None:
            return False, f"its last execution failed: {operation.last_failure}"
        return True, "its last execution succeeded"
