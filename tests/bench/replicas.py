"""The same load on one, two and four of each service, of a thousand agents: what more of them bring on this machine."""

import asyncio
import json
from contextlib import suppress
from pathlib import Path

from tests.bench.bed import Bed, bed, per_unit, warm_up
from tests.bench.figures import REPLICAS, Book, Mode
from tests.bench.plan import Plan
from tests.bench.together import closed_loop, note_recoveries

from mendbus import codec
from mendbus.contracts.errors import BusError
from mendbus.contracts.journal import JournalRecord
from mendbus.contracts.subjects import MAX_SERVICE_BODY, PARTITIONS

_LOOK_SECONDS = 1.0


async def measure_replicas(plan: Plan, book: Book, mode: Mode, folder: Path) -> None:
    """Distinct failures in a closed loop, as in `distinct`, of lean agents; meanwhile how many errors wait is noted.

    With more processes than cores, more replicas show what they cost, not what they would bring on machines of their
    own: what does not change with them is the CPU time of a recovery, and that is what may be reckoned with.
    """
    for number in REPLICAS:
        async with bed(folder / str(number), plan, mode, plan.crowd, lean=True, replicas=number) as made:
            await warm_up(made, plan.warm_up)
            for _ in range(plan.runs):
                most: list[int] = []
                watching = asyncio.create_task(_watch(made, most), name="watch what waits")
                before = made.cpu()
                try:
                    heard = await closed_loop(made, plan.crowd_under_way, plan.distinct_seconds)
                finally:
                    watching.cancel()
                cpu = per_unit(before, made.cpu(), len(heard))
                key = f"replicas.{number}"
                note_recoveries(book, key, mode, heard, cpu, plan.distinct_seconds)
                book.note(f"{key}.waiting", mode, max(most, default=0))
                book.note(f"{key}.owners", mode, len(await _owners(made)))


async def _watch(made: Bed, most: list[int]) -> None:
    """Notes how many errors are stored and not acknowledged, once a second."""
    while True:
        with suppress(BusError, json.JSONDecodeError):
            most.append(await made.lag())
        await asyncio.sleep(_LOOK_SECONDS)


async def _owners(made: Bed) -> set[str]:
    """Who wrote the last record of each partition's journal."""
    subjects = made.system.subjects
    owners: set[str] = set()
    for partition in range(PARTITIONS):
        last = await made.bus.last(subjects.stream("JOURNAL"), subjects.journal(partition))
        if last is not None:
            owners.add(codec.decode(JournalRecord, last.body, MAX_SERVICE_BODY).owner)
    return owners
