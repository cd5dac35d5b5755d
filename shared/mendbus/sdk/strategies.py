"""What an agent can do when told to recover: real defaults for six strategies, the user's own for the others."""

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from mendbus.contracts.vocabulary import STRATEGIES, Strategy
from mendbus.sdk.checkpoints import Checkpoints
from mendbus.sdk.commands import Done, Handler, Order, StrategyError
from mendbus.sdk.levels import Level, Levels
from mendbus.sdk.loop import Caller
from mendbus.sdk.operations import Call, Operation, Operations
from mendbus.sdk.texts import message_of, type_name

RETRY_BUDGET: Final = "retry_budget"
"""Code of a retry that is refused because there were too many."""
_TRIES: Final = 3
_BASE_MS: Final = 10
_MAX_MS: Final = 1000


@dataclass(slots=True)
class Feature:
    """Something that can be switched off when times are hard."""

    on: Callable[[], Any]
    off: Callable[[], Any]
    is_off: bool = False


class Strategies:
    """Finds the handler of a strategy: the user's own, else the default where what it needs is registered."""

    def __init__(
        self,
        operations: Operations,
        checkpoints: Checkpoints,
        caller: Caller,
        changed: Callable[[], None],
        random_unit: Callable[[], float] = random.random,
    ) -> None:
        self._operations = operations
        self._checkpoints = checkpoints
        self._caller = caller
        self._changed = changed
        self._random = random_unit
        self._handlers: dict[Strategy, Callable[..., Any]] = {}
        self._features: dict[str, Feature] = {}
        self._levels = Levels(caller)
        self.failover: Handler | None = None
        """Hands the work over to a standby, where there are any."""

    def add_handler(self, strategy: Strategy, function: Callable[..., Any]) -> None:
        """Registers the user's own handler, which takes the RecoveryCommand. Raises `ValueError`."""
        if strategy not in STRATEGIES or strategy == "escalate":
            msg = f"there is no strategy {strategy!r} that an agent carries out"
            raise ValueError(msg)
        self._handlers[strategy] = function
        self._changed()

    def add_feature(self, name: str, feature: Feature) -> None:
        """Registers an optional feature."""
        self._features[name] = feature
        self._changed()

    def add_level(self, name: str, level: Level) -> None:
        """Registers a number that can be lowered."""
        self._levels.by_name[name] = level
        self._changed()

    @property
    def features(self) -> list[str]:
        """Names of the optional features."""
        return list(self._features)

    def supported(self) -> list[Strategy]:
        """The strategies that would be carried out, in the usual order."""
        return [strategy for strategy in STRATEGIES if self.find(strategy) is not None]

    def find(self, strategy: Strategy) -> Handler | None:
        """What carries out a strategy; None when nothing does."""
        own = self._handlers.get(strategy)
        if own is not None:
            return self._own(own)
        operations = self._operations.runnable()
        if strategy == "retry" and operations:
            return self._retry
        if strategy == "fallback" and any(operation.fallbacks for operation in operations):
            return self._fallback
        if strategy == "rollback" and self._checkpoints.registered:
            return self._rollback
        if strategy == "isolate" and operations:
            return self._isolate
        if strategy == "scale_down" and self._levels.by_name:
            return self._levels.handle
        if strategy == "graceful_degradation" and self._features:
            return self._degrade
        if strategy == "failover":
            return self.failover
        return None

    def _own(self, function: Callable[..., Any]) -> Handler:
        async def handle(order: Order) -> Done:
            result = await self._caller.call(function, order.command)
            if isinstance(result, Done):
                return result
            return Done(None if result is None else str(result))

        return handle

    # -- retry

    async def _retry(self, order: Order) -> Done:
        command = order.command
        calls = self._operations.calls_of(command.event_ids, command.operation)
        if not calls:
            raise StrategyError("call_forgotten", "the failed call is not known to this agent any more")
        tries = 0
        for call in calls:
            tries += await self._try(call, order)
        return Done(f"{len(calls)} failed call(s) succeeded after {tries} tries")

    async def _try(self, call: Call, order: Order) -> int:
        parameters = order.command.parameters
        most = max(1, _number(parameters.get("max_tries"), _TRIES))
        base, longest = _number(parameters.get("base_ms"), _BASE_MS), _number(parameters.get("max_ms"), _MAX_MS)
        number, failure = 0, None
        while True:
            number += 1
            if not self._operations.retries.take(asyncio.get_running_loop().time()):
                last = "" if failure is None else f"; it failed last with {message_of(failure)}"
                said = f"{call.operation.name!r} may not be tried again now: too many retries for its operations{last}"
                raise StrategyError(RETRY_BUDGET, said)
            try:
                await run_again(call, self._operations, self._caller)
            except Exception as error:
                failure = error
            else:
                return number
            # Full jitter: any pause up to the exponential bound, so that many agents do not come back in step.
            pause = self._random() * min(longest, base * 2 ** min(number - 1, 32)) / 1000
            if number >= most or pause >= order.left():
                said = f"{call.operation.name!r} failed again in {number} tries: {message_of(failure)}"
                raise StrategyError(type_name(type(failure)), said) from failure
            await asyncio.sleep(pause)

    # -- fallback

    async def _fallback(self, order: Order) -> Done:
        operation = self._operation_of(order)
        if order.command.action != "apply":
            operation.active = None
            return Done(f"{operation.name!r} is back to its primary")
        wanted = order.command.parameters.get("to")
        names = list(operation.fallbacks)
        if wanted is None:
            # The next one after the one in use; after the last there is nothing left to switch to.
            rest = names if operation.active is None else names[names.index(operation.active) + 1 :]
            if not rest:
                raise StrategyError("no_alternative", f"operation {operation.name!r} has no further alternative")
            wanted = rest[0]
        if wanted not in operation.fallbacks:
            raise StrategyError("no_alternative", f"operation {operation.name!r} has no alternative {wanted!r}")
        operation.active = str(wanted)
        return Done(f"{operation.name!r} is done by {wanted!r}", operation.name)

    def _operation_of(self, order: Order) -> Operation:
        command = order.command
        operation = self._operations.get(command.operation)
        if operation is None and command.operation is None:
            calls = self._operations.calls_of(command.event_ids, None)
            switchable = [found for found in self._operations.runnable() if found.fallbacks]
            operation = calls[0].operation if calls else (switchable[0] if len(switchable) == 1 else None)
        if operation is None:
            raise StrategyError("no_operation", f"this agent has no operation {command.operation!r}")
        return operation

    # -- rollback

    async def _rollback(self, order: Order) -> Done:
        if order.command.action == "apply":
            return await self._checkpoints.apply(order)
        return await self._checkpoints.undo(order)

    # -- isolate

    async def _isolate(self, order: Order) -> Done:
        """Operations are refused from now on; those under way go on. Probes and retries reach them all the same."""
        if order.command.action == "apply":
            self._operations.isolated = str(order.command.parameters.get("reason") or "isolated by command")
            return Done("takes no work")
        self._operations.isolated = None
        return Done("takes work again")

    # -- graceful degradation

    async def _degrade(self, order: Order) -> Done:
        off = order.command.action == "apply"
        wanted = order.command.parameters.get("features")
        names = [str(name) for name in wanted] if isinstance(wanted, list) else list(self._features)  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
        missing = [name for name in names if name not in self._features]
        if missing:
            raise StrategyError("unknown_feature", f"this agent has no feature {', '.join(map(repr, missing))}")
        failed: list[str] = []
        for name in names:
            feature = self._features[name]
            if feature.is_off == off:
                continue
            try:
                _ = await self._caller.call(feature.off if off else feature.on)
            except Exception as error:
                failed.append(f"{name!r}: {error!r}")
            else:
                feature.is_off = off
        if failed:
            raise StrategyError("feature_failed", f"could not switch {'; '.join(failed)}")
        return Done(f"{'off' if off else 'on'}: {', '.join(names)}")


async def run_again(call: Call, operations: Operations, caller: Caller) -> None:
    """Really makes a failed call again, by what does the operation now; its failure is raised, and not reported.

    Whoever asks learns of the failure from the answer: reporting it as well would count one failure twice.
    """
    operations.check_turn()
    loop = asyncio.get_running_loop()
    begun = loop.time()
    try:
        _ = await caller.call(call.operation.current(), *call.arguments, **call.named)
    except Exception as error:
        operations.note(call.operation, error, loop.time() - begun, again=True)
        raise
    operations.note(call.operation, None, loop.time() - begun, again=True)


def _number(value: object, default: int) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else default
