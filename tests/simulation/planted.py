"""Bugs that the simulation must find, planted from outside for the length of a block.

Each is something put around the real code, which goes on running: a copy of it would stay as it was.
"""

import asyncio
from collections.abc import Awaitable, Callable, Generator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any
from unittest.mock import patch

from mendbus.bus import Delivery, Stored
from mendbus.bus.client import BusClient
from mendbus.contracts.journal import Entry
from mendbus_strategy_selector.intake import Intake, Taken
from mendbus_strategy_selector.journal import Journal, Position
from mendbus_strategy_selector.state import Lane, PartitionState
from mendbus_strategy_selector.steps import Steps


def _acknowledge_first() -> AbstractContextManager[Any]:
    """Errors are acknowledged before the record that counts them is on disk."""
    take = Intake.take

    async def hasty(self: Intake, lane: Lane, deliveries: Sequence[Delivery]) -> Taken:
        for delivery in deliveries:
            await delivery.ack()
        return await take(self, lane, deliveries)

    return patch.object(Intake, "take", hasty)


def _act_first() -> AbstractContextManager[Any]:
    """A command goes out while its intent is still on its way to the disk."""
    write = Steps.write

    class Unwaited:
        """The journal, as one sees it who does not wait for the disk."""

        def __init__(self, journal: Journal) -> None:
            self._journal = journal

        def append(self, *entries: Entry) -> asyncio.Future[Position]:
            self._journal.append(*entries)
            done: asyncio.Future[Position] = asyncio.get_running_loop().create_future()
            done.set_result(self._journal.position)
            return done

    async def hasty(self: Steps, *entries: Entry) -> None:
        with patch.object(self, "_journal", Unwaited(self._journal)):
            await write(self, *entries)  # which waits for nothing now, so nobody else sees that journal

    return patch.object(Steps, "write", hasty)


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
