"""The commands on a real server: what was stored is what they show."""

import asyncio
import json
import os
import signal
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.unit.cli.samples import INCIDENT, REPORTED, error, opened, outcome
from typer.testing import CliRunner, Result

from mendbus import codec, streams
from mendbus.bus import Bus
from mendbus.bus.nats import connect
from mendbus.cli.app import build
from mendbus.cli.reporting import Draft, send
from mendbus.cli.watching import follow
from mendbus.conformance import Check
from mendbus.contracts.errors import Refused
from mendbus.contracts.fields import WireModel
from mendbus.contracts.journal import Claimed, JournalRecord
from mendbus.contracts.messages import ErrorReported, Times
from mendbus.contracts.subjects import Subjects
from mendbus.contracts.vocabulary import SERVICES
from mendbus.micro import Micro, announce
from mendbus.runtime import store_dead_letter
from mendbus.server import NatsServer
from mendbus.settings import Settings
from mendbus.testing import eventually
from mendbus.traces import SpanRow, TraceFile

MAX_BYTES = 1 << 26
OTHER = "018bcfe5-6800-7000-8000-0000000000ff"
Act = Callable[[Bus], Awaitable[Any]]


@pytest.fixture
def settings(nats_server: NatsServer, tmp_path: Path, root: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Settings]:
    """An installation of its own on the shared server."""
    for name, value in {
        "NATS_URL": nats_server.url,
        "MENDBUS_MONITOR_URL": nats_server.monitor_url,
        "MENDBUS_ROOT": root,
        "MENDBUS_DATA_DIR": str(tmp_path),
        "MENDBUS_STREAM_MAX_BYTES": str(MAX_BYTES),
    }.items():
        monkeypatch.setenv(name, value)
    made = Settings(
        nats_url=nats_server.url,
        monitor_url=nats_server.monitor_url,
        root=root,
        data_dir=tmp_path,
        stream_max_bytes=MAX_BYTES,
    )
    yield made
    asyncio.run(_clear(made))


async def _clear(settings: Settings) -> None:
    """Streams reserve their room on the server, which has not enough for one set each test."""
    bus = await connect(settings.nats_url, name="test")
    for name in await _streams(bus, settings):
        await bus.request(f"$JS.API.STREAM.DELETE.{name}", b"", timeout=5.0)
    await bus.close()


async def _streams(bus: Bus, settings: Settings) -> list[str]:
    told = json.loads((await bus.request("$JS.API.STREAM.NAMES", b"", timeout=5.0)).body)
    return [name for name in told["streams"] or [] if settings.subjects.prefix in name]


async def _with_bus(settings: Settings, act: Act) -> Any:
    bus = await connect(settings.nats_url, name="test")
    try:
        await streams.ensure(bus, settings.subjects, MAX_BYTES)
        return await act(bus)
    finally:
        await bus.close()


def _do(settings: Settings, act: Act) -> Any:
    return asyncio.run(_with_bus(settings, act))


def _keep(settings: Settings, *messages: tuple[str, WireModel]) -> None:
    async def keep(bus: Bus) -> None:
        for subject, message in messages:
            await bus.store(subject, codec.encode(message))

    _do(settings, keep)


def _mendbus(*words: str, **how: Any) -> Result:
    return CliRunner().invoke(build(), list(words), **how)


def _json(*words: str) -> Any:
    shown = _mendbus(*words, "--json")
    assert shown.exit_code == 0, shown.output
    return json.loads(shown.stdout)


def _journal(subjects: Subjects, *incidents: str) -> tuple[str, WireModel]:
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


def _many(subjects: Subjects) -> list[tuple[str, WireModel]]:
    """Two incidents, one of them parked, and one under way that only the journal knows."""
    where = subjects.outcome("runtime", "r1")
    later = Times(reported=REPORTED + 1)
    return [
        (where, outcome()),
        (where, outcome(sequence=0, settled=None)),
        (where, outcome(incident_id=OTHER, sequence=0, outcome="escalated", settled=None, times=later)),
        _journal(subjects, "018bcfe5-6800-7000-8000-000000000aaa"),
    ]


# Incidents


def test_incidents_are_listed_by_their_last_word(settings: Settings) -> None:
    """Each incident has one line, the newest last, under an id that is enough to explain it."""
    _keep(settings, *_many(settings.subjects))
    shown = _mendbus("incidents", "--since", "365d")
    first, second = [line.split() for line in shown.stdout.splitlines()[1:]]
    assert first[1:7] == ["runtime/r1", "build", "error", "retry", "recovered", "3"]
    assert second[5] == "escalated"
    for words, incident in ((first, INCIDENT), (second, OTHER)):
        assert incident.startswith(words[0])
        assert f"incident {incident}: " in _mendbus("explain", words[0]).stdout
    assert [one["incident_id"] for one in _json("incidents")] == [INCIDENT, OTHER]
    assert [one["incident_id"] for one in _json("incidents", "--limit", "1")] == [OTHER]


def test_open_incidents_are_those_that_need_somebody(settings: Settings) -> None:
    """--open leaves out what is done with, and shows what has no outcome yet."""
    _keep(settings, *_many(settings.subjects))
    listed = _json("incidents", "--open")
    assert [(one["incident_id"][-3:], one["outcome"]) for one in listed] == [("0ff", "escalated"), ("aaa", None)]
    assert _mendbus("incidents", "--open").stdout.splitlines()[2].split()[5] == "open"


def test_incidents_are_filtered_by_agent_and_time(settings: Settings) -> None:
    """Other agents' incidents, and those told before the time that is looked back, are left out."""
    _keep(settings, *_many(settings.subjects))
    assert _json("incidents", "--agent", "runtime/r2", "--open") == []
    assert len(_json("incidents", "--agent", "runtime/r1")) == 2
    assert _mendbus("incidents", "--since", "0s").stdout == "no incidents\n"


def test_what_is_no_outcome_is_passed_over(settings: Settings) -> None:
    """Bytes in a stream that are no message do not hide the others."""

    async def spoil(bus: Bus) -> None:
        await bus.store(settings.subjects.outcome("runtime", "r1"), b"\xc1")
        await bus.store(settings.subjects.journal(0), b"\xc1")

    _do(settings, spoil)
    _keep(settings, *_many(settings.subjects))
    assert len(_json("incidents", "--open")) == 2


def test_an_incident_is_explained_with_its_journal(settings: Settings) -> None:
    """--audit adds the entries of the journal; JSON has every outcome that was told."""
    _keep(settings, *_many(settings.subjects), _journal(settings.subjects, INCIDENT))
    told = _json("explain", INCIDENT, "--audit")
    assert [one["sequence"] for one in told["outcomes"]] == [0, 1]
    assert told["incident"]["settled"] is True
    plain = _mendbus("explain", INCIDENT)
    assert "attempt 2" in plain.stdout
    assert "journal" not in plain.stdout


def test_an_incident_under_way_is_explained_from_the_journal(settings: Settings) -> None:
    """What has no outcome yet is found by the journal."""
    _keep(settings, *_many(settings.subjects))
    shown = _mendbus("explain", "018bcfe5-6800-7000-8000-000000000a")
    assert "under way" in shown.stdout
    assert "opened" in shown.stdout


@pytest.mark.parametrize(("prefix", "said"), [("018bcfe5", "2 incidents begin"), ("ffff", "there is no incident")])
def test_an_incident_is_never_guessed(settings: Settings, prefix: str, said: str) -> None:
    """A beginning that fits several incidents, or none, is refused."""
    _keep(settings, *_many(settings.subjects))
    shown = _mendbus("explain", prefix)
    assert shown.exit_code == 1
    assert said in shown.stderr


# Dead letters


def _bury(settings: Settings, subject: str, body: bytes) -> None:
    async def bury(bus: Bus) -> None:
        refused = Refused("invalid", "not a valid ErrorReported: id: Field required")
        headers = {"Content-Type": "application/vnd.msgpack", "Nats-Msg-Id": "e1", "Mendbus-Key": "k"}
        await store_dead_letter(bus, settings.subjects.dead("executor"), subject, body, headers, refused)

    _do(settings, bury)


def test_dead_letters_are_listed_and_shown(settings: Settings) -> None:
    """A refused message is shown with its reason, its headers, and its body as far as it can be read."""
    assert "has no streams" in _mendbus("dead", "list").stderr
    _keep(settings)
    assert _mendbus("dead", "list").stdout == "no dead letters\n"
    _bury(settings, "some.subject", codec.pack({"id": "x"}))
    _bury(settings, "some.subject", b"\xc1" * 2000)
    listed = _json("dead", "list")
    assert [(one["sequence"], one["code"], one["subject"]) for one in listed] == [
        (1, "invalid", "some.subject"),
        (2, "invalid", "some.subject"),
    ]
    assert _mendbus("dead", "list", "--limit", "1").stdout.splitlines()[1].split()[0] == "2"
    shown = _mendbus("dead", "show", "1").stdout
    assert '"id": "x"' in shown
    assert "header   Mendbus-Key: k" in shown
    assert "Nats-Msg-Id" not in shown
    dump = _mendbus("dead", "show", "2").stdout
    assert "000000  c1 c1" in dump
    assert "976 bytes more" in dump
    told = _json("dead", "show", "2")
    assert (told["body"], told["body_hex"]) == (None, "c1" * 2000)
    assert _mendbus("dead", "show", "3").exit_code == 1


def test_a_dead_letter_is_sent_again_as_it_was(settings: Settings) -> None:
    """What was to be stored is stored again, byte for byte, on the subject as its sender wrote it."""
    subject, body = settings.subjects.error("error", "runtime", "r1"), codec.pack({"id": "x"})
    _bury(settings, subject, body)
    assert _mendbus("dead", "replay", "1").exit_code == 2
    told = _json("dead", "replay", "1", "--yes")
    assert told == {"subject": subject, "bytes": len(body), "sequence": 1}

    async def look(bus: Bus) -> list[tuple[str, bytes, str | None]]:
        stored = bus.read(settings.subjects.stream("ERRORS"), f"{settings.root}.errors.>")
        return [(one.subject.split(".", 3)[-1], one.body, one.headers.get("Mendbus-Key")) async for one in stored]

    assert [(body, key) for _, body, key in _do(settings, look)] == [(body, "k")]


def test_a_dead_message_without_a_stream_is_sent_again_too(settings: Settings) -> None:
    """What was a plain message is published to whoever listens now."""
    _bury(settings, settings.subjects.health("runtime", "r1"), b"\xc1")
    assert _mendbus("dead", "replay", "1", "--yes").stdout.startswith("sent to ")


def test_what_was_cut_is_not_sent_again(settings: Settings) -> None:
    """A body of which only the beginning was kept cannot be what its sender sent."""
    _bury(settings, "some.subject", b"x" * 70_000)
    shown = _mendbus("dead", "replay", "1", "--yes")
    assert shown.exit_code == 1
    assert "65536 were kept" in shown.stderr


# Reporting and watching

DRAFT = Draft("runtime", "r1", "ValueError", "boom", "error", "reload")


def test_an_error_is_stored_as_an_agent_would_store_it(settings: Settings) -> None:
    """`report` prints the id of what is in the stream, which is valid and has the root of a trace."""

    _keep(settings)
    words = ("report", "runtime/r1", "--type", "ValueError", "--message", "boom", "--severity", "error")
    event_id = _mendbus(*words).stdout.strip()

    async def look(bus: Bus) -> list[tuple[ErrorReported, str]]:
        stored = bus.read(settings.subjects.stream("ERRORS"), f"{settings.root}.errors.>")
        return [(codec.decode(ErrorReported, one.body), one.headers["traceparent"]) async for one in stored]

    [(told, traceparent)] = _do(settings, look)
    assert (told.id, told.severity, told.exception.message) == (event_id, "error", "boom")
    shown = _mendbus("trace", traceparent[3:35])
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

    await _with_bus(settings, answer)
    out = capsys.readouterr().out
    document, end = json.JSONDecoder().raw_decode(out)
    assert document["outcome"]["event_ids"] == [document["event_id"]]
    assert out[end:].split("\n")[2] == f"recovered by retry incident {INCIDENT} the probe is healthy"


def test_a_report_without_an_outcome_says_where_to_look(settings: Settings) -> None:
    """When nothing comes, the error is still stored, and that is said, with status 1."""

    _keep(settings)
    shown = _mendbus("report", "a/b", "--type", "X", "--message", "y", "--wait", "--timeout", "0.1")
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

    await _with_bus(settings, tell)
    await eventually(lambda: has("out", INCIDENT))
    os.kill(os.getpid(), signal.SIGINT)
    await asyncio.wait_for(watching, 5.0)
    assert "not shown" in said["err"]
    if as_json:
        told = json.loads(said["out"])
        assert (told["family"], told["message"]["incident_id"]) == ("outcome", INCIDENT)
    else:
        assert said["out"].startswith("22:13:20.000  outcome  runtime/r1 recovered by retry")


# Doctor and conformance


def test_a_server_without_streams_and_services_is_not_well(settings: Settings) -> None:
    """What is missing is named, each with its remedy, and nothing is created."""
    shown = _mendbus("doctor")
    assert shown.exit_code == 1
    states = {line.split()[0]: line for line in shown.stdout.splitlines()[1:] if line}
    assert "is missing" in states["streams"]
    assert "16" not in states["consumers"]
    assert all("does not answer" in states[service] for service in SERVICES)
    assert "-> run `mendbus run executor`" in shown.stdout

    async def look() -> list[str]:
        bus = await connect(settings.nats_url, name="test")
        try:
            return await _streams(bus, settings)
        finally:
            await bus.close()

    assert asyncio.run(look()) == []


async def test_an_installation_that_has_everything_is_well(settings: Settings) -> None:
    """With streams, consumers and five answering services all checks pass, and JSON says so."""
    from mendbus.cli.checks import examine

    async def serve(bus: Bus) -> None:
        for service in SERVICES:
            await announce(bus, Micro(service, "i1", "0.1.0", "", {}))
        await bus.barrier()
        found = await examine(settings)
        assert [check for check in found if check.state != "ok"] == []
        assert {check.name for check in found} >= {"server", "sync", "clock", "streams", "consumers", *SERVICES}

    await _with_bus(settings, serve)


def test_a_stream_with_other_settings_is_named(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stream that differs from what is needed is named with both values."""

    _keep(settings)
    monkeypatch.setenv("MENDBUS_STREAM_MAX_BYTES", str(MAX_BYTES * 2))
    shown = _mendbus("doctor", "--json")
    found = {one["name"]: one for one in json.loads(shown.stdout)}
    assert f"max_bytes is {MAX_BYTES}, needed {MAX_BYTES * 2}" in found["streams"]["found"]
    assert found["consumers"]["state"] == "ok"


def test_an_agent_that_is_not_there_keeps_no_duty(settings: Settings) -> None:
    """`conformance` names each duty that is broken, and ends with status 1."""
    shown = _mendbus("conformance", "--agent", "runtime/nobody", "--timeout", "0.1")
    assert shown.exit_code == 1
    assert "nobody listens" in shown.stdout
    assert "0 kept" in shown.stdout


def test_an_agent_that_keeps_its_duties_is_told_so(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """When no duty is broken the status is 0, also where some could not be checked."""

    async def conform(*_: object, **how: float) -> list[Check]:
        assert how == {"timeout": 5.0, "error_wait": 2.0}
        return [Check("hello", "says hello", "pass", "heard"), Check("error", "reports", "skip", "none came")]

    monkeypatch.setattr("mendbus.conformance.conform", conform)
    shown = _mendbus("conformance", "--agent", "runtime/r1", "--error-wait", "2")
    assert shown.exit_code == 0
    assert "1 kept, 0 broken, 1 not checked" in shown.stdout
    assert [one["verdict"] for one in _json("conformance", "--agent", "runtime/r1", "--error-wait", "2")] == [
        "pass",
        "skip",
    ]


# Traces


def _span(trace: str, span: str, incident: str, start: int) -> SpanRow:
    facts: dict[str, Any] = {"mendbus.incident.id": incident}
    return SpanRow(
        trace * 32, span * 16, "", "process error", "consumer", "selector", start, start + 5, facts, "ok", None
    )


def test_traces_are_listed_and_drawn(settings: Settings) -> None:
    """Traces are found by the beginning of their id, by their incident, and as the newest; several fit nothing."""
    rows = [_span("a", "1", INCIDENT, REPORTED), _span("b", "2", OTHER, REPORTED + 10)]
    TraceFile(settings.traces, "test").append(rows)
    listed = _mendbus("trace").stdout.splitlines()
    assert [line.split()[0] for line in listed[1:]] == ["a" * 32, "b" * 32]
    assert [one["incident_id"] for one in _json("trace")] == [OTHER, INCIDENT]
    assert _mendbus("trace", "aaaa").stdout.startswith(f"trace {'a' * 32}")
    assert _mendbus("trace", "--incident", OTHER).stdout.startswith(f"trace {'b' * 32}")
    assert [one["span_id"] for one in _json("trace", "--last", "2")] == ["1" * 16, "2" * 16]
    assert _mendbus("trace", "c").exit_code == 1
    assert "2 traces begin with ''" in _mendbus("trace", "").stderr


def test_the_trace_of_an_incident_is_known_by_its_outcome(settings: Settings) -> None:
    """An incident whose spans do not name it is found by what the services told; elsewhere the collector is named."""
    _keep(settings, (settings.subjects.outcome("runtime", "r1"), outcome(trace_id="d" * 32)))
    TraceFile(settings.traces, "test").append([_span("d", "1", "", REPORTED)])
    assert _mendbus("trace", "--incident", INCIDENT[:12]).stdout.startswith(f"trace {'d' * 32}")
    assert "no incident" in _mendbus("trace", "--incident", "ffffffff").stderr
    words = ("trace", "--data-dir", str(settings.data_dir / "empty"))
    assert "another --data-dir" in _mendbus(*words).stderr
    shown = _mendbus(*words, env={"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318"})
    assert "Jaeger" in shown.stderr
    assert error().id
