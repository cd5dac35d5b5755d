"""The encoding of spans, held against OpenTelemetry's own classes, and the receiver that the tests use."""

import asyncio
import gzip
import json
import signal
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.trace import SpanKind

from mendbus.otlp import Encoder
from mendbus.otlp_sink import OtlpSink, decode
from mendbus.settings import Settings
from mendbus.telemetry import open_tracer
from mendbus.testing import eventually
from mendbus.traces import SpanRow

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


@pytest.fixture
async def sink():
    async with OtlpSink() as receiver:
        yield receiver


hexes = st.text("0123456789abcdef", min_size=16, max_size=16).filter(lambda text: text.strip("0"))
texts = st.text(min_size=1, max_size=300)
rows = st.builds(
    SpanRow,
    trace_id=st.builds(lambda high, low: high + low, hexes, hexes),
    span_id=hexes,
    parent_id=st.one_of(st.just(""), hexes),
    name=texts,
    kind=st.sampled_from(["internal", "client", "server", "producer", "consumer"]),
    service=st.just("executor"),
    start=st.integers(1, 2**63),
    end=st.integers(1, 2**63),
    attributes=st.dictionaries(
        texts,
        st.one_of(st.text(), st.booleans(), st.integers(-(2**63), 2**63 - 1), st.floats(allow_nan=False)),
        max_size=5,
    ),
    status=st.just("unset"),
    error=st.none(),
) | st.builds(
    SpanRow,
    st.just(TRACE),
    hexes,
    st.just(""),
    texts,
    st.just("client"),
    st.just("executor"),
    st.just(1),
    st.just(2),
    st.just({}),
    st.sampled_from(["error", "ok"]),
    st.one_of(st.none(), texts),
)


@given(st.lists(rows, min_size=1, max_size=5))
def test_requests_are_what_the_generated_classes_write(some):
    """Read with OpenTelemetry's own classes a request gives the spans back, and written with them the same bytes."""
    body = Encoder({"service.name": "executor", "n": 1}, "mendbus")(some)
    assert decode(body) == some
    assert ExportTraceServiceRequest.FromString(body).SerializeToString() == body


def test_text_that_is_no_unicode_is_sent_all_the_same():
    """A lone surrogate, as in a broken file name, is replaced instead of losing the batch."""
    row = SpanRow(TRACE, "1" * 16, "", "a\ud800", "internal", "s", 1, 2, {"k\ud800": "v\ud800"}, "error", "e\ud800")
    (read,) = decode(Encoder({"service.name": "s"}, "mendbus")([row]))
    assert (read.name, read.attributes, read.error) == ("a?", {"k?": "v?"}, "e?")


# --- the receiver


@pytest.mark.parametrize("compression", [Compression.NoCompression, Compression.Gzip])
async def test_the_sink_takes_what_the_stock_exporter_sends(sink, compression):
    """The receiver stands in for a collector: the exporter of OpenTelemetry is content with it, packed or not."""
    exporter = OTLPSpanExporter(endpoint=f"{sink.endpoint}/v1/traces", compression=compression)
    provider = TracerProvider(resource=Resource.create({"service.name": "other"}), shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))

    def trace():
        span = provider.get_tracer("t").start_span("call", kind=SpanKind.CLIENT, attributes={"list": ["a"], "n": 1})
        span.end()
        provider.shutdown()

    await asyncio.to_thread(trace)
    (row,) = sink.spans()
    assert (row.name, row.kind, row.service, row.attributes["n"]) == ("call", "client", "other", 1)
    assert "a" in str(row.attributes["list"])
    assert (sink.requests, sink.refused, sink.undecodable) == (1, 0, 0)
    sink.clear()
    assert sink.spans() == []


def test_what_others_send_and_mendbus_does_not_is_read():
    """Kinds, statuses and values that Mendbus never writes become the nearest thing that a row can hold."""
    message = ExportTraceServiceRequest()
    span = message.resource_spans.add().scope_spans.add().spans.add(kind=17, status={"code": 9})
    span.attributes.add(key="nothing")
    span.attributes.add(key="bytes").value.bytes_value = b"ab"
    (row,) = decode(message.SerializeToString())
    assert (row.kind, row.status, row.service) == ("internal", "unset", "")
    assert row.attributes == {"nothing": "", "bytes": "b'ab'"}


def request(head, body=b""):
    return "\r\n".join([*head, "\r\n"]).encode() + body


GOOD = ["POST /v1/traces HTTP/1.1", "Content-Type: application/x-protobuf"]


async def ask(sink, raw):
    """Sends bytes, and returns the answer's first line and whether the connection stayed open."""
    reader, writer = await asyncio.open_connection("127.0.0.1", int(sink.endpoint.rpartition(":")[2]))
    writer.write(raw)
    head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)
    writer.close()
    return head.split(b"\r\n")[0].decode(), b"keep-alive" in head


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (["POST /v1/logs HTTP/1.1"], 404),
        (["GET /v1/traces HTTP/1.1"], 405),
        (["POST /v1/traces HTTP/1.1", "Content-Type: application/json", "Content-Length: 2"], 415),
        ([*GOOD, "Transfer-Encoding: chunked"], 411),
        ([*GOOD, "Content-Length: 99999999999"], 413),
    ],
)
async def test_the_sink_refuses_what_it_cannot_read(sink, head, status):
    """Other paths, methods, formats and sizes get their status, and the connection ends."""
    line, stays = await ask(sink, request(head))
    assert (line.split(" ")[1], stays, sink.refused, sink.requests) == (str(status), False, 1, 0)


@pytest.mark.parametrize(
    ("encoding", "body"),
    [
        ("identity", b"\xff\xff"),
        ("gzip", b"no gzip"),
        ("gzip", gzip.compress(b"x" * (17 << 20), mtime=0)),
        ("gzip", gzip.compress(b"x", mtime=0)[:-4]),
    ],
)
async def test_bytes_that_are_no_spans_are_counted_when_asked(sink, encoding, body):
    """What cannot be decoded, or unpacks to more than is taken, is counted and costs nothing else."""
    line, stays = await ask(
        sink, request([*GOOD, f"Content-Length: {len(body)}", f"Content-Encoding: {encoding}"], body)
    )
    assert (line.split(" ")[1], stays) == ("200", True)
    assert sink.spans() == []
    assert sink.undecodable == 1


async def test_the_sink_waits_for_a_body_that_is_announced(sink):
    """A client that asks before it sends is told to go on."""
    line, _ = await ask(sink, request([*GOOD, "Content-Length: 0", "Expect: 100-continue"]))
    assert line == "HTTP/1.1 100 Continue"
    await eventually(lambda: sink.requests == 1)


async def test_the_sink_keeps_no_more_than_its_bound(sink, monkeypatch):
    """Requests that nobody reads go, the oldest first."""
    monkeypatch.setattr("mendbus.otlp_sink.KEPT_BYTES", 10)
    for letter in (b"a", b"b", b"c"):
        await ask(sink, request([*GOOD, "Content-Length: 5"], letter * 5))
    assert [body for body, _ in sink._raw] == [b"bbbbb", b"ccccc"]
    assert (sink.requests, sink.received_bytes) == (3, 15)


async def test_the_sink_survives_a_client_that_hangs_up(sink):
    """A connection that ends in the middle of a request ends nothing else, and closing twice is closing once."""
    _, writer = await asyncio.open_connection("127.0.0.1", int(sink.endpoint.rpartition(":")[2]))
    writer.write(request([*GOOD, "Content-Length: 10"], b"abc"))
    await writer.drain()
    writer.close()
    await eventually(lambda: not sink._writers)
    assert sink.requests == 0
    await sink.close()
    await sink.close()


async def test_the_sink_runs_as_a_program():
    """It prints where it listens, takes spans, and on SIGTERM says how many."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "mendbus.otlp_sink", "--port", "0", stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout
    endpoint = (await asyncio.wait_for(process.stdout.readline(), 10)).decode().strip()
    tracer = open_tracer("executor", Settings(otlp_endpoint=endpoint))
    tracer.start("step").end()
    await tracer.close()
    process.send_signal(signal.SIGTERM)
    counts = json.loads(await asyncio.wait_for(process.stdout.read(), 10))
    assert await process.wait() == 0
    assert counts["requests"] == counts["spans_kept"] == 1
