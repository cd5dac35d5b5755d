"""A small OTLP/HTTP receiver for tests and the bench: keeps what comes in, reads it only when asked.

Alone: `python -m mendbus.otlp_sink --port 4318` prints its address, and at the end what it received.
"""

import argparse
import asyncio
import json
import signal
import zlib
from collections import deque
from typing import TYPE_CHECKING, Self

from mendbus.otlp import CONTENT_TYPE, KINDS, METRICS_PATH, STATUSES, TRACES_PATH
from mendbus.traces import AttributeValue, SpanRow

if TYPE_CHECKING:
    from collections.abc import Iterable

    from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
    from opentelemetry.proto.trace.v1.trace_pb2 import Span

MAX_BODY = 16 << 20
"""Largest request taken, in bytes, packed or not."""
KEPT_BYTES = 64 << 20
"""Requests not yet read are kept up to this size together; the oldest go first."""
KEPT_SPANS = 200_000
"""Spans that were read are kept up to this number; the oldest go first."""

KEPT_METRICS = 100
"""Requests for metrics that are kept; the oldest go first."""

_HEAD_SECONDS = 120.0
_BODY_SECONDS = 10.0
_REASONS = {
    200: "OK",
    400: "Bad Request",
    404: "Not Found",
    405: "Method Not Allowed",
    411: "Length Required",
    413: "Content Too Large",
    415: "Unsupported Media Type",
}


class OtlpSink:
    """Receives spans on loopback. An asynchronous context manager; `endpoint` is valid within."""

    def __init__(self) -> None:
        self.endpoint = ""
        """What to set `OTEL_EXPORTER_OTLP_ENDPOINT` to."""
        self.requests = 0
        """Requests for traces taken."""
        self.received_bytes = 0
        """Bytes of their bodies, as sent."""
        self.refused = 0
        """Requests answered with an error."""
        self.undecodable = 0
        """Requests that turned out to be no spans."""
        self.headers: dict[str, str] = {}
        """Headers of the last request taken, names in lower case."""
        self.answer = 200
        """Status that a request for traces is answered with; another than 200 takes nothing: a collector in trouble."""
        self.metrics: deque[bytes] = deque(maxlen=KEPT_METRICS)
        """Bodies of the last requests for metrics, as sent."""
        self._raw: deque[tuple[bytes, bool]] = deque()
        self._raw_bytes = 0
        self._rows: deque[SpanRow] = deque(maxlen=KEPT_SPANS)
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()

    async def start(self, port: int = 0) -> None:
        """Listens on 127.0.0.1; port 0 takes any free one. Raises `OSError` when the port is taken."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", port)
        self.endpoint = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def close(self) -> None:
        """Stops listening and hangs up. What was received can still be read."""
        if self._server is None:
            return
        self._server.close()
        for writer in tuple(self._writers):
            writer.close()
        await self._server.wait_closed()
        self._server = None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def spans(self, trace_id: str | None = None) -> list[SpanRow]:
        """The spans received so far, of one trace or all, in the order in which they came in."""
        while self._raw:
            body, packed = self._raw.popleft()
            self._raw_bytes -= len(body)
            try:
                self._rows += decode(_unpacked(body) if packed else body)
            except (ValueError, zlib.error):
                self.undecodable += 1
        return [row for row in self._rows if trace_id is None or row.trace_id == trace_id]

    def clear(self) -> None:
        """Forgets the spans; the counts stay."""
        self._raw.clear()
        self._raw_bytes = 0
        self._rows.clear()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            while await self._exchange(reader, writer):
                pass
        except (TimeoutError, ConnectionError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass
        finally:
            self._writers.discard(writer)
            writer.close()

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """One request and its answer; whether the connection stays."""
        async with asyncio.timeout(_HEAD_SECONDS):
            head = await reader.readuntil(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        status = _judge(first, headers)
        # the body of what is refused unread would be taken for the next request
        stays = status == 200
        if stays:
            if headers.get("expect", "").lower() == "100-continue":
                writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            async with asyncio.timeout(_BODY_SECONDS):
                body = await reader.readexactly(int(headers["content-length"]))
            status = self.answer
            if status == 200 and _path_of(first) == METRICS_PATH:
                self.metrics.append(body)
            elif status == 200:
                self.headers = headers
                self._keep(body, packed=headers.get("content-encoding", "") == "gzip")
        self.refused += status != 200
        lines = [
            f"HTTP/1.1 {status} {_REASONS.get(status, 'Refused')}",
            f"Content-Type: {CONTENT_TYPE}",
            "Content-Length: 0",
            f"Connection: {'keep-alive' if stays else 'close'}",
        ]
        writer.write("\r\n".join([*lines, "\r\n"]).encode())
        await writer.drain()
        return stays

    def _keep(self, body: bytes, *, packed: bool) -> None:
        self.requests += 1
        self.received_bytes += len(body)
        self._raw.append((body, packed))
        self._raw_bytes += len(body)
        while self._raw_bytes > KEPT_BYTES:
            self._raw_bytes -= len(self._raw.popleft()[0])


def _path_of(first: str) -> str:
    return first.partition(" ")[2].partition(" ")[0].partition("?")[0]


def _judge(first: str, headers: dict[str, str]) -> int:
    """The status that a request deserves before its body is looked at."""
    if _path_of(first) not in (TRACES_PATH, METRICS_PATH):
        return 404
    if first.partition(" ")[0] != "POST":
        return 405
    if headers.get("content-type", "").partition(";")[0] != CONTENT_TYPE:
        return 415
    if not headers.get("content-length", "").isdecimal():
        return 411
    return 413 if int(headers["content-length"]) > MAX_BODY else 200


def _unpacked(body: bytes) -> bytes:
    """A gzip body in the clear. Raises `ValueError` when it grows over `MAX_BODY`, `zlib.error` when it is none."""
    unpacker = zlib.decompressobj(wbits=31)
    clear = unpacker.decompress(body, MAX_BODY)
    if not unpacker.eof:
        msg = "a gzip body that is cut off or too large"
        raise ValueError(msg)
    return clear


def decode(body: bytes) -> list[SpanRow]:
    """The spans of an `ExportTraceServiceRequest`; lists and maps in attributes become text.

    Raises `ValueError` when the bytes are none.
    """
    # imported when first asked: a sink that only receives stays small
    from google.protobuf.message import DecodeError
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    try:
        request = ExportTraceServiceRequest.FromString(body)
    except DecodeError as error:
        msg = f"not a trace request: {error}"
        raise ValueError(msg) from None
    rows: list[SpanRow] = []
    for group in request.resource_spans:
        service = str(_attributes(group.resource.attributes).get("service.name", ""))
        rows += [_row(span, service) for scope in group.scope_spans for span in scope.spans]
    return rows


def _row(span: "Span", service: str) -> SpanRow:
    return SpanRow(
        trace_id=span.trace_id.hex(),
        span_id=span.span_id.hex(),
        parent_id=span.parent_span_id.hex(),
        name=span.name,
        kind=KINDS[span.kind] if span.kind < len(KINDS) else "internal",
        service=service,
        start=span.start_time_unix_nano,
        end=span.end_time_unix_nano,
        attributes=_attributes(span.attributes),
        status=STATUSES[span.status.code] if span.status.code < len(STATUSES) else "unset",
        error=span.status.message or None,
    )


def _attributes(items: "Iterable[KeyValue]") -> dict[str, AttributeValue]:
    return {item.key: _value(item.value) for item in items}


def _value(value: "AnyValue") -> AttributeValue:
    which = value.WhichOneof("value")
    if which is None:
        return ""
    plain = getattr(value, which)
    return plain if isinstance(plain, str | bool | int | float) else str(plain)


async def _main(port: int) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    sink = OtlpSink()
    await sink.start(port)
    print(sink.endpoint, flush=True)  # noqa: T201 - this is what a caller reads
    await stop.wait()
    await sink.close()
    counts = {"requests": sink.requests, "bytes": sink.received_bytes, "refused": sink.refused}
    print(json.dumps({**counts, "spans_kept": len(sink.spans()), "undecodable": sink.undecodable}), flush=True)  # noqa: T201


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Receives OTLP traces over HTTP and counts them.")
    parser.add_argument("--port", type=int, default=4318, help="port on 127.0.0.1; 0 takes any free one")
    asyncio.run(_main(parser.parse_args().port))
