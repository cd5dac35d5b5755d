"""Reading whole streams beside a service that must not be late."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any, Final, cast

from mendbus.bus import Bus, StoredMessage

STRETCH: Final = 50
"""Messages that are read before everything else has its turn."""


class Breathing:
    """A bus whose `read` lets others have their turn; everything else is the bus's own."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    def __getattr__(self, name: str) -> Any:
        return getattr(self._bus, name)

    async def read(self, stream: str, subject: str, **how: Any) -> AsyncIterator[StoredMessage]:
        """See `Bus.read`."""
        count = 0
        async for stored in self._bus.read(stream, subject, **how):
            yield stored
            count += 1
            if count % STRETCH == 0:
                await asyncio.sleep(0)


def breathing(bus: Bus) -> Bus:
    """The bus for who reads much and is in no hurry."""
    return cast("Bus", Breathing(bus))
