"""Keeping a partition's state small and quick to rebuild: closed incidents are forgotten, the rest is a snapshot."""

import asyncio
import logging
from typing import get_args

from mendbus import streams
from mendbus.contracts.errors import BusError
from mendbus.contracts.journal import Floored
from mendbus.runtime import Runtime
from mendbus_strategy_selector.journal import Journal
from mendbus_strategy_selector.policies import Policies
from mendbus_strategy_selector.snapshot import Snapshots
from mendbus_strategy_selector.state import Lane, PartitionState
from mendbus_strategy_selector.telling import Teller

log = logging.getLogger("mendbus")

SNAPSHOT_RECORDS = 500
_NANO = 1_000_000_000
_FLOOR_SEQUENCES = 1000
_CLOSED_KEPT_SECONDS = 60.0


class Tidying:
    """Looks after the state of one partition."""

    def __init__(
        self, runtime: Runtime, policies: Policies, number: int, state: PartitionState, journal: Journal
    ) -> None:
        self._runtime = runtime
        self._policies = policies
        self._number = number
        self._state = state
        self._journal = journal
        self._snapshots = Snapshots(runtime.bus, runtime.subjects, number)
        self._snapshot_at = journal.position.number
        self._packing = asyncio.Lock()

    def forget(self, teller: Teller) -> None:
        """Forgets closed incidents when nothing can recur any more, and the details of those that have been told."""
        state = self._state
        kept = max(_CLOSED_KEPT_SECONDS, self._policies.current.recurrence_seconds)
        state.forget_closed(self._runtime.now() - int(kept * _NANO))
        for incident_id in list(state.closing):
            if teller.has_told(incident_id) and state.incidents[incident_id].drop():
                state.closing.discard(incident_id)

    async def tidy_when_due(self) -> None:
        """Keeps the state as a snapshot, every so many records."""
        # Seldom enough, too, that a record does not cost more than to pack two incidents, however many there are.
        due = max(SNAPSHOT_RECORDS, len(self._state.incidents) // 2)
        if self._journal.position.number - self._snapshot_at < due:
            return
        runtime = self._runtime
        self._state.forget_agents(runtime.now() - streams.ERRORS_SECONDS * _NANO)
        try:
            for lane in get_args(Lane):
                if len(self._state.sequences[lane]) > _FLOOR_SEQUENCES:
                    floor = await runtime.bus.ack_floor(streams.lane_consumer(runtime.subjects, self._number, lane))
                    floored = Floored(lane=lane, floor=floor)
                    self._state.apply(floored, runtime.now())
                    await self._journal.append(floored)
            await self.snapshot()
        except BusError as error:
            log.warning("no snapshot of partition %d this time: %s", self._number, error)

    async def snapshot(self) -> None:
        """Keeps the state as it is now. Raises `BusError`."""
        # Who drains takes one too: of two that are packed at once each would have a part. It does not wait for one that
        # is being stored: that may hang.
        async with self._packing:
            await self._snapshots.prepare(self._state)
            # Packed and cut without a pause between, so that the snapshot is the state of exactly that record.
            packed = self._snapshots.pack(self._state)
            commit = self._journal.append(Floored(lane="urgent", floor=self._state.floors["urgent"]), cut=True)
        position = await commit
        await self._snapshots.write(packed, position)
        self._snapshot_at = max(self._snapshot_at, position.number)
