"""The canary: an agent that fails on purpose, to show that recovery works. What it causes counts in no statistic."""

from typing import Final

from mendbus.contracts.messages import AgentRef

KIND: Final = "mendbus"
ID: Final = "canary"
KEY: Final = f"{KIND}/{ID}"

TRACEPARENT: Final = "00-6d656e646275732d63616e6172790000-6d656e6463616e61-00"
"""The parent of all that is done for the canary (its trace id reads `mendbus-canary`): spans below it are not recorded,
since several thousand recoveries a day that nobody needed would bury those that somebody did."""


def is_canary(agent: AgentRef | str) -> bool:
    """Whether an agent, or its key (`kind/id`), is the canary."""
    return (agent if isinstance(agent, str) else agent.key) == KEY
