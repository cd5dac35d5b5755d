"""The server's own reports of messages become spans within their traces."""

import asyncio
import json
import os
import signal
from pathlib import Path

import pytest
from tests.integration import secured

from mendbus import streams
from mendbus.bus.nats import NatsBus, connect
from mendbus.contracts.subjects import Subjects
from mendbus.hops import MAX_EVENTS, bridge, hops
from mendbus.otlp_sink import OtlpSink
from mendbus.security.installation import SERVER_CONF
from mendbus.server import NatsServer
from mendbus.settings import Settings
from mendbus.testing import eventually

TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
ACCOUNT = """
accounts {
  MENDBUS {
    jetstream: enabled
    users: [{user: mendbus, password: mendbus}]
    msg_trace: {dest: "mendbus.v1.hops", sampling: 100}
  }
}
no_auth_user: mendbus
"""


def report(**changes: object) -> bytes:
    """A report as the server writes it."""
    header = {"Traceparent": [f"00-{TRACE}-{PARENT}-01"]}
    events = [
        {"type": "js", "ts": "2026-11-23T18:06:22.000258488Z", "stream": "ERRORS", "subject": "stored"},
        {"type": "in", "ts": "2026-11-23T18:06:22.0001Z", "name": "agent", "subj": "sent", "error": "refused"},
        {"type": "later", "ts": "?"},
    ]
    return json.dumps({"server": {"name": "n"}, "request": {"header": header}, "events": events} | changes).encode()


def test_a_report_is_read() -> None:
    """Steps come in order of time, to the nanosecond, below the parent that the message named in any letter case."""
    parent, (received, stored) = hops(report())
    assert parent == f"00-{TRACE}-{PARENT}-01"
    assert (received.name, received.error, received.attributes["messaging.client.id"]) == (
        "nats receive",
        "refused",
        "agent",
    )
    assert (stored.name, stored.error, stored.attributes["messaging.nats.stream"]) == ("nats store", None, "ERRORS")
    assert (received.time % 1_000_000_000, stored.time % 1_000_000_000) == (100_000, 258_488)
    many = [{"type": "eg", "ts": "2026-11-23T18:06:22Z"}] * (MAX_EVENTS + 1)
    assert len(hops(report(events=many))[1]) == MAX_EVENTS


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"7",
        report(request={"header": {}}),
        report(events=[]),
        report(events=[{"type": "in", "ts": "soon"}]),
        report(events=[{"type": "in"}]),
    ],
)
def test_what_is_no_report_is_refused(body: bytes) -> None:
    """Whatever else comes on the subject is a `ValueError`, and nothing worse."""
    with pytest.raises(ValueError):  # noqa: PT011 - the text is for the log
        hops(body)


async def test_the_server_storing_an_error_is_a_span(tmp_path: Path) -> None:
    """An error that is stored shows in its trace as received and stored, out of the server's own mouth."""
    server = await NatsServer.launch(tmp_path / "nats", extra=ACCOUNT)
    try:
        bus = await connect(server.url, name="agent")
        await streams.ensure(bus, Subjects(), 1 << 26)
        await storing_is_a_span(bus, Settings(nats_url=server.url))
        await bus.close()
    finally:
        await server.stop_async()


async def test_a_server_with_users_tells_an_operator(tmp_path: Path) -> None:
    """Where rights count it listens as the user whose credentials it has, over TLS."""
    site = await secured.start(tmp_path)
    try:
        file = site.users.folder / SERVER_CONF
        text = file.read_text(encoding="utf-8")
        asked = text.replace(
            '"MENDBUS": {', '"MENDBUS": {"msg_trace": {"dest": "mendbus.v1.hops", "sampling": 100},', 1
        )
        assert asked != text
        file.write_text(asked, encoding="utf-8")
        os.kill(site.server.pid, signal.SIGHUP)
        await storing_is_a_span(await site.connect("operator/admin"), site.settings)
    finally:
        await site.stop()


async def storing_is_a_span(bus: NatsBus, settings: Settings) -> None:
    """Stores errors until one of them shows."""
    stop = asyncio.Event()
    async with OtlpSink() as sink, asyncio.TaskGroup() as tasks:
        subjects = settings.subjects
        told_to = settings.model_copy(update={"otlp_endpoint": sink.endpoint, "trace": True})
        tasks.create_task(bridge(told_to, f"{settings.root}.hops", stop))
        traced = {"traceparent": f"00-{TRACE}-{PARENT}-01"}

        async def told() -> bool:
            await bus.store(subjects.error("error", "runtime", "a"), b"x", traced)
            return len(sink.spans(TRACE)) >= 2

        await eventually(told, 10.0, every=0.1)
        spans = sink.spans(TRACE)
        (received, *_) = (span for span in spans if span.name == "nats receive")
        (stored,) = (span for span in spans if span.parent_id == received.span_id)
        assert (received.parent_id, received.service) == (PARENT, "nats")
        assert stored.attributes["messaging.nats.stream"] == subjects.stream("ERRORS")
        stop.set()
