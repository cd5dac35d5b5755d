"""Which runs a recording has: what goes wrong in which agent, how fast, and which of them share a toolchain.

All of it follows from a seed.
"""

import random
from collections.abc import Mapping, Sequence
from typing import Any

from tests.lab import recording
from tests.lab.faults.catalogue import FAULTS
from tests.lab.faults.drift import DRIFTS
from tests.lab.recording import Run

_LOOK_ALIKE = (0.2, 0.3, 0.4)
"""How far a look-alike goes of the way at whose end it would fail."""
_SHARES = {"nothing": 0.06, "look_alike": 0.27, "drift": 0.55, "sudden": 0.12}
TOGETHER = 3
"""So many agents of a toolchain may have a fault of their own that grows; what is sudden has a toolchain to itself."""
_SLOWER = (1.0, 3.0, 8.0)
"""How much slower than usual a fault of the catalogue that has a rate goes on, so that there is time to foresee it."""


def plan(runs: int, seconds: float, seed: int, only: Sequence[str] = ()) -> list[Run]:
    """The runs of a seed; the first ones are the same however many there are. `only`: these faults alone."""
    drawn = [_draw(number, seconds, seed, only) for number in range(runs)]
    worlds: dict[int, set[str]] = {}
    for run in drawn:
        run.world = run.number
        if run.name in DRIFTS:
            room = (number for number, kinds in worlds.items() if len(kinds) < TOGETHER and run.agent not in kinds)
            run.world = next(room, run.number)
            worlds.setdefault(run.world, set()).add(run.agent)
    return drawn


def _draw(number: int, seconds: float, seed: int, only: Sequence[str]) -> Run:
    chance = random.Random(f"recording {seed} {number}")
    what = chance.choices(tuple(_SHARES), tuple(_SHARES.values()))[0]
    faults = {name: fault for name, fault in (FAULTS | DRIFTS).items() if name in only} if only else {}
    if only:
        what = "drift" if set(faults) & DRIFTS.keys() else "sudden"
    run = Run(number, seed, "nothing", seconds=seconds)
    if what != "nothing":
        undisturbed = {f.name: f for f in FAULTS.values() if f.success == "undisturbed"}
        known = faults or chance.choice((DRIFTS, undisturbed))
        if what in ("drift", "sudden") and not only:
            known = DRIFTS if what == "drift" else {f.name: f for f in FAULTS.values() if f.success != "undisturbed"}
        fault = known[chance.choice(sorted(known))]
        run.name, run.category = fault.name, fault.category
        run.agent = chance.choice(fault.kinds)
        cases = fault.cases()
        run.parameters = _slower(chance.choice(cases), chance)
        harmless = what == "look_alike" or fault.success == "undisturbed"
        run.what = "look_alike" if harmless else "fault"
        if harmless and fault.name in DRIFTS:
            run.parameters["reach"] = chance.choice(_LOOK_ALIKE)
        run.gradual = fault.name in DRIFTS or any(_is_rate(name) for name in fault.parameters)
        # The rate is what is held out: a look-alike is so together with the fault that it looks like.
        rate = {name: value for name, value in run.parameters.items() if name != "reach"}
        run.part = recording.part_of(run.what, run.name, rate, len(cases), seed, number)
        run.began = round(chance.uniform(0.15, 0.3) * seconds, 2)
    else:
        run.part = recording.part_of("nothing", "", {}, 0, seed, number)
    return run


def _is_rate(name: str) -> bool:
    return "per_s" in name or "rate" in name.split("_")


def _slower(parameters: Mapping[str, Any], chance: random.Random) -> dict[str, Any]:
    slower = chance.choice(_SLOWER)
    return {
        name: value / slower if _is_rate(name) and isinstance(value, int | float) else value
        for name, value in parameters.items()
    }
