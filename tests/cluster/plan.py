"""What the cluster is hit with, in which order and for how long, from a seed. Pure."""

import random
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Final, Literal, get_args

from mendbus.contracts.vocabulary import SERVICES

NODES: Final = 3
SMALL_NODE: Final = NODES - 1
"""The node whose disk is small enough to be filled."""

NodeBlow = Literal["kill", "pause", "restart", "cut off", "part", "half-open", "slow", "fill"]
"""What is done to one node: SIGKILL; SIGSTOP; SIGTERM; all its connections end and none is let in; the other nodes hear
nothing of it while its clients do; its clients' bytes vanish; every chunk of bytes takes longer; no room on its disk.
"""
WholeBlow = Literal["move leaders", "kill all"]
"""The leaders of what every recovery needs step down; SIGKILL of all nodes at once."""
ServiceBlow = Literal["kill replica", "pause replica"]
Kind = NodeBlow | WholeBlow | ServiceBlow

KINDS: Final[tuple[Kind, ...]] = (*get_args(NodeBlow), *get_args(WholeBlow), *get_args(ServiceBlow))
KILLS: Final[tuple[Kind, ...]] = ("kill", "restart", "kill all", "kill replica")
"""Of them those after which a process has to be started again."""
_SECONDS: Final[dict[Kind, tuple[float, float]]] = {
    "kill": (0.5, 4.0),
    "pause": (1.0, 4.0),
    "restart": (0.0, 1.0),
    "cut off": (1.0, 5.0),
    "part": (1.0, 5.0),
    "half-open": (1.0, 4.0),
    "slow": (2.0, 5.0),
    "fill": (2.0, 4.0),
    "move leaders": (0.0, 0.0),
    "kill all": (0.0, 1.0),
    "kill replica": (0.0, 0.0),
    "pause replica": (1.0, 4.0),
}
"""How long each is held, at least and at most."""
_REST: Final = (0.5, 2.0)


@dataclass(frozen=True, slots=True)
class Blow:
    """One fault: upon which node (none: -1) or service, held for how long, and how long nothing is done after it."""

    kind: Kind
    node: int
    service: str
    seconds: float
    rest: float

    def __str__(self) -> str:
        whom = self.service or (f"n{self.node + 1}" if self.node >= 0 else "")
        return f"{self.kind} {whom}".strip() + (f" {self.seconds:.1f} s" if self.seconds else "")


def blows(seed: int, kinds: Collection[Kind] = KINDS) -> Iterator[Blow]:
    """Rounds without end: each has every kind once, and a kill and a pause of each service, in an order of its own.

    One at a time, so that two of three nodes are whole, but for `kill all`. `kinds`: what is left of them, all the same
    in the same order.
    """
    chance = random.Random(seed)
    while True:
        drawn: list[tuple[Kind, int, str]] = [
            (kind, SMALL_NODE if kind == "fill" else chance.randrange(NODES), "") for kind in get_args(NodeBlow)
        ]
        drawn += [(kind, -1, "") for kind in get_args(WholeBlow)]
        drawn += [(kind, -1, service) for service in SERVICES for kind in get_args(ServiceBlow)]
        chance.shuffle(drawn)
        for kind, node, service in drawn:
            blow = Blow(kind, node, service, chance.uniform(*_SECONDS[kind]), chance.uniform(*_REST))
            if kind in kinds:
                yield blow
