"""A journal that a newer strategy-selector wrote, read by one that does not know all that stands in it."""

import pytest
from tests.support import Clock
from tests.unit.strategy_selector.test_snapshot import SUBJECTS

from mendbus import codec, streams
from mendbus.bus.memory import MemoryServer
from mendbus.contracts.errors import MendbusError
from mendbus_strategy_selector.overview import Overview
from mendbus_strategy_selector.snapshot import restore


def record(*entries: dict[str, object]) -> bytes:
    head = {"id": "r1", "time_unix_nano": 1, "partition": 0, "number": 1, "owner": "newer", "previous": ""}
    return codec.pack({**head, "weight": 7, "entries": list(entries)})


async def restored(body: bytes) -> object:
    bus = MemoryServer().connect("test")
    try:
        await streams.ensure(bus, SUBJECTS, 1 << 30)
        await bus.store(SUBJECTS.journal(0), body)
        return await restore(bus, SUBJECTS, 0)
    finally:
        await bus.close()


async def test_new_fields_are_passed_over() -> None:
    """A field that came later changes nothing for whoever takes the partition over."""
    _, position = await restored(record({"type": "claimed", "owner": "newer", "rank": 3}))  # type: ignore[misc]
    assert position.number == 1


async def test_an_entry_of_the_future_is_not_left_out() -> None:
    """What it did is not known: the partition is left to a replica that knows it, and the log says why."""
    with pytest.raises(MendbusError, match=r"record 1 of mendbus\.v1\.journal\.0 cannot be read.*entries"):
        await restored(record({"type": "of_the_future", "incident_id": "i1"}))


def test_whoever_only_follows_passes_an_entry_of_the_future_over() -> None:
    """It is no reason to stop following what other partitions do."""
    overview = Overview(Clock())
    overview.apply({"type": "of_the_future", "incident_id": "i1"}, 1)
    operated = {"type": "operated", "verb": "latch", "by": "kim", "reason": "too much", "colour": "red"}
    overview.apply(operated, 2)
    assert overview.latched == "too much"
