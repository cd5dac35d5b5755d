"""The six kinds of reference agents as the lab sets them up: what they do, what they need, what they can do without."""

import shutil
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Kind:
    """`operations` with the objective of each in milliseconds; `ways`: other ways, by operation; `needs`: kinds.

    `tool`: a program without which it can do nothing.
    """

    name: str
    operations: dict[str, float]
    ways: dict[str, tuple[str, ...]] = field(default_factory=dict)
    features: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    tool: str = ""


KINDS = {
    kind.name: kind
    for kind in (
        Kind(
            "versioning",
            {"put": 200, "get": 100, "names": 100, "texts": 200, "complain": 200},
            {"get": ("history",)},
            ("deltas",),
        ),
        Kind(
            "build_pipeline",
            {"build": 500, "manifest": 100, "objects": 200, "complain": 500},
            {"build": ("last_good",)},
            ("lint",),
            ("versioning",),
        ),
        Kind("runtime", {"reload": 500, "call": 50}, {"call": ("before",)}, ("statistics",), ("build_pipeline",)),
        Kind(
            "shader_pipeline",
            {"compile": 300},
            {"compile": ("cached",)},
            ("optimise",),
            ("versioning",),
            "glslangValidator",
        ),
        Kind(
            "developer_tools",
            {"get": 150, "evaluate": 150},
            {"get": ("seen",), "evaluate": ("seen",)},
            ("history",),
            ("runtime",),
        ),
        Kind(
            "orchestrator",
            {"cycle": 2000, "status": 100},
            {"cycle": ("stored",)},
            ("verify",),
            ("versioning", "build_pipeline", "runtime"),
        ),
    )
}
LEFT_OUT = {name: kind.tool for name, kind in KINDS.items() if kind.tool and shutil.which(kind.tool) is None}
"""Kinds that cannot work on this machine, each with the program that is missing; nobody else depends on them."""
ORDER = tuple(name for name in KINDS if name not in LEFT_OUT)
"""Each kind that can work here, after those that it needs."""
