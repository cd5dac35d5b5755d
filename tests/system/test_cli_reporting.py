"""`mendbus report` and `mendbus watch`: as an agent would, and what comes of it."""

import asyncio
import json
import os
import signal
from typing import Any

import pytest
from tests.system.commands import do, keep, mendbus, with_bus
from tests.unit.cli.samples import INCIDENT, REPORTED, outcome

from mendbus import codec
from mendbus.bus import Bus
from mendbus.cli.reporting import Draft, send
from mendbus.cli.watching import follow
from mendbus.contracts.messages import ErrorReported
from mendbus.settings import Settings
from mendbus.testing import eventually

DRAFT = Draft("runtime", "r1", "ValueError", "boom", "error", "reload")


def test_an_error_is_stored_as_an_agent_would_store_it(settings: Settings) -> None:
    """`report` prints the id of what is in the stream, which is valid and has the root of a trace."""

    keep(settings)
    words = ("report", "runtime/r1", "--type", "ValueError", "--message", "boom", "--severity", "error")
    event_id = mendbus(*words).stdout.strip()

    async def look(bus: Bus) -> list[tuple[ErrorReported, str]]:
        stored = bus.read(settings.subjects.stream("ERRORS"), f"{settings.root}.errors.>")
        return [(codec.decode(ErrorReported, one.body), one.headers["traceparent"]) async for one in stored]

    [(told, traceparent)] = do(settings, look)
    assert (told.id, told.severity, told.exception.message) == (event_id, "error", "boom")
    shown = mendbus("trace", traceparent[3:35])
    assert "publish error.error" in shown.stdout


async def test_a_report_waits_for_its_outcome(settings: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    """With --wait the outcome that names the event is told, on the same document."""

    async def answer(bus: Bus) -> None:
        async def recover(message: Any) -> None:
            told = codec.decode(ErrorReported, message.body)
            await bus.publish(
                settings.subjects.outcome("runtime", "r1"), codec.encode(outcome(event_ids=[told.id], error=told))
            )

        await bus.subscribe(settings.subjects.everyone("error"), recover)
        await bus.barrier()
        await send(settings, DRAFT, 5.0, as_json=True)
        await send(settings, DRAFT, 5.0, as_json=False)

    await with_bus(settings, answer)
    out = capsys.readouterr().out
    document, end = json.JSONDecoder().raw_decode(out)
    assert document["outcome"]["event_ids"] == [document["event_id"]]
    assert out[end:].split("\n")[2] == f"recovered by retry incident {INCIDENT} the probe is healthy"


def test_a_report_without_an_outcome_says_where_to_look(settings: Settings) -> None:
    """When nothing comes, the error is still stored, and that is said, with status 1."""

    keep(settings)
    shown = mendbus("report", "a/b", "--type", "X", "--message", "y", "--wait", "--timeout", "0.1")
    assert shown.exit_code == 1
    assert len(shown.stdout.strip()) == 36
    assert "no outcome of" in shown.stderr


@pytest.mark.parametrize("as_json", [False, True])
async def test_what_happens_is_watched_until_it_is_enough(
    settings: Settings, capsys: pytest.CaptureFixture[str], as_json: bool
) -> None:
    """Each message is one line as it comes; what is none is said on standard error; a signal ends it well."""
    watching = asyncio.create_task(follow(settings, as_json=as_json, now=lambda: REPORTED))
    said = {"out": "", "err": ""}

    def has(stream: str, words: str) -> bool:
        captured = capsys.readouterr()
        said["out"] += captured.out
        said["err"] += captured.err
        return words in said[stream]

    await eventually(lambda: has("err", "Ctrl-C ends"))

    async def tell(bus: Bus) -> None:
        where = settings.subjects.outcome("runtime", "r1")
        await bus.publish(where, b"\xc1")
        await bus.publish(where, codec.encode(outcome()))
        await bus.barrier()

    await with_bus(settings, tell)
    await eventually(lambda: has("out", INCIDENT))
    os.kill(os.getpid(), signal.SIGINT)
    await asyncio.wait_for(watching, 5.0)
    assert "not shown" in said["err"]
    if as_json:
        told = json.loads(said["out"])
        assert (told["family"], told["message"]["incident_id"]) == ("outcome", INCIDENT)
    else:
        assert said["out"].startswith("22:13:20.000  outcome  runtime/r1 recovered by retry")
