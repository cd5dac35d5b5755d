"""The head of a chain, published: whoever keeps one can tell later whether the chain was rewritten."""

import logging

from mendbus import codec
from mendbus.audit import BUCKET, ChainHead
from mendbus.bus import Bus
from mendbus.contracts.errors import BusError
from mendbus.contracts.subjects import CONTENT_TYPE, HEADER_CONTENT_TYPE, Subjects
from mendbus_strategy_selector.journal import Position

log = logging.getLogger("mendbus")

EVERY_RECORDS = 1000
EVERY_NANO = 60 * 1_000_000_000


class Heads:
    """Publishes one chain's head a minute, or every 1000 records, and only when it has moved."""

    def __init__(self, bus: Bus, subjects: Subjects, chain: str) -> None:
        self._bus = bus
        self._subject = subjects.key(BUCKET, chain)
        self._chain = chain
        self._number = 0
        self._told_unix_nano = 0

    async def publish(self, position: Position, now: int) -> None:
        """Publishes the head if it is due, at the latest by the next call; a failure is logged."""
        grown = position.number - self._number
        due = not self._number or grown >= EVERY_RECORDS or now - self._told_unix_nano >= EVERY_NANO
        if not grown or not due:
            return
        head = ChainHead(
            chain=self._chain,
            number=position.number,
            digest=position.digest,
            sequence=position.sequence,
            time_unix_nano=now,
        )
        try:
            await self._bus.store(self._subject, codec.encode(head), {HEADER_CONTENT_TYPE: CONTENT_TYPE}, timeout=2.0)
        except BusError as error:
            log.warning("the head of chain %s was not published this time: %s", self._chain, error)
        else:
            self._number, self._told_unix_nano = position.number, now
