"""Mendbus: distributed error recovery on NATS. An agent starts here: `from mendbus import Agent`.

Names are loaded when they are first used, so that the codec or the contracts can be had without the agent SDK.
"""

import importlib
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from mendbus.contracts.errors import MendbusError
    from mendbus.contracts.messages import RecoveryCommand
    from mendbus.redaction import Redaction
    from mendbus.sdk.agent import Agent, Stats
    from mendbus.sdk.commands import Done
    from mendbus.sdk.operations import Isolated
    from mendbus.sdk.peers import PeerIsolated

__all__ = ["Agent", "Done", "Isolated", "MendbusError", "PeerIsolated", "RecoveryCommand", "Redaction", "Stats"]

_HOMES: Final = {
    "Agent": "mendbus.sdk.agent",
    "Stats": "mendbus.sdk.agent",
    "Done": "mendbus.sdk.commands",
    "Isolated": "mendbus.sdk.operations",
    "PeerIsolated": "mendbus.sdk.peers",
    "RecoveryCommand": "mendbus.contracts.messages",
    "Redaction": "mendbus.redaction",
    "MendbusError": "mendbus.contracts.errors",
}


def __getattr__(name: str) -> object:
    home = _HOMES.get(name)
    if home is None:
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    value: object = getattr(importlib.import_module(home), name)
    globals()[name] = value
    return value
