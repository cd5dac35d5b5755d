"""What the six kinds of reference agents really do, one module each with a function `make(site)`."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tests.lab.site import Site


@dataclass(slots=True)
class Work:
    """The work of one agent in one site.

    `operations` by name; `probes` exercise them with what is known to give a known answer, and raise when it does not;
    `ways`: other ways to do an operation, by operation and name, each with what exercises it; `features`: optional
    ones, and whether they are on; `snapshot`: what a checkpoint holds, when it is not simply what stands in the site.
    """

    site: Site
    operations: dict[str, Callable[..., Any]]
    probes: dict[str, Callable[[], Any]]
    ways: dict[tuple[str, str], tuple[Callable[..., Any], Callable[[], Any]]] = field(default_factory=dict)
    features: dict[str, bool] = field(default_factory=dict)
    snapshot: Callable[[], bytes] | None = None


class UnknownNameError(LookupError):
    """The caller asked for something that there never was: its own fault, and nothing is wrong here."""


class WrongAnswerError(Exception):
    """What was answered is not what was put in."""
