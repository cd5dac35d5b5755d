"""Rolling replacement under load, from the contract's first revision to this one and back (`make test-upgrade`)."""

import asyncio
import os
from pathlib import Path

import pytest
from tests.harness import Installation, assert_exact, installation, load, make_agents, settled_ledger

from mendbus.contracts.vocabulary import SERVICES

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(300)]

SEED = int(os.environ.get("CHAOS_SEED", "1"))
RATE = 40.0
OLDER, CURRENT = "tests.upgrade.older", "mendbus.service"


async def replace_each(system: Installation, program: str) -> list[str]:
    """One service after the other: another version comes beside it, works with it, and then it is asked to go."""
    done: list[str] = []
    for name in SERVICES:
        leaving = system.named(name)
        (coming,) = await system.run(name, program=program)
        await asyncio.sleep(0.5)  # old and new share the work for a while
        for one in leaving:
            assert await one.terminate() == 0, one.log.read_text()[-2000:]
        assert system.named(name) == [coming]
        done.append(name)
    return done


@pytest.mark.parametrize("order", [(OLDER, CURRENT), (CURRENT, OLDER)], ids=["upgrade", "and back"])
async def test_rolling_replacement_under_load_loses_nothing(tmp_path: Path, order: tuple[str, str]) -> None:
    """Every error that was acknowledged is counted once, and no command is done twice, whichever way it goes."""
    before, after = order
    async with installation(tmp_path, program=before) as system:
        bus = await system.connect()
        agents = await make_agents(bus, system.subjects, 10)
        replacing = asyncio.create_task(replace_each(system, after))
        while not replacing.done():
            await load(agents, RATE, 2.0, kinds=20, seed=SEED)
        assert await replacing == list(SERVICES)
        ledger = await settled_ledger(bus, system.subjects, agents, timeout=120.0)
        assert_exact(ledger, agents)
        print(f"\n{before} -> {after}: {sum(ledger.errors.values())} errors, {len(ledger.opened)} incidents")
        await bus.close()
