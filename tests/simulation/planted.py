"""Bugs that the simulation must find, planted from outside for the length of a block."""

from collections.abc import Awaitable, Callable, Generator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any
from unittest.mock import patch

from mendbus.bus import Consumption, Stored
from mendbus.bus.client import BusClient
from mendbus.contracts.errors import BusClosed
from mendbus.contracts.journal import Entry
from mendbus_strategy_selector.intake import Intake
from mendbus_strategy_selector.partition import _BATCH, Partition
from mendbus_strategy_selector.state import Lane, PartitionState
from mendbus_strategy_selector.steps import Steps


def _acknowledge_first() -> AbstractContextManager[Any]:
    """Errors are acknowledged before the record that counts them is on disk."""

    async def pull(self: Partition, lane: Lane, consumption: Consumption) -> None:
        while not self._stopping:
            await self._room.wait()
            try:
                deliveries = await consumption.take(_BATCH)
            except BusClosed:
                return
            for delivery in deliveries:
                await delivery.ack()
            taken = await self._intake.take(lane, deliveries)
            if taken.entries:
                commit = self._journal.append(*taken.entries)
                self._begin(taken)
                await commit
                await self._told(taken)

    return patch.object(Partition, "_pull", pull)


def _act_first() -> AbstractContextManager[Any]:
    """A command goes out while its intent is still on its way to the disk."""

    async def write(self: Steps, *entries: Entry) -> None:
        for entry in entries:
            self.state.apply(entry, self.now())
        self._journal.append(*entries)

    return patch.object(Steps, "write", write)


def _count_again() -> AbstractContextManager[Any]:
    """A redelivered error is counted once more, because its stream sequence is not looked at."""

    class Forgetful:
        """The state, as an intake sees it that does not look."""

        def __init__(self, state: PartitionState) -> None:
            self._state = state

        def counted(self, _lane: Lane, _sequence: int) -> bool:
            return False

        def __getattr__(self, name: str) -> Any:
            return getattr(self._state, name)

    init = Intake.__init__

    def blind(self: Intake, *args: Any) -> None:
        init(self, *args)
        self._state = Forgetful(self._state)

    return patch.object(Intake, "__init__", blind)


def _no_fence() -> AbstractContextManager[Any]:
    """The journal is written without saying which record must be the last one."""
    store: Callable[..., Awaitable[Stored]] = BusClient.store

    async def unfenced(
        self: BusClient, subject: str, body: bytes, headers: Mapping[str, str] | None = None, **more: Any
    ) -> Stored:
        return await store(self, subject, body, headers, **{**more, "expected_last": None})

    return patch.object(BusClient, "store", unfenced)


BUGS: dict[str, Callable[[], AbstractContextManager[Any]]] = {
    "acknowledge-first": _acknowledge_first,
    "act-first": _act_first,
    "count-again": _count_again,
    "no-fence": _no_fence,
}


@contextmanager
def planted(name: str | None) -> Generator[None]:
    """The bug is there within the block; None: no bug."""
    with BUGS[name]() if name else nullcontext():
        yield
