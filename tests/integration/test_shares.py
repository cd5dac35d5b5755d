"""A stolen credential that floods, on a real server with users: it is refused, and the others are recovered."""

import asyncio
import contextlib
import itertools
import json
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, cast

import pytest
from tests import support
from tests.harness import ProtocolAgent
from tests.integration import secured
from tests.integration.secured import Secured
from tests.integration.streams import ignore
from tests.support import memory_runtime

import mendbus_executor
import mendbus_strategy_selector
from mendbus import codec
from mendbus.bus.nats import NatsBus
from mendbus.contracts.errors import BusTimeout
from mendbus.contracts.ids import new_id
from mendbus.contracts.messages import AgentRef, ErrorReported, ExceptionInfo
from mendbus.contracts.subjects import MAX_BODY
from mendbus.contracts.vocabulary import SEVERITIES, Severity
from mendbus.testing import eventually
from mendbus_strategy_selector import partition

THIEF, VICTIM = "r1", "r2"
ROOM = 64 << 20
"""Of ERRORS, as `secured` makes it."""
INCIDENTS = 2
"""Most that a partition has open: the thief's own do not end, so that what it sends after them is not counted."""


class _On:
    """Gives services the connection that was made for them."""

    def __init__(self, bus: NatsBus) -> None:
        self._bus = bus

    def connect(self, _: str) -> NatsBus:
        return self._bus


@pytest.fixture
async def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Secured]:
    """A server with users, a strategy-selector and an executor."""
    monkeypatch.setattr(partition, "OPEN_AT_MOST", INCIDENTS)
    monkeypatch.setattr(partition, "_BATCH", INCIDENTS)
    # The thief's incidents end one after the other once it is gone.
    monkeypatch.setattr(support, "DRAIN_SECONDS", 60.0)
    found = await secured.start(tmp_path)
    policy = tmp_path / "policy.toml"
    policy.write_text("settle_seconds = 0.1\n")
    settings = found.settings.model_copy(update={"stream_max_bytes": ROOM, "policy_file": policy, "data_dir": tmp_path})
    async with AsyncExitStack() as running:
        for module in (mendbus_executor, mendbus_strategy_selector):
            service = module.build()
            bus = cast("Any", _On(await found.connect(f"service/{service.name}")))
            _ = await running.enter_async_context(memory_runtime(service, bus, settings=settings))
        yield found
    await found.stop()


def a_large_error(number: int, severity: Severity | None) -> bytes:
    """60 KiB that nobody has seen before."""
    letters = "".join(chr(97 + int(digit)) for digit in str(number))
    exception = ExceptionInfo(type=f"Flood{letters}", message=letters)
    thief = AgentRef(kind="runtime", id=THIEF)
    error = ErrorReported(id=new_id(), time_unix_nano=1, agent=thief, exception=exception, severity=severity)
    body = codec.unpack(codec.encode(error))
    return codec.pack({**body, "more": "x" * (MAX_BODY - 6000)})


class Flood:
    """The thief: sends whatever it likes without end, and counts what the server answered, by error code."""

    def __init__(self, site: Secured) -> None:
        self._site = site
        self.answers: Counter[int] = Counter()

    async def run(self) -> None:
        """Floods until cancelled."""
        bus = await self._site.connect(f"agent/runtime/{THIEF}")
        # Commands come and are not answered: that takes longest.
        _ = await bus.subscribe(self._site.subjects.command("runtime", THIEF), ignore)
        numbers = itertools.count()
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(4):
                    group.create_task(self._send(bus, numbers))
        finally:
            await bus.close()

    async def _send(self, bus: NatsBus, numbers: "itertools.count[int]") -> None:
        severities: tuple[Severity | None, ...] = (None, *SEVERITIES)
        for number in numbers:
            severity = severities[number % len(severities)]
            subject = self._site.subjects.error(severity, "runtime", THIEF)
            body = b"x" * (100 << 10) if number % 20 == 0 else a_large_error(number, severity)
            with contextlib.suppress(BusTimeout):
                answer = await bus.request(subject, body, timeout=5.0)
                code = json.loads(answer.body).get("error", {}).get("err_code", 0)
                self.answers[code] += 1
                # As fast on any machine: some 24 MB a second, and refusals leave the others here their processor.
                await asyncio.sleep(0.05 if code else 0.01)


async def test_a_flood_from_a_stolen_credential_stops_nobody_else(
    site: Secured, caplog: pytest.LogCaptureFixture
) -> None:
    """Large errors under every severity and oversize ones: the sender alone is refused, another agent is recovered."""
    victim = ProtocolAgent(await site.connect(f"agent/runtime/{VICTIM}"), site.subjects, "runtime", VICTIM)
    _ = await victim.start()
    flood = Flood(site)
    flooding = asyncio.create_task(flood.run())
    sent: list[str] = []

    async def is_refused() -> bool:
        # A refusal of the victim's would end the test here.
        sent.append(await stored_at_once(victim, len(sent)))
        return flood.answers[10077] > 20

    try:
        assert await eventually(is_refused, 20.0, every=0.5)
        sent += [await stored_at_once(victim, len(sent)) for _ in range(5)]
        assert await eventually(lambda: set(sent) <= victim.settled.keys(), 20.0)
        assert not flooding.done()
    finally:
        flooding.cancel()
        await asyncio.wait((flooding,))
    admin = await site.connect("operator/admin")
    assert (await admin.usage(site.subjects.stream("ERRORS"))).bytes < ROOM * 3 / 4
    assert flood.answers[10054] > 0
    assert f"runtime/{THIEF} fills ERRORS" in caplog.text
    assert f"runtime/{VICTIM} fills ERRORS" not in caplog.text


async def stored_at_once(agent: ProtocolAgent, number: int) -> str:
    """Stores one error of the agent's; raises when the server refuses it."""
    event = new_id()
    letters = "".join(chr(97 + int(digit)) for digit in str(number % 4))
    error = ErrorReported(
        id=event,
        time_unix_nano=1,
        agent=agent.ref,
        exception=ExceptionInfo(type=f"Broken{letters}", message=letters),
        severity="error",
        operation=letters,
    )
    _ = await agent.bus.store(
        agent.subjects.error("error", "runtime", agent.id), codec.encode(error), id=event, timeout=5.0
    )
    return event
