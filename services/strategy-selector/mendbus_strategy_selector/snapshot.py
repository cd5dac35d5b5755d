"""Rebuilding a partition's state: its last snapshot, then every record of the journal after it."""

import asyncio
import logging
from typing import Any, cast

from mendbus import codec
from mendbus.bus import Bus
from mendbus.contracts.errors import MendbusError, ObjectBroken, Refused
from mendbus.contracts.journal import Concluded
from mendbus.contracts.subjects import Subjects
from mendbus_strategy_selector.incident import restored
from mendbus_strategy_selector.journal import Position, digest_of, read_record
from mendbus_strategy_selector.pauses import Pause
from mendbus_strategy_selector.state import PartitionState

log = logging.getLogger("mendbus")

BUCKET = "snapshots"
_VERSION = 2
_AT_ONCE = 20
_SNAPSHOT_BYTES = 1 << 30


def _name(partition: int) -> str:
    return f"journal-{partition}"


async def restore(bus: Bus, subjects: Subjects, partition: int) -> tuple[PartitionState, Position]:
    """State and position as the journal has them now. Raises `BusError` when the bus does not answer."""
    state, position = PartitionState(), Position()
    try:
        found = await bus.get_object(subjects.bucket(BUCKET), _name(partition))
        if found is not None:
            state, position = unpack(found[1])
    except (ObjectBroken, Refused, KeyError, TypeError, ValueError) as error:
        log.error("the snapshot of partition %d is of no use, the whole journal is read: %s", partition, error)
        state, position = PartitionState(), Position()
    subject = subjects.journal(partition)
    async for message in bus.read(subjects.stream("JOURNAL"), subject, start=position.sequence + 1):
        try:
            record = read_record(message)
        except Refused as refused:
            raise MendbusError(f"record {message.sequence} of {subject} cannot be read: {refused}") from None
        if record.previous != position.digest and position.number:
            log.error("the hash chain of %s is broken before record %d", subject, record.number)
        for entry in record.entries:
            state.apply(entry, record.time_unix_nano)
            if isinstance(entry, Concluded) and (incident := state.incidents.get(entry.outcome.incident_id)):
                incident.recorded = message.sequence
        position = Position(record.number, message.sequence, digest_of(message.body))
    return state, position


class Snapshots:
    """Writes snapshots of one partition. Incidents are packed a few at a time, and once more only if they change while
    a snapshot is made, so that thousands of parked ones do not hold the event loop up. What was packed is not kept.
    """

    def __init__(self, bus: Bus, subjects: Subjects, partition: int) -> None:
        self._bus = bus
        self._bucket = subjects.bucket(BUCKET)
        self._name = _name(partition)
        self._packed: dict[str, bytes] = {}

    async def prepare(self, state: PartitionState) -> None:
        """Packs everything, then what has changed meanwhile, until little is left to pack."""
        state.changed.update(state.incidents)
        while len(state.changed) > _AT_ONCE:
            self._pack(state, list(state.changed)[:_AT_ONCE])
            await asyncio.sleep(0)

    def pack(self, state: PartitionState) -> tuple[dict[str, Any], list[bytes]]:
        """The state as it is now, for `write`. Call `prepare` before."""
        self._pack(state, list(state.changed))
        head = {
            "version": _VERSION,
            "floors": dict(state.floors),
            "sequences": {lane: sorted(sequences) for lane, sequences in state.sequences.items()},
            "acted": dict(state.acted),
            "healed": dict(state.healed),
            "pauses": [pause.model_dump() for pause in state.pauses.of.values()],
        }
        packed, self._packed = list(self._packed.values()), {}
        return head, packed

    async def write(self, packed: tuple[dict[str, Any], list[bytes]], position: Position) -> None:
        """Keeps a packed state as that of a position. Raises `BusError`."""
        head = {
            **packed[0],
            "number": position.number,
            "sequence": position.sequence,
            "digest": position.digest,
        }
        await self._bus.put_object(self._bucket, self._name, codec.pack_with_list(head, "incidents", packed[1]))

    def _pack(self, state: PartitionState, incident_ids: list[str]) -> None:
        for incident_id in incident_ids:
            state.changed.discard(incident_id)
            incident = state.incidents.get(incident_id)
            if incident is None:
                self._packed.pop(incident_id, None)
            else:
                self._packed[incident_id] = incident.packed()


def unpack(content: bytes) -> tuple[PartitionState, Position]:
    """What `Snapshots` wrote. Raises `Refused`, `KeyError` or `ValueError` for anything else."""
    value: dict[str, Any] = codec.unpack(content, _SNAPSHOT_BYTES)
    if value["version"] != _VERSION:
        raise Refused("snapshot_version", f"snapshot version {value['version']}, this service reads {_VERSION}")
    state = PartitionState()
    for incident in cast("list[dict[str, Any]]", value["incidents"]):
        state.restored(restored(incident))
    for lane in state.floors:
        state.floors[lane] = value["floors"][lane]
        state.sequences[lane] = set(value["sequences"][lane])
    state.acted = dict(value["acted"])
    state.healed = dict(value.get("healed", {}))
    for pause in map(Pause.model_validate, value.get("pauses", [])):
        state.pauses.of[pause.scope] = pause
    return state, Position(value["number"], value["sequence"], value["digest"])
