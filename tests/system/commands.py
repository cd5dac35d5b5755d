"""The commands on a real server, and what they find there."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

from tests.unit.cli.samples import REPORTED, opened, outcome
from typer.testing import CliRunner, Result

from mendbus import codec, streams
from mendbus.bus import Bus
from mendbus.bus.nats import connect
from mendbus.cli.app import build
from mendbus.contracts.fields import WireModel
from mendbus.contracts.journal import Claimed, JournalRecord
from mendbus.contracts.subjects import Subjects
from mendbus.contracts.summaries import Times
from mendbus.settings import Settings

MAX_BYTES = 1 << 26
OTHER = "018bcfe5-6800-7000-8000-0000000000ff"
Act = Callable[[Bus], Awaitable[Any]]


async def streams_of(bus: Bus, settings: Settings) -> list[str]:
    """Names of the streams of the installation that are on the server."""
    told = json.loads((await bus.request("$JS.API.STREAM.NAMES", b"", timeout=5.0)).body)
    return [name for name in told["streams"] or [] if settings.subjects.prefix in name]


async def with_bus(settings: Settings, act: Act) -> Any:
    """Does something on a connection of its own, the streams made."""
    bus = await connect(settings.nats_url, name="test")
    try:
        await streams.ensure(bus, settings.subjects, MAX_BYTES)
        return await act(bus)
    finally:
        await bus.close()


def do(settings: Settings, act: Act) -> Any:
    """The same, from a test that is not asynchronous."""
    return asyncio.run(with_bus(settings, act))


def keep(settings: Settings, *messages: tuple[str, WireModel]) -> None:
    """Stores messages on their subjects."""

    async def store(bus: Bus) -> None:
        for subject, message in messages:
            await bus.store(subject, codec.encode(message))

    do(settings, store)


def mendbus(*words: str, **how: Any) -> Result:
    """A command, to its end."""
    return CliRunner().invoke(build(), list(words), **how)


def in_json(*words: str) -> Any:
    """What a command that ends well says in JSON."""
    shown = mendbus(*words, "--json")
    assert shown.exit_code == 0, shown.output
    return json.loads(shown.stdout)


def journal(subjects: Subjects, *incidents: str) -> tuple[str, WireModel]:
    """A record of the journal that opens incidents."""
    record = JournalRecord(
        id="record-1",
        time_unix_nano=REPORTED,
        partition=0,
        number=7,
        owner="selector/x",
        previous="",
        entries=[Claimed(owner="selector/x"), *map(opened, incidents)],
    )
    return subjects.journal(0), record


def many(subjects: Subjects) -> list[tuple[str, WireModel]]:
    """Two incidents, one of them parked, and one under way that only the journal knows."""
    where = subjects.outcome("runtime", "r1")
    later = Times(reported=REPORTED + 1)
    return [
        (where, outcome()),
        (where, outcome(sequence=0, settled=None)),
        (where, outcome(incident_id=OTHER, sequence=0, outcome="escalated", settled=None, times=later)),
        journal(subjects, "018bcfe5-6800-7000-8000-000000000aaa"),
    ]
