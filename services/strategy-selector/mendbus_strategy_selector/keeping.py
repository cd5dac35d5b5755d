"""Keeping what was learned: a checkpoint now and then, and what the journal holds beyond it."""

import asyncio
import logging
from collections.abc import Callable
from typing import Final

from mendbus import codec
from mendbus.bus import Bus
from mendbus.contracts.errors import BusError, ObjectBroken, Refused
from mendbus.contracts.subjects import Subjects
from mendbus_strategy_selector.lessons import Lessons, restored
from mendbus_strategy_selector.snapshot import BUCKET

log = logging.getLogger("mendbus")

NAME: Final = "learned"
KEEP_SECONDS: Final = 30.0
"""Time between two checkpoints, where there is anything new."""
BACK_NANO: Final = 600 * 1_000_000_000
"""How much of the journal is read where there is no checkpoint, or one that is older."""
_BYTES: Final = 1 << 25
_AT_ONCE: Final = 50


async def restore(bus: Bus, subjects: Subjects) -> Lessons:
    """What was learned, as the last checkpoint tells. Raises `BusError` without an answer."""
    try:
        found = await bus.get_object(subjects.bucket(BUCKET), NAME)
        if found is not None:
            return restored(codec.unpack(found[1], _BYTES))
    except (ObjectBroken, Refused, KeyError, TypeError, ValueError, AttributeError) as error:
        log.error("what was learned cannot be read and is learned anew: %s", error)
    return Lessons()


async def catch_up(bus: Bus, subjects: Subjects, lessons: Lessons, now: Callable[[], int]) -> None:
    """Takes in what the journal holds beyond the checkpoint, as far back as `BACK_NANO`. Raises `BusError`."""
    stream, everything = subjects.stream("JOURNAL"), subjects.everyone("journal")
    number = 0
    async for message in bus.read(stream, everything, since_unix_nano=now() - BACK_NANO):
        number += 1
        if number % _AT_ONCE == 0:
            await asyncio.sleep(0)
        if message.sequence <= lessons.seen:
            continue
        try:
            lessons.take(message.sequence, codec.reread(message.body)["entries"])
        except (Refused, KeyError, TypeError) as error:
            log.error("record %d of %s teaches nothing: %r", message.sequence, message.subject, error)


async def keep(bus: Bus, subjects: Subjects, lessons: Lessons) -> None:
    """Leaves a checkpoint every `KEEP_SECONDS`, for ever; run by one owner, since all of them know the same."""
    kept = 0
    while True:
        await asyncio.sleep(KEEP_SECONDS)
        if lessons.seen == kept:
            continue
        try:
            kept = await store(bus, subjects, lessons)
        except BusError as error:
            log.warning("what was learned is kept a little later: %s", error)


async def store(bus: Bus, subjects: Subjects, lessons: Lessons) -> int:
    """Leaves a checkpoint; returns the stream sequence that it stands for. Raises `BusError`."""
    kept, content = lessons.seen, codec.pack(lessons.packed())
    await bus.put_object(subjects.bucket(BUCKET), NAME, content)
    return kept
