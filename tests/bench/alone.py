"""Errors one at a time: until the strategy is selected, and until the recovery is verified."""

from contextlib import AsyncExitStack
from pathlib import Path

from tests.bench.bed import Bed, Heard, bed, of_services, per_unit, warm_up
from tests.bench.figures import Book, Mode, quantile
from tests.bench.floor import Floor, floor_on
from tests.bench.plan import Plan, pause


async def measure(plan: Plan, book: Book, mode: Mode, folder: Path, agents: int, rows: set[str]) -> None:
    """The runs, on one installation with that many agents; notes `selection` for the first number of agents.

    For that one the floor is measured anew before each run, on the same server: the pace of a shared machine changes.
    """
    async with AsyncExitStack() as stack:
        made = await stack.enter_async_context(bed(folder, plan, mode, agents))
        await warm_up(made, plan.warm_up)
        floor: Floor | None = None
        if agents == plan.agents[0] and "selection" in rows:
            floor = await stack.enter_async_context(floor_on(made.system.server.url, folder))
            _ = await floor.times(plan.warm_up)
        for _ in range(plan.runs):
            below = quantile(await floor.times(plan.errors), 50) if floor else None
            before = made.cpu()
            heard = await _run(made, plan.errors)
            cpu = per_unit(before, made.cpu(), plan.errors)
            acknowledged = (await made.flushed())["acknowledged"]
            recovered = [found for found in heard if found.outcome == "recovered"]
            if not recovered:
                msg = f"nothing was recovered, the first error ended as {heard[0]}"
                raise RuntimeError(msg)
            if "recovery" in rows:
                book.note_times(f"recovery.{agents}", mode, [found.milliseconds for found in recovered])
            if below:
                await _note_selection(made, book, mode, heard, acknowledged, below)
            book.describe(
                f"alone.{agents}",
                mode,
                errors=len(heard),
                recovered=len(recovered),
                otherwise=sorted({f"{found.outcome}: {found.reason}" for found in heard if found not in recovered}),
                floor_p50_ms=below,
                cpu_ms_each=cpu,
                cpu_ms_each_services=round(of_services(cpu), 3),
            )


async def _run(made: Bed, errors: int) -> list[Heard]:
    heard: list[Heard] = []
    keys = list(made.agents)
    for number in range(errors):
        made.fail([keys[number % len(keys)]])
        heard.append(await made.outcomes.next())
        await pause()
    return heard


async def _note_selection(
    made: Bed, book: Book, mode: Mode, heard: list[Heard], acknowledged: dict[str, int], floor: float
) -> None:
    stored: dict[str, int] = {}
    subjects = made.system.subjects
    async for message in made.bus.read(
        subjects.stream("ERRORS"),
        f"{subjects.root}.errors.>",
        since_unix_nano=min(found.reported for found in heard),
        headers_only=True,
    ):
        stored[message.headers.get("Nats-Msg-Id", "")] = message.time_unix_nano
    taken = [(h.selected - acknowledged[h.event_id]) / 1e6 for h in heard]
    book.note_times("selection", mode, taken)
    book.note("selection.stored", mode, quantile([(h.selected - stored[h.event_id]) / 1e6 for h in heard], 50))
    book.note("selection.ack", mode, quantile([(acknowledged[h.event_id] - h.reported) / 1e6 for h in heard], 50))
    book.note("selection.ratio", mode, quantile(taken, 50) / floor)
