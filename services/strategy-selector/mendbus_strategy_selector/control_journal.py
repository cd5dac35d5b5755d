"""`journal.control`: what operators did that names no agent. Written by the owner of partition 0, fenced and chained
like the journal of a partition; so seldom that it is opened for each record.
"""

import asyncio
import logging

from mendbus.audit import chain_of
from mendbus.contracts.errors import BusError
from mendbus.contracts.journal import LATCH, Entry, Operated
from mendbus.runtime import Runtime
from mendbus_strategy_selector.heads import Heads
from mendbus_strategy_selector.journal import Fenced, Journal, Position, digest_of, read_record
from mendbus_strategy_selector.overview import Overview

log = logging.getLogger("mendbus")

_TRIES = 3
_LOOK_SECONDS = 0.25


async def write_control(runtime: Runtime, entry: Entry) -> None:
    """Appends an entry. Raises `BusError` when somebody else keeps writing, or the bus does not answer."""
    bus, subjects = runtime.bus, runtime.subjects
    for _ in range(_TRIES):
        last = await bus.last(subjects.stream("JOURNAL"), subjects.journal_control)
        position = Position()
        if last is not None:
            position = Position(read_record(last).number, last.sequence, digest_of(last.body))
        owner = f"{runtime.service}/{runtime.instance}"
        journal = Journal(bus, subjects, 0, owner, position, runtime.now, subject=subjects.journal_control)
        try:
            await journal.write(entry)
        except Fenced:
            continue
        await Heads(bus, subjects, chain_of(subjects.journal_control)).publish(journal.position, runtime.now())
        return
    raise BusError(f"somebody else writes to {subjects.journal_control}")


async def keep_latch(runtime: Runtime, overview: Overview) -> None:
    """Puts the latch on disk when a decision found the last budget spent; for the owner of partition 0, for ever."""
    while True:
        await asyncio.sleep(_LOOK_SECONDS)
        if not overview.latch_due or overview.latched:
            continue
        reason = overview.latch_due
        try:
            await write_control(runtime, Operated(verb=LATCH, by=runtime.service, reason=reason[:1000]))
        except BusError as error:
            log.warning("the latch is not on disk yet: %s", error)
            continue
        overview.latched, overview.latch_due = reason, ""
        log.error("recovery is latched off until `mendbus resume --all`: %s", reason)
