"""Much at once: a sustained rate of errors, and a storm of one; and whether each was counted exactly once."""

import asyncio
from pathlib import Path
from typing import Any

from tests.bench.agents import letters
from tests.bench.bed import Bed, bed, of_services, per_unit, warm_up
from tests.bench.figures import Book, Mode
from tests.bench.plan import Plan
from tests.harness import read_ledger

AGENTS = 10
MUST_RATE = 1000.0
MORE_RATE = 2500.0
_MARGIN = 1.02
"""A little more is offered than must be counted, else no rate could ever be reached."""
_PATIENCE_SECONDS = 60.0
_COUNTED_SECONDS = 0.02


async def measure_sustained(plan: Plan, book: Book, mode: Mode, folder: Path) -> None:
    """Real SDK agents report at a fixed rate; each report is an event of its own."""
    async with bed(folder, plan, mode, AGENTS) as made:
        await warm_up(made, plan.warm_up)
        reported_before = (await made.flushed())["reported"]
        found = await _load(made, plan, MUST_RATE, plan.load_seconds)
        acknowledged = found.pop("acknowledged")
        wrong, facts = await _wrong(made, reported_before + found["reported"], acknowledged)
        book.note("sustained.rate", mode, found["rate"])
        book.note("sustained.lag", mode, found["lag"])
        book.note("sustained.drain", mode, found["drain"])
        book.note("sustained.wrong", mode, wrong)
        book.note("sustained.cpu", mode, of_services(found["cpu_ms_each"]))
        book.note("sustained.server", mode, found["cpu_ms_each"]["nats-server"])
        book.describe("sustained", mode, offered=MUST_RATE * _MARGIN, **found, **facts)
        more = await _load(made, plan, MORE_RATE, plan.more_seconds)
        del more["acknowledged"]
        book.note("sustained.more", mode, more["rate"])
        book.describe("sustained", mode, offered=MORE_RATE * _MARGIN, **more)


async def _load(made: Bed, plan: Plan, rate: float, seconds: float) -> dict[str, Any]:
    loop = asyncio.get_running_loop()
    before, begun = made.cpu(), loop.time()
    share = rate * _MARGIN / len(made.children)
    for number, child in enumerate(made.children):
        mine = list(range(number, plan.fingerprints, len(made.children)))
        child.tell(do="load", rate=share, seconds=seconds, fingerprints=mine)
    answers = [await child.answer(seconds + _PATIENCE_SECONDS) for child in made.children]
    reported = sum(answer["reported"] for answer in answers)
    offered_until = loop.time()
    unsent = sum(answer["unsent"] for answer in answers)
    lag = unsent + await made.lag()
    flushed = await made.flushed()
    assert flushed["flushed"], "agents could not send what they reported"
    while await made.lag():
        await asyncio.sleep(_COUNTED_SECONDS)
    ended = loop.time()
    return {
        "reported": reported,
        "rate": reported / (ended - begun),
        "seconds": round(ended - begun, 3),
        "lag": lag,
        "unsent": unsent,
        "drain": ended - offered_until,
        "shed": flushed["shed"],
        "cpu_ms_each": per_unit(before, made.cpu(), reported),
        "acknowledged": flushed["acknowledged"],
    }


async def measure_storm(plan: Plan, book: Book, mode: Mode, folder: Path) -> None:
    """One agent reports one failure as often as it can."""
    async with bed(folder, plan, mode, 1) as made:
        await warm_up(made, plan.warm_up)
        child = made.children[0]
        for run in range(plan.runs):
            earlier = set(made.outcomes.newest)
            before = made.cpu()
            child.tell(do="storm", seconds=plan.storm_seconds, word=letters(run))
            answer = await child.answer(plan.storm_seconds + _PATIENCE_SECONDS)
            flushed = await made.flushed()
            cpu = per_unit(before, made.cpu(), answer["reported"])
            told = await _told(made, earlier, answer["reported"])
            book.note("storm.rate", mode, answer["reported"] / answer["seconds"])
            book.note("storm.wrong", mode, abs(answer["reported"] - sum(told.values())))
            book.note("storm.incidents", mode, len(told))
            events = len(flushed["acknowledged"])
            book.describe("storm", mode, **answer, events=events, told=list(told.values()), cpu_ms_each=cpu)


async def _told(made: Bed, earlier: set[str], wanted: int) -> dict[str, int]:
    """Error counts of the incidents since then, as last told; waits for as long as they may still grow."""
    loop = asyncio.get_running_loop()
    end = loop.time() + _PATIENCE_SECONDS
    while True:
        told = {key: count for key, (_, count) in made.outcomes.newest.items() if key not in earlier}
        if sum(told.values()) >= wanted or loop.time() > end:
            return told
        await asyncio.sleep(_COUNTED_SECONDS)


async def _wrong(made: Bed, reported: int, acknowledged: dict[str, int]) -> tuple[int, dict[str, Any]]:
    """How many errors the journal and the outcomes have too few or too many, and how many events not exactly once."""
    loop = asyncio.get_running_loop()
    end = loop.time() + _PATIENCE_SECONDS
    while True:
        ledger = await read_ledger(made.bus, made.system.subjects)
        counted = sum(ledger.errors.values())
        told = sum(outcome.error_count for outcome in ledger.told.values())
        not_once = sum(ledger.counted[event_id] != 1 for event_id in acknowledged)
        wrong = max(abs(reported - counted), abs(reported - told), not_once)
        if wrong == 0 or loop.time() > end:
            facts = {"counted": counted, "told": told, "events_not_counted_once": not_once}
            return wrong, {**facts, "incidents": len(ledger.opened), "journal_whole": ledger.chain_whole}
        await asyncio.sleep(0.5)
