"""Errors one at a time: until the strategy is selected, and until the recovery is verified."""

from pathlib import Path

from tests.bench.bed import Bed, Heard, bed, of_services, per_unit, warm_up
from tests.bench.figures import Book, Mode, quantile
from tests.bench.plan import Plan, pause


async def measure(plan: Plan, book: Book, mode: Mode, folder: Path, agents: int, rows: set[str]) -> None:
    """Five runs on one installation with that many agents; notes `selection` for the first number of agents."""
    async with bed(folder, plan, mode, agents) as made:
        await warm_up(made, plan.warm_up)
        selection = agents == plan.agents[0] and "selection" in rows
        for _ in range(plan.runs):
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
            if selection:
                await _note_selection(made, book, mode, heard, acknowledged)
            book.describe(
                f"alone.{agents}",
                mode,
                errors=len(heard),
                recovered=len(recovered),
                otherwise=sorted({f"{found.outcome}: {found.reason}" for found in heard if found not in recovered}),
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


async def _note_selection(made: Bed, book: Book, mode: Mode, heard: list[Heard], acknowledged: dict[str, int]) -> None:
    stored: dict[str, int] = {}
    subjects = made.system.subjects
    async for message in made.bus.read(
        subjects.stream("ERRORS"),
        f"{subjects.root}.errors.>",
        since_unix_nano=min(found.reported for found in heard),
        headers_only=True,
    ):
        stored[message.headers.get("Nats-Msg-Id", "")] = message.time_unix_nano
    book.note_times("selection", mode, [(h.selected - acknowledged[h.event_id]) / 1e6 for h in heard])
    book.note("selection.stored", mode, quantile([(h.selected - stored[h.event_id]) / 1e6 for h in heard], 50))
    book.note("selection.ack", mode, quantile([(acknowledged[h.event_id] - h.reported) / 1e6 for h in heard], 50))
    floor = book.median("floor.p50", "untraced")
    if floor:
        runs = book.values["selection.p50"][mode]
        book.note("selection.ratio", mode, runs[-1] / floor)
