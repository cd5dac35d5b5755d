"""Tracing: spans started and ended by hand, sent over OTLP or kept locally. The only import of opentelemetry.

Of the OpenTelemetry SDK only the resource is used. Its spans and batch processor cost 17 us a span in a tight loop and
80 us between other work, where caches are cold, on the event loop's own time; a `Span` here costs 3 and 20. It is a
row put on a queue; a thread encodes and writes it. No context variables and no propagators: a parent is the text of
its `traceparent` header.
"""

import asyncio
import logging
import os
import re
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from importlib.metadata import version
from typing import TYPE_CHECKING, cast
from urllib.parse import unquote

from mendbus.contracts.canary import TRACEPARENT
from mendbus.contracts.errors import SettingsError
from mendbus.redaction import redact
from mendbus.settings import Settings
from mendbus.traces import AttributeValue, Kind, SpanRow, TraceFile

if TYPE_CHECKING:
    from mendbus.otlp import Sender

__all__ = [
    "QUEUE",
    "AttributeValue",
    "Exporter",
    "Kind",
    "Span",
    "Tracer",
    "collector",
    "open_tracer",
    "parent_of",
]

QUEUE = 8192
"""Spans that wait for their export at most; what ends while so many wait is dropped and counted."""

_BATCH = 128
_DELAY_SECONDS = 0.25
_SWITCH_SECONDS = 0.0005
_WARN_SECONDS = 60.0
_SHORT = 36
"""Longest text that may stand unread: ids are as long."""
_FREE_TEXT = frozenset(("exception.message", "exception.stacktrace", "exception.type", "error.type"))

_log = logging.getLogger(__name__)
_TRACEPARENT = re.compile("([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
_TRACEPARENT_SIZE = 55
_NO_TRACE = "0" * 32
_NO_SPAN = "0" * 16


def parent_of(headers: Mapping[str, str]) -> str | None:
    """The parent that a message's headers name, as a `traceparent` of W3C version 00, or None.

    The header is found in any letter case; one that is malformed, or has an id of zeros, counts as none.
    """
    value = headers.get("traceparent")
    if value is None:
        value = next((text for name, text in headers.items() if name.lower() == "traceparent"), None)
        if value is None:
            return None
    match = _TRACEPARENT.fullmatch(value.strip().lower())
    if match is None:
        return None
    edition, trace_id, span_id, flags, more = match.groups()
    # a later version may go on after the four fields, and must still be understood
    if edition == "ff" or (edition == "00" and more) or trace_id == _NO_TRACE or span_id == _NO_SPAN:
        return None
    return f"00-{trace_id}-{span_id}-{flags}"


def _without_secrets(row: SpanRow) -> SpanRow:
    """The row with secrets taken out of its longer texts and its error; ids and words are left alone, for speed."""
    error = redact(row.error) if row.error else row.error
    changed = {
        key: clean
        for key, value in row.attributes.items()
        if isinstance(value, str)
        and (len(value) > _SHORT or key in _FREE_TEXT)
        and (clean := redact(value)) is not value
    }
    return row._replace(error=error, attributes={**row.attributes, **changed}) if changed or error != row.error else row


class Exporter:
    """The queue of ended spans and the thread that has them written, in batches. A failed write costs only its spans.

    `write` writes rows to `target` and raises what it likes; `hurry` tells it that the process is about to end; `close`
    ends it.
    """

    def __init__(
        self,
        target: str,
        write: Callable[[Sequence[SpanRow]], None],
        hurry: Callable[[], None] | None = None,
        close: Callable[[], None] | None = None,
    ) -> None:
        self._target = target
        self._write = write
        self._hurry = hurry
        self._close = close
        self._queue: deque[SpanRow] = deque()
        self._wake = threading.Event()
        # two counters, because two threads count
        self._refused = 0
        self._failed = 0
        self._writing = 0
        self._stopping = False
        self._stopped: Callable[[], None] | None = None
        self._warned = -_WARN_SECONDS
        # a daemon, because a collector that hangs must not hold up the end of the process
        self._thread = threading.Thread(target=self._run, name="mendbus-spans", daemon=True)
        self._thread.start()

    @property
    def dropped(self) -> int:
        """Spans that ended and were not written: too many waited, the write failed, or it was too late."""
        return self._refused + self._failed

    def put(self, row: SpanRow) -> None:
        """Hands over an ended span; from any thread."""
        waiting = len(self._queue)
        if waiting >= QUEUE or self._stopping:
            self._refused += 1
            return
        self._queue.append(row)
        if waiting == _BATCH:
            self._wake.set()

    def stop(self, stopped: Callable[[], None]) -> None:
        """Refuses further spans, has the rest written and calls `stopped` then, in the exporter's thread."""
        self._stopped = stopped
        self._stopping = True
        if self._hurry:
            self._hurry()
        self._wake.set()

    def give_up(self) -> int:
        """Counts what is not written yet as dropped, and says how many that are."""
        left = len(self._queue) + self._writing
        self._refused += left
        return left

    def _run(self) -> None:
        while not self._stopping:
            # woken by a full batch it leaves the rest: under load it would else go on with batches of a few spans
            least = _BATCH if self._wake.wait(_DELAY_SECONDS) else 1
            self._wake.clear()
            self._export(least)
        self._export(1)
        if self._close:
            self._close()
        if self._stopped:
            self._stopped()

    def _export(self, least: int) -> None:
        queue = self._queue
        while len(queue) >= least:
            rows = [_without_secrets(queue.popleft()) for _ in range(min(len(queue), _BATCH))]
            self._writing = len(rows)
            try:
                self._write(rows)
            except Exception as error:
                self._failed += len(rows)
                self._warn(error)
            self._writing = 0

    def _warn(self, error: Exception) -> None:
        now = time.monotonic()
        if now - self._warned >= _WARN_SECONDS:
            self._warned = now
            kind = type(error).__name__
            _log.warning("cannot write spans to %s, %d lost so far: %s: %s", self._target, self.dropped, kind, error)


class Span:
    """A step of a recovery under way. Made by `Tracer.start`; nobody hears of it before it ended."""

    __slots__ = ("_attributes", "_exporter", "_kind", "_name", "_parent", "_service", "_start", "traceparent")

    def __init__(
        self,
        exporter: Exporter | None,
        service: str,
        name: str,
        kind: Kind,
        traceparent: str,
        parent: str | None,
        attributes: Mapping[str, AttributeValue] | None,
        start: int,
    ) -> None:
        self._exporter = exporter
        self._service = service
        self._name = name
        self._kind: Kind = kind
        self._parent = parent
        self._attributes = attributes
        self._start = start
        self.traceparent = traceparent
        """W3C header value that makes others children of this span; when tracing is off the parent's, or ""."""

    @property
    def trace_id(self) -> str:
        """32 hex digits; "" when tracing is off and the parent is in no trace either."""
        return self.traceparent[3:35]

    @property
    def logged(self) -> dict[str, str]:
        """What a log record's `extra` takes to carry this span's ids; nothing when tracing is off."""
        found = self.traceparent
        return {"trace_id": found[3:35], "span_id": found[36:52]} if found else {}

    def end(
        self,
        attributes: Mapping[str, AttributeValue] | None = None,
        error: str | None = None,
        end_unix_nano: int | None = None,
    ) -> None:
        """Ends the span, with more attributes, and as failed where `error` says why. Never raises; once is enough."""
        exporter = self._exporter
        if exporter is None:
            return
        self._exporter = None
        # a clock that was set back must not make a span of negative length
        end = max(self._start, time.time_ns() if end_unix_nano is None else end_unix_nano)
        context, parent = self.traceparent, self._parent
        exporter.put(
            SpanRow(
                context[3:35],
                context[36:52],
                parent[36:52] if parent else "",
                self._name,
                self._kind,
                self._service,
                self._start,
                end,
                {**(self._attributes or {}), **(attributes or {})},
                "unset" if error is None else "error",
                error,
            )
        )


class Tracer:
    """Starts the spans of one process, or of one agent. Made by `open_tracer`; without an exporter tracing is off."""

    def __init__(self, service: str, exporter: Exporter | None) -> None:
        self.service = service
        """What the spans are filed under, `service.name`."""
        self._exporter = exporter
        self._closed = False

    @property
    def dropped(self) -> int:
        """Spans that ended and were not exported: too many waited, the export failed, or the tracer was closed."""
        return self._exporter.dropped if self._exporter else 0

    def start(
        self,
        name: str,
        kind: Kind = "internal",
        parent: str | None = None,
        attributes: Mapping[str, AttributeValue] | None = None,
        start_unix_nano: int | None = None,
    ) -> Span:
        """Begins a span. `parent` is the `traceparent` of its parent; None, or what is none, begins a trace.

        Nothing is recorded below the canary's.
        `attributes` are read when the span ends: do not change them until then.
        """
        if self._exporter is None or parent == TRACEPARENT:
            return Span(None, "", name, kind, parent or "", None, None, 0)
        if parent is not None and len(parent) == _TRACEPARENT_SIZE and _TRACEPARENT.fullmatch(parent):
            trace_id = parent[3:35]
        else:
            trace_id, parent = os.urandom(16).hex(), None
        # every trace is recorded, also one that its sender did not sample
        context = f"00-{trace_id}-{os.urandom(8).hex()}-01"
        start = time.time_ns() if start_unix_nano is None else start_unix_nano
        return Span(self._exporter, self.service, name, kind, context, parent, attributes, start)

    async def close(self, timeout: float = 5.0) -> None:
        """Exports what waits, for `timeout` seconds at most; what did not make it, or ends later, is dropped."""
        exporter = self._exporter
        if exporter is None or self._closed:
            return
        self._closed = True
        loop = asyncio.get_running_loop()
        done = asyncio.Event()

        def stopped() -> None:
            # the loop is gone when the deadline passed and the process went on
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(done.set)

        exporter.stop(stopped)
        try:
            async with asyncio.timeout(timeout):
                await done.wait()
        except TimeoutError:
            _log.warning("%d spans were not exported within %g s", exporter.give_up(), timeout)


def open_tracer(service: str, settings: Settings, *, instance: str = "") -> Tracer:
    """The tracer of a process: over OTLP where an endpoint is set, else into the local store; or off, by `trace`.

    `OTEL_RESOURCE_ATTRIBUTES` and `OTEL_EXPORTER_OTLP_HEADERS` are honoured. Raises `SettingsError` for an endpoint
    that is no address.
    """
    if not settings.trace:
        return Tracer(service, None)
    # The export thread holds the interpreter while it encodes; at the default of 5 ms the event loop waits that long.
    if sys.getswitchinterval() > _SWITCH_SECONDS:
        sys.setswitchinterval(_SWITCH_SECONDS)
    if settings.otlp_endpoint:
        return Tracer(service, _to_collector(service, settings.otlp_endpoint, instance))
    store = TraceFile(settings.traces, f"{service}-{os.getpid()}")
    return Tracer(service, Exporter(str(settings.traces), store.append))


def _to_collector(service: str, endpoint: str, instance: str) -> Exporter:
    # only who sends needs the HTTP client
    from mendbus.otlp import TRACES_PATH, Encoder

    sender, resource = collector(service, endpoint, instance, TRACES_PATH)
    encode = Encoder(resource, "mendbus")
    return Exporter(endpoint, lambda rows: sender.send(encode(rows)), sender.hurry, sender.close)


def collector(service: str, endpoint: str, instance: str, path: str) -> "tuple[Sender, Mapping[str, AttributeValue]]":
    """Who sends to a path of the collector, and the resource that describes this process there.

    Raises `SettingsError` for an endpoint that is no address.
    """
    # only who sends needs the megabyte that comes with a resource
    from opentelemetry.sdk.resources import Resource

    from mendbus.otlp import Sender

    try:
        sender = Sender(endpoint, _headers(os.environ.get("OTEL_EXPORTER_OTLP_HEADERS", "")), path)
    except ValueError as error:
        raise SettingsError([f"OTEL_EXPORTER_OTLP_ENDPOINT: {error}"]) from None
    own = {"service.name": service, "service.version": version("mendbus"), "telemetry.sdk.name": __name__}
    resource = Resource.create(own | ({"service.instance.id": instance} if instance else {}))
    return sender, cast("Mapping[str, AttributeValue]", resource.attributes)


def _headers(text: str) -> dict[str, str]:
    """`key=value,key=value`, values percent-encoded, as OpenTelemetry writes it."""
    pairs = (item.partition("=") for item in text.split(",") if "=" in item)
    return {key.strip(): unquote(value.strip()) for key, _, value in pairs}
