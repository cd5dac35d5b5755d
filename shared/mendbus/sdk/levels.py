"""Levels that `scale_down` lowers, such as a number of workers, and their way back."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from mendbus.sdk.commands import Done, Order, StrategyError
from mendbus.sdk.loop import Caller

_FACTOR: Final = 0.5


@dataclass(slots=True)
class Level:
    """One number that can be read and set. `former`: what it was before it was lowered, None while it is not."""

    get: Callable[[], Any]
    set: Callable[[int], Any]
    former: int | None = None


class Levels:
    """All levels of an agent."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller
        self.by_name: dict[str, Level] = {}

    async def handle(self, order: Order) -> Done:
        """Lowers each level to `to`, or by `factor` and never below 1; undo and restore set what was before."""
        parameters = order.command.parameters
        said: list[str] = []
        for name, level in self.by_name.items():
            if order.command.action == "apply":
                present = await self._caller.call(level.get)
                wanted = min(present, _lower(present, parameters.get("to"), parameters.get("factor")))
                if level.former is None:
                    level.former = present
            elif level.former is None:
                continue
            else:
                wanted = level.former
            _ = await self._caller.call(level.set, wanted)
            if order.command.action != "apply":
                level.former = None
            said.append(f"{name} {wanted}")
        return Done(", ".join(said) or "nothing was lowered")


def _lower(present: int, to: object, factor: object) -> int:
    if isinstance(to, int) and not isinstance(to, bool):
        return max(0, to)
    by = _FACTOR if factor is None else factor
    if not isinstance(by, int | float) or isinstance(by, bool) or not 0 < by < 1:
        raise StrategyError("bad_factor", f"the factor is between 0 and 1, not {factor!r}")
    return max(1, math.floor(present * by))
