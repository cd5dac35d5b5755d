"""A service, or a store of models, on the in-memory bus for the length of a block, and a clock that stands still."""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from types import ModuleType
from typing import TypeVar

import pytest
from pydantic import BaseModel

from mendbus import codec, streams
from mendbus.bus import Bus
from mendbus.bus.memory import MemoryServer
from mendbus.contracts.subjects import CONTENT_TYPE, HEADER_CONTENT_TYPE, MAX_SERVICE_BODY, Subjects
from mendbus.micro import Micro
from mendbus.modelstore import MODELS, PROMOTIONS, ModelStore
from mendbus.runtime import Readiness, Runtime, Service
from mendbus.settings import Settings
from mendbus.telemetry import open_tracer

A = TypeVar("A", bound=BaseModel)

SECOND = 1_000_000_000
DRAIN_SECONDS = 5.0


def talk_to(monkeypatch: pytest.MonkeyPatch, bus: Bus, *modules: ModuleType) -> None:
    """Has the commands of these modules talk to a bus that stays open."""

    @asynccontextmanager
    async def connected(_: Settings) -> AsyncGenerator[Bus]:
        yield bus

    for module in modules:
        monkeypatch.setattr(module, "connected", connected)


@dataclass
class Clock:
    """The time of day in nanoseconds since 1970; it passes only when told to."""

    unix_nano: int = 1_700_000_000 * SECOND

    def __call__(self) -> int:
        return self.unix_nano

    def pass_seconds(self, seconds: float) -> int:
        """Moves on; returns the new time."""
        self.unix_nano += round(seconds * SECOND)
        return self.unix_nano


@asynccontextmanager
async def memory_runtime(
    service: Service,
    server: MemoryServer | None = None,
    *,
    now: Callable[[], int] = time.time_ns,
    settings: Settings | None = None,
    instance: str = "test",
) -> AsyncGenerator[Runtime]:
    """Starts a service as `mendbus.service` does, streams ensured; stops and drains it at the end of the block."""
    settings = settings or Settings(trace=False, canary_seconds=0)
    bus = (server or MemoryServer()).connect(service.name)
    try:
        await streams.ensure(bus, settings.subjects, settings.stream_max_bytes)
        async with asyncio.TaskGroup() as tasks:
            runtime = Runtime(
                service=service.name,
                instance=instance,
                settings=settings,
                subjects=settings.subjects,
                bus=bus,
                tracer=open_tracer(service.name, settings),
                tasks=tasks,
                readiness=Readiness(),
                micro=Micro(service.name, instance, "0", service.description, {}),
                now=now,
            )
            try:
                drain = await service.start(runtime)
                await bus.barrier()
                yield runtime
                for subscription in runtime.subscriptions:
                    await subscription.stop()
                async with asyncio.timeout(DRAIN_SECONDS):
                    await drain()
            finally:
                for task in runtime.spawned:
                    task.cancel()
    finally:
        await bus.close()


@asynccontextmanager
async def memory_models(service: str, server: MemoryServer | None = None) -> AsyncGenerator[ModelStore]:
    """The models of a service, on a connection of its own."""
    bus, subjects = (server or MemoryServer()).connect("models"), Subjects()
    try:
        await bus.ensure([streams.objects(subjects, MODELS), streams.key_value(subjects, PROMOTIONS)], [])
        yield ModelStore(bus, subjects, service)
    finally:
        await bus.close()


async def ask(bus: Bus, subject: str, question: BaseModel, answer: type[A]) -> A:
    """One request and its decoded answer."""
    reply = await bus.request(subject, codec.encode(question), {HEADER_CONTENT_TYPE: CONTENT_TYPE}, timeout=5.0)
    return codec.decode(answer, reply.body, MAX_SERVICE_BODY)


async def tell(bus: Bus, subject: str, message: BaseModel) -> None:
    """One message, and the certainty that the server has it."""
    await bus.publish(subject, codec.encode(message), {HEADER_CONTENT_TYPE: CONTENT_TYPE})
    await bus.barrier()
