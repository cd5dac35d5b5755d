"""A NATS cluster of three under fire (`make chaos`, CHAOS_SEED, CLUSTER_RECOVERIES, CLUSTER_RATE)."""

import asyncio
import os
import sys
from pathlib import Path

import pytest
from tests.harness import unmeasured

ROOT = Path(__file__).parents[2]
SEED = os.environ.get("CHAOS_SEED", "1")
RECOVERIES = os.environ.get("CLUSTER_RECOVERIES", "10000")
RATE = os.environ.get("CLUSTER_RATE", "8")
PATIENCE = 900.0

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(int(int(RECOVERIES) / float(RATE) + 2 * PATIENCE))]


async def test_a_cluster_under_fire_keeps_its_promises() -> None:
    """Nothing is lost, counted twice or effective twice whatever hits the nodes, and 99.9 % are recovered in time."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-u", "-m", "tests.cluster", "--seed", SEED, "--recoveries", RECOVERIES, "--rate", RATE),
        *("--patience", f"{PATIENCE:g}"),
        cwd=ROOT,
        env=unmeasured(),
    )
    assert await process.wait() == 0, "1: a promise is broken, 2: too few were recovered in time; it says which above"
