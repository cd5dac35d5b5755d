"""The dashboard on the in-memory bus: what it refuses, what it has done, what it tells."""

import asyncio
import json
import socket
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import pytest
from tests.integration.test_pipeline import QUICK, Pipeline, pipeline
from tests.support import memory_runtime, tell

import mendbus_health_monitor
from mendbus import codec
from mendbus.bus import Bus
from mendbus.bus.memory import MemoryServer
from mendbus.contracts.errors import Refused
from mendbus.contracts.journal import JournalRecord, Operated
from mendbus.contracts.messages import AgentRef, HealthSample
from mendbus.contracts.subjects import MAX_SERVICE_BODY
from mendbus.http import Request, Response
from mendbus.runtime import store_dead_letter
from mendbus.settings import Settings
from mendbus.testing import eventually
from mendbus_health_monitor.dashboard import hub as hubs
from mendbus_health_monitor.dashboard import live as lives
from mendbus_health_monitor.dashboard import server as servers
from mendbus_health_monitor.dashboard.live import Live
from mendbus_health_monitor.dashboard.server import Dashboard

TOKEN = "sixteen-characters-long"
HELD = QUICK + 'require_approval = ["retry"]\n[alerts]\ndisabled = ["service"]\n'
HOST = {"host": "127.0.0.1:7701"}
SIGNED = HOST | {"authorization": f"Bearer {TOKEN}", "content-type": "application/json"}


@dataclass
class Board:
    """A dashboard, and the pipeline that it shows."""

    run: Pipeline
    server: Dashboard

    async def get(self, path: str, query: dict[str, str] | None = None) -> Any:
        """What a question is answered; it must be."""
        response = await self.server.handle(Request("GET", path, query or {}, HOST))
        assert response.status == 200, response.body
        return json.loads(response.body)

    async def post(self, verb: str, **fields: Any) -> tuple[int, dict[str, Any]]:
        """What became of an order of Kim's."""
        body = json.dumps({"by": "kim", **fields}).encode()
        response = await self.server.handle(Request("POST", f"/api/actions/{verb}", {}, SIGNED, body))
        return response.status, json.loads(response.body)

    async def events(self, after: str = "", watch: str = "") -> "Events":
        """The stream of events."""
        headers = HOST | ({"last-event-id": after} if after else {})
        response = await self.server.handle(Request("GET", "/api/events", {"watch": watch}, headers))
        assert response.status == 200, response.body
        return Events(response)

    async def operated(self) -> list[Operated]:
        """What operators did, as the journal has it."""
        run = self.run
        read = run.bus.read(run.subjects.stream("JOURNAL"), f"{run.subjects.root}.journal.*")
        records = [codec.decode(JournalRecord, stored.body, MAX_SERVICE_BODY) async for stored in read]
        return [entry for record in records for entry in record.entries if isinstance(entry, Operated)]


class Events:
    """A page's view of the stream."""

    def __init__(self, response: Response) -> None:
        assert response.stream is not None
        self.stream = cast("AsyncIterator[bytes]", response.stream)
        self.last = ""
        self.seen: list[dict[str, Any]] = []

    async def until(self, kind: str, **fits: Any) -> dict[str, Any]:
        """The next event of a kind whose incident, agent or entry has these values."""
        async with asyncio.timeout(10):
            async for chunk in self.stream:
                fields = dict(line.split(": ", 1) for line in chunk.decode().strip().split("\n"))
                self.last = fields.get("id", self.last)
                if fields.get("event") == "reset":
                    return {"kind": "reset", **json.loads(fields["data"])}
                for event in json.loads(fields.get("data", "{}")).get("events", ()):
                    self.seen.append(event)
                    told = next((event[name] for name in ("incident", "entry", "alert") if name in event), event)
                    if event["kind"] == kind and fits.items() <= told.items():
                        return event
        raise AssertionError(f"no {kind} with {fits}")

    async def close(self) -> None:
        await self.stream.aclose()  # pyright: ignore[reportAttributeAccessIssue]


@asynccontextmanager
async def board(folder: Path, policy: str = HELD) -> AsyncGenerator[Board]:
    """A pipeline in which retries need a person, with a health-monitor, and a dashboard beside it."""
    async with pipeline(folder, policy) as run:
        settings = run.settings.model_copy(update={"dashboard_token": TOKEN})
        async with memory_runtime(mendbus_health_monitor.build(), run.server, settings=settings) as runtime:
            live = Live(runtime, dict)
            live.start()
            yield Board(run, Dashboard(runtime, live))


@pytest.mark.parametrize(
    ("method", "path", "headers", "body", "status"),
    [
        ("GET", "/api/agents", {"host": "rebound.example"}, b"", 403),
        ("GET", "/", {"host": "rebound.example"}, b"", 403),
        ("GET", "/api/none", HOST, b"", 404),
        ("GET", "/none.js", HOST, b"", 404),
        ("GET", "/api/incidents/0123456789", HOST, b"", 404),
        ("GET", "/api/agents/runtime/nobody", HOST, b"", 404),
        ("GET", "/api/dead/7", HOST, b"", 404),
        ("POST", "/api/agents", SIGNED, b"{}", 405),
        ("GET", "/api/actions/pause", SIGNED, b"", 405),
        ("POST", "/api/actions/pause", HOST, b"{}", 401),
        ("POST", "/api/actions/pause", SIGNED | {"authorization": "Bearer wrong"}, b"{}", 401),
        ("POST", "/api/actions/pause", SIGNED | {"origin": "http://elsewhere.example"}, b"{}", 403),
        ("POST", "/api/actions/none", SIGNED, b"{}", 404),
        ("POST", "/api/actions/pause", SIGNED | {"content-type": "text/plain"}, b"{}", 415),
        ("POST", "/api/actions/pause", SIGNED, b"{", 400),
        ("POST", "/api/actions/pause", SIGNED, b"[]", 400),
        ("POST", "/api/actions/pause", SIGNED, b'{"target": "runtime"}', 400),
        ("POST", "/api/actions/pause", SIGNED, b'{"by": "kim"}', 400),
        ("POST", "/api/actions/pause", SIGNED, b'{"by": "kim", "target": "a b"}', 400),
        ("POST", "/api/actions/pause", SIGNED, b'{"by": "kim", "target": "runtime", "for": "8d"}', 400),
        ("POST", "/api/actions/pause", SIGNED, b'{"by": "kim", "target": "runtime", "because": "x"}', 400),
        ("POST", "/api/actions/pause", SIGNED, b'{"by": "kim", "target": ["runtime"]}', 400),
        ("POST", "/api/actions/silence", SIGNED, b'{"by": "kim"}', 400),
        ("POST", "/api/actions/note", SIGNED, b'{"by": "kim", "incident": "0123"}', 400),
        ("POST", "/api/actions/note", SIGNED, b'{"by": "kim", "incident": "0123", "text": "x"}', 404),
        ("POST", "/api/actions/ack", SIGNED, b'{"by": "kim", "key": "none"}', 404),
        ("POST", "/api/actions/replay", SIGNED, b'{"by": "kim", "sequence": 4}', 404),
        ("POST", "/api/actions/relabel", SIGNED, b'{"by":"k","incident":"0","reason":"x","category":"unknown"}', 400),
    ],
)
async def test_what_does_not_fit_is_refused(
    tmp_path: Path, method: str, path: str, headers: dict[str, str], body: bytes, status: int
) -> None:
    """Each with its status and a sentence; nothing of it is done."""
    async with board(tmp_path) as made:
        response = await made.server.handle(Request(method, path, {}, headers, body))
        assert response.status == status, response.body
        assert len(json.loads(response.body)["error"]) > 10
        assert "default-src 'none'" in response.headers["Content-Security-Policy"]
        assert await made.operated() == []


@pytest.mark.parametrize(
    ("path", "query"),
    [
        ("/api/agents", {"x": "1"}),
        ("/api/incidents", {"since": "yesterday"}),
        ("/api/incidents", {"limit": "0"}),
        ("/api/incidents", {"limit": "1001"}),
        ("/api/dead", {"limit": "1001"}),
        ("/api/incidents", {"agent": "runtime"}),
        ("/api/incidents", {"open": "yes"}),
        ("/api/analytics", {"from": "1h", "to": "2h"}),
        ("/api/analytics", {"from": "2026-13-01T00:00:00Z"}),
        ("/api/capacity", {"target": "a b"}),
    ],
)
async def test_a_query_that_does_not_fit_is_refused(tmp_path: Path, path: str, query: dict[str, str]) -> None:
    """It is no reason to answer something else."""
    async with board(tmp_path) as made:
        response = await made.server.handle(Request("GET", path, query, HOST))
        assert response.status == 400, response.body


async def test_an_error_goes_by_on_an_open_page_and_is_approved_there(tmp_path: Path) -> None:
    """Every stage is told with its time, the approval is in the audit trail by whom, and a reload loses nothing."""
    async with board(tmp_path) as made:
        before = await made.get("/api/snapshot")
        assert before["incidents"] == before["alerts"] == []
        page = await made.events(before["event"])
        agent = await made.run.agent()
        await agent.report("Asking")
        told = (await page.until("incident", outcome="awaiting_approval"))["incident"]
        stages = [one["incident"]["stage"] for one in page.seen if one["kind"] == "incident"]
        assert stages[-1] == "waiting"
        assert {"received", "classified", "assessed", "decided"} <= told["times"].keys()
        assert told["error"] == "Asking: Asking happened"

        status, done = await made.post("approve", incident=told["incident_id"][:30], reason="go on")
        assert (status, done["verb"], done["target"]) == (200, "approve", told["incident_id"])
        settled = (await page.until("incident", stage="settled"))["incident"]
        assert settled["outcome"] == "recovered"
        assert list(settled["times"]) == [
            "received",
            "classified",
            "assessed",
            "decided",
            "acting",
            "verifying",
            "settled",
        ]
        assert [(o.verb, o.by, o.reason) for o in await made.operated()] == [("approve", "kim", "go on")]
        status, refused = await made.post("approve", incident=told["incident_id"])
        assert status == 409
        assert "refused" in refused["error"]
        await page.close()

        # As a page that was reloaded: everything since the id that it had.
        again = await made.events(before["event"])
        assert (await again.until("incident", stage="settled"))["incident"] == settled
        await again.close()
        after = await made.get("/api/snapshot")
        assert after["incidents"] == []
        assert after["rates"]["recovered"] == 1


async def test_every_order_is_noted_by_whom(tmp_path: Path) -> None:
    """Alerts, pauses, notes and dead letters: done as by the commands, told to open pages, and in the audit trail."""
    async with board(tmp_path) as made:
        run = made.run
        agent = await run.agent()
        page = await made.events()
        assert (await made.post("pause", target="runtime/a1", reason="works", **{"for": "10m"}))[0] == 200
        [pause] = (await made.get("/api/pauses"))["pauses"]
        assert (pause["scope"], pause["by"], pause["reason"]) == ("runtime/a1", "kim", "works")
        await agent.report("Held")
        told = await run.outcome(lambda o: o.outcome == "suppressed")
        assert (await made.post("note", incident=told.incident_id, text="seen"))[0] == 200
        assert (await made.get(f"/api/incidents/{told.incident_id}"))["notes"][0]["text"] == "seen"

        async def raised() -> Any:
            return await made.get("/api/alerts")

        alerts = await eventually(raised)
        assert (await made.post("ack", key=alerts[0]["key"], reason="mine"))[0] == 200
        assert (await made.get("/api/alerts"))[0]["acknowledged_by"] == "kim"
        assert (await made.post("silence", kind="runtime", **{"for": "1h"}))[0] == 200
        [silence] = await made.get("/api/silences")
        assert (await made.post("unsilence", id=silence["id"]))[0] == 200
        assert (await made.post("resume", target="runtime/a1"))[0] == 200

        refused = Refused("bad_json", "no JSON: 'password=hunter22'")
        subject = run.subjects.error("error", "runtime", "a1")
        await store_dead_letter(run.bus, run.subjects.dead("classifier"), subject, b"\xc1 password=4711;", {}, refused)
        told_at_once = await page.until("dead", service="classifier")
        assert (told_at_once["code"], told_at_once["reason"]) == ("bad_json", "no JSON: 'password=***'")
        [letter] = await made.get("/api/dead")
        assert letter["reason"] == told_at_once["reason"]
        shown = await made.get(f"/api/dead/{letter['sequence']}")
        assert shown["reason"] == told_at_once["reason"]
        assert bytes.fromhex(shown["body_hex"]) == b"\xc1 password=***;"
        status, sent = await made.post("replay", sequence=letter["sequence"])
        assert (status, sent.get("subject")) == (200, subject), sent

        verbs = ["pause", "note", "ack", "silence", "unsilence", "resume", "redrive"]
        assert sorted((o.verb, o.by) for o in await made.operated()) == sorted((verb, "kim") for verb in verbs)
        await page.until("operated", verb="redrive", key=f"dead:{letter['sequence']}")
        await page.close()


async def test_a_page_of_before_begins_anew(tmp_path: Path) -> None:
    """An id that this server never gave is answered with a reset; so is everybody when the picture is lost."""
    async with board(tmp_path) as made:
        assert (await (await made.events("other-7")).until("batch"))["kind"] == "reset"


async def test_meta_says_who_may_do_what(tmp_path: Path) -> None:
    """Without a token it says that none was sent, with one whether it is right."""
    async with board(tmp_path) as made:
        meta = await made.get("/api/meta")
        assert (meta["actions"], meta["reading_needs_token"], meta["token_ok"]) == (True, False, None)
        for token, right in ((TOKEN, True), ("wrong", False)):
            headers = HOST | {"authorization": f"Bearer {token}"}
            response = await made.server.handle(Request("GET", "/api/meta", {}, headers))
            assert json.loads(response.body)["token_ok"] is right


class Unsteady:
    """A bus that says that its connection was lost and came back, when told to."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self.reconnects = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._bus, name)


async def test_after_a_lost_connection_everything_is_read_anew(tmp_path: Path) -> None:
    """What was told meanwhile was not heard: open pages begin anew, with another epoch of ids."""
    async with pipeline(tmp_path) as run, memory_runtime(mendbus_health_monitor.build(), run.server) as runtime:
        bus = Unsteady(runtime.bus)
        live = Live(replace(runtime, bus=cast("Bus", bus)), dict)
        live.start()
        first = await live.snapshot()
        stream = await live.follow(first["event"], "")
        assert await anext(stream) == b"retry: 1000\n\n"
        bus.reconnects += 1
        told = b"".join([chunk async for chunk in stream])
        assert b"event: reset" in told
        second = await live.snapshot()
        assert second["event"].partition("-")[0] != first["event"].partition("-")[0]


async def test_it_is_served_where_the_settings_say(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A port that is taken is tried again; then the page and, to who watches an agent, its samples are sent."""
    monkeypatch.setattr(servers, "_RETRY_SECONDS", 0.01)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        settings = Settings(trace=False, canary_seconds=0, dashboard_port=port)
        memory = MemoryServer()
        async with memory_runtime(mendbus_health_monitor.build(), memory, settings=settings) as runtime:
            await eventually(lambda: "it is tried again" in caplog.text)
            taken.close()

            async def opened() -> tuple[asyncio.StreamReader, asyncio.StreamWriter] | None:
                try:
                    return await asyncio.open_connection("127.0.0.1", port)
                except OSError:
                    return None

            reader, writer = await eventually(opened)
            writer.write(b"GET /api/events?watch=runtime/a1 HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert (await reader.readline()).startswith(b"HTTP/1.1 200")
            await reader.readuntil(b"retry: 1000\n\n")
            sample = HealthSample(
                agent=AgentRef(kind="runtime", id="a1"),
                time_unix_nano=runtime.now(),
                sequence=1,
                interval_ms=60_000,
                metrics={"queue_depth": 7.0},
            )
            await tell(runtime.bus, runtime.subjects.health("runtime", "a1"), sample)
            told = await asyncio.wait_for(reader.readuntil(b'"queue_depth":7.0'), 5)
            assert b'"kind":"sample","agent":"runtime/a1"' in told
            writer.close()
            await writer.wait_closed()


async def test_nothing_is_held_for_pages_that_are_not_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the last page has closed and a while is over, the picture is let go; the next page has a fresh one."""
    monkeypatch.setattr(lives, "LINGER_SECONDS", 0.15)
    async with pipeline(tmp_path) as run, memory_runtime(mendbus_health_monitor.build(), run.server) as runtime:
        live = Live(runtime, dict)
        live.start()
        first = await live.snapshot()
        stream = await live.follow(first["event"], "")
        assert await anext(stream) == b"retry: 1000\n\n"
        assert live.held
        await stream.aclose()  # pyright: ignore[reportAttributeAccessIssue]
        await eventually(lambda: not live.held)
        second = await live.snapshot()
        assert second["event"].partition("-")[0] != first["event"].partition("-")[0]


async def test_only_so_many_pages_follow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One more is told so, and comes in when another has gone."""
    monkeypatch.setattr(hubs, "MAX_CLIENTS", 1)
    async with board(tmp_path) as made:
        page = await made.events()
        assert await anext(page.stream) == b"retry: 1000\n\n"
        refused = await made.server.handle(Request("GET", "/api/events", {}, HOST))
        assert refused.status == 503
        await page.close()
        await (await made.events()).close()
