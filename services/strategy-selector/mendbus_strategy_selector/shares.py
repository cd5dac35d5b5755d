"""How much of ERRORS one agent may hold, so that none can fill it for all the others. Pure.

The server knows no bytes of an agent, only how many messages a subject may hold, the same for every subject. So the
number is set while somebody holds too much, from what is there: above what the others have, twice over, and never
below what is stored, since the server would remove it.
"""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from mendbus.streams import MAX_ERROR_BYTES

SHARE: Final = 1 / 16
"""Of the stream's size, what one agent may hold of errors that are not counted yet."""
_LOOK_FROM: Final = 1 / 8
_GROWN: Final = 1 / 64
_MOST_SUSPECTS: Final = 16
_LEAST_HEADROOM: Final = 16


@dataclass(frozen=True, slots=True)
class Held:
    """What an agent (`kind/id`) holds: how many messages by subject."""

    agent: str
    counts: Mapping[str, int]

    @property
    def count(self) -> int:
        """Messages in all."""
        return sum(self.counts.values())

    @property
    def highest(self) -> int:
        """Messages of the subject that holds most."""
        return max(self.counts.values(), default=0)


def worth_a_look(used: int, seen: int, max_bytes: int) -> bool:
    """Whether somebody may hold too much now; `seen`: bytes at the last look, or fewer since then."""
    return used >= max_bytes * _LOOK_FROM and used - seen >= max_bytes * _GROWN


def by_agent(counts: Mapping[str, int]) -> list[Held]:
    """Messages by stored subject, put together by agent; whatever tokens the subjects have."""
    found: dict[str, dict[str, int]] = defaultdict(dict)
    for subject, count in counts.items():
        found["/".join(subject.split(".")[-2:])][subject] = count
    return [Held(agent, held) for agent, held in found.items()]


def suspects(held: list[Held], max_bytes: int) -> list[Held]:
    """Those that hold too much if all their errors are as large as can be: the only ones to be looked at."""
    able = [one for one in held if one.count * MAX_ERROR_BYTES > max_bytes * SHARE]
    return sorted(able, key=lambda one: one.count, reverse=True)[:_MOST_SUSPECTS]


def too_much(size: float, max_bytes: int, *, refused: bool) -> bool:
    """Whether an agent's bytes are more than its share; one that is refused already must come down to half of it."""
    return size > max_bytes * SHARE / (2 if refused else 1)


def most_of_a_subject(now: int, highest: int, others: int, max_bytes: int) -> int:
    """How many messages a subject may hold while somebody holds too much; never fewer than there are.

    `now`: what it is, 0 for no limit; `highest` there are of any subject; `others`: of any whose agent holds its share.
    """
    headroom = max(_LEAST_HEADROOM, round(max_bytes * _GROWN / MAX_ERROR_BYTES))
    # Between counting and setting it goes on coming in, unless a limit stands in the way.
    wanted = highest + headroom
    return max(2 * others + headroom, highest, min(now, wanted) if now else wanted)
