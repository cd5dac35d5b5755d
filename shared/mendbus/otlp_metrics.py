"""Metrics as the protobuf bytes of an OTLP metrics request, and their sending every few seconds.

The tests read them with OpenTelemetry's own classes.
"""

import asyncio
import logging
import struct
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from http.client import HTTPException
from itertools import groupby
from typing import Final

from mendbus.instruments import Instrument
from mendbus.metrics import Distribution, Meter, Series
from mendbus.otlp import METRICS_PATH, CollectorRefused, attribute, field
from mendbus.telemetry import collector
from mendbus.traces import AttributeValue

log = logging.getLogger("mendbus")

SCOPE: Final = "mendbus"
_WARN_SECONDS: Final = 60.0
_LAST_SECONDS: Final = 2.0
_NO_METRICS: Final = frozenset((404, 405, 415, 501))

_CUMULATIVE: Final = b"\x10\x02"
_MONOTONIC: Final = b"\x18\x01"
_WORD: Final = (1 << 64) - 1


def encode_metrics(
    rows: Sequence[Series], resource: Mapping[str, AttributeValue], scope: str, since_unix_nano: int, now_unix_nano: int
) -> bytes:
    """An `ExportMetricsServiceRequest`; rows of one instrument stand together. Sums count since `since_unix_nano`."""
    times = b"\x11" + _fixed(since_unix_nano) + b"\x19" + _fixed(now_unix_nano)
    metrics = b"".join(
        _metric(instrument, list(group), times) for instrument, group in groupby(rows, lambda row: row.instrument)
    )
    described = b"".join(attribute(b"\x0a", key, value) for key, value in resource.items())
    scoped = field(b"\x12", field(b"\x0a", field(b"\x0a", scope.encode())) + metrics)
    return field(b"\x0a", field(b"\x0a", described) + scoped)


async def send_for_ever(meter: Meter, endpoint: str, instance: str, seconds: float) -> None:
    """Sends a meter's numbers to a collector every so many seconds, and once more when cancelled.

    One that takes no metrics, as Jaeger does not, is named in the log once and not asked again. Raises `SettingsError`
    for an endpoint that is no address.
    """
    sender, resource = collector(meter.service, endpoint, instance, METRICS_PATH)
    idle = True
    warned = -_WARN_SECONDS

    async def send() -> None:
        rows = meter.collect()
        body = encode_metrics(rows, resource, SCOPE, meter.started_unix_nano, time.time_ns())
        await asyncio.to_thread(sender.send, body)

    try:
        while True:
            await asyncio.sleep(seconds)
            idle = False
            try:
                await send()
            except (OSError, HTTPException, CollectorRefused) as error:
                if isinstance(error, CollectorRefused) and error.status in _NO_METRICS:
                    log.info("%s takes no metrics (status %d): they are at /metrics only", endpoint, error.status)
                    return
                if time.monotonic() - warned >= _WARN_SECONDS:
                    warned = time.monotonic()
                    log.warning("cannot send metrics to %s: %s: %s", endpoint, type(error).__name__, error)
            idle = True
    except asyncio.CancelledError:
        sender.hurry()
        if idle:
            with suppress(OSError, HTTPException, CollectorRefused, TimeoutError):
                async with asyncio.timeout(_LAST_SECONDS):
                    await send()
        raise
    finally:
        if idle:
            sender.close()


def _metric(instrument: Instrument, rows: Sequence[Series], times: bytes) -> bytes:
    points = b"".join(field(b"\x0a", _point(row, times)) for row in rows)
    match instrument.kind:
        case "histogram":
            data = field(b"\x4a", points + _CUMULATIVE)
        case "gauge":
            data = field(b"\x2a", points)
        case "counter":
            data = field(b"\x3a", points + _CUMULATIVE + _MONOTONIC)
        case "updowncounter":
            data = field(b"\x3a", points + _CUMULATIVE)
    head = b"".join(
        field(tag, text.encode())
        for tag, text in ((b"\x0a", instrument.name), (b"\x12", instrument.meaning), (b"\x1a", instrument.unit))
    )
    return field(b"\x12", head + data)


def _point(row: Series, times: bytes) -> bytes:
    value = row.value
    if isinstance(value, Distribution):
        counts = b"".join(_fixed(count) for count in value.counts)
        bounds = struct.pack(f"<{len(row.instrument.buckets)}d", *row.instrument.buckets)
        total = struct.pack("<d", value.total)
        body = times + b"\x21" + _fixed(value.count) + b"\x29" + total + field(b"\x32", counts) + field(b"\x3a", bounds)
        return body + _attributes(b"\x4a", row)
    # The number comes before the attributes in one form, and so it does in the other: fields in their order.
    if isinstance(value, int):
        return times + b"\x31" + _fixed(value) + _attributes(b"\x3a", row)
    return times + b"\x21" + struct.pack("<d", value) + _attributes(b"\x3a", row)


def _attributes(tag: bytes, row: Series) -> bytes:
    named = zip(row.instrument.attributes, row.values, strict=False)
    return b"".join(attribute(tag, one.name, value) for one, value in named if value)


def _fixed(value: int) -> bytes:
    return (value & _WORD).to_bytes(8, "little")
