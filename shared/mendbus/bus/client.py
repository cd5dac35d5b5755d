"""The bus as services use it, over one connection: what goes by subject here, what is stored in the modules beside."""

import asyncio
import logging
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from typing import Final, Protocol

from mendbus.bus import (
    ConsumerSpec,
    Handler,
    Message,
    ObjectInfo,
    Stored,
    StoredMessage,
    StreamSpec,
    Subscription,
    ToStore,
    Usage,
    jetstream,
    objects,
    reading,
    topology,
)
from mendbus.bus.following import Following
from mendbus.bus.pull import PullConsumption
from mendbus.bus.serving import Served
from mendbus.bus.wire import Wire
from mendbus.contracts.errors import BusError, ServiceFailed
from mendbus.contracts.subjects import HEADER_SERVICE_ERROR, HEADER_SERVICE_ERROR_CODE

_log = logging.getLogger(__name__)

_CLOSE_SECONDS: Final = 5.0


class Connection(Wire, Protocol):
    """The wire as its owner sees it."""

    @property
    def over(self) -> str:
        """Why the connection is gone for good; empty while it is not."""
        ...

    async def barrier(self) -> None:
        """Returns when the server has seen everything sent before."""
        ...

    async def close(self) -> None:
        """Closes at once; idempotent, raises nothing."""
        ...


class Signs(Protocol):
    """Signs what must be signed."""

    def headers(self, subject: str, body: bytes, headers: Mapping[str, str] | None) -> Mapping[str, str] | None:
        """The headers of a message, with its signature where it is to have one."""
        ...


class Guards(Protocol):
    """Lets through only what is signed, where that is asked for."""

    def before(
        self, subject: str, handler: Handler, answer: Callable[[str, bytes, Mapping[str, str]], Awaitable[None]]
    ) -> Handler:
        """What is to be called instead of the handler of a subject; `answer` publishes a refusal."""
        ...


class Shows(Protocol):
    """What a user shows a server. Raises `CredentialsError` where it cannot be read."""

    @property
    def inbox(self) -> str:
        """Where this user alone may listen for answers."""
        ...

    @property
    def api(self) -> str:
        """Where this user asks JetStream."""
        ...

    def proof(self) -> tuple[str, Callable[[str], str]]:
        """The public key, and what signs a nonce with the secret one; as they are now."""
        ...

    def context(self) -> ssl.SSLContext | None:
        """What TLS needs; None where it is not asked for."""
        ...


class Access(Protocol):
    """What it takes to be somebody on the bus."""

    @property
    def credentials(self) -> Shows:
        """For the server."""
        ...

    @property
    def signer(self) -> Signs:
        """For what is sent."""
        ...

    @property
    def guard(self) -> Guards | None:
        """For what is heard."""
        ...


class BusClient:
    """Implements `Bus` on a connection. `signer`, `guard`: none where signatures are not switched on."""

    def __init__(self, link: Connection, signer: Signs | None = None, guard: Guards | None = None) -> None:
        self._link = link
        self._signer = signer
        self._guard = guard
        self._subscriptions: set[Served] = set()
        self._restoring = topology.Restoring(link)

    async def publish(self, subject: str, body: bytes, headers: Mapping[str, str] | None = None) -> None:
        """See `Bus`. Without a connection messages wait in a buffer of 2 MiB; raises `BusError` when it is full."""
        await self._link.send(subject, body, headers=headers)

    async def request(
        self, subject: str, body: bytes, headers: Mapping[str, str] | None = None, *, timeout: float
    ) -> Message:
        """See `Bus`. Raises `ServiceFailed` when the answer says so."""
        if self._signer is not None:
            headers = self._signer.headers(subject, body, headers)
        answer = await self._link.ask(subject, body, headers, timeout=timeout)
        answered = answer.headers or {}
        if HEADER_SERVICE_ERROR in answered or HEADER_SERVICE_ERROR_CODE in answered:
            code = answered.get(HEADER_SERVICE_ERROR_CODE, "")
            raise ServiceFailed(
                subject, int(code) if code.isascii() and code.isdigit() else 500, answered.get(HEADER_SERVICE_ERROR, "")
            )
        return Message(answer.subject, answer.data, answered, answer.reply)

    async def subscribe(self, subject: str, handler: Handler, *, queue: str = "", concurrency: int = 1) -> Subscription:
        """See `Bus`."""
        if self._guard is not None:
            handler = self._guard.before(subject, handler, self.publish)
        if self._signer is not None:
            handler = _sent_on_purpose(handler)
        served = Served(handler, concurrency)
        await served.start(self._link, subject, queue, self._subscriptions)
        return served

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
        """See `Bus`. `expected_last` is checked before `id`: a repeat of what was stored raises `WrongSequence`."""
        return await jetstream.store(self._link, subject, body, headers, id, expected_last, ttl, timeout)

    async def store_batch(self, messages: Sequence[ToStore], *, timeout: float = 5.0) -> Stored:
        """See `Bus`."""
        return await jetstream.store_batch(self._link, messages, timeout)

    async def last(self, stream: str, subject: str, *, timeout: float = 2.0) -> StoredMessage | None:
        """See `Bus`."""
        return await jetstream.last(self._link, stream, subject, timeout)

    async def first(self, stream: str, subject: str, start: int = 1, *, timeout: float = 2.0) -> StoredMessage | None:
        """See `Bus`."""
        return await reading.first(self._link, stream, subject, start, timeout)

    async def subjects(self, stream: str, subject: str, *, timeout: float = 2.0) -> dict[str, int]:
        """See `Bus`."""
        return await jetstream.subjects(self._link, stream, subject, timeout)

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
        """See `Bus`."""
        if headers_only:
            return reading.read_headers(self._link, stream, subject, start, since_unix_nano, timeout)
        return reading.read(self._link, stream, subject, start, since_unix_nano, timeout)

    async def follow(
        self, stream: str, subject: str, handler: Callable[[StoredMessage], Awaitable[None]], *, last_per_subject: bool
    ) -> Subscription:
        """See `Bus`."""
        following = Following(self._link, stream, subject, handler, last_per_subject=last_per_subject)
        await following.start()
        return following

    async def ensure(self, streams: Sequence[StreamSpec], consumers: Sequence[ConsumerSpec]) -> list[str]:
        """See `Bus`. Raises `BusError` when the server is too old or has no JetStream.

        A stream in memory ends with its server; as long as this bus lives, it makes it anew when the server is back.
        """
        drift = await topology.ensure(self._link, streams, consumers)
        self._restoring.remember(streams, consumers)
        return drift

    async def missing(self, streams: Sequence[StreamSpec], *, timeout: float = 2.0) -> list[str]:
        """See `Bus`."""
        return await topology.missing(self._link, streams, timeout)

    async def consume(self, spec: ConsumerSpec) -> PullConsumption:
        """See `Bus`."""
        consumption = PullConsumption(self._link, spec)
        await consumption.start()
        return consumption

    async def ack_floor(self, spec: ConsumerSpec, *, timeout: float = 2.0) -> int:
        """See `Bus`."""
        return await jetstream.ack_floor(self._link, spec.stream, spec.name, timeout)

    async def usage(self, stream: str, *, timeout: float = 2.0) -> Usage:
        """See `Bus`."""
        return await jetstream.usage(self._link, stream, timeout)

    async def purge(self, stream: str, before: int, subject: str = ">", *, timeout: float = 5.0) -> int:
        """See `Bus`."""
        return await jetstream.purge(self._link, stream, before, subject, timeout)

    async def put_object(
        self, bucket: str, name: str, content: bytes, metadata: Mapping[str, str] | None = None
    ) -> ObjectInfo:
        """See `Bus`."""
        return await objects.put(self._link, bucket, name, content, metadata or {})

    async def get_object(self, bucket: str, name: str, *, timeout: float = 5.0) -> tuple[ObjectInfo, bytes] | None:
        """See `Bus`."""
        return await objects.get(self._link, bucket, name, timeout)

    async def list_objects(self, bucket: str, *, timeout: float = 5.0) -> list[ObjectInfo]:
        """See `Bus`."""
        return await objects.listed(self._link, bucket, timeout)

    async def delete_object(self, bucket: str, name: str) -> None:
        """See `Bus`."""
        await objects.delete(self._link, bucket, name)

    async def barrier(self) -> None:
        """See `Bus`. Raises `BusTimeout` after 10 s, or at once when the connection is lost."""
        await self._link.barrier()

    @property
    def closed(self) -> bool:
        """See `Bus`."""
        return bool(self._link.over)

    @property
    def connected(self) -> bool:
        """See `Bus`."""
        return self._link.connected

    @property
    def reconnects(self) -> int:
        """See `Bus`."""
        return self._link.reconnects

    async def close(self) -> None:
        """See `Bus`. What is still subscribed is ended first; handlers get 5 s to finish."""
        try:
            async with asyncio.timeout(_CLOSE_SECONDS):
                stopping = [*self._subscriptions, *self._link.watchers]
                _ = await asyncio.gather(*(ending.stop() for ending in stopping))
                if self._link.connected:
                    await self._link.barrier()
        except (TimeoutError, BusError) as error:
            _log.warning("what was sent last may not have left: %r", error)
        await self._link.close()


def _sent_on_purpose(handler: Handler) -> Handler:
    """A handler that hears nothing of what the server read from a stream for somebody.

    Whoever asks for it names where it goes to, and could so have anything sent to others of its account.
    """

    async def heard(message: Message) -> None:
        if "Nats-Stream" in message.headers:
            _log.warning(
                "what was read from a stream came to %s: somebody sent it there, it is ignored", message.subject
            )
            return
        await handler(message)

    return heard
