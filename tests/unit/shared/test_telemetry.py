"""Spans, and their export to a collector and to the local store."""

import asyncio
import sys
import threading
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from mendbus.contracts.errors import SettingsError
from mendbus.otlp_sink import OtlpSink
from mendbus.settings import Settings
from mendbus.telemetry import QUEUE, Exporter, Tracer, open_tracer, parent_of
from mendbus.testing import eventually
from mendbus.traces import SpanRow, read_trace

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = f"00-{TRACE}-00f067aa0ba902b7-01"


@pytest.fixture
async def sink():
    async with OtlpSink() as receiver:
        yield receiver


@pytest.fixture
async def tracer(sink):
    opened = open_tracer("executor", Settings(otlp_endpoint=sink.endpoint), instance="executor-1")
    yield opened
    await opened.close()


class Kept:
    """A write function that keeps the rows, once it is let."""

    def __init__(self):
        self.rows = []
        self.gate = threading.Event()
        self.gate.set()

    def __call__(self, rows):
        self.gate.wait(10)
        self.rows += rows


# --- what a message's headers say


@pytest.mark.parametrize("name", ["traceparent", "Traceparent", "TRACEPARENT"])
def test_a_parent_is_found_in_any_letter_case(name):
    """Clients of other languages write the header's name as they like."""
    assert parent_of({"Nats-Msg-Id": "1", name: PARENT}) == PARENT


@pytest.mark.parametrize(
    "value",
    [
        "",
        "00",
        PARENT[:-1],
        PARENT + "0",
        PARENT + "-more",
        PARENT.replace("4bf9", "xyz9"),
        PARENT.replace(TRACE, "0" * 32),
        PARENT.replace("00f067aa0ba902b7", "0" * 16),
        "ff" + PARENT[2:],
    ],
)
def test_a_malformed_parent_is_none(value):
    """What W3C calls invalid begins a new trace instead of breaking one."""
    assert parent_of({"traceparent": value}) is None


def test_a_parent_of_a_later_version_is_understood():
    """Of a later version the four known fields are taken; blanks and capitals are forgiven."""
    assert parent_of({"traceparent": f" CC-{PARENT[3:].upper()}-what-is-new "}) == PARENT


def test_no_header_is_no_parent():
    """A message without the header begins a trace."""
    assert parent_of({}) is None
    assert parent_of({"tracestate": "a=b"}) is None


@given(st.dictionaries(st.sampled_from(["traceparent", "TraceParent", "other"]), st.text()))
def test_any_headers_give_a_valid_parent_or_none(headers):
    """Whatever comes in from the wire, the answer is none or can be passed on."""
    parent = parent_of(headers)
    assert parent is None or parent_of({"traceparent": parent}) == parent


# --- the spans of a trace


async def test_spans_reach_the_collector_as_one_tree(sink, tracer):
    """Names, kinds, parents, attributes, times and errors arrive as they were given, under one trace id."""
    root = tracer.start(
        "publish error.error", "producer", attributes={"mendbus.incident.id": "inc-1"}, start_unix_nano=100
    )
    child = tracer.start(
        "process error", "consumer", root.traceparent, {"messaging.nats.sequence": 7, "settled": False}
    )
    child.end({"mendbus.confidence": 0.5, "settled": True}, error="no answer")
    root.end(end_unix_nano=350)

    rows = await eventually(lambda: len(found := sink.spans(root.trace_id)) == 2 and found)
    second, first = rows
    assert first == SpanRow(
        root.trace_id,
        root.traceparent[36:52],
        "",
        "publish error.error",
        "producer",
        "executor",
        100,
        350,
        {"mendbus.incident.id": "inc-1"},
        "unset",
        None,
    )
    assert (second.trace_id, second.parent_id) == (first.trace_id, first.span_id)
    assert (second.kind, second.status, second.error) == ("consumer", "error", "no answer")
    assert second.attributes == {"messaging.nats.sequence": 7, "settled": True, "mendbus.confidence": 0.5}
    assert abs(second.end - time.time_ns()) < 60e9
    assert tracer.dropped == 0


async def test_a_parent_from_the_wire_is_continued(sink, tracer):
    """The trace of the sender goes on in the receiver, also when the sender did not sample it."""
    span = tracer.start("process error", parent=PARENT[:-2] + "00")
    span.end()
    (row,) = await eventually(lambda: sink.spans(TRACE))
    assert row.parent_id == "00f067aa0ba902b7"
    assert span.traceparent == f"00-{TRACE}-{row.span_id}-01"


@pytest.mark.parametrize("parent", [None, "", "nonsense", PARENT.upper(), "x" * 55])
def test_what_is_no_parent_begins_a_trace(parent):
    """A span never fails for its parent."""
    span = Tracer("executor", Exporter("nowhere", Kept())).start("step", parent=parent)
    assert span.trace_id != TRACE
    assert parent_of({"traceparent": span.traceparent}) == span.traceparent


async def test_a_span_ends_once_and_never_before_it_began():
    """A second end changes nothing, and a clock that was set back makes a span of length zero."""
    kept = Kept()
    tracer = Tracer("executor", Exporter("nowhere", kept))
    span = tracer.start("step", start_unix_nano=2**62)
    span.end()
    span.end(error="again")
    await tracer.close()
    (row,) = kept.rows
    assert (row.start, row.end, row.status) == (2**62, 2**62, "unset")


def test_attributes_are_the_span_s_own(tmp_path):
    """Attributes given at the end win, and the dictionaries of the caller stay as they are."""
    kept = Kept()
    tracer = Tracer("executor", Exporter("nowhere", kept))
    begun, ended = {"a": 1, "b": 1}, {"b": 2}
    tracer.start("step", attributes=begun).end(ended)
    begun["a"] = 9
    asyncio.run(tracer.close())
    assert (kept.rows[0].attributes, ended) == ({"a": 1, "b": 2}, {"b": 2})


async def test_tracing_off_passes_the_parent_on():
    """Without tracing a span records nothing, and those behind it still join the trace of those before it."""
    tracer = open_tracer("executor", Settings(trace=False, otlp_endpoint="not looked at"))
    span = tracer.start("process error", "consumer", PARENT, {"a": 1})
    root = tracer.start("publish")
    span.end({"b": 2}, error="no")
    root.end()
    assert (span.traceparent, span.trace_id) == (PARENT, TRACE)
    assert (root.traceparent, root.trace_id) == ("", "")
    await tracer.close()
    assert tracer.dropped == 0


# --- where there is no collector: the local store


async def test_spans_are_in_the_local_store_half_a_second_later(tmp_path):
    """Without an endpoint spans are in the folder soon after they ended, while the process goes on."""
    tracer = open_tracer("strategy-selector", Settings(data_dir=tmp_path))
    span = tracer.start("decide", parent=PARENT, attributes={"mendbus.strategy": "retry"})
    span.end()
    (row,) = await eventually(lambda: read_trace(tmp_path / "traces", TRACE), timeout=2.0)
    assert (row.name, row.service, row.attributes) == ("decide", "strategy-selector", {"mendbus.strategy": "retry"})
    await tracer.close()


async def test_a_folder_that_cannot_be_written_costs_no_more_than_the_spans(tmp_path, caplog):
    """A full or forbidden disk is told once, by name, and the spans are counted as dropped."""
    (tmp_path / "traces").write_text("in the way")
    tracer = open_tracer("executor", Settings(data_dir=tmp_path))
    for count in (1, 2):
        tracer.start("step").end()
        await eventually(lambda count=count: tracer.dropped == count)
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert f"cannot write spans to {tmp_path / 'traces'}, 1 lost so far: " in caplog.text
    await tracer.close()


# --- when the collector is in trouble


async def test_a_collector_that_is_away_is_told_once_and_its_spans_are_counted(caplog):
    """Nobody listens: nothing raises, one warning names the address, and closing ends without waiting for more."""
    async with OtlpSink() as gone:
        endpoint = gone.endpoint
    tracer = open_tracer("executor", Settings(otlp_endpoint=endpoint))
    for _ in range(300):
        tracer.start("step").end()
    began = time.monotonic()
    await tracer.close()
    assert time.monotonic() - began < 3
    assert tracer.dropped == 300
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert endpoint in caplog.text


async def test_a_busy_collector_gets_the_spans_later(sink, tracer):
    """Status 503 is asked again until the spans are taken."""
    sink.answer = 503
    tracer.start("step", parent=PARENT).end()
    await eventually(lambda: sink.refused)
    sink.answer = 200
    assert await eventually(lambda: sink.spans(TRACE))
    assert tracer.dropped == 0


async def test_a_refusal_is_final(sink, tracer, caplog):
    """Status 400 means that asking again would not help: the spans are dropped and the status is told."""
    sink.answer = 400
    tracer.start("step").end()
    await eventually(lambda: "status 400" in caplog.text)
    assert (tracer.dropped, sink.refused) == (1, 1)


async def test_a_collector_that_restarted_is_found_again(sink, tracer):
    """A kept connection that the collector has closed costs no span."""
    tracer.start("one", parent=PARENT).end()
    await eventually(lambda: sink.spans(TRACE))
    port = int(sink.endpoint.rpartition(":")[2])
    await sink.close()
    await sink.start(port)
    tracer.start("two", parent=PARENT).end()
    rows = await eventually(lambda: len(found := sink.spans(TRACE)) == 2 and found)
    assert [row.name for row in rows] == ["one", "two"]
    assert tracer.dropped == 0


async def test_a_collector_that_hangs_holds_up_nobody(caplog):
    """Closing keeps to its deadline although the collector took the request and never answers."""
    reached = asyncio.Event()

    async def hang(_reader, writer):
        reached.set()
        await released.wait()
        writer.close()

    released = asyncio.Event()
    server = await asyncio.start_server(hang, "127.0.0.1", 0)
    tracer = open_tracer("executor", Settings(otlp_endpoint=f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"))
    tracer.start("step").end()
    await eventually(reached.is_set)
    tracer.start("late").end()
    began = time.monotonic()
    await tracer.close(timeout=0.2)
    assert time.monotonic() - began < 1
    assert tracer.dropped == 2
    assert "2 spans were not exported within 0.2 s" in caplog.text
    released.set()
    server.close()


async def test_a_full_queue_drops_and_counts_what_is_new():
    """Memory is bounded while the export is stuck: older spans wait, newer ones are dropped, and each is counted."""
    kept = Kept()
    kept.gate.clear()
    tracer = Tracer("executor", Exporter("nowhere", kept))
    tracer.start("first").end()
    await eventually(lambda: not tracer._exporter._queue)
    for number in range(QUEUE + 10):
        tracer.start(str(number)).end()
    assert tracer.dropped == 10
    kept.gate.set()
    await tracer.close()
    assert [row.name for row in kept.rows] == ["first", *map(str, range(QUEUE))]
    tracer.start("after the end").end()
    await tracer.close()
    assert tracer.dropped == 11


def test_a_tracer_can_be_closed_after_its_loop_has_gone():
    """The exporter's thread survives a deadline that passed and a loop that was closed behind it."""
    kept = Kept()
    kept.gate.clear()
    exporter = Exporter("nowhere", kept)
    tracer = Tracer("executor", exporter)
    tracer.start("step").end()
    asyncio.run(tracer.close(timeout=0.01))
    kept.gate.set()
    exporter._thread.join(5)
    assert [row.name for row in kept.rows] == ["step"]


# --- settings


@pytest.mark.parametrize("endpoint", ["localhost:4318", "grpc://127.0.0.1:4317", "http://", "http://host:port"])
def test_an_endpoint_that_is_no_address_is_refused_at_the_start(endpoint):
    """A wrong endpoint is a settings error that names the variable, not a process without traces."""
    with pytest.raises(SettingsError, match="OTEL_EXPORTER_OTLP_ENDPOINT"):
        open_tracer("executor", Settings(otlp_endpoint=endpoint))


@pytest.mark.parametrize("end", ["/", "/v1/traces", "/v1/traces/"])
async def test_an_endpoint_may_end_as_people_write_it(sink, end):
    """The path of the traces is added once."""
    tracer = open_tracer("executor", Settings(otlp_endpoint=sink.endpoint + end))
    tracer.start("step", parent=PARENT).end()
    await tracer.close()
    assert len(sink.spans(TRACE)) == 1


async def test_headers_and_resource_of_the_environment_are_sent(sink, monkeypatch):
    """A collector that wants a key gets it, and the resource says who sends: service, instance, version and more."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "x-api-key=a%20b%3D, other=1")
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=lab")
    tracer = open_tracer("executor", Settings(otlp_endpoint=sink.endpoint), instance="executor-1")
    tracer.start("step").end()
    await tracer.close()
    assert (sink.headers["x-api-key"], sink.headers["other"]) == ("a b=", "1")
    (body, _packed) = sink._raw[0]
    (group,) = ExportTraceServiceRequest.FromString(body).resource_spans
    resource = {item.key: item.value.string_value for item in group.resource.attributes}
    assert resource["service.name"] == "executor"
    assert resource["service.instance.id"] == "executor-1"
    assert resource["service.version"]
    assert resource["telemetry.sdk.name"] == "mendbus.telemetry"
    assert resource["deployment.environment.name"] == "lab"
    assert group.scope_spans[0].scope.name == "mendbus"


def test_the_event_loop_gets_the_interpreter_back_within_half_a_millisecond(tmp_path):
    """Tracing lowers the interpreter's switch interval, and never raises one that is lower already."""
    before = sys.getswitchinterval()
    try:
        sys.setswitchinterval(0.005)
        asyncio.run(open_tracer("executor", Settings(data_dir=tmp_path)).close())
        assert sys.getswitchinterval() == pytest.approx(0.0005, rel=0.05)
        sys.setswitchinterval(0.0001)
        asyncio.run(open_tracer("executor", Settings(data_dir=tmp_path)).close())
        assert sys.getswitchinterval() == pytest.approx(0.0001, rel=0.05)
    finally:
        sys.setswitchinterval(before)
