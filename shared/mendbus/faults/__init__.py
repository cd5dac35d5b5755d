"""Real faults for rehearsals, each with what may be said of it and within which bounds.

Each provokes what it is named for: a connection that is really refused, a file that really finds no room. Nothing here
raises an exception by name, and nothing knows what a recovery will do about it. Every one of them ends by itself.
"""

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from mendbus.contracts.errors import MendbusError

LONGEST_SECONDS: Final = 300.0
"""The longest that a fault may last."""

Values = Mapping[str, float]
"""The parameters of a fault, checked and complete."""


class FaultError(MendbusError):
    """A fault cannot be brought about as it was asked for."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """A number that shapes a fault. `whole`: it counts something."""

    name: str
    default: float
    least: float
    most: float
    description: str
    whole: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """What can be brought into one agent."""

    name: str
    description: str
    parameters: tuple[Parameter, ...] = ()

    def values(self, given: Values) -> dict[str, float]:
        """The parameters, defaults filled in. Raises `FaultError` for one that does not exist or is out of bounds."""
        known = {parameter.name: parameter for parameter in self.parameters}
        unknown = sorted(given.keys() - known.keys())
        if unknown:
            there = ", ".join(known) or "none"
            raise FaultError(f"{self.name} has no parameter {', '.join(map(repr, unknown))}; it has: {there}")
        values = {name: parameter.default for name, parameter in known.items()} | dict(given)
        for name, value in values.items():
            parameter = known[name]
            if not parameter.least <= value <= parameter.most or (parameter.whole and value != int(value)):
                kind = "a whole number" if parameter.whole else "a number"
                raise FaultError(
                    f"{name} of {self.name} is {kind} from {parameter.least:g} to {parameter.most:g}, got {value:g}"
                )
        return values


@dataclass(frozen=True, slots=True, kw_only=True)
class OperationFault(Fault):
    """A fault that calls of one operation meet, inside the agent.

    `meet` is run before the user's function, in the thread of the call, and raises what it provoked, or returns: then
    the function runs. The event that it is given is set when the fault is over: nothing may wait beyond that for long.
    """

    meet: Callable[[Values, threading.Event], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessFault(Fault):
    """A fault of the agent's process, from inside. `run` returns once the event is set, and has tidied up by then.

    `on_loop`: it runs on the event loop on which the agent was started, else in a thread of its own.
    """

    run: Callable[[Values, threading.Event], None]
    on_loop: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class OutsideFault(Fault):
    """A fault of a process on this host, from outside; the process need not know of it.

    `bring` is given the process id, the values, and the seconds that it will last; it returns what takes it back.
    Raises `OSError` or `psutil.Error`. `lasts`: there is something to take back.
    """

    bring: Callable[[int, Values, float], Callable[[], None]]
    lasts: bool = True
