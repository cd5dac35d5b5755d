"""How much is measured: the whole, or a quick look that shows that the bench works."""

import asyncio
import random
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
"""The project's folder."""

_PAUSE_SECONDS = (0.0, 0.02)


@dataclass(frozen=True, slots=True)
class Plan:
    """Runs, and what one run does. Times in seconds, rates in errors a second."""

    runs: int = 5
    errors: int = 200
    """Errors one at a time."""
    warm_up: int = 30
    agents: tuple[int, ...] = (6, 25, 100)
    processes: int = 8
    """Most processes that agents are spread over."""
    floor_seconds: float = 3.0
    burst: int = 50
    fingerprints: int = 50
    short_seconds: float = 10.0
    long_seconds: float = 60.0
    more_seconds: float = 20.0
    storm_seconds: float = 10.0
    distinct_seconds: float = 20.0
    under_way: int = 50
    """Distinct errors under way at once."""
    calls: int = 1000
    """Calls of report() whose cost is measured."""
    samples: int = 100
    """Health samples of which each changes a status."""
    health_seconds: float = 20.0
    """How long the health-monitor is watched with each number of agents."""
    crowd: int = 1000
    """Agents beside which replicas of the services are compared."""
    crowd_under_way: int = 100
    restarts: int = 10
    rollbacks: int = 20


QUICK = Plan(
    runs=1,
    errors=20,
    warm_up=5,
    agents=(6, 25, 100),
    processes=3,
    floor_seconds=0.5,
    burst=10,
    short_seconds=2.0,
    long_seconds=4.0,
    more_seconds=2.0,
    storm_seconds=2.0,
    distinct_seconds=3.0,
    under_way=10,
    calls=100,
    samples=20,
    health_seconds=3.0,
    crowd=60,
    crowd_under_way=20,
    restarts=3,
    rollbacks=5,
)


async def pause() -> None:
    """What lies between two errors that come one at a time: long enough for the system to be idle again."""
    await asyncio.sleep(random.uniform(*_PAUSE_SECONDS))
