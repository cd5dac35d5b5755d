"""Long runs under faults drawn from a seed (`make chaos`, CHAOS_SEED, CHAOS_SECONDS)."""

import asyncio
import os
import random
import signal
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from tests import results
from tests.harness import (
    Installation,
    Ledger,
    ProtocolAgent,
    assert_exact,
    installation,
    load,
    make_agents,
    settled_ledger,
)

from mendbus import codec, streams
from mendbus.bus import StreamSpec
from mendbus.contracts.journal import Claimed, Counted
from mendbus.contracts.subjects import Subjects
from mendbus.contracts.vocabulary import SERVICES
from mendbus.testing import NatsServer, eventually
from mendbus_strategy_selector.journal import Position, digest_of
from mendbus_strategy_selector.snapshot import Snapshots, restore
from mendbus_strategy_selector.state import PartitionState

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(1800)]

SEED = int(os.environ.get("CHAOS_SEED", "1"))
SECONDS = float(os.environ.get("CHAOS_SECONDS", "60"))
RATE = 500.0
MILLION = 1_000_000


async def _kill(system: Installation, name: str) -> None:
    victim = system.named(name)[0]
    await victim.kill()
    await system.run(name)


async def _stop_and_wake(system: Installation, name: str) -> None:
    """A replica is stopped, another started, the first woken up and then ended for good."""
    sleeper = system.named(name)[0]
    sleeper.send(signal.SIGSTOP)
    await system.run(name)
    sleeper.send(signal.SIGCONT)
    await asyncio.sleep(1.0)
    await sleeper.kill()


async def _kill_server(system: Installation) -> None:
    system.server.kill()
    await system.server.begin_async()


def write_results(ledger: Ledger, faults: int) -> None:
    """What a run came to, for the report: it is written only of books that have been found exact."""
    outcomes = [told.outcome for told in ledger.told.values()]
    figures = {
        "chaos.recoveries": len(outcomes),
        "chaos.succeeded_percent": 100 * outcomes.count("recovered") / len(outcomes),
        "chaos.lost": 0,
        "chaos.twice": 0,
        "chaos.errors": sum(ledger.errors.values()),
        "chaos.faults": faults,
    }
    conditions = results.conditions("make chaos", seed=SEED, seconds=SECONDS)
    _ = results.write("chaos", {"figures": figures, "conditions": conditions})


async def test_faults_from_a_seed_lose_and_double_nothing(tmp_path: Path) -> None:
    """Kills, stops and server crashes under 500 errors/s: every error is in one incident, every command done once."""
    choose = random.Random(SEED)
    async with installation(tmp_path) as system:
        bus = await system.connect()
        agents: list[ProtocolAgent] = await make_agents(bus, system.subjects, 20)
        loading = asyncio.create_task(load(agents, RATE, SECONDS, kinds=50, seed=SEED))
        faults: list[tuple[str, Callable[[], Awaitable[None]]]] = [
            *((f"kill {name}", lambda n=name: _kill(system, n)) for name in SERVICES),
            ("kill nats-server", lambda: _kill_server(system)),
            ("stop and wake strategy-selector", lambda: _stop_and_wake(system, "strategy-selector")),
            ("stop and wake predictor", lambda: _stop_and_wake(system, "predictor")),
            ("stop and wake executor", lambda: _stop_and_wake(system, "executor")),
        ]
        done: list[str] = []
        while not loading.done():
            name, fault = choose.choice(faults)
            done.append(name)
            await fault()
            await asyncio.sleep(choose.uniform(0.2, 2.0))
        await loading
        ledger = await settled_ledger(bus, system.subjects, agents, timeout=300.0)
        assert_exact(ledger, agents)
        print(
            f"\nseed {SEED}: {len(done)} faults, {sum(ledger.errors.values())} errors, {len(ledger.opened)} incidents"
        )
        print(f"  {done}")
        write_results(ledger, len(done))
        await bus.close()


async def test_an_absent_owner_is_replaced_within_about_a_second(tmp_path: Path) -> None:
    """Five times: the owner of everything is killed while another replica is there; how long an error waits."""
    waits: list[float] = []
    async with installation(tmp_path) as system:
        bus = await system.connect()
        (agent,) = await make_agents(bus, system.subjects, 1)
        for number in range(5):
            await system.run("strategy-selector")
            await system.named("strategy-selector")[0].kill()
            begun = time.perf_counter()
            await agent.report(f"Takeover{chr(65 + number)}")
            wanted = number + 1
            await eventually(lambda wanted=wanted: len(agent.effects) >= wanted, 20.0)
            waits.append(time.perf_counter() - begun)
        await bus.close()
    print(f"\nerror -> command after a kill of the owner, seconds: {[round(wait, 2) for wait in sorted(waits)]}")
    assert sorted(waits)[2] < 3.0


async def test_a_journal_of_a_million_records_is_taken_over_from_its_snapshot(tmp_path: Path) -> None:
    """The time to rebuild a partition does not grow with its journal: a million records, the last 500 read."""
    server = NatsServer.start(tmp_path / "nats")
    subjects = Subjects()
    from mendbus.bus.nats import connect

    bus = await connect(server.url, name="million")
    # Written without syncing each record, which would take an hour and changes nothing of what is read.
    quick = StreamSpec(subjects.stream("JOURNAL"), (f"{subjects.root}.journal.*",), persist_async=True)
    await bus.ensure([quick, streams.objects(subjects, "snapshots")], [])
    state, position = PartitionState(), Position()
    begun = time.perf_counter()
    waiting: set[asyncio.Task[object]] = set()
    for number in range(1, MILLION + 1):
        entry = (
            Counted(incident_id="i", lane="normal", sequences=[number], event_ids=[f"e{number}"], error_count=1)
            if number % 100
            else Claimed(owner="me")
        )
        head = {"id": f"r{number}", "time_unix_nano": number, "partition": 0, "number": number, "owner": "me"}
        body = codec.pack_with_list({**head, "previous": position.digest}, "entries", [codec.encode(entry)])
        position = Position(number, number, digest_of(body))
        waiting.add(asyncio.create_task(bus.store(subjects.journal(0), body, timeout=300.0)))
        if number == MILLION - 500:
            await asyncio.gather(*waiting)
            waiting.clear()
            snapshots = Snapshots(bus, subjects, 0)
            await snapshots.write(snapshots.pack(state), position)
        elif len(waiting) >= 1000:
            await asyncio.gather(*waiting)
            waiting.clear()
    await asyncio.gather(*waiting)
    filled = time.perf_counter() - begun
    begun = time.perf_counter()
    _, rebuilt = await restore(bus, subjects, 0)
    taken = time.perf_counter() - begun
    print(f"\n{MILLION} records written in {filled:.0f} s, taken over in {taken * 1000:.0f} ms")
    assert rebuilt == position
    await bus.close()
    server.stop()
