"""What is wrong around an installation: `mendbus doctor` says it with a remedy, and a service does what it says here.

| what | a service |
|---|---|
| wrong settings | ends with status 2 and names all of them |
| credentials that are refused | is not ready, says why, and goes on trying |
| a server that is too old | ends with status 1 and says which is needed |
| no room for the streams | ends with status 1 and says so |
| a stream that is full | agents keep their errors until there is room |
| a server that does not sync | works, and is not ready |
| a stream that is gone | is not ready until it is back (`test_lost_volume.py`) |
| a clock that is off | works; the doctor tells, and so do the counts of samples that are `skewed` |
"""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from mendbus import Agent, streams
from mendbus.bus.nats import connect
from mendbus.cli.checks import Check, examine
from mendbus.contracts.errors import StoreRefused
from mendbus.settings import Settings
from mendbus.testing import eventually, nats_server

_USERS = """authorization { users: [
  {user: agent, password: pw, permissions: {publish: ["mendbus.v1.error.>", "$SYS.REQ.USER.INFO", "_INBOX.>"]}}
  {user: operator, password: pw}
] }"""


async def found_by_doctor(url: str, folder: Path, monitor_url: str = "", **more: Any) -> dict[str, Check]:
    settings = Settings(nats_url=url, monitor_url=monitor_url, data_dir=folder, **more)
    return {check.name: check for check in await examine(settings)}


@asynccontextmanager
async def service(folder: Path, **environment: str) -> AsyncIterator[tuple[asyncio.subprocess.Process, Path]]:
    """A classifier as a process of its own, and the file that it writes its log to."""
    log = folder / "service.log"
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("MENDBUS_", "NATS_", "COV"))}
    environment = {"MENDBUS_TRACE": "false", "MENDBUS_DATA_DIR": str(folder), **environment}
    with log.open("wb") as out:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "mendbus.service", "classifier", env=inherited | environment, stdout=out, stderr=out
        )
    try:
        yield process, log
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def test_wrong_settings_are_all_named_and_nothing_starts(tmp_path: Path) -> None:
    """Status 2 and a line for each; what the values are is not guessed."""
    wrong = {"MENDBUS_HTTP_PORT": "70000", "MENDBUS_LOG_LEVEL": "LOUD", "MENDBUS_TYPO": "1"}
    async with service(tmp_path, **wrong) as (process, log):
        assert await process.wait() == 2
        said = log.read_text()
    assert all(name in said for name in wrong)


async def test_refused_credentials_are_told_apart_from_no_server(tmp_path: Path) -> None:
    """The doctor asks for credentials, not for a server; the service says it, again and again, and goes on trying."""
    with nats_server(tmp_path / "nats", extra=_USERS) as server:
        wrong = server.url.replace("nats://", "nats://operator:wrong@")
        found = (await found_by_doctor(wrong, tmp_path))["server"]
        assert found.state == "problem"
        assert "credentials" in found.remedy
        assert "wrong@" not in f"{found.found} {found.remedy}"
        async with service(tmp_path, NATS_URL=wrong) as (process, log):
            await eventually(lambda: "cannot reach NATS yet" in log.read_text(), 45.0)
            assert "uthorization" in log.read_text() or "credentials" in log.read_text()
            assert process.returncode is None


async def test_missing_rights_are_named(tmp_path: Path) -> None:
    """An agent's user may not do what an operator does: the doctor names subjects, and shows no password."""
    with nats_server(tmp_path / "nats", extra=_USERS) as server:
        found = await found_by_doctor(server.url.replace("nats://", "nats://agent:pw@"), tmp_path)
        assert found["permissions"].state == "problem"
        assert "user agent may not publish mendbus.v1.control." in found["permissions"].found
        assert found["clock"].state == "ok"
        assert "pw@" not in found["server"].found
        found = await found_by_doctor(server.url.replace("nats://", "nats://operator:pw@"), tmp_path)
        assert found["permissions"].state == "ok"
        assert "is missing" in found["streams"].found


async def test_a_server_that_is_too_old_is_refused(tmp_path: Path) -> None:
    """A server before 2.12 tells no level of its interface: both say which version is needed."""
    async with old_server() as url:
        found = (await found_by_doctor(url, tmp_path))["server version"]
        assert found == Check(
            "server version", "problem", "older than 2.12 (JetStream API level 0)", "upgrade nats-server"
        )
        async with service(tmp_path, NATS_URL=url) as (process, log):
            assert await process.wait() == 1
            assert "too old" in log.read_text()
            assert "2.12" in log.read_text()


async def test_no_room_on_the_server_ends_a_service_that_needs_its_streams(tmp_path: Path) -> None:
    """What the server has no room for is not created: the service says what was refused, and ends."""
    limits = "accounts { A { jetstream { max_disk: 8MB }, users: [{user: a, password: a}] } }"
    with nats_server(tmp_path / "nats", extra=limits) as server:
        url = server.url.replace("nats://", "nats://a:a@")
        async with service(tmp_path, NATS_URL=url) as (process, log):
            assert await process.wait() == 1
            assert "exceeds" in log.read_text() or "insufficient" in log.read_text()
        found = await found_by_doctor(url, tmp_path)
        assert "is missing" in found["streams"].found


async def test_a_full_stream_is_told_and_agents_keep_what_it_does_not_take(tmp_path: Path) -> None:
    """The doctor says so before and when it is full; an error waits with its agent until there is room, and is sent."""
    settings = Settings(stream_max_bytes=1 << 20)
    subjects = settings.subjects
    with nats_server(tmp_path / "nats") as server:
        bus = await connect(server.url, name="test")
        await streams.ensure(bus, subjects, settings.stream_max_bytes)
        with suppress(StoreRefused):
            while True:
                await bus.store(subjects.error("error", "runtime", "a1"), b"x" * 60_000)
        room = (await found_by_doctor(server.url, tmp_path, stream_max_bytes=1 << 20))["room"]
        assert (room.state, "outboxes" in room.remedy) == ("problem", True)
        assert "ERRORS holds 1 of 1 MiB" in room.found
        async with Agent("runtime", "a2", nats_url=server.url) as agent:
            agent.report(ValueError("x" * 8000), attributes={f"a{number}": "y" * 4000 for number in range(12)})
            await eventually(lambda: agent.stats().connected and agent.stats().waiting_events == 1, 10.0)
            assert agent.stats().acknowledged == 0
            await bus.purge(subjects.stream("ERRORS"), 1 << 60)
            await eventually(lambda: agent.stats().acknowledged == 1, 20.0)
        room = (await found_by_doctor(server.url, tmp_path, stream_max_bytes=1 << 20))["room"]
        assert room.state == "ok"
        await bus.close()


async def test_a_server_that_does_not_sync_keeps_a_service_from_being_ready(tmp_path: Path) -> None:
    """It works, for those who accept the risk, but says of itself that it is not ready, and the doctor why."""
    async with lax_server(tmp_path) as (url, monitor_url):
        found = (await found_by_doctor(url, tmp_path, monitor_url))["sync"]
        assert (found.state, "sync_interval: always" in found.remedy) == ("problem", True)
        async with service(tmp_path, NATS_URL=url, MENDBUS_MONITOR_URL=monitor_url) as (process, log):
            await eventually(lambda: "classifier" in log.read_text() and "is ready" in log.read_text(), 45.0)
            assert "sync_interval: always" in log.read_text()
            assert process.returncode is None


@asynccontextmanager
async def old_server() -> AsyncIterator[str]:
    """As much of an old server as is needed: it says who it is, and what its JetStream can do."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        info = {"server_id": "S", "version": "2.9.25", "proto": 1, "headers": True, "max_payload": 1 << 20}
        writer.write(f"INFO {json.dumps(info)}\r\n".encode())
        inbox = ""
        while line := await reader.readline():
            word, *rest = line.decode().split()
            if word == "PING":
                writer.write(b"PONG\r\n")
            elif word == "SUB" and rest[0].endswith(".answer.*"):
                inbox = rest[-1]
            elif word in ("PUB", "HPUB"):
                body = await reader.readexactly(int(rest[-1]) + 2)
                if rest[0] == "$JS.API.INFO":
                    answer = json.dumps({"memory": 0, "storage": 0, "api": {"total": 1, "errors": 0}}).encode()
                    writer.write(b"MSG %s %s %d\r\n%s\r\n" % (rest[1].encode(), inbox.encode(), len(answer), answer))
                elif rest[0].endswith(".echo"):
                    del body
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"nats://127.0.0.1:{server.sockets[0].getsockname()[1]}"


@asynccontextmanager
async def lax_server(folder: Path) -> AsyncIterator[tuple[str, str]]:
    """A real server as it comes, without a configuration of ours."""
    from mendbus.server import server_binary

    ports = folder / "ports"
    ports.mkdir()
    process = await asyncio.create_subprocess_exec(
        str(server_binary()), "-js", "-a", "127.0.0.1", "-p", "-1", "-m", "-1", "-sd", str(folder / "lax"),
        "--ports_file_dir", str(ports), "-l", str(folder / "lax.log"),
    )  # fmt: skip
    try:
        file = await eventually(lambda: next(ports.glob("*.ports"), None), 15.0)
        told = json.loads(file.read_text())
        yield told["nats"][0], told["monitoring"][0]
    finally:
        process.terminate()
        await process.wait()


@pytest.mark.parametrize("endpoint", ["", "http://127.0.0.1:1"])
async def test_a_collector_that_is_not_there_does_not_stop_the_doctor(tmp_path: Path, endpoint: str) -> None:
    """Without a server and without a collector it still tells everything that it could look at."""
    found = await found_by_doctor("nats://127.0.0.1:1", tmp_path, otlp_endpoint=endpoint)
    assert found["tracing"].state == ("problem" if endpoint else "ok")
    assert found["server"].state == "problem"


async def test_three_replicas_on_one_server_are_refused_and_told(tmp_path: Path) -> None:
    """A service that shall keep streams on three servers ends with what to do; the doctor sees what is kept once."""
    with nats_server(tmp_path / "nats") as server:
        async with service(tmp_path, NATS_URL=server.url, MENDBUS_STREAM_REPLICAS="3") as (process, log):
            assert await asyncio.wait_for(process.wait(), 20.0) == 1
            assert "is in no cluster (MENDBUS_STREAM_REPLICAS): set it to 1" in log.read_text()
        bus = await connect(server.url, name="test")
        await streams.ensure(bus, Settings().subjects, Settings().stream_max_bytes)
        found = (await found_by_doctor(server.url, tmp_path, stream_replicas=3))["streams"]
        assert (found.state, "replicas is 1, needed 3" in found.found) == ("problem", True)
        await bus.close()
