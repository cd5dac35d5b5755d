"""Reading what a stream holds now: in batches by direct get, or the headers alone through a passing consumer."""

import asyncio
import json
import secrets
from collections.abc import AsyncIterator
from typing import Final, cast

from mendbus.bus import StoredMessage
from mendbus.bus.jetstream import API, Json, ask_api, from_consumer, from_direct, is_stored, rfc3339
from mendbus.bus.wire import Arrival, Wire, description_of, status_of
from mendbus.contracts.errors import BusError, BusTimeout, NoResponders

_BATCH: Final = 1000
_BATCH_BYTES: Final = 4 << 20
"""A batch comes at once, so its size is what the server may have to buffer for us."""
_IDLE_NANOS: Final = 10 * 1_000_000_000

_END_OF_BATCH = "204"
_NOTHING = frozenset(("404", "408"))


class _Gathering:
    """What comes in on one inbox, until the server says that it was all."""

    def __init__(self, wire: Wire) -> None:
        self.arrivals: list[Arrival] = []
        self.end: Arrival | None = None
        self._wire = wire
        self._wanted = 0
        self._done = asyncio.Event()

    async def gather(self, subject: str, question: bytes, wanted: int, timeout: float) -> None:
        """Asks, and waits for `wanted` messages or the server's closing words. `timeout`: longest silence."""
        self._wanted = wanted
        inbox = self._wire.new_inbox()
        listener = await self._wire.listen(inbox, self._arrived)
        try:
            await self._wire.send(subject, question, reply=inbox)
            seen = -1
            while not self._done.is_set():
                if seen == len(self.arrivals):
                    raise BusTimeout(subject, timeout)
                seen = len(self.arrivals)
                try:
                    async with asyncio.timeout(timeout):
                        _ = await self._done.wait()
                except TimeoutError:
                    continue
        finally:
            await listener.end()

    async def _arrived(self, arrival: Arrival) -> None:
        if not arrival.reply and not is_stored(arrival) and status_of(arrival):
            self.end = arrival
            self._done.set()
            return
        self.arrivals.append(arrival)
        if len(self.arrivals) >= self._wanted:
            self._done.set()


async def direct_batch(wire: Wire, stream: str, question: Json, timeout: float) -> tuple[list[StoredMessage], int]:
    """One batched direct get: messages, and how many that match come after them.

    Raises `NoResponders` where there is no such stream, `BusTimeout` after `timeout` seconds of silence.
    """
    subject = f"{API}DIRECT.GET.{stream}"
    gathering = _Gathering(wire)
    limits: Json = {"batch": _BATCH, "max_bytes": _BATCH_BYTES}
    # Never satisfied by a number of messages: the closing words come after them.
    await gathering.gather(subject, _json({**limits, **question}), _BATCH + 1, timeout)
    end = cast("Arrival", gathering.end)
    status = status_of(end)
    if status == _END_OF_BATCH:
        pending = int((end.headers or {}).get("Nats-Num-Pending", "0"))
        return [from_direct(arrival) for arrival in gathering.arrivals], pending
    if status == "404":
        return [], 0
    if status == "503":
        raise NoResponders(subject)
    raise BusError(f"stream {stream!r} refused to be read: {description_of(end)} ({status})")


async def first(wire: Wire, stream: str, subject: str, start: int, timeout: float) -> StoredMessage | None:
    """See `Bus.first`."""
    question: Json = {"seq": max(1, start), "next_by_subj": subject, "batch": 1}
    found, _ = await direct_batch(wire, stream, question, timeout)
    return found[0] if found else None


async def read(
    wire: Wire, stream: str, subject: str, start: int, since_unix_nano: int | None, timeout: float
) -> AsyncIterator[StoredMessage]:
    """See `Bus.read`. Nothing is held at the server between two batches, so the reader may take its time or stop."""
    position: Json = {"seq": max(1, start)} if since_unix_nano is None else {"start_time": rfc3339(since_unix_nano)}
    left: int | None = None
    while True:
        messages, pending = await direct_batch(wire, stream, {**position, "next_by_subj": subject}, timeout)
        if left is None:
            # What is stored from now on is not ours: a stream that grows all the time must come to an end too.
            left = len(messages) + pending
        for message in messages[:left]:
            if message.sequence >= start:
                yield message
        left -= len(messages)
        if left <= 0 or not pending or not messages:
            return
        position = {"seq": messages[-1].sequence + 1}


async def read_headers(
    wire: Wire, stream: str, subject: str, start: int, since_unix_nano: int | None, timeout: float
) -> AsyncIterator[StoredMessage]:
    """As `read`, without the bodies: they do not leave the server."""
    name = secrets.token_hex(8)
    config: Json = {
        "name": name,
        "ack_policy": "none",
        "filter_subject": subject,
        "headers_only": True,
        "mem_storage": True,
        "num_replicas": 1,
        "inactive_threshold": _IDLE_NANOS,
    }
    if since_unix_nano is None:
        config |= {"deliver_policy": "by_start_sequence", "opt_start_seq": max(1, start)}
    else:
        config |= {"deliver_policy": "by_start_time", "opt_start_time": rfc3339(since_unix_nano)}
    question: Json = {"stream_name": stream, "config": config}
    left: int = (await ask_api(wire, f"CONSUMER.CREATE.{stream}.{name}", question, timeout=timeout))["num_pending"]
    counted = 0
    while left > 0:
        wanted = min(_BATCH, left)
        gathering = _Gathering(wire)
        pull = _json({"batch": wanted, "no_wait": True})
        await gathering.gather(f"{API}CONSUMER.MSG.NEXT.{stream}.{name}", pull, wanted, timeout)
        for arrival in gathering.arrivals:
            message, _, count = from_consumer(arrival)
            counted += 1
            if count != counted:
                raise BusError(f"reading stream {stream!r}: messages were lost on the way, read again")
            if message.sequence >= start:
                headers = {key: value for key, value in message.headers.items() if key != "Nats-Msg-Size"}
                yield StoredMessage(message.subject, b"", headers, message.sequence, message.time_unix_nano)
        left -= len(gathering.arrivals)
        if gathering.end is not None:
            if status_of(gathering.end) not in _NOTHING:
                raise BusError(f"stream {stream!r} refused to be read: {description_of(gathering.end)}")
            break
    _ = await ask_api(wire, f"CONSUMER.DELETE.{stream}.{name}", timeout=timeout)


def _json(question: Json) -> bytes:
    return json.dumps(question).encode()
