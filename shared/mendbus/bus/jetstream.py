"""Storing and asking in JetStream's own words: requests with headers or JSON, answers in JSON."""

import json
import math
import secrets
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Final, cast

from mendbus.bus import Stored, StoredMessage, ToStore, Usage
from mendbus.bus.wire import Arrival, Wire, status_of
from mendbus.contracts.errors import BatchDuplicate, BusError, NoStream, StoreRefused, WrongSequence
from mendbus.contracts.subjects import HEADER_ID

API: Final = "$JS.API."
BATCH_LIMIT: Final = 1000
"""Most messages that the server takes in one atomic batch."""

_WRONG_SEQUENCE = frozenset((10071, 10164))
_BATCH_DUPLICATE = 10201
_NOT_FOUND = "404"

_SERVERS_OWN: Final = frozenset(
    ("Nats-Stream", "Nats-Subject", "Nats-Sequence", "Nats-Time-Stamp", "Nats-Num-Pending", "Nats-Last-Sequence")
)

Json = dict[str, Any]


class ApiError(BusError):
    """JetStream refused a request to its API. Attributes: `subject`, `code` (JetStream error code), `description`."""

    def __init__(self, subject: str, code: int, description: str) -> None:
        self.subject = subject
        self.code = code
        self.description = description
        super().__init__(f"JetStream refused {subject!r}: {description} ({code})")


async def ask_api(wire: Wire, what: str, question: Json | None = None, *, timeout: float) -> Json:
    """One question to the JetStream API, below its prefix. Raises `ApiError`, `NoResponders`, `BusTimeout`."""
    subject = wire.api + what
    body = json.dumps(question).encode() if question else b""
    answer = cast("Json", json.loads((await wire.ask(subject, body, timeout=timeout)).data))
    error = answer.get("error")
    if error is not None:
        raise ApiError(subject, error.get("err_code", 0), error.get("description", ""))
    return answer


async def store(
    wire: Wire,
    subject: str,
    body: bytes,
    headers: Mapping[str, str] | None,
    message_id: str,
    expected_last: int | None,
    ttl: float | None,
    timeout: float,
) -> Stored:
    """One message, one answer. Raises `WrongSequence`, `StoreRefused`, `NoResponders` (no stream), `BusTimeout`."""
    if message_id or expected_last is not None or ttl is not None:
        headers = dict(headers or {})
        if message_id:
            headers[HEADER_ID] = message_id
        if expected_last is not None:
            headers["Nats-Expected-Last-Subject-Sequence"] = str(expected_last)
        if ttl is not None:
            # The server counts whole seconds, at least one.
            headers["Nats-TTL"] = f"{max(1, math.ceil(ttl))}s"
    return _stored(subject, await wire.ask(subject, body, headers, timeout=timeout))


async def store_batch(wire: Wire, messages: Sequence[ToStore], timeout: float) -> Stored:
    """All or none, in one round trip. Raises as `store`, and `BatchDuplicate`."""
    if not 1 <= len(messages) <= BATCH_LIMIT:
        msg = f"a batch has 1 to {BATCH_LIMIT} messages, not {len(messages)}"
        raise ValueError(msg)
    last = messages[-1]
    if len(messages) == 1:
        return await store(wire, last.subject, last.body, last.headers, last.id, None, None, timeout)
    batch = secrets.token_hex(16)
    for number, message in enumerate(messages[:-1], 1):
        await wire.send(message.subject, message.body, headers=_in_batch(message, batch, number))
    headers = _in_batch(last, batch, len(messages))
    headers["Nats-Batch-Commit"] = "1"
    return _stored(last.subject, await wire.ask(last.subject, last.body, headers, timeout=timeout))


def _in_batch(message: ToStore, batch: str, number: int) -> dict[str, str]:
    headers = {**message.headers, "Nats-Batch-Id": batch, "Nats-Batch-Sequence": str(number)}
    if message.id:
        headers[HEADER_ID] = message.id
    return headers


def _stored(subject: str, answer: Arrival) -> Stored:
    try:
        said = cast("Json", json.loads(answer.data))
        error = said.get("error")
        if error is None:
            return Stored(said["seq"], said.get("duplicate", False))
    except (ValueError, KeyError, AttributeError):
        raise NoStream(subject, answer.data) from None
    code, description = error.get("err_code", 0), error.get("description", "")
    if code in _WRONG_SEQUENCE:
        raise WrongSequence(subject, code, description)
    if code == _BATCH_DUPLICATE:
        raise BatchDuplicate(subject, code, description)
    raise StoreRefused(subject, code, description)


async def last(wire: Wire, stream: str, subject: str, timeout: float) -> StoredMessage | None:
    """The last message of a subject, by direct get. Raises `NoResponders` where there is no such stream."""
    answer = await wire.ask(f"{API}DIRECT.GET.{stream}.{subject}", b"", timeout=timeout)
    if is_stored(answer):
        return from_direct(answer)
    status = status_of(answer)
    if status == _NOT_FOUND:
        return None
    raise BusError(f"stream {stream!r} does not give the last message of {subject!r}: status {status!r}")


async def subjects(wire: Wire, stream: str, subject: str, timeout: float) -> dict[str, int]:
    """Subjects that match and their number of messages, page by page."""
    found: dict[str, int] = {}
    while True:
        question: Json = {"subjects_filter": subject, "offset": len(found)}
        answer = await ask_api(wire, f"STREAM.INFO.{stream}", question, timeout=timeout)
        page = cast("dict[str, int] | None", answer["state"].get("subjects"))
        if not page:
            return found
        found.update(page)
        if len(found) >= answer.get("total", 0):
            return found


async def ack_floor(wire: Wire, stream: str, consumer: str, timeout: float) -> int:
    """See `Bus.ack_floor`. Raises `ApiError` when the consumer does not exist."""
    # The end of the stream is asked for first: what is stored between the questions does not count then.
    end = (await stream_state(wire, stream, timeout))["last_seq"]
    info = await ask_api(wire, f"CONSUMER.INFO.{stream}.{consumer}", timeout=timeout)
    floor: int = info["ack_floor"]["stream_seq"]
    # A consumer that has nothing to do is done with everything, also with what it was never meant to see.
    return max(floor, end) if not info["num_pending"] and not info["num_ack_pending"] else floor


async def stream_state(wire: Wire, stream: str, timeout: float) -> Json:
    """The state of a stream as the API tells it: `first_seq`, `last_seq`, `messages` and more."""
    return (await ask_api(wire, f"STREAM.INFO.{stream}", timeout=timeout))["state"]


async def usage(wire: Wire, stream: str, timeout: float) -> Usage:
    """See `Bus.usage`."""
    info = await ask_api(wire, f"STREAM.INFO.{stream}", timeout=timeout)
    state = info["state"]
    return Usage(state["bytes"], info["config"].get("max_bytes", -1), state["first_seq"], state["last_seq"])


async def purge(wire: Wire, stream: str, before: int, subject: str, timeout: float) -> int:
    """See `Bus.purge`."""
    question: Json = {"seq": before} if subject == ">" else {"seq": before, "filter": subject}
    answer = await ask_api(wire, f"STREAM.PURGE.{stream}", question, timeout=timeout)
    return int(answer["purged"])


def is_stored(arrival: Arrival) -> bool:
    """Whether a direct get sent a message; one may itself look like a word of the server."""
    return "Nats-Sequence" in (arrival.headers or {})


def from_direct(arrival: Arrival) -> StoredMessage:
    """What a direct get sent: the server says in headers what is not of the message itself."""
    headers = cast("Mapping[str, str]", arrival.headers)
    own = {key: value for key, value in headers.items() if key not in _SERVERS_OWN}
    return StoredMessage(
        headers["Nats-Subject"],
        arrival.data,
        own,
        int(headers["Nats-Sequence"]),
        unix_nano(headers["Nats-Time-Stamp"]),
    )


def from_consumer(arrival: Arrival) -> tuple[StoredMessage, int, int]:
    """What a consumer delivered: the message, which attempt it is, and the consumer's own count of deliveries.

    The rest stands in the reply subject, in two forms: `$JS.ACK.<stream>.<consumer>.` and
    `$JS.ACK.<domain>.<account>.<stream>.<consumer>.`, then attempt, sequence, count, time, pending.
    """
    tokens = arrival.reply.split(".")
    first = 4 if len(tokens) == _TOKENS_OF_OLD_FORM else 6
    attempt, sequence, count, time_unix_nano = (int(token) for token in tokens[first : first + 4])
    message = StoredMessage(arrival.subject, arrival.data, arrival.headers or {}, sequence, time_unix_nano)
    return message, attempt, count


def pending_behind(reply: str) -> int:
    """How many messages a consumer had still to deliver, by a delivery's reply subject; 0 where it does not say."""
    tokens = reply.split(".")
    place = (4 if len(tokens) == _TOKENS_OF_OLD_FORM else 6) + 4
    return int(tokens[place]) if len(tokens) > place and tokens[place].isdigit() else 0


_TOKENS_OF_OLD_FORM = 9


def unix_nano(text: str) -> int:
    """Nanoseconds since 1970 of a UTC time as the server writes it, such as `2026-01-02T03:04:05.123456789Z`."""
    fraction = text[20:-1] if len(text) > 20 else ""
    return _unix_seconds(text[:19]) * 1_000_000_000 + int(fraction.ljust(9, "0"))


@lru_cache(maxsize=64)
def _unix_seconds(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp())


def rfc3339(time_unix_nano: int) -> str:
    """A time as the server reads it."""
    seconds, nanos = divmod(time_unix_nano, 1_000_000_000)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{nanos:09d}Z"
