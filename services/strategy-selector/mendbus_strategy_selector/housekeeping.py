"""Room for errors: when ERRORS is half full, what nobody needs any more is removed, before it has to refuse one.

And no agent may take the room of all the others.
"""

import asyncio
import logging

from mendbus import streams
from mendbus.contracts.errors import BusError
from mendbus.contracts.subjects import LANES, PARTITIONS
from mendbus.runtime import Runtime
from mendbus_strategy_selector.sharing import Sharing

log = logging.getLogger("mendbus")

_EVERY_SECONDS = 10.0
_LOOK_SECONDS = 0.5
_PRESSED_SECONDS = 0.25
_NANO = 1_000_000_000


async def keep_room(runtime: Runtime) -> None:
    """Looks after ERRORS for ever; for the owner of partition 0."""
    while True:
        await asyncio.sleep(_EVERY_SECONDS)
        try:
            removed = await make_room(runtime)
        except BusError as error:
            log.warning("ERRORS was not looked after this time: %s", error)
        else:
            if removed:
                log.info("%d errors that have been counted made room for new ones", removed)


async def keep_shares(runtime: Runtime) -> None:
    """Looks for ever after what each agent holds of ERRORS; for the owner of partition 0."""
    sharing = Sharing(runtime)
    try:
        while True:
            try:
                await sharing.look()
            except BusError as error:
                log.warning("who fills ERRORS was not looked after this time: %s", error)
            await asyncio.sleep(_PRESSED_SECONDS if sharing.pressed else _LOOK_SECONDS)
    finally:
        sharing.end()


async def make_room(runtime: Runtime) -> int:
    """Removes errors of a half full stream that are older than the duplicate window and below every ack floor."""
    bus, stream = runtime.bus, runtime.subjects.stream("ERRORS")
    usage = await bus.usage(stream)
    if usage.max_bytes < 0 or usage.bytes * 2 < usage.max_bytes:
        return 0
    floor = usage.last_sequence
    for partition in range(PARTITIONS):
        for lane in LANES:
            floor = min(floor, await bus.ack_floor(streams.lane_consumer(runtime.subjects, partition, lane)))
    # A repeat of what is younger must still be recognised by its id, which goes with the message.
    young = runtime.now() - int(streams.DUPLICATE_WINDOW * _NANO)
    async for message in bus.read(
        stream, f"{runtime.subjects.root}.errors.>", since_unix_nano=young, headers_only=True
    ):
        floor = min(floor, message.sequence - 1)
        break
    return await bus.purge(stream, floor + 1) if floor >= usage.first_sequence else 0
