"""`mendbus train`: how it reads what it learns from."""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from mendbus import codec
from mendbus.bus import StoredMessage
from mendbus.cli import train
from mendbus.settings import Settings


class Long:
    """A bus with many outcomes and one message that is none, of which it is known how many were read."""

    def __init__(self) -> None:
        self.told = 0
        self.open = False

    async def read(self, stream: str, subject: str, **_: Any) -> AsyncIterator[StoredMessage]:
        """See `Bus.read`."""
        for number in range(5):
            self.told += 1
            body = b"\xc1" if number == 0 else codec.pack({"incident_id": f"i{number}"})
            yield StoredMessage(subject, body, {}, number + 1, 1)

    @asynccontextmanager
    async def connected(self, _: Settings) -> AsyncGenerator["Long"]:
        """As the commands connect."""
        self.open = True
        try:
            yield self
        finally:
            self.open = False


def test_outcomes_are_read_as_they_are_learned_from(monkeypatch: pytest.MonkeyPatch) -> None:
    """A month of them may be a gigabyte: none waits for others; who stops early leaves no connection."""
    bus = Long()
    monkeypatch.setattr(train, "connected", bus.connected)
    found = train.outcomes(Settings(), 0)
    for number in (1, 2):
        assert next(found) == {"incident_id": f"i{number}"}
        assert (bus.told, bus.open) == (number + 1, True)
    found.close()
    assert (bus.told, bus.open) == (3, False)
    assert [one["incident_id"] for one in train.outcomes(Settings(), 0)] == ["i1", "i2", "i3", "i4"]
    assert not bus.open
