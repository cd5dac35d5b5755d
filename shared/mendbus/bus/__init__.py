"""The bus as the rest of Mendbus sees it: at most once by subject, and stored in streams. Two implementations: `nats`
(the real one) and `memory` (the double for tests and simulation); one behaviour suite runs against both.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol


@dataclass(frozen=True, slots=True)
class Message:
    """A message as it came from the bus; header names as the sender wrote them."""

    subject: str
    body: bytes
    headers: Mapping[str, str]
    reply: str = ""


@dataclass(frozen=True, slots=True)
class StoredMessage:
    """A message kept in a stream; `time_unix_nano` is when the server stored it."""

    subject: str
    body: bytes
    headers: Mapping[str, str]
    sequence: int
    time_unix_nano: int


@dataclass(frozen=True, slots=True)
class Stored:
    """The server's word that a message is kept. `duplicate`: its id was there already, under this sequence."""

    sequence: int
    duplicate: bool = False


@dataclass(frozen=True, slots=True)
class ToStore:
    """One message of an atomic batch."""

    subject: str
    body: bytes
    headers: Mapping[str, str]
    id: str


class Delivery(Protocol):
    """A stored message handed to its consumer, to be acknowledged; kept alive (+WPI) for as long as it is held."""

    @property
    def message(self) -> StoredMessage:
        """What was stored."""
        ...

    @property
    def attempt(self) -> int:
        """1 for the first delivery."""
        ...

    @property
    def pending(self) -> int:
        """Messages that the consumer had not delivered yet when it delivered this one."""
        ...

    async def ack(self) -> None:
        """Done with; the server may forget the delivery. Not awaited on the wire."""
        ...


class Consumption(Protocol):
    """Messages of a durable consumer, pulled as they are taken: what is not taken is not pulled."""

    async def take(self, limit: int) -> Sequence[Delivery]:
        """Waits for at least one delivery, returns at most `limit`. Raises `BusClosed` after `stop`."""
        ...

    def forget(self) -> None:
        """Drops everything held without an answer; the server delivers it again after its ack wait."""
        ...

    async def stop(self) -> None:
        """Stops pulling and forgets what is held."""
        ...


class Subscription(Protocol):
    """A live subscription."""

    async def stop(self) -> None:
        """Stops delivery; messages that have arrived are still handled."""
        ...


Handler = Callable[[Message], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class StreamSpec:
    """A stream as it must be on the server. Sizes in bytes, times in seconds."""

    name: str
    subjects: tuple[str, ...]
    max_age: float = 0.0
    max_bytes: int = -1
    max_msg_size: int = -1
    """Of one message, its headers included; what is larger is refused."""
    max_msgs_per_subject: int | None = -1
    """None: whatever it is on the server."""
    full_subject: Literal["old", "new"] = "old"
    """What goes when a subject holds that many: its oldest, or (with `discard` new) the new one, which is refused."""
    discard: Literal["old", "new"] = "old"
    storage: Literal["file", "memory"] = "file"
    duplicate_window: float = 120.0
    allow_atomic: bool = False
    allow_rollup: bool = False
    allow_ttl: bool = False
    persist_async: bool = False
    replicas: int = 1
    """Servers that keep it; 1 leaves a stream that others have given more as it is."""
    transform: tuple[str, str] | None = None
    """Subject transform (source filter, destination), applied as a message is stored."""


@dataclass(frozen=True, slots=True)
class ConsumerSpec:
    """A durable pull consumer with explicit acknowledgement. `ack_wait` in seconds."""

    stream: str
    name: str
    filters: tuple[str, ...]
    ack_wait: float = 1.0
    max_ack_pending: int = 500


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """An object of a bucket: size in bytes, the SHA-256 of its content, and what its owner noted."""

    name: str
    size: int
    sha256: str
    metadata: Mapping[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True, slots=True)
class Usage:
    """How full a stream is; `max_bytes` is -1 where it has no bound."""

    bytes: int
    max_bytes: int
    first_sequence: int
    last_sequence: int


class Bus(Protocol):
    """What services and agents may ask of the bus. Every wait has a deadline in seconds.

    Errors are those of `mendbus.contracts.errors`: `NoResponders`, `BusTimeout`, `BusClosed`, `StoreRefused`,
    `WrongSequence`, `BatchDuplicate`.
    """

    async def publish(self, subject: str, body: bytes, headers: Mapping[str, str] | None = None) -> None:
        """Sends a message to whoever listens now; at most once."""
        ...

    async def request(
        self, subject: str, body: bytes, headers: Mapping[str, str] | None = None, *, timeout: float
    ) -> Message:
        """Sends a message and waits for one answer. Raises `NoResponders` at once when nobody listens."""
        ...

    async def subscribe(self, subject: str, handler: Handler, *, queue: str = "", concurrency: int = 1) -> Subscription:
        """Calls the handler for each message: in order when `concurrency` is 1, else up to that many at a time.

        With a `queue` each message goes to one member of the group. A handler that raises is logged, never fatal.
        """
        ...

    async def store(
        self,
        subject: str,
        body: bytes,
        headers: Mapping[str, str] | None = None,
        *,
        id: str = "",  # noqa: A002 - the wire's own word
        expected_last: int | None = None,
        ttl: float | None = None,
        timeout: float = 5.0,
    ) -> Stored:
        """Stores a message in the stream that listens on the subject, and waits for the server's word.

        `id` makes a repeat harmless within the stream's duplicate window. `expected_last` is the sequence that the
        subject's last message must have (0: none). `ttl` in seconds, for streams that allow it.
        """
        ...

    async def store_batch(self, messages: Sequence[ToStore], *, timeout: float = 5.0) -> Stored:
        """Stores 1 to 1000 messages all or none; returns the sequence of the last. Raises `BatchDuplicate`."""
        ...

    async def last(self, stream: str, subject: str, *, timeout: float = 2.0) -> StoredMessage | None:
        """The last message stored on a subject, or None."""
        ...

    async def first(self, stream: str, subject: str, start: int = 1, *, timeout: float = 2.0) -> StoredMessage | None:
        """The first message on the matching subjects from a sequence on, or None."""
        ...

    async def subjects(self, stream: str, subject: str, *, timeout: float = 2.0) -> dict[str, int]:
        """Subjects that match the filter and hold messages, each with its number of messages."""
        ...

    def read(
        self,
        stream: str,
        subject: str,
        *,
        start: int = 1,
        since_unix_nano: int | None = None,
        headers_only: bool = False,
        timeout: float = 5.0,
    ) -> AsyncIterator[StoredMessage]:
        """What is stored now on the matching subjects, oldest first, then ends. `timeout`: longest silence."""
        ...

    async def follow(
        self, stream: str, subject: str, handler: Callable[[StoredMessage], Awaitable[None]], *, last_per_subject: bool
    ) -> Subscription:
        """What is stored from now on, in order, after the last of each subject (if asked) - for ever.

        Gaps (a restarted server, a lost connection) are noticed and read again, so a message may come twice.
        """
        ...

    async def ensure(self, streams: Sequence[StreamSpec], consumers: Sequence[ConsumerSpec]) -> list[str]:
        """Creates or updates; returns one sentence for each thing that is there with other settings than asked."""
        ...

    async def missing(self, streams: Sequence[StreamSpec], *, timeout: float = 2.0) -> list[str]:
        """Names of those of the streams that are not on the server."""
        ...

    async def consume(self, spec: ConsumerSpec) -> Consumption:
        """Starts pulling from a durable consumer that exists."""
        ...

    async def ack_floor(self, spec: ConsumerSpec, *, timeout: float = 2.0) -> int:
        """Every stored sequence up to this one that the consumer wants has been acknowledged."""
        ...

    async def usage(self, stream: str, *, timeout: float = 2.0) -> Usage:
        """How full a stream is now."""
        ...

    async def purge(self, stream: str, before: int, subject: str = ">", *, timeout: float = 5.0) -> int:
        """Removes every message below a sequence on the matching subjects; returns how many those were."""
        ...

    async def put_object(
        self, bucket: str, name: str, content: bytes, metadata: Mapping[str, str] | None = None
    ) -> ObjectInfo:
        """Keeps content under a name of an object bucket, replacing what was there."""
        ...

    async def get_object(self, bucket: str, name: str, *, timeout: float = 5.0) -> tuple[ObjectInfo, bytes] | None:
        """Content by name, its digest checked, or None. Raises `ObjectBroken` when the digest does not match."""
        ...

    async def list_objects(self, bucket: str, *, timeout: float = 5.0) -> list[ObjectInfo]:
        """All objects of a bucket."""
        ...

    async def delete_object(self, bucket: str, name: str) -> None:
        """Removes an object; nothing happens when there is none."""
        ...

    async def barrier(self) -> None:
        """Returns when the server has seen everything this connection sent before."""
        ...

    @property
    def closed(self) -> bool:
        """Whether the connection is gone for good."""
        ...

    @property
    def connected(self) -> bool:
        """Whether the server is reachable now."""
        ...

    @property
    def reconnects(self) -> int:
        """How often the connection was lost and came back."""
        ...

    async def close(self) -> None:
        """Closes the connection after what was sent has left. Idempotent."""
        ...
