"""Rebuilding a partition's state: its last snapshot, then every record of the journal after it."""

import logging
from typing import Any, cast

from mendbus import codec
from mendbus.bus import Bus
from mendbus.contracts.errors import MendbusError, Refused
from mendbus.contracts.subjects import Subjects
from mendbus_strategy_selector.journal import Position, digest_of, read_record
from mendbus_strategy_selector.state import Incident, PartitionState

log = logging.getLogger("mendbus")

BUCKET = "snapshots"
_VERSION = 1
_SNAPSHOT_BYTES = 1 << 30


def _name(partition: int) -> str:
    return f"journal-{partition}"


async def restore(bus: Bus, subjects: Subjects, partition: int) -> tuple[PartitionState, Position]:
    """State and position as the journal has them now. Raises `BusError` when the bus does not answer."""
    state, position = PartitionState(), Position()
    found = await bus.get_object(subjects.bucket(BUCKET), _name(partition))
    if found is not None:
        try:
            state, position = unpack(found[1])
        except (Refused, KeyError, ValueError) as error:
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
        position = Position(record.number, message.sequence, digest_of(message.body))
    return state, position


class Snapshots:
    """Writes snapshots of one partition; incidents that have not changed are not packed again."""

    def __init__(self, bus: Bus, subjects: Subjects, partition: int) -> None:
        self._bus = bus
        self._bucket = subjects.bucket(BUCKET)
        self._name = _name(partition)

    async def write(self, state: PartitionState, position: Position) -> None:
        """Keeps the state at a position. Raises `BusError`."""
        await self._bus.put_object(self._bucket, self._name, pack(state, position))


def pack(state: PartitionState, position: Position) -> bytes:
    """State and position as bytes."""
    return codec.pack(
        {
            "version": _VERSION,
            "number": position.number,
            "sequence": position.sequence,
            "digest": position.digest,
            "floors": state.floors,
            "sequences": {lane: sorted(sequences) for lane, sequences in state.sequences.items()},
            "acted": state.acted,
            "incidents": [incident.model_dump(exclude_none=True) for incident in state.incidents.values()],
        }
    )


def unpack(content: bytes) -> tuple[PartitionState, Position]:
    """What `pack` was given. Raises `Refused`, `KeyError` or `ValueError` for anything else."""
    value: dict[str, Any] = codec.unpack(content, _SNAPSHOT_BYTES)
    if value["version"] != _VERSION:
        raise Refused("snapshot_version", f"snapshot version {value['version']}, this service reads {_VERSION}")
    state = PartitionState()
    for incident in cast("list[dict[str, Any]]", value["incidents"]):
        restored = Incident.model_validate(incident)
        state.incidents[restored.id] = restored
        state.latest[restored.key] = restored.id
    for lane in state.floors:
        state.floors[lane] = value["floors"][lane]
        state.sequences[lane] = set(value["sequences"][lane])
    state.acted = dict(value["acted"])
    return state, Position(value["number"], value["sequence"], value["digest"])
