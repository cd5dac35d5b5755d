"""OTLP over HTTP: spans as the protobuf bytes of a trace request, what messages are made of, and the sender.

By hand, because the stock exporter costs a process 10 MB of private memory (requests, protobuf and its generated
classes) and 37 us a span; this costs 0.3 MB and 10 us. The tests read it with the generated classes.
"""

import http.client
import random
import struct
import threading
import time
from collections.abc import Mapping, Sequence
from typing import Final
from urllib.parse import urlsplit

from mendbus.traces import AttributeValue, Kind, SpanRow, SpanStatus

CONTENT_TYPE: Final = "application/x-protobuf"
TRACES_PATH: Final = "/v1/traces"
METRICS_PATH: Final = "/v1/metrics"
SEND_SECONDS: Final = 10.0
"""How long a request is tried again before its spans are given up."""

_ATTEMPT_SECONDS: Final = 3.0
_RETRIED: Final = frozenset((429, 502, 503, 504))
KINDS: Final[tuple[Kind, ...]] = ("internal", "internal", "server", "client", "producer", "consumer")
_KIND_FIELDS: Final = {kind: bytes((0x30, number)) for number, kind in enumerate(KINDS) if number}
STATUSES: Final[tuple[SpanStatus, ...]] = ("unset", "ok", "error")
_SAMPLED: Final = b"\x85\x01\x01\x00\x00\x00"
_WORD: Final = (1 << 64) - 1


class CollectorRefused(ValueError):
    """A collector answered with an error. Attribute: `status`."""

    def __init__(self, status: int) -> None:
        self.status = status
        super().__init__(f"the collector answered with status {status}")


def varint(value: int) -> bytes:
    """A number in protobuf's variable length."""
    if value < 0x80:
        return bytes((value,))
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


_SIZES: Final = tuple(varint(size) for size in range(1024))


def field(tag: bytes, body: bytes) -> bytes:
    """A field with a length: text, bytes or a message."""
    size = len(body)
    return tag + (_SIZES[size] if size < 1024 else varint(size)) + body


def attribute(tag: bytes, key: str, value: AttributeValue) -> bytes:
    """A `KeyValue`, as a field."""
    if isinstance(value, str):
        encoded = field(b"\x0a", value.encode("utf-8", "replace"))
    elif isinstance(value, bool):
        encoded = b"\x10\x01" if value else b"\x10\x00"
    elif isinstance(value, int):
        encoded = b"\x18" + varint(value & _WORD)
    else:
        encoded = b"\x21" + struct.pack("<d", value)
    return field(tag, field(b"\x0a", key.encode("utf-8", "replace")) + field(b"\x12", encoded))


def _span(row: SpanRow) -> bytes:
    parts = [
        b"\x0a\x10" + bytes.fromhex(row.trace_id),
        b"\x12\x08" + bytes.fromhex(row.span_id),
        b"\x22\x08" + bytes.fromhex(row.parent_id) if row.parent_id else b"",
        field(b"\x2a", row.name.encode("utf-8", "replace")),
        _KIND_FIELDS[row.kind],
        b"\x39" + (row.start & _WORD).to_bytes(8, "little"),
        b"\x41" + (row.end & _WORD).to_bytes(8, "little"),
    ]
    parts += [attribute(b"\x4a", key, value) for key, value in row.attributes.items()]
    if row.status != "unset":
        message = field(b"\x12", row.error.encode("utf-8", "replace")) if row.error else b""
        parts.append(field(b"\x7a", message + bytes((0x18, STATUSES.index(row.status)))))
    parts.append(_SAMPLED)
    return field(b"\x12", b"".join(parts))


class Encoder:
    """Makes the requests of one process; its resource attributes and instrumentation scope are encoded once."""

    def __init__(self, resource: Mapping[str, AttributeValue], scope: str) -> None:
        attributes = [attribute(b"\x0a", key, value) for key, value in resource.items()]
        self._resource = field(b"\x0a", b"".join(attributes))
        self._scope = field(b"\x0a", field(b"\x0a", scope.encode()))

    def __call__(self, rows: Sequence[SpanRow]) -> bytes:
        """An `ExportTraceServiceRequest`."""
        spans = field(b"\x12", self._scope + b"".join([_span(row) for row in rows]))
        return field(b"\x0a", self._resource + spans)


class Sender:
    """Posts requests to a collector over one connection that is kept open; used by one thread.

    `endpoint` is the collector's base address, `headers` go with each request, `path` says what is sent. Raises
    `ValueError` for an address that is none.
    """

    def __init__(self, endpoint: str, headers: Mapping[str, str], path: str = TRACES_PATH) -> None:
        parts = urlsplit(endpoint)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            msg = f"{endpoint!r} is no address of a collector: write it like http://127.0.0.1:4318"
            raise ValueError(msg)
        connection = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        self._connection = connection(parts.hostname, parts.port, timeout=_ATTEMPT_SECONDS)
        self._path = parts.path.rstrip("/").removesuffix(TRACES_PATH) + path
        self._headers = {"Content-Type": CONTENT_TYPE, **headers}
        self._closing = threading.Event()

    def send(self, body: bytes) -> None:
        """Posts a request until it is taken, for `SEND_SECONDS` at most; once `hurry` was called, without trying again.

        Raises `OSError` or `http.client.HTTPException` when nobody answers, `CollectorRefused` when it was refused.
        """
        deadline = time.monotonic() + SEND_SECONDS
        pause = 0.25
        while True:
            problem: Exception
            try:
                status = self._post(body)
            except (OSError, http.client.HTTPException) as error:
                self._connection.close()
                problem = error
            else:
                if 200 <= status < 300:
                    return
                problem = CollectorRefused(status)
                if status not in _RETRIED:
                    raise problem
            wait = pause * random.uniform(0.8, 1.2)
            pause *= 2
            if time.monotonic() + wait > deadline or self._closing.wait(wait):
                raise problem

    def _post(self, body: bytes) -> int:
        kept = self._connection.sock is not None
        try:
            self._connection.request("POST", self._path, body, self._headers)
            response = self._connection.getresponse()
        except (ConnectionError, http.client.HTTPException):
            # a collector closes a connection that was idle; only a fresh one tells whether it is there
            self._connection.close()
            if not kept:
                raise
            self._connection.request("POST", self._path, body, self._headers)
            response = self._connection.getresponse()
        response.read()
        return response.status

    def hurry(self) -> None:
        """From any thread: waits and repeats end, because the process is about to."""
        self._closing.set()

    def close(self) -> None:
        """Closes the connection."""
        self._connection.close()
