"""Many errors at once: a burst, and distinct failures as fast as they are recovered."""

import asyncio
from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.bench.bed import Bed, Heard, bed, of_services, outcomes_of, per_unit, warm_up
from tests.bench.figures import Book, Mode, quantile
from tests.bench.plan import Plan


async def measure_burst(plan: Plan, book: Book, mode: Mode, folder: Path) -> None:
    """Half of the agents fail at once, each with a failure of its own; lean agents first, as in `distinct`."""
    for name in ("burst", "burst.sdk"):
        await _measure_burst(plan, book, mode, folder / name, name)


async def _measure_burst(plan: Plan, book: Book, mode: Mode, folder: Path, name: str) -> None:
    async with bed(folder, plan, mode, 2 * plan.burst, lean=name == "burst") as made:
        await warm_up(made, plan.warm_up)
        keys = list(made.agents)
        for run in range(plan.runs):
            made.fail(keys[run % 2 :: 2])
            heard = [await made.outcomes.next() for _ in range(plan.burst)]
            recovered = [found.milliseconds for found in heard if found.outcome == "recovered"]
            book.note_times(name, mode, recovered)
            book.describe(name, mode, recovered=len(recovered), outcomes=outcomes_of(heard))
            await asyncio.sleep(1.0)


async def measure_distinct(plan: Plan, book: Book, mode: Mode, folder: Path) -> None:
    """A closed loop: so many failures under way, each of another agent; for each recovered one a resting agent fails.

    There are twice as many agents, so that never more than half of them are sick at once. Lean ones first, then those
    of the SDK, whose own cost on the same cores is a good part of the figure.
    """
    for name in ("distinct", "distinct.sdk"):
        await _measure_distinct(plan, book, mode, folder / name, name)


async def _measure_distinct(plan: Plan, book: Book, mode: Mode, folder: Path, name: str) -> None:
    async with bed(folder, plan, mode, 2 * plan.under_way, lean=name == "distinct") as made:
        await warm_up(made, plan.warm_up)
        for _ in range(plan.runs):
            before = made.cpu()
            heard = await closed_loop(made, plan.under_way, plan.distinct_seconds)
            cpu = per_unit(before, made.cpu(), len(heard))
            note_recoveries(book, name, mode, heard, cpu, plan.distinct_seconds)


def note_recoveries(
    book: Book, key: str, mode: Mode, heard: Sequence[Heard], cpu: Mapping[str, float], seconds: float
) -> None:
    """What a closed loop of so many seconds came to: rate, times, and what each took (`cpu`, ms)."""
    recovered = [found.milliseconds for found in heard if found.outcome == "recovered"]
    book.note(f"{key}.rate", mode, len(recovered) / seconds)
    book.note(f"{key}.p50", mode, quantile(recovered, 50))
    book.note(f"{key}.p99", mode, quantile(recovered, 99))
    book.note(f"{key}.cpu", mode, of_services(cpu))
    book.note(f"{key}.server", mode, cpu["nats-server"])
    book.note(f"{key}.failed", mode, len(heard) - len(recovered))
    book.describe(key, mode, cpu_ms_each=cpu, outcomes=outcomes_of(heard))


async def closed_loop(made: Bed, under_way: int, seconds: float) -> list[Heard]:
    """What was heard within the time; what is still under way then is waited for and not counted."""
    loop = asyncio.get_running_loop()
    resting = deque(made.agents)
    heard: list[Heard] = []
    end = loop.time() + seconds
    made.fail([resting.popleft() for _ in range(under_way)])
    busy = under_way
    while busy:
        found = await made.outcomes.next()
        busy -= 1
        resting.append(found.agent)
        if loop.time() < end:
            heard.append(found)
            made.fail([resting.popleft()])
            busy += 1
    return heard
