"""Faults that an operator brings into this agent for rehearsal, if it has opted in: one at a time, each with an end.

What recovers the agent is not told of it: operations and probes meet the fault where they would meet it in life.
"""

import asyncio
import functools
import inspect
import logging
import os
import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, Final

from mendbus import codec
from mendbus.bus import Bus, Message, Subscription
from mendbus.contracts.errors import BusError, Refused
from mendbus.contracts.messages import AgentRef, Rehearse, RehearseResult
from mendbus.contracts.subjects import HEADER_SERVICE_ERROR, HEADER_SERVICE_ERROR_CODE, MAX_BODY, Subjects
from mendbus.contracts.vocabulary import RehearseStatus
from mendbus.faults import LONGEST_SECONDS, FaultError, OperationFault, ProcessFault, Values
from mendbus.faults.catalogue import fault_named
from mendbus.faults.outside import process_space
from mendbus.sdk.loop import Caller, is_async
from mendbus.sdk.operations import Operation, Operations
from mendbus.sdk.texts import DETAIL, SHORT, cut

log = logging.getLogger("mendbus.sdk")

REMEMBERED: Final = 64
"""Rehearsals whose answers are kept, so that a repeated request is not done twice."""
_MOST_OPERATIONS: Final = 256


class Meeting:
    """Stands around the functions of an operation: each call meets the fault, while there are any left."""

    def __init__(self, fault: OperationFault, values: Values, calls: int | None, over: threading.Event) -> None:
        self._fault = fault
        self._values = values
        self._left = calls
        self._over = over
        self._lock = threading.Lock()

    @property
    def ended(self) -> bool:
        """Whether no further call will meet it."""
        return self._over.is_set() or self._left == 0

    def __call__(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function, after the fault; asynchronous as it is itself."""
        if not is_async(function):

            @functools.wraps(function)
            def run(*arguments: Any, **named: Any) -> Any:
                if self._take():
                    self._fault.meet(self._values, self._over)
                return function(*arguments, **named)

            return run

        @functools.wraps(function)
        async def run_async(*arguments: Any, **named: Any) -> Any:
            if self._take():
                # A thread of its own: an asynchronous call that waits in life does not hold its loop either.
                _ = await Caller().call(self._fault.meet, self._values, self._over)
            result = function(*arguments, **named)
            return await result if inspect.isawaitable(result) else result

        return run_async

    def _take(self) -> bool:
        with self._lock:
            if self.ended:
                return False
            if self._left is not None:
                self._left -= 1
            return True


class _UnderWay:
    """A rehearsal that has begun. `start` brings it about once the operator has been answered."""

    def __init__(self, request: Rehearse, seconds: float) -> None:
        self.request = request
        self.seconds = seconds
        self.over = threading.Event()
        self.operation: Operation | None = None
        self.meeting: Meeting | None = None
        self.start: Callable[[], None] = lambda: None
        self.timer: asyncio.TimerHandle | None = None

    @property
    def ended(self) -> bool:
        """Whether another may begin."""
        return self.over.is_set() or (self.meeting is not None and self.meeting.ended)


class Rehearsal:
    """Takes what `mendbus inject` asks of one agent. Used on the agent's own loop only."""

    def __init__(self, agent: AgentRef, subjects: Subjects, operations: Operations, caller: Caller) -> None:
        self._agent = agent
        self._subject = subjects.rehearse(agent.kind, agent.id)
        self._operations = operations
        self._caller = caller
        self._answers: OrderedDict[str, RehearseResult] = OrderedDict()
        self._current: _UnderWay | None = None

    async def listen(self, bus: Bus) -> Subscription:
        """Takes requests from now on."""

        async def receive(message: Message) -> None:
            await self.receive(bus, message)

        return await bus.subscribe(self._subject, receive)

    async def receive(self, bus: Bus, message: Message) -> None:
        """One request: answered first, so that a fault that ends the process has been answered too."""
        if not message.reply:
            return
        begun: _UnderWay | None = None
        try:
            try:
                codec.check_content_type(message.headers)
                request = codec.decode(Rehearse, message.body, MAX_BODY)
            except Refused as refused:
                text = " ".join(str(refused).split())[:400]
                headers = {HEADER_SERVICE_ERROR: text, HEADER_SERVICE_ERROR_CODE: "400"}
                await bus.publish(message.reply, b"", headers)
                return
            answer, begun = self.take(request)
            await bus.publish(message.reply, codec.encode(answer), codec.headers())
            await bus.barrier()
        except BusError as error:
            log.warning("an answer on %s could not be sent: %s", message.subject, error)
            if begun is not None:
                # Whoever asked does not know of it and could not end it.
                self._end(begun)
        else:
            if begun is not None:
                self.start(begun)

    def take(self, request: Rehearse) -> tuple[RehearseResult, _UnderWay | None]:
        """The answer, and what is to be started after it has been sent."""
        known = self._answers.get(request.id)
        if request.action == "begin" and known is not None:
            return known, None
        begun: _UnderWay | None = None
        try:
            self._check(request)
            if request.action == "look":
                under_way = self._under_way()
                answer = self._answer(request, "ready", under_way and f"{under_way.request.fault} is under way")
            elif request.action == "end":
                answer = self._answer(request, "ended", self._end_of(request.id))
            else:
                begun = self._begin(request)
                operation = None if begun.operation is None else begun.operation.name
                answer = self._answer(request, "begun", f"for {begun.seconds:g} s", operation)
        except FaultError as error:
            answer = self._answer(request, "refused", str(error))
        # An end that overtakes its beginning forbids it.
        if request.action != "look" and known is None:
            self._answers[request.id] = answer
            while len(self._answers) > REMEMBERED:
                _ = self._answers.popitem(last=False)
        return answer, begun

    def start(self, begun: _UnderWay) -> None:
        """Lets it happen, and sees to its end."""
        if begun.over.is_set():
            return
        begun.timer = asyncio.get_running_loop().call_later(begun.seconds, self._end, begun)
        request = begun.request
        where = "the process" if begun.operation is None else f"operation {begun.operation.name!r}"
        log.warning("%s rehearses %s with %s for %g s", request.by, request.fault, where, begun.seconds)
        begun.start()

    def close(self) -> None:
        """Ends what is under way."""
        if self._current is not None:
            self._end(self._current)

    # -- within

    def _check(self, request: Rehearse) -> None:
        if request.agent.key != self._agent.key:
            raise FaultError(f"this is {self._agent.key}, the request is for {request.agent.key}")
        # Two processes may serve one agent for a moment, and a fault is for one.
        wanted = request.agent.instance
        if request.action == "begin" and wanted != self._agent.instance:
            raise FaultError(f"this is instance {self._agent.instance}, the request is for {wanted or 'none by name'}")

    def _under_way(self) -> _UnderWay | None:
        return None if self._current is None or self._current.ended else self._current

    def _begin(self, request: Rehearse) -> _UnderWay:
        if (current := self._under_way()) is not None:
            raise FaultError(f"{current.request.fault} is under way here, and only one fault is rehearsed at a time")
        if request.fault is None or request.seconds is None:
            raise FaultError("a rehearsal needs a fault and seconds")
        fault = fault_named(request.fault)
        values = fault.values(request.parameters)
        begun = _UnderWay(request, min(request.seconds, LONGEST_SECONDS))
        match fault:
            case OperationFault():
                self._into_operation(begun, fault, values)
            case ProcessFault():
                self._into_process(begun, fault, values)
            case _:
                raise FaultError(f"{fault.name} is brought about from outside of the process")
        self._current = begun
        return begun

    def _into_operation(self, begun: _UnderWay, fault: OperationFault, values: Values) -> None:
        operation = begun.operation = self._operation(begun.request.operation)
        meeting = begun.meeting = Meeting(fault, values, begun.request.calls, begun.over)

        def start() -> None:
            operation.around = meeting

        begun.start = start

    def _operation(self, name: str | None) -> Operation:
        there = self._operations.runnable()
        if name is None and len(there) == 1:
            return there[0]
        for operation in there:
            if operation.name == name:
                return operation
        names = ", ".join(operation.name for operation in there) or "none"
        raise FaultError(
            f"this agent has no operation {name!r}: {names}" if name else f"name one of its operations: {names}"
        )

    def _into_process(self, begun: _UnderWay, fault: ProcessFault, values: Values) -> None:
        if begun.request.operation is not None or begun.request.calls is not None:
            raise FaultError(f"{fault.name} is a fault of the process: it takes no operation and no number of calls")
        loop = self._caller.user_loop
        if fault.on_loop and (loop is None or loop.is_closed()):
            raise FaultError(f"{fault.name} needs an event loop: this agent was not started on one")

        def start() -> None:
            if fault.on_loop and loop is not None:
                _ = loop.call_soon_threadsafe(fault.run, values, begun.over)
            else:
                threading.Thread(target=fault.run, args=(values, begun.over), name=fault.name, daemon=True).start()

        begun.start = start

    def _end_of(self, rehearsal: str) -> str:
        if self._current is None or self._current.request.id != rehearsal:
            return "it was not under way"
        self._end(self._current)
        return "taken back"

    def _end(self, begun: _UnderWay) -> None:
        begun.over.set()
        if begun.timer is not None:
            begun.timer.cancel()
        if begun.operation is not None and begun.operation.around is begun.meeting:
            begun.operation.around = None

    def _answer(
        self, request: Rehearse, status: RehearseStatus, detail: str | None, operation: str | None = None
    ) -> RehearseResult:
        return RehearseResult(
            id=request.id,
            status=status,
            detail=cut(detail, DETAIL) if detail else None,
            operation=operation,
            instance=self._agent.instance or "unknown",
            pid=os.getpid(),
            host=cut(process_space(), SHORT),
            operations=[operation.name for operation in self._operations.runnable()[:_MOST_OPERATIONS]],
        )
