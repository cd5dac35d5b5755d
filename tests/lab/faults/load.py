"""Faults of load: more requests than the agent can take, and single requests that do harm each time they are made."""

import random
from typing import Any

from tests.lab.faults import Case, Fault, background
from tests.lab.users import Connection

_FILL_SECONDS = 10.0
_BOMB = "terrain.frag"
"""Not the first of all names: that one is what the agent's probe compiles."""
_BOMB_DOUBLINGS = 23
"""The compiler takes some seconds over so many."""
_PUSHED_LINES = 120
_REDELIVERY_SECONDS = 0.3


# -- overload


def requests_of(case: Case) -> list[tuple[Any, ...]]:
    """What clients may ask of the agent that is work for it, and changes nothing."""
    names = sorted(case.world.project.modules)[1:]
    return {
        "versioning": [("put", {name: case.world.project.modules[name] for name in names})],
        "build_pipeline": [("build",)],
        "runtime": [("reload",)],
        "shader_pipeline": [("compile", name) for name in case.world.project.shaders],
        "developer_tools": [("get", name, 7) for name in names],
    }[case.member.kind]


async def _overload(case: Case) -> None:
    await background.ask(
        case, *requests_of(case), clients=int(case.number("clients")), seconds=float(case.number("seconds")), pause=0.01
    )


# -- poison


async def _poison_call(case: Case) -> None:
    """A module that is right for what it was meant for, and for a large number goes down without a bottom."""
    await _publish(
        case,
        "part_depth",
        "import sys\n\nsys.setrecursionlimit(1_000_000)\n\n\ndef answer(value):\n"
        "    if value < 1_000_000:\n        return value\n"
        # Through a function in C, so that it is the stack of the thread that runs out.
        "    return max((value,), key=answer)\n",
    )
    await _have(case, "runtime", "reload")
    await background.ask(
        case,
        ("call", "part_depth", 5_000_000),
        clients=1,
        seconds=60.0,
        pause=_REDELIVERY_SECONDS,
        times=int(case.number("times")),
    )


async def _unpoison_call(case: Case) -> None:
    await background.end(case)
    await _publish(case, "part_depth", "def answer(value):\n    return value\n")


async def _publish(case: Case, module: str, text: str) -> None:
    await _have(case, "versioning", "put", {module: text})
    await _have(case, "build_pipeline", "build")


async def _have(case: Case, kind: str, operation: str, *arguments: Any) -> None:
    """Has an agent do something, as a user would."""
    connection = Connection(case.world.members[kind].port)
    try:
        _ = await connection.call(operation, *arguments, seconds=_FILL_SECONDS)
    finally:
        connection.close()


async def _poison_shader(case: Case) -> None:
    """A shader of a few hundred bytes, whose macros double again and again."""
    macros = "".join(f"#define M{n} M{n - 1} M{n - 1}\n" for n in range(1, _BOMB_DOUBLINGS + 1))
    text = (
        f"#version 450\n#define M0\n{macros}layout(location = 0) out vec4 color;\n"
        f"void main() {{\n    color = vec4(1.0);\n    M{_BOMB_DOUBLINGS}\n}}\n"
    )
    await _have(case, "versioning", "put", {_BOMB: text})
    await background.ask(
        case,
        ("compile", _BOMB),
        clients=4,
        seconds=60.0,
        pause=_REDELIVERY_SECONDS,
        times=int(case.number("times")),
    )


async def _unpoison_shader(case: Case) -> None:
    """Whatever compiles all shaders would else never be done: the versioning agent is not the one that is renewed."""
    await background.end(case)
    await _have(case, "versioning", "put", {_BOMB: "#version 450\nvoid main() {\n}\n"})


async def _poison_push(case: Case) -> None:
    """Two texts that are alike in every line and equal in none: comparing them takes the cube of their length."""

    def text(chance: random.Random) -> str:
        return "".join(
            f"value_{n} = step(value_{n - 1} * {chance.randrange(10**6)}, {chance.randrange(10**6)})\n"
            for n in range(_PUSHED_LINES)
        )

    one, other = (text(random.Random(f"{case.chance.random()}")) for _ in range(2))
    await background.ask(
        case,
        *(("put", {"pushed.txt.frag": one}), ("put", {"pushed.txt.frag": other})),
        clients=4,
        seconds=60.0,
        pause=_REDELIVERY_SECONDS,
        times=int(case.number("times")),
    )


_POISON = (
    "Whoever hands it in gets no answer in time, does so again, and gives up in the end, as queues do after a "
    "number of deliveries."
)

LOAD = (
    Fault(
        "queue_overload",
        "Other clients make real requests for some seconds, many more at a time than the agent has lanes.",
        "performance",
        ("versioning", "build_pipeline", "runtime", "shader_pipeline", "developer_tools"),
        _overload,
        {"clients": (150, 300), "seconds": (6.0,)},
        end=background.end,
    ),
    Fault(
        "poison_call",
        f"A call of a module for one value overflows the stack: the worker dies of SIGSEGV each time. {_POISON}",
        "runtime",
        ("runtime",),
        _poison_call,
        {"times": (3, 8)},
        end=_unpoison_call,
    ),
    Fault(
        "poison_shader",
        f"A small shader on which the compiler computes for seconds takes up the lanes. {_POISON}",
        "performance",
        ("shader_pipeline",),
        _poison_shader,
        {"times": (3, 8)},
        end=_unpoison_shader,
    ),
    Fault(
        "poison_push",
        f"A new version of a text that is very slow to compare with the one before takes up the lanes. {_POISON}",
        "performance",
        ("versioning",),
        _poison_push,
        {"times": (3, 6)},
        end=background.end,
        notices_seconds=8.0,
    ),
)
