"""A service as a process runs it, before it has what it needs."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from typing import Any, cast

import pytest

from mendbus import service
from mendbus.bus import Bus, ConsumerSpec, StreamSpec
from mendbus.bus.memory import MemoryBus, MemoryServer
from mendbus.contracts.errors import Forbidden
from mendbus.metrics import Meter
from mendbus.runtime import Drain, Readiness, Runtime, Service
from mendbus.settings import Settings
from mendbus.testing import eventually

WAITING = (False, "waiting for the strategy-selector to create them")


async def _start(_: Runtime) -> Drain:
    async def drain() -> None:
        return

    return drain


class _Waiting:
    """The service, and what it says of itself."""

    def __init__(self) -> None:
        self.created = False
        self.readiness = Readiness()
        self.stop = asyncio.Event()
        self.ready = asyncio.Event()
        self.ended: asyncio.Task[None]


@asynccontextmanager
async def _forbidden(monkeypatch: pytest.MonkeyPatch, pause: float) -> AsyncGenerator[_Waiting]:
    """A service of a user that may create no streams, from before there are any; it looks again after each pause."""
    bus = MemoryServer().connect("executor")
    ensure = MemoryBus.ensure
    found = _Waiting()

    async def connect(*_: object, **__: object) -> Bus:
        return bus

    async def ensured(self: MemoryBus, specs: Sequence[StreamSpec], consumers: Sequence[ConsumerSpec]) -> list[str]:
        if not found.created:
            raise Forbidden("$JS.API.STREAM.CREATE.ERRORS")
        return await ensure(self, specs, consumers)

    monkeypatch.setattr(service.nats_bus, "connect", connect)
    monkeypatch.setattr(MemoryBus, "ensure", ensured)
    monkeypatch.setattr(service, "_CONNECT_PAUSE_SECONDS", pause)
    run = cast("Any", service)._run_one
    settings = Settings(trace=False, canary_seconds=0)
    waits = Service("executor", "does nothing", _start)
    async with asyncio.timeout(30), asyncio.TaskGroup() as group:
        found.ended = group.create_task(
            run(waits, settings, found.readiness, Meter("executor"), found.stop, found.ready)
        )
        yield found
        found.stop.set()


async def test_a_service_that_waits_for_its_streams_is_not_ready(monkeypatch: pytest.MonkeyPatch) -> None:
    """`/readyz` says what it waits for; it goes on by itself when they have been created."""
    async with _forbidden(monkeypatch, 0.001) as waiting:
        assert await eventually(lambda: waiting.readiness.conditions.get("streams") == WAITING)
        assert not waiting.readiness.ready
        waiting.created = True
        await waiting.ready.wait()
        assert waiting.readiness.ready


async def test_a_service_that_waits_for_its_streams_hears_that_it_is_to_stop(monkeypatch: pytest.MonkeyPatch) -> None:
    """It ends at once, without having started, however long it would wait before it looks again."""
    async with _forbidden(monkeypatch, 3600.0) as waiting:
        assert await eventually(lambda: "streams" in waiting.readiness.conditions)
        waiting.stop.set()
        await waiting.ended
        assert not waiting.ready.is_set()
