"""Drawing lots: what is left to chance is decided alike by whoever decides it, and however often."""

import hashlib
from typing import Final

_BYTES: Final = 6
LOTS: Final = 1 << 8 * _BYTES
"""How many lots there are."""


def lot_of(what: str) -> int:
    """The lot, from 0 to below `LOTS`, that is drawn for something of that name."""
    return int.from_bytes(hashlib.sha256(what.encode()).digest()[:_BYTES])
