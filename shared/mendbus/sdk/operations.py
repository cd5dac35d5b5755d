"""What an agent does that can fail: timed, reported, remembered so as to be run again, switched to alternatives."""

import contextvars
import functools
import threading
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, ParamSpec, Protocol, TypeVar, cast

from mendbus.contracts.errors import MendbusError
from mendbus.contracts.messages import Operation as OperationRef
from mendbus.sdk.budget import RetryBudget
from mendbus.sdk.loop import is_async
from mendbus.sdk.reports import Words
from mendbus.sdk.texts import SHORT, cut, message_of, type_name

P = ParamSpec("P")
R = TypeVar("R")

_NO_WORDS: Final = Words()


class Isolated(MendbusError):
    """The agent is isolated and takes no work. Attribute: `reason`."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(f"this agent is isolated: {reason}")


class StandsBy(Isolated):
    """The agent stands by and takes no work: it is another's turn. Attribute: `reason`."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.args = (f"this agent takes no work: {reason}",)


REMEMBERED_CALLS: Final = 256
"""Most failed calls whose arguments are kept; the oldest is let go of first."""
CALLS_PER_EVENT: Final = 16
"""Most different calls kept for one event, to which repeats of a failure are counted."""


class Report(Protocol):
    """How an operation reports a failure; returns the event id."""

    def __call__(self, error: Exception, words: Words) -> str:
        """Takes the failure in."""
        ...


@dataclass(slots=True, eq=False)
class Call:
    """A call that failed, ready to be made again."""

    operation: "Operation"
    arguments: tuple[Any, ...]
    named: Mapping[str, Any]

    def same_as(self, other: "Call") -> bool:
        """Whether both were made with the very same objects (comparing them could cost anything)."""
        return (
            len(self.arguments) == len(other.arguments)
            and self.named.keys() == other.named.keys()
            and all(one is another for one, another in zip(self.arguments, other.arguments, strict=True))
            and all(self.named[name] is other.named[name] for name in self.named)
        )


@dataclass(slots=True, eq=False)
class Operation:
    """One registered operation. `active`: the alternative in use, None for the primary."""

    name: str
    idempotent: bool = False
    words: Words = _NO_WORDS
    primary: Callable[..., Any] | None = None
    probe: Callable[[], Any] | None = None
    fallbacks: dict[str, Callable[..., Any]] = field(default_factory=dict[str, Callable[..., Any]])
    fallback_probes: dict[str, Callable[[], Any]] = field(default_factory=dict[str, Callable[[], Any]])
    active: str | None = None
    last_failure: str | None = None
    has_run: bool = False
    last_failed: Call | None = None
    around: Callable[[Callable[..., Any]], Callable[..., Any]] | None = None
    """What stands around the primary and its probe while a fault is rehearsed."""

    def current(self) -> Callable[..., Any]:
        """The function that does it now."""
        if self.active is not None and self.active in self.fallbacks:
            return self.fallbacks[self.active]
        if self.primary is None:
            msg = f"operation {self.name!r} has alternatives and no primary: decorate it with @agent.operation"
            raise RuntimeError(msg)
        around = self.around
        return self.primary if around is None else around(self.primary)

    def probing(self) -> Callable[[], Any] | None:
        """What exercises it as it is done now: by the alternative in use where that has a probe of its own, else by the
        operation's; the primary's meets the fault that is rehearsed, as a call does.
        """
        if self.active is not None:
            return self.fallback_probes.get(self.active, self.probe)
        return self.probe if self.probe is None or self.around is None else self.around(self.probe)


@dataclass(slots=True)
class Runs:
    """What ran since the last reading."""

    succeeded: int = 0
    failed: int = 0
    seconds: float = 0.0


@dataclass(slots=True, eq=False)
class _Nest:
    """A run, a watch or a guard under way; `reported` is the exception that an inner one has reported already."""

    outer: "_Nest | None"
    reported: BaseException | None = None


_nest: contextvars.ContextVar[_Nest | None] = contextvars.ContextVar("mendbus_nest", default=None)


class Watch:
    """A context manager that reports what is raised in it, unless something inside did, and lets it pass."""

    __slots__ = ("_nest", "_report", "_words")

    def __init__(self, report: Report, words: Words) -> None:
        self._report = report
        self._words = words
        self._nest: _Nest | None = None

    def __enter__(self) -> None:
        self._nest = _Nest(_nest.get())
        _nest.set(self._nest)

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        nest = self._nest
        if nest is None:
            return
        _nest.set(nest.outer)
        if not isinstance(error, Exception):
            return
        if nest.reported is not error:
            _ = self._report(error, self._words)
        if nest.outer is not None:
            nest.outer.reported = error


class Operations:
    """All operations of an agent. Registration and runs from any thread; `report` as in `Report`."""

    def __init__(self, report: Report, changed: Callable[[], None]) -> None:
        self._report = report
        self._changed = changed
        self._lock = threading.Lock()
        self._operations: dict[str, Operation] = {}
        self._calls: OrderedDict[str, list[Call]] = OrderedDict()
        self._kept = 0
        self._runs = Runs()
        self.retries = RetryBudget()
        self.isolated: str | None = None
        """Why no work is taken; None while it is."""
        self.turn: Callable[[], str | None] = lambda: None
        """Why it is the turn of another agent; None when it is not."""

    # -- registration

    def wrap(
        self, name: str, function: Callable[P, R], *, idempotent: bool, probe: Callable[[], Any] | None, words: Words
    ) -> Callable[P, R]:
        """The function, run as the operation `name`. Raises `ValueError` for a name used twice."""
        operation = self._entry(name)
        if operation.primary is not None:
            msg = f"there is an operation {name!r} already"
            raise ValueError(msg)
        operation.primary = function
        operation.idempotent = idempotent
        operation.words = words
        operation.probe = probe or operation.probe
        self._check_alternatives(operation)
        self._changed()
        if is_async(function):
            return cast("Callable[P, R]", self._wrap_async(operation, function))
        return self._wrap_sync(operation, function)

    def add_fallback(
        self, name: str, alternative: str, function: Callable[..., Any], probe: Callable[[], Any] | None = None
    ) -> None:
        """Registers an alternative of an operation; they are tried in the order of their registration."""
        operation = self._entry(name)
        if alternative in operation.fallbacks:
            msg = f"operation {name!r} has an alternative {alternative!r} already"
            raise ValueError(msg)
        operation.fallbacks[alternative] = function
        if probe is not None:
            operation.fallback_probes[alternative] = probe
        self._check_alternatives(operation)
        self._changed()

    def add_probe(self, name: str, probe: Callable[[], Any]) -> None:
        """Registers what exercises an operation."""
        self._entry(name).probe = probe

    def _entry(self, name: str) -> Operation:
        if not name or cut(name, SHORT) != name:
            msg = f"an operation's name has 1 to {SHORT} bytes of UTF-8, got {name!r}"
            raise ValueError(msg)
        with self._lock:
            return self._operations.setdefault(name, Operation(name))

    @staticmethod
    def _check_alternatives(operation: Operation) -> None:
        if operation.primary is None or is_async(operation.primary):
            return
        for name, function in operation.fallbacks.items():
            if is_async(function):
                msg = f"operation {operation.name!r} is synchronous, so its alternative {name!r} cannot be asynchronous"
                raise TypeError(msg)

    # -- what is registered

    def get(self, name: str | None) -> Operation | None:
        """An operation by name."""
        return self._operations.get(name) if name else None

    def runnable(self) -> list[Operation]:
        """Operations that have a primary."""
        return [operation for operation in list(self._operations.values()) if operation.primary is not None]

    def described(self) -> list[OperationRef]:
        """For the hello."""
        return [
            OperationRef(name=operation.name, fallbacks=[cut(name, SHORT) for name in operation.fallbacks])
            for operation in self.runnable()
        ]

    def calls_of(self, event_ids: list[str], name: str | None) -> list[Call]:
        """The failed calls behind these events, or else the last failed call of the operation."""
        with self._lock:
            calls = [call for event in event_ids for call in self._calls.get(event, ())]
        if calls:
            return calls
        operation = self.get(name)
        return [operation.last_failed] if operation is not None and operation.last_failed is not None else []

    def take_runs(self) -> Runs:
        """What ran since this was asked last."""
        with self._lock:
            runs, self._runs = self._runs, Runs()
        return runs

    # -- running

    def watch(self, words: Words) -> Watch:
        """See `Watch`."""
        return Watch(self._report, words)

    def _wrap_sync(self, operation: Operation, function: Callable[P, R]) -> Callable[P, R]:
        @functools.wraps(function)
        def run(*arguments: P.args, **named: P.kwargs) -> R:
            self._admit()
            nest = _Nest(_nest.get())
            _nest.set(nest)
            started = time.perf_counter()
            try:
                result = operation.current()(*arguments, **named)
            except Exception as error:
                _nest.set(nest.outer)
                self._failed(Call(operation, arguments, named), error, nest, started)
                raise
            except BaseException:
                _nest.set(nest.outer)
                raise
            _nest.set(nest.outer)
            self.note(operation, None, time.perf_counter() - started)
            return cast("R", result)

        return run

    def _wrap_async(self, operation: Operation, function: Callable[..., Any]) -> Callable[..., Awaitable[Any]]:
        @functools.wraps(function)
        async def run(*arguments: Any, **named: Any) -> Any:
            self._admit()
            nest = _Nest(_nest.get())
            _nest.set(nest)
            started = time.perf_counter()
            try:
                result = operation.current()(*arguments, **named)
                if isinstance(result, Awaitable):
                    result = await cast("Awaitable[Any]", result)
            except Exception as error:
                _nest.set(nest.outer)
                self._failed(Call(operation, arguments, named), error, nest, started)
                raise
            except BaseException:
                _nest.set(nest.outer)
                raise
            _nest.set(nest.outer)
            self.note(operation, None, time.perf_counter() - started)
            return result

        return run

    def check_turn(self) -> None:
        """Raises `StandsBy`."""
        why = self.turn()
        if why is not None:
            raise StandsBy(why)

    def _admit(self) -> None:
        why = self.turn()
        if self.isolated is not None or why is not None:
            error = StandsBy(why) if why is not None else Isolated(self.isolated or "")
            nest = _nest.get()
            if nest is not None:
                # Ordered, so it is no failure for those further out to report.
                nest.reported = error
            raise error

    def _failed(self, call: Call, error: Exception, nest: _Nest, started: float) -> None:
        operation = call.operation
        seconds = time.perf_counter() - started
        self.note(operation, error, seconds)
        operation.last_failed = call
        if nest.reported is not error:
            self._remember(self._report(error, self._words_of(operation, seconds)), call)
        if nest.outer is not None:
            nest.outer.reported = error

    @staticmethod
    def _words_of(operation: Operation, seconds: float) -> Words:
        words = operation.words
        attributes = None if operation.active is None else {"mendbus.alternative": operation.active}
        return Words(words.severity, words.category, operation.name, attributes, seconds=seconds)

    def note(self, operation: Operation, error: BaseException | None, seconds: float, *, again: bool = False) -> None:
        """Counts a real execution and keeps how it ended; `again`: it was made again, which earns no retries."""
        if not again:
            self.retries.deposit()
        failure = None if error is None else f"{type_name(type(error))}: {message_of(error)}"
        with self._lock:
            operation.has_run = True
            operation.last_failure = failure
            self._runs.seconds += seconds
            if failure is None:
                self._runs.succeeded += 1
            else:
                self._runs.failed += 1

    def _remember(self, event: str, call: Call) -> None:
        with self._lock:
            calls = self._calls.setdefault(event, [])
            if len(calls) >= CALLS_PER_EVENT or any(call.same_as(known) for known in calls):
                return
            calls.append(call)
            self._kept += 1
            while self._kept > REMEMBERED_CALLS:
                _, oldest = self._calls.popitem(last=False)
                self._kept -= len(oldest)
