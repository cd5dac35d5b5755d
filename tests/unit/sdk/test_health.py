"""Health samples: honest numbers, nothing made up."""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest

from mendbus import codec
from mendbus.contracts.messages import AgentRef, HealthSample
from mendbus.sdk.health import Sampler
from mendbus.sdk.loop import Caller
from mendbus.sdk.operations import Operations
from mendbus.sdk.reports import Words
from mendbus.testing import eventually

OF_SOME_MACHINES = {"temperature_celsius", "power_watts"}


class Setup:
    """A sampler, with what it looks at."""

    def __init__(self, user_loop: asyncio.AbstractEventLoop | None = None) -> None:
        self.reported = 0
        self.tasks: set[asyncio.Task[Any]] = set()
        self.caller = Caller(user_loop)
        self.operations = Operations(lambda *_: "event", lambda: None)
        self.sampler = Sampler(
            AgentRef(kind="runtime", id="r1", instance="boot"),
            500,
            {"memory_bytes": 1e9},
            self.operations,
            self.caller,
            lambda: self.reported,
            lambda: 7,
            time.time_ns,
        )

    def spawn(self, coroutine: Any, name: str) -> asyncio.Task[Any]:
        task = asyncio.create_task(coroutine, name=name)
        self.tasks.add(task)
        return task

    def sample(self, lag: float = 0.0) -> HealthSample:
        sample = self.sampler.sample(lag, self.spawn)
        return codec.decode(HealthSample, codec.encode(sample))


@pytest.fixture
async def setup() -> AsyncIterator[Setup]:
    setup = Setup()
    yield setup
    await asyncio.gather(*setup.tasks, return_exceptions=True)


async def test_what_the_system_knows_is_there_and_nothing_else(setup: Setup) -> None:
    """Processor time and rates need two readings; what nobody measures is missing, not zero; numbers grow."""
    first = setup.sample(0.004)
    assert set(first.metrics) - OF_SOME_MACHINES == {"memory_bytes", "disk_percent"}
    assert first.metrics["memory_bytes"] > 1e6
    assert first.gauges["loop_lag_ms"] == 4.0
    assert first.gauges["outbox_events"] == 7
    assert first.gauges["descriptors"] >= 3
    assert (first.sequence, first.interval_ms, first.limits["memory_bytes"]) == (0, 500, 1e9)
    assert first.limits["descriptors"] > first.gauges["descriptors"]
    assert 0 < first.gauges["host_memory_percent"] <= 100
    await asyncio.sleep(0.01)
    second = setup.sample()
    assert set(second.metrics) - OF_SOME_MACHINES == {"memory_bytes", "disk_percent", "cpu_percent", "errors_per_s"}
    assert second.sequence == 1
    assert setup.sampler.latest == second.metrics


async def test_rates_come_from_reports_and_operations(setup: Setup) -> None:
    """Errors per second from what was reported; response time, throughput and availability from what ran."""
    run = setup.operations.wrap(
        "work", lambda fail: 1 // (not fail), idempotent=False, probe=None, words=Words(operation="work")
    )
    setup.sample()
    begun = asyncio.get_running_loop().time()
    for fail in (False, False, False, True):
        try:
            run(fail)
        except ZeroDivisionError:
            setup.reported += 1
    await asyncio.sleep(0.02)
    metrics = setup.sample().metrics
    seconds = asyncio.get_running_loop().time() - begun
    assert metrics["errors_per_s"] == pytest.approx(1 / seconds, rel=0.3)
    assert metrics["throughput_per_s"] == pytest.approx(3 / seconds, rel=0.3)
    assert metrics["availability_ratio"] == 0.75
    assert metrics["response_time_ms"] > 0
    await asyncio.sleep(0.01)
    idle = setup.sample().metrics
    assert idle["throughput_per_s"] == 0
    assert "response_time_ms" not in idle
    assert "availability_ratio" not in idle


async def test_numbers_of_the_users_own(setup: Setup) -> None:
    """Under a metric's name it is that metric, under another a gauge; None and what is not finite are left out."""
    setup.sampler.set("queue_depth", 12)
    setup.sampler.set("workers", 4)
    setup.sampler.set("temperature_celsius", float("nan"))
    sample = setup.sample()
    assert (sample.metrics["queue_depth"], sample.gauges["workers"]) == (12, 4)
    assert "temperature_celsius" not in sample.metrics
    setup.sampler.set("queue_depth", None)
    setup.sampler.set("never_set", None)
    for number in range(100):
        setup.sampler.set(f"g{number}", number)
    sample = setup.sample()
    assert "queue_depth" not in sample.metrics
    assert len(sample.gauges) == 64


async def test_providers_are_asked_and_never_waited_for(setup: Setup, caplog: pytest.LogCaptureFixture) -> None:
    """A provider's numbers come with a later sample; one that fails is told once, one that hangs holds up nothing."""
    go = asyncio.Event()

    async def hangs() -> dict[str, float]:
        await go.wait()
        return {"slow": 1}

    broken: list[int] = []

    def fails() -> dict[str, float]:
        broken.append(1)
        raise OSError("no sensor")

    setup.sampler.add_provider(lambda: {"power_watts": 12.5, "fans": 3})
    setup.sampler.add_provider(hangs)
    setup.sampler.add_provider(fails)

    async def asked_twice() -> bool:
        setup.sample()
        await asyncio.sleep(0)
        return len(broken) >= 2

    await eventually(asked_twice)
    await eventually(lambda: "power_watts" in setup.sample().metrics)
    sample = setup.sample()
    assert (sample.metrics["power_watts"], sample.gauges["fans"]) == (12.5, 3)
    assert "slow" not in sample.gauges
    assert caplog.text.count("a provider of metrics failed") == 1
    go.set()
    await eventually(lambda: "slow" in setup.sample().gauges)


async def test_the_lag_of_the_users_loop_is_measured() -> None:
    """While the user's loop is blocked its lag grows from sample to sample."""
    users = asyncio.new_event_loop()
    setup = Setup(users)
    setup.sample()
    await asyncio.sleep(0.01)
    lag = setup.sample().gauges["user_loop_lag_ms"]
    await asyncio.sleep(0.02)
    assert setup.sample().gauges["user_loop_lag_ms"] > lag >= 10
    await asyncio.to_thread(users.run_until_complete, asyncio.sleep(0.01))
    await asyncio.gather(*setup.tasks)
    assert setup.sample().gauges["user_loop_lag_ms"] > 20
    await asyncio.to_thread(users.run_until_complete, asyncio.sleep(0.01))
    await asyncio.gather(*setup.tasks)
    users.close()
