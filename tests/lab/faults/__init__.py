"""Real faults, each a small plugin: what it is, how it is brought about, how its users notice, when it is over.

Nothing here knows what the pipeline would do about a fault, and nothing of the pipeline is imported.
"""

import random
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from tests.lab.world import Member, World

Value = int | float | str | bool
Success = Literal["served", "contained", "undisturbed"]
"""`served`: users get right answers in time again; `contained`: no wrong answer gets out any more, be it that none is
given; `undisturbed`: there was nothing to recover, and nobody may suffer from what is done about it.
"""


@dataclass(frozen=True, slots=True)
class Case:
    """A fault about to happen to one agent of a running toolchain."""

    world: World
    member: Member
    parameters: Mapping[str, Value]
    chance: random.Random

    def number(self, name: str) -> float:
        """A parameter that is a number."""
        return float(self.parameters[name])


Step = Callable[[Case], Awaitable[None]]


async def nothing(_: Case) -> None:
    """There is nothing to clear up: the fault is in a process or a file that is set up anew."""


@dataclass(frozen=True, slots=True)
class Fault:
    """`category`: what is wrong at root, as a person would say who knows. `parameters`: the values that cases take.

    `inject` brings it about and returns while it lasts; `end` takes away what would outlast the agent's own renewal.
    `feels`: the kinds whose users notice, the agent's own if empty; `feels_of`: the same by the agent's kind, where it
    differs. `notices_seconds`: the longest until they do.
    """

    name: str
    description: str
    category: str
    kinds: tuple[str, ...]
    inject: Step
    parameters: Mapping[str, tuple[Value, ...]] = field(default_factory=dict[str, tuple[Value, ...]])
    success: Success = "served"
    end: Step = nothing
    feels: tuple[str, ...] = ()
    feels_of: Mapping[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])
    notices_seconds: float = 5.0

    def felt_by(self, kind: str) -> tuple[str, ...]:
        """The kinds whose users notice when it meets an agent of a kind."""
        return self.feels_of.get(kind) or self.feels or (kind,)

    def cases(self) -> list[dict[str, Any]]:
        """Every combination of the parameters' values."""
        found: list[dict[str, Any]] = [{}]
        for name, values in self.parameters.items():
            found = [case | {name: value} for case in found for value in values]
        return found
