"""The sample project that the reference agents work on: Python modules and shaders of any size, the same for a seed.

Each module computes something that can be foretold without running it, so that whoever watches an agent from outside
knows a right answer from a wrong one.
"""

import random
from dataclasses import dataclass
from pathlib import Path

_LINES_EACH = 50
"""Of a module, about."""
_PRIME = 1_000_003


@dataclass(frozen=True, slots=True)
class Project:
    """Sources by module name, in the order in which they may be loaded; shaders by file name."""

    seed: int
    modules: dict[str, str]
    shaders: dict[str, str]

    @property
    def lines(self) -> int:
        """Of all sources together."""
        return sum(text.count("\n") for text in (*self.modules.values(), *self.shaders.values()))


def make_project(lines: int, seed: int = 1) -> Project:
    """A project of about so many lines (1,000 to 1,000,000 make sense): a tenth of it shaders."""
    chance = random.Random(seed)
    count = max(2, lines * 9 // 10 // _LINES_EACH)
    modules = {f"part_{number:05}": _module(number, chance.randrange(1, 1000)) for number in range(count)}
    shaders = {f"shade_{number:04}.frag": _shader(number) for number in range(max(1, lines // 10 // 30))}
    return Project(seed, modules, shaders)


def factor_of(text: str) -> int:
    """The number that a module of the sample multiplies by, read from its text."""
    return int(text.partition("FACTOR = ")[2].partition("\n")[0])


def expected(text: str, value: int) -> int:
    """What `answer(value)` of a module gives, worked out without running it."""
    factor, steps = factor_of(text), text.count("\ndef step_")
    for step in range(steps):
        value = (value * factor + step) % _PRIME
    return value


def changed(text: str, factor: int) -> str:
    """The module with another factor: a change that can be seen in its answers."""
    return text.replace(f"FACTOR = {factor_of(text)}\n", f"FACTOR = {factor}\n")


def _module(number: int, factor: int) -> str:
    head = f'"""Part {number} of the sample."""\n\n'
    if number:
        head += f"import part_{(number - 1) // 2:05} as base\n\n"
    head += f"FACTOR = {factor}\n\n"
    steps = (_LINES_EACH - 12) // 5
    body = "".join(
        f'\ndef step_{step}(value):\n    """Step {step}."""\n    return (value * FACTOR + {step}) % {_PRIME}\n\n'
        for step in range(steps)
    )
    calls = "".join(f"    value = step_{step}(value)\n" for step in range(steps))
    return f"{head}{body}\ndef answer(value):\n{calls}    return value\n"


def _shader(number: int) -> str:
    terms = "".join(f"    sum += sin(uv.x * {step + 1}.0 + time) * {1 / (step + 2):.4f};\n" for step in range(16))
    return (
        "#version 450\n"
        f"// shade {number}\n"
        "layout(location = 0) in vec2 uv;\n"
        "layout(location = 0) out vec4 color;\n"
        "layout(binding = 0) uniform Frame {\n    float time;\n};\n\n"
        "void main() {\n"
        f"    float sum = {number % 7}.0;\n{terms}"
        "    color = vec4(vec3(sum), 1.0);\n"
        "}\n"
    )


def write_project(project: Project, folder: Path) -> None:
    """Writes it as files: modules into `folder`, shaders into `folder/shaders`."""
    (folder / "shaders").mkdir(parents=True, exist_ok=True)
    for name, text in project.modules.items():
        (folder / f"{name}.py").write_text(text)
    for name, text in project.shaders.items():
        (folder / "shaders" / name).write_text(text)
