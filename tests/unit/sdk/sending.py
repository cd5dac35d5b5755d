"""A sender for tests, with its outbox, a scripted bus, and the spans it ended."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, cast

from tests.unit.sdk.scripted import RecordingTracer, ScriptedBus

from mendbus import codec
from mendbus.bus import Bus
from mendbus.contracts.messages import AgentRef, ErrorReported
from mendbus.contracts.subjects import Subjects
from mendbus.sdk.disk import DiskKeeper
from mendbus.sdk.outbox import Outbox
from mendbus.sdk.pauses import Complaints
from mendbus.sdk.reports import Captured, Words
from mendbus.sdk.sender import Sender
from mendbus.sdk.settlements import Settlements
from mendbus.sdk.stacks import Link
from mendbus.telemetry import Tracer

REF = AgentRef(kind="build_pipeline", id="b1", instance="boot-1")


class Setup:
    """A sender with its outbox, a scripted bus, and the spans it ended."""

    def __init__(self, keeper: DiskKeeper | None = None) -> None:
        self.bus = ScriptedBus()
        self.outbox = Outbox(keeping=keeper is not None)
        self.tracer = RecordingTracer()
        self.now_ns = 1_000
        self.acted_ns = 0
        complaints = Complaints()
        self.sender = Sender(
            self.outbox,
            keeper,
            REF,
            Subjects(),
            cast("Tracer", self.tracer),
            lambda: self.now_ns,
            lambda: {"cpu_percent": 1.0},
            lambda: "checkpoint-1",
            lambda: self.acted_ns,
            complaints,
        )
        self.settlements = Settlements(
            self.outbox, REF, Subjects(), lambda: self.now_ns, self.sender.end_spans, complaints
        )
        self.outbox.wake = self.sender.wake

    def report(self, message: str = "boom", severity: str | None = None) -> str:
        words = Words(cast("Any", severity))
        captured = Captured((Link("ValueError", message, (), "", ""),), words, {})
        return self.outbox.add(("ValueError", message, severity or ""), captured, self.now_ns)

    @asynccontextmanager
    async def running(self, *, settlements: bool = False) -> AsyncIterator[None]:
        bus = cast("Bus", self.bus)
        tasks = [asyncio.create_task(self.sender.run(bus))]
        if settlements:
            tasks.append(asyncio.create_task(self.settlements.watch(bus)))
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def counts(self) -> dict[str, int]:
        """Failures stored, by message."""
        events = [codec.decode(ErrorReported, message.body) for message in self.bus.stored.values()]
        totals: dict[str, int] = {}
        for event in events:
            totals[event.exception.message] = totals.get(event.exception.message, 0) + event.count
        return totals
