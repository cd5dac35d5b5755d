"""Much at once: a sustained rate of errors, and a storm of one; and whether each was counted exactly once."""

import asyncio
import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.bench.agents import letters
from tests.bench.bed import Bed, Heard, bed, of_services, outcomes_of, per_unit, warm_up
from tests.bench.figures import Book, Mode
from tests.bench.plan import Plan, pause
from tests.harness import read_ledger

from mendbus.contracts.vocabulary import SERVICES

AGENTS = 24
"""Of the SDK, in as many processes as there are for them."""
MUST_RATE = 1000.0
MORE_RATE = 2500.0
_MARGIN = 1.05
"""A little more is offered than must be counted, else no rate could ever be reached."""
_PATIENCE_SECONDS = 60.0
_COUNTED_SECONDS = 0.02


async def measure_sustained(plan: Plan, book: Book, mode: Mode, folder: Path) -> None:
    """Some agents report at a fixed rate, each report an event of its own; the others fail one after the other.

    First for a short time, then for a long one, then at a higher rate.
    """
    async with bed(folder, plan, mode, AGENTS) as made:
        await warm_up(made, plan.warm_up)
        before = made.memory()
        for length, seconds in (("short", plan.short_seconds), ("long", plan.long_seconds)):
            found = await _load(made, plan, MUST_RATE, seconds)
            wrong, facts = await _wrong(made, found.pop("reported_ever"), found.pop("acknowledged"))
            heard: list[Heard] = found.pop("heard")
            recovered = [one.milliseconds for one in heard if one.outcome == "recovered"]
            key = f"sustained.{length}"
            book.note(f"{key}.wrong", mode, wrong)
            for name in ("rate", "lag", "drain"):
                book.note(f"{key}.{name}", mode, found[name])
            book.note(f"{key}.recovered", mode, len(recovered))
            book.note(f"{key}.failed", mode, len(heard) - len(recovered))
            if recovered:
                book.note_times(key, mode, recovered)
            book.note(f"{key}.cpu", mode, of_services(found["cpu_ms_each"]))
            book.note(f"{key}.server", mode, found["cpu_ms_each"]["nats-server"])
            book.describe(key, mode, offered=MUST_RATE * _MARGIN, outcomes=outcomes_of(heard), **found, **facts)
        after = made.memory()
        for service in SERVICES:
            book.note(f"sustained.before.{service}", mode, before[service])
            book.note(f"sustained.after.{service}", mode, after[service])
        more = await _load(made, plan, MORE_RATE, plan.more_seconds)
        book.note("sustained.more", mode, more["rate"])
        kept = {name: more[name] for name in ("reported", "seconds", "lag", "drain", "shed", "cpu_ms_each")}
        book.describe("sustained", mode, offered=MORE_RATE * _MARGIN, **kept)


async def _load(made: Bed, plan: Plan, rate: float, seconds: float) -> dict[str, Any]:
    loop = asyncio.get_running_loop()
    # Fewer than half of the agents, or healing would stop for all.
    loading = made.children[: len(made.children) * 3 // 8]
    quiet = [key for key, (child, _) in made.agents.items() if child not in loading]
    over = asyncio.Event()
    before, begun = made.cpu(), loop.time()
    share = rate * _MARGIN / len(loading)
    for number, child in enumerate(loading):
        child.tell(
            do="load", rate=share, seconds=seconds, fingerprints=list(range(number, plan.fingerprints, len(loading)))
        )
    async with asyncio.TaskGroup() as tasks:
        meanwhile = tasks.create_task(_recover(made, quiet, over))
        answers = [await child.answer(seconds + _PATIENCE_SECONDS) for child in loading]
        over.set()
        offered_until = loop.time()
        lag = sum(answer["unsent"] for answer in answers) + await made.lag()
    reported = sum(answer["reported"] for answer in answers)
    flushed = await made.flushed()
    assert flushed["flushed"], "agents could not send what they reported"
    while await made.lag():
        await asyncio.sleep(_COUNTED_SECONDS)
    ended = loop.time()
    return {
        "reported": reported,
        "reported_ever": flushed["reported"],
        "rate": reported / (ended - begun),
        "seconds": round(ended - begun, 3),
        "lag": lag,
        "drain": ended - offered_until,
        "shed": flushed["shed"],
        "cpu_ms_each": per_unit(before, made.cpu(), reported),
        "acknowledged": flushed["acknowledged"],
        "heard": meanwhile.result(),
    }


async def _recover(made: Bed, keys: Sequence[str], over: asyncio.Event) -> list[Heard]:
    """Has one agent after the other fail, each once the one before is recovered, until the load is over."""
    heard: list[Heard] = []
    for key in itertools.cycle(keys):
        if over.is_set():
            break
        made.fail([key])
        while (found := await made.outcomes.next()).agent != key:
            pass
        heard.append(found)
        await pause()
    return heard


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
