"""The pauses in force, and whether recovery has switched itself off, as the strategy-selectors tell it."""

from typing import Any, Final

from mendbus.asking.orders import Order, send
from mendbus.bus import Bus
from mendbus.contracts.subjects import PARTITIONS, Subjects

_TRIES: Final = 6
"""Each replica answers, and the first answer counts: of several replicas some are asked more than once."""


async def pauses(bus: Bus, subjects: Subjects) -> dict[str, Any]:
    """`pauses`, `latched`, and the policy in force. `unseen`: how many partitions nobody spoke for; pauses of single
    agents there are not among these. Raises `MendbusError` when nobody answers.
    """
    told = await _status(bus, subjects)
    seen, found = set(told["partitions"]), {pause["scope"]: pause for pause in told["pauses"]}
    for _ in range(_TRIES - 1):
        if len(seen) >= PARTITIONS:
            break
        more = await _status(bus, subjects)
        seen |= set(more["partitions"])
        found |= {pause["scope"]: pause for pause in more["pauses"]}
    return {
        "pauses": [found[scope] for scope in sorted(found)],
        "latched": told["latched"],
        "policy_digest": told["policy_digest"],
        "policy_problems": told["policy_problems"],
        "unseen": PARTITIONS - len(seen),
    }


async def _status(bus: Bus, subjects: Subjects) -> dict[str, Any]:
    return (await send(bus, subjects, Order("status", (None, None)))).data
