"""Faults of code: a developer puts a text into versioning that does not build, load, or work; state of another format.

The texts are ordinary versions of modules that users ask for; what is wrong with them shows only when they are used.
"""

import json
from collections.abc import Callable

from tests.lab.faults import Case, Fault
from tests.lab.users import AgentRefused, Connection

_UPGRADES = 5
Edit = Callable[[str], str]


async def _put(case: Case, edits: dict[str, Edit]) -> None:
    """Puts other versions of modules, all at once, as a developer does."""
    texts = {name: edit(case.world.project.modules[name]) for name, edit in edits.items()}
    connection = Connection(case.world.members["versioning"].port)
    try:
        _ = await connection.call("put", texts)
    finally:
        connection.close()


def _some(case: Case, count: int) -> list[str]:
    """Modules next to each other, none of which the orchestrator changes; others import some of them."""
    names = sorted(case.world.project.modules)[1:]
    start = case.chance.randrange(len(names) - count + 1)
    return names[start : start + count]


def _replaced(old: str, new: str) -> Edit:
    def edit(text: str) -> str:
        found = text.replace(old, new)
        assert found != text, f"the sample has no {old!r} any more"
        return found

    return edit


_BROKEN: dict[str, Edit] = {
    "bracket": _replaced("def answer(value):", "def answer(value:"),
    "indent": _replaced("    return value\n", "return value\n      pass\n"),
    "conflict": lambda text: f"<<<<<<< ours\n{text}=======\n{text}>>>>>>> theirs\n",
}
_RAISING: dict[str, Edit] = {
    "name": _replaced("FACTOR = ", "FACTOR = FACTORS[0] + "),
    "division": lambda text: f"{text}\nRATIO = 100 // (FACTOR - FACTOR)\n",
}
_WRONG: dict[str, Edit] = {
    "none": _replaced("    return value\n", "    value += 0\n"),
    "number": _replaced("    return value\n", "    return value + 1\n"),
    "raises": _replaced("    return value\n", "    return {}[value]\n"),
}


async def _syntax(case: Case) -> None:
    (name,) = _some(case, 1)
    await _put(case, {name: _BROKEN[str(case.parameters["how"])]})


async def _missing_package(case: Case) -> None:
    (name,) = _some(case, 1)
    what = str(case.parameters["what"])
    await _put(case, {name: _replaced("FACTOR = ", f"{what}\n\nFACTOR = ")})


async def _raises(case: Case) -> None:
    (name,) = _some(case, 1)
    await _put(case, {name: _RAISING[str(case.parameters["how"])]})


async def _wrong(case: Case) -> None:
    await _put(case, dict.fromkeys(_some(case, int(case.number("modules"))), _WRONG[str(case.parameters["how"])]))


async def _renamed(case: Case) -> None:
    """A base is renamed its function while two modules that import it call that function."""
    names = sorted(case.world.project.modules)
    base = case.chance.randrange(1, (len(names) - 1) // 2)
    calling = _replaced("    return value\n", "    _ = base.answer(0)\n    return value\n")
    await _put(
        case,
        {
            names[base]: _replaced("def answer(value):", "def reply(value):"),
            names[2 * base + 1]: calling,
            names[2 * base + 2]: calling,
        },
    )


async def _newer_state(case: Case) -> None:
    site = (await case.member.ask("status"))["site"]
    state = case.member.folder / site / "state"
    # The work under way may write its own state once more before it is taken up: then the upgrade came to nothing yet.
    for _ in range(_UPGRADES):
        for file in state.glob("*.json"):
            file.write_text(json.dumps({"format": 2, "entries": [json.loads(file.read_text())]}))
        try:
            await case.member.take_up()
        except AgentRefused:
            return


CODE = (
    Fault(
        "syntax_error",
        "A developer's text that is no Python is put into versioning: the next build fails.",
        "build",
        ("versioning",),
        _syntax,
        {"how": ("bracket", "indent", "conflict")},
        feels=("build_pipeline", "orchestrator"),
    ),
    Fault(
        "missing_dependency",
        "A module that imports a package which is not installed is put, built, and not to be loaded.",
        "dependency",
        ("versioning",),
        _missing_package,
        {"what": ("import tabulated_colours", "from json import no_such_reader")},
        feels=("orchestrator",),
    ),
    Fault(
        "raises_at_reload",
        "A module that raises while it is loaded is put and built.",
        "runtime",
        ("versioning",),
        _raises,
        {"how": ("name", "division")},
        feels=("orchestrator",),
    ),
    Fault(
        "works_wrongly",
        "Modules that answer nothing, something wrong, or raise when they are called are put, built and loaded.",
        "runtime",
        ("versioning",),
        _wrong,
        {"how": ("none", "number", "raises"), "modules": (3, 8)},
        feels=("runtime", "developer_tools"),
        notices_seconds=10.0,
    ),
    Fault(
        "incompatible_version",
        "A module's function is put under another name, while modules that import it call it by its old one.",
        "dependency",
        ("versioning",),
        _renamed,
        feels=("runtime", "developer_tools"),
        notices_seconds=10.0,
    ),
    Fault(
        "newer_state_format",
        "After an upgrade that was taken back the state is in the newer version's format, which this one cannot read.",
        "dependency",
        ("versioning", "build_pipeline", "runtime", "orchestrator"),
        _newer_state,
    ),
)
