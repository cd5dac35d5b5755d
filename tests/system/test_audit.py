"""Audit, export and profile on a real server, with a service of its own process writing the journal."""

import asyncio
import csv
import json
import os
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from tests.unit.cli.samples import INCIDENT, MS, REPORTED, error, outcome
from typer.testing import CliRunner, Result

from mendbus import codec, streams
from mendbus.audit import digest_of
from mendbus.audit_reading import published
from mendbus.bus import Bus
from mendbus.bus.nats import connect
from mendbus.cli.app import build
from mendbus.contracts.ids import new_id
from mendbus.contracts.journal import Claimed, JournalRecord
from mendbus.contracts.messages import AgentRef, ErrorReported, ExceptionInfo
from mendbus.contracts.subjects import MAX_SERVICE_BODY, Subjects
from mendbus.server import NatsServer
from mendbus.testing import eventually
from mendbus.traces import SpanRow, TraceFile

ROOT = "test.audit"
SUBJECTS = Subjects(ROOT)
MAX_BYTES = 1 << 26
JOURNAL = SUBJECTS.stream("JOURNAL")


@pytest.fixture
def server(nats_server: NatsServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[NatsServer]:
    """The shared server, with an installation of its own on it that this process's environment points at."""
    for name, value in {
        "NATS_URL": nats_server.url,
        "MENDBUS_ROOT": ROOT,
        "MENDBUS_DATA_DIR": str(tmp_path),
        "MENDBUS_STREAM_MAX_BYTES": str(MAX_BYTES),
    }.items():
        monkeypatch.setenv(name, value)
    yield nats_server
    do(nats_server, clear)


@pytest.fixture
def service(server: NatsServer) -> Iterator["subprocess.Popen[bytes]"]:
    """A strategy-selector, ready."""
    do(server, lambda bus: streams.ensure(bus, SUBJECTS, MAX_BYTES))
    process = subprocess.Popen([sys.executable, "-m", "mendbus.service", "strategy-selector"], env=dict(os.environ))
    do(server, lambda bus: eventually(lambda: answers(bus, "strategy-selector"), 15.0))
    yield process
    process.kill()  # without an executor it would wait for one
    process.wait(15)


def do(server: NatsServer, act: Callable[[Bus], Awaitable[Any]]) -> Any:
    """Something on a connection of its own."""

    async def connected() -> Any:
        bus = await connect(server.url, name="test")
        try:
            return await act(bus)
        finally:
            await bus.close()

    return asyncio.run(connected())


async def answers(bus: Bus, name: str) -> bool:
    try:
        await bus.request(f"$SRV.PING.{name}", b"", timeout=0.2)
    except Exception:
        return False
    return True


async def clear(bus: Bus) -> None:
    told = json.loads((await bus.request("$JS.API.STREAM.NAMES", b"", timeout=5.0)).body)
    for name in told["streams"] or []:
        if SUBJECTS.prefix in name:
            await bus.request(f"$JS.API.STREAM.DELETE.{name}", b"", timeout=5.0)


def mendbus(*words: str) -> Result:
    return CliRunner().invoke(build(), list(words))


def told(*words: str, status: int = 0) -> Any:
    shown = mendbus(*words, "--json")
    assert shown.exit_code == status, shown.output
    return json.loads(shown.stdout)


async def report(bus: Bus) -> None:
    error = ErrorReported(
        id=new_id(),
        time_unix_nano=1_700_000_000 * 10**9,
        agent=AgentRef(kind="runtime", id="r1"),
        exception=ExceptionInfo(type="ValueError", message="boom"),
    )
    await bus.store(SUBJECTS.error(None, "runtime", "r1"), codec.encode(error), id=error.id)


def test_a_service_s_journal_is_verified_exported_and_profiled(
    server: NatsServer, service: "subprocess.Popen[bytes]", tmp_path: Path
) -> None:
    """Heads are published, the journal is whole, every entry is exported, and the service tells where its time goes."""
    do(server, report)
    heads = do(server, lambda bus: eventually(lambda: enough(bus, 8), 10.0))
    assert {head.chain for head in heads} == {str(number) for number in range(8)}
    kept = tmp_path / "heads.json"
    first = told("audit", "verify", "--save-heads", str(kept))
    assert first["whole"]
    assert all(chain["confirmed"] for chain in first["chains"])
    again = told("audit", "verify", "--heads", str(kept))
    assert sum(chain["records"] for chain in again["chains"]) >= 8
    assert [chain["chain"] for chain in told("audit", "verify", "--partition", "3")["chains"]] == ["3"]

    shown = mendbus("export", "audit", "--since", "1h")
    rows = [json.loads(line) for line in shown.stdout.splitlines()]
    assert {"owner", "event", "decision"} <= {row["kind"] for row in rows}
    assert mendbus("export", "audit", "--until", "1h").stdout == ""
    table = tmp_path / "audit.csv"
    assert mendbus("export", "audit", "--format", "csv", "-o", str(table)).exit_code == 0
    read = list(csv.DictReader(StringIO(table.read_text("utf-8"))))
    assert len(read) >= len(rows)
    assert any(row["error_type"] == "ValueError" for row in read)

    picture, stacks = tmp_path / "flame.svg", tmp_path / "stacks.txt"
    seen = told("profile", "strategy-selector", "--seconds", "1", "--svg", str(picture), "--stacks", str(stacks))
    assert seen["pid"] == service.pid
    assert seen["wall_seconds"] >= 1.0
    assert 0.0 < seen["cpu_seconds"] < 3.0
    assert seen["lag"]["p50_ms"] <= seen["lag"]["p99_ms"] <= seen["lag"]["max_ms"]
    assert seen["samples"]["wall"] > 20
    assert seen["functions"]
    assert picture.read_text("utf-8").startswith("<svg")
    assert service.poll() is None
    assert mendbus("profile", "executor", "--seconds", "1").exit_code == 1


async def enough(bus: Bus, count: int) -> Any:
    heads = await published(bus, SUBJECTS)
    return heads if len({head.chain for head in heads}) >= count else None


def write_journal(server: NatsServer, owners: list[str]) -> None:
    """A journal of partition 0 with one record an owner, chained as it must be."""

    async def write(bus: Bus) -> None:
        await streams.ensure(bus, SUBJECTS, MAX_BYTES)
        previous = ""
        for number, owner in enumerate(owners, 1):
            record = JournalRecord(
                id=new_id(),
                time_unix_nano=number,
                partition=0,
                number=number,
                owner=owner,
                previous=previous,
                entries=[Claimed(owner=owner)],
            )
            body = codec.encode(record)
            assert len(body) < MAX_SERVICE_BODY
            await bus.store(SUBJECTS.journal(0), body)
            previous = digest_of(body)

    do(server, write)


def test_a_tampered_journal_ends_with_status_1(server: NatsServer, tmp_path: Path) -> None:
    """A deleted record is found with nothing in hand; a journal made anew, hashes and all, by an earlier head."""
    write_journal(server, ["a", "b", "c", "d"])
    kept = tmp_path / "heads.json"
    assert mendbus("audit", "verify", "--save-heads", str(kept)).exit_code == 0
    request = f"$JS.API.STREAM.MSG.DELETE.{JOURNAL}"
    do(server, lambda bus: bus.request(request, b'{"seq":2}', timeout=5.0))
    found = told("audit", "verify", status=1)["problems"]
    assert {(p["fault"], p["number"], p["sequence"]) for p in found} == {("missing", 2, 3), ("deleted", 0, 2)}
    assert "missing: chain 0, record 2" in mendbus("audit", "verify").stdout

    do(server, clear)
    write_journal(server, ["a", "B", "c", "d"])
    assert told("audit", "verify")["whole"]
    (problem,) = told("audit", "verify", "--heads", str(kept), status=1)["problems"]
    assert (problem["fault"], problem["chain"], problem["number"]) == ("rewritten", "0", 4)
    do(server, lambda bus: bus.request(f"$JS.API.STREAM.PURGE.{JOURNAL}", b"", timeout=5.0))
    assert {p["fault"] for p in told("audit", "verify", "--heads", str(kept), status=1)["problems"]} == {"cut"}


def test_heads_of_another_installation_are_refused(server: NatsServer, tmp_path: Path) -> None:
    """A file that holds no heads, or those of another root, is named, and nothing is compared with it."""
    file = tmp_path / "heads.json"
    for text in ("[]", "{", '{"root": "other", "heads": []}'):
        file.write_text(text)
        shown = mendbus("audit", "verify", "--heads", str(file))
        assert shown.exit_code == 1
        assert str(file) in shown.stderr


def test_the_profile_of_an_incident_tells_its_stages(server: NatsServer, tmp_path: Path) -> None:
    """Stages from the outcome, the wait in the queue from the stored error, spans from the local trace store."""
    said = outcome(trace_id="ab" * 16)
    attributes: dict[str, str | bool | int | float] = {"mendbus.incident.id": INCIDENT}
    span = SpanRow(
        *("ab" * 16, "cd" * 8, "", "process error", "consumer", "selector"),
        *(REPORTED + MS // 2, REPORTED + 9 * MS, attributes, "ok", None),
    )
    TraceFile(tmp_path / "traces", "test").append([span])

    async def keep(bus: Bus) -> None:
        await streams.ensure(bus, SUBJECTS, MAX_BYTES)
        await bus.store(SUBJECTS.outcome("runtime", "r1"), codec.encode(said))
        await bus.store(SUBJECTS.error(None, "runtime", "r1"), codec.encode(error()), id="event-1")

    do(server, keep)
    stacks = tmp_path / "stacks.txt"
    seen = told("profile", INCIDENT[:20], "--stacks", str(stacks))
    assert [stage["name"] for stage in seen["stages"]][:3] == ["send, store", "queue wait", "classify"]
    assert [stage["source"] for stage in seen["stages"]][:2] == ["stream", "trace"]
    assert seen["spans"] == {"process error": 8.5}
    assert stacks.read_text("utf-8") == "selector: process error 8500\n"
    shown = mendbus("profile", INCIDENT)
    assert "queue wait" in shown.stdout
    assert "rollback" in shown.stdout
    (row,) = [json.loads(line) for line in mendbus("export", "incidents").stdout.splitlines()]
    assert (row["incident_id"], row["outcome"]) == (INCIDENT, "recovered")
