"""The bus on NATS; see `tough` for what the client library would not bear."""

import asyncio
import contextlib
import logging
import random
import ssl
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, cast
from urllib.parse import urlsplit

import nats.errors
from nats.aio.client import Client, Server
from nats.aio.subscription import Subscription as ClientSubscription

from mendbus.bus.asking import Requests
from mendbus.bus.client import Access, BusClient
from mendbus.bus.jetstream import API
from mendbus.bus.tough import ToughClient, Unusable
from mendbus.bus.wire import Arrival, Watcher, check_sendable
from mendbus.contracts.errors import BusClosed, BusError, BusTimeout

_log = logging.getLogger(__name__)

_PING_SECONDS = 10
_WATCH_SECONDS = 2.0
_ECHO_SECONDS = 5
_BEHIND_SECONDS = 60
_BARRIER_SECONDS = 10.0
_CLOSE_SECONDS = 5.0


class NatsBus(BusClient):
    """Implements `Bus` on a NATS connection; made by `connect`."""


async def connect(
    url: str,
    *,
    name: str,
    prefix_inbox: str = "_INBOX",
    on_dead: Callable[[str], None] | None = None,
    connect_timeout: float = 5.0,
    access: Access | None = None,
) -> NatsBus:
    """Connects to one of the servers (comma separated addresses); from then on a lost connection is always tried again.

    `on_dead` is called once, with a sentence, when the connection is gone for good: the process should end.
    The user must be allowed to publish and to subscribe below `prefix_inbox`; `access` names the user, has an inbox
    of its own, and goes before it. Raises `BusError` when there is no connection after `connect_timeout` seconds, and
    `CredentialsError` when the credentials cannot be used.
    """
    early = await connect_early(url, name=name, connect_timeout=connect_timeout, access=access)
    return await early.take(prefix_inbox=prefix_inbox, on_dead=on_dead)


async def connect_early(url: str, *, name: str, connect_timeout: float = 5.0, access: Access | None = None) -> "Early":
    """Connects as `connect` does, and neither sends nor listens: whoever it is for takes it when its time has come."""
    servers = [part.strip() for part in url.split(",") if part.strip()]
    credentials = None if access is None else access.credentials
    link = Link(ToughClient(credentials), API if credentials is None else credentials.api)
    try:
        async with asyncio.timeout(connect_timeout):
            await link.open(servers, name, None if credentials is None else credentials.context())
    except BaseException as error:
        await link.close()
        if isinstance(error, (nats.errors.Error, OSError, TimeoutError)):
            where = ", ".join(_without_credentials(server) for server in servers) or "an empty address"
            if link.unwelcome:
                raise BusError(f"no connection to NATS at {where}: {link.unwelcome}") from None
            msg = (
                f"no connection to NATS at {where} within {connect_timeout:g} s ({link.last_error or error}): "
                "start a server, such as with `mendbus up`, or set NATS_URL to the address of one"
            )
            raise BusError(msg) from None
        raise
    return Early(link, access)


class Early:
    """A connection ahead of its use; kept, like any other, through the loss of a server."""

    def __init__(self, link: "Link", access: Access | None = None) -> None:
        self._link = link
        self._access = access

    @property
    def connected(self) -> bool:
        """Whether it could be taken now."""
        return self._link.connected

    async def take(self, *, prefix_inbox: str = "_INBOX", on_dead: Callable[[str], None] | None = None) -> NatsBus:
        """Makes it a bus, see `connect`; to be called once. Raises `BusError` when it is gone."""
        access = self._access
        try:
            await self._link.begin(prefix_inbox if access is None else access.credentials.inbox, on_dead)
        except BaseException:
            await self._link.close()
            raise
        return NatsBus(self._link) if access is None else NatsBus(self._link, access.signer, access.guard)

    async def close(self) -> None:
        """Closes it; raises nothing."""
        await self._link.close()


def _without_credentials(server: str) -> str:
    return urlsplit(server if "://" in server else f"nats://{server}").netloc.rpartition("@")[2]


class Link:
    """One connection, with its watchdog, its requests and its pings. Implements `Wire`."""

    def __init__(self, client: ToughClient, api: str = API) -> None:
        self.watchers: set[Watcher] = set()
        self.api = api
        self.last_error: Exception | None = None
        self.unwelcome = ""
        """Why the server, or a file, keeps us from connecting; empty while nothing does."""
        self._client = client
        self._on_dead: Callable[[str], None] | None = None
        self._over = ""
        self._up = asyncio.Event()
        self._lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._inbox = ""
        self._requests: Requests | None = None
        self._echoes = 0
        self._reconnects = 0
        self._echoed = asyncio.Event()
        self._watchdog: asyncio.Task[None] | None = None

    async def open(self, servers: list[str], name: str, tls: "ssl.SSLContext | None" = None) -> None:
        """Connects, for as long as it takes."""
        await self._client.connect(
            servers=servers,
            name=name,
            error_cb=self._error,
            disconnected_cb=self._disconnected,
            reconnected_cb=self._reconnected,
            closed_cb=self._closed,
            max_reconnect_attempts=-1,
            reconnect_time_wait=cast("int", 0.25),
            reconnect_to_server_handler=_next_server,
            ping_interval=_PING_SECONDS,
            max_outstanding_pings=2,
            tls=tls,
        )
        self.unwelcome = ""
        self._up.set()

    async def begin(self, prefix_inbox: str, on_dead: Callable[[str], None] | None) -> None:
        """Listens for answers and starts the watchdog."""
        self._on_dead = on_dead
        # The client library takes it with the connection, when it may not be known yet whose that is.
        cast("Any", self._client)._inbox_prefix = bytearray(prefix_inbox.encode())
        self._inbox = self._client.new_inbox()
        self._requests = Requests(f"{self._inbox}.answer", self.send)
        self._client.on_forbidden = self._requests.forbidden
        _ = await self.listen(f"{self._inbox}.answer.*", self._requests.answered)
        _ = await self.listen(f"{self._inbox}.echo", self._echo)
        self._watchdog = asyncio.create_task(self._watch(), name="nats-watchdog")

    @property
    def connected(self) -> bool:
        """Whether the server is reachable now."""
        return not self._over and self._client.is_connected

    @property
    def reconnects(self) -> int:
        """See `Wire`."""
        return self._reconnects

    @property
    def over(self) -> str:
        """Why the connection is gone for good; empty while it is not."""
        return self._over

    def new_inbox(self) -> str:
        """A subject of our own that nobody else uses."""
        return self._client.new_inbox()

    async def send(
        self, subject: str, body: bytes, *, reply: str = "", headers: Mapping[str, str] | None = None
    ) -> None:
        """See `Wire`."""
        if self._over:
            raise BusClosed(self._over)
        check_sendable(subject, body, headers, self._client.max_payload)
        try:
            await self._client.publish(subject, body, reply, cast("dict[str, str] | None", headers))
        except nats.errors.Error as error:
            raise self._translated(error, subject) from None

    async def ask(
        self, subject: str, body: bytes, headers: Mapping[str, str] | None = None, *, timeout: float
    ) -> Arrival:
        """See `Wire`."""
        begun = asyncio.get_running_loop().time()
        if not self._up.is_set() or not self._client.is_connected:
            await self._reachable(subject, timeout)
        return await cast("Requests", self._requests).ask(subject, body, headers, begun, timeout)

    async def listen(self, subject: str, callback: Callable[[Arrival], Awaitable[None]], queue: str = "") -> "Listener":
        """See `Wire`."""
        if self._over:
            raise BusClosed(self._over)
        try:
            # Flow control of what we pull is our own; what we listen to must not be dropped for its size.
            subscription = await cast("Any", self._client).subscribe(subject, queue, callback, pending_bytes_limit=0)
        except nats.errors.Error as error:
            raise self._translated(error, subject) from None
        return Listener(self, self._client, subscription)

    async def barrier(self, timeout: float = _BARRIER_SECONDS) -> None:
        """Returns when the server has seen everything sent before. Raises `BusTimeout`, at once when it is lost."""
        loop = asyncio.get_running_loop()
        begun = loop.time()
        await self._reachable("PING", timeout)
        # The client library writes a ping before what is still in its buffer: only the second one comes after it.
        for _ in range(2):
            # Waited for without ever cancelling it: a late answer to a cancelled ping ends the client's reader.
            pong: asyncio.Future[bool] = loop.create_future()
            await cast("Any", self._client)._send_ping(pong)
            left = max(0.0, begun + timeout - loop.time())
            _ = await asyncio.wait((pong, self._lost), timeout=left, return_when=asyncio.FIRST_COMPLETED)
            if not pong.done():
                raise BusTimeout("PING", round(loop.time() - begun, 3))

    async def close(self) -> None:
        """Closes at once; idempotent, raises nothing."""
        self._end("this connection was closed", log=False)
        if self._watchdog is not None and self._watchdog is not asyncio.current_task():
            self._watchdog.cancel()
            _ = await asyncio.wait((self._watchdog,))
        tasks = self._client_tasks()
        try:
            async with asyncio.timeout(_CLOSE_SECONDS):
                await self._client.close()
        except (TimeoutError, OSError, RuntimeError, AssertionError, nats.errors.Error) as error:
            _log.debug("closing the connection: %r", error)
        for task in tasks:
            task.cancel()
        if tasks:
            _ = await asyncio.wait(tasks, timeout=_CLOSE_SECONDS)

    def _client_tasks(self) -> list["asyncio.Task[Any]"]:
        client = cast("Any", self._client)
        tasks = [client._reading_task, client._flusher_task, client._ping_interval_task, client._reconnection_task]
        tasks += [subscription._wait_for_msgs_task for subscription in client._subs.values()]
        current = asyncio.current_task()
        return [task for task in tasks if task is not None and task is not current]

    async def _reachable(self, subject: str, timeout: float) -> None:
        if self._over:
            raise BusClosed(self._over)
        if not self._client.is_connected:
            # The client library knows before it says so, and what is sent meanwhile would go out much later.
            await self._disconnected()
        if not self._up.is_set():
            try:
                async with asyncio.timeout(timeout):
                    _ = await self._up.wait()
            except TimeoutError:
                raise BusTimeout(subject, timeout) from None
            if self._over:
                raise BusClosed(self._over)

    def _translated(self, error: nats.errors.Error, subject: str) -> BusError:
        if isinstance(error, (nats.errors.ConnectionClosedError, nats.errors.ConnectionDrainingError)):
            return BusClosed(self._over or "the connection is closed")
        if isinstance(error, nats.errors.OutboundBufferLimitError):
            return BusError(f"nothing was sent to {subject!r}: there is no connection and the buffer is full")
        return BusError(f"nothing was sent to {subject!r}: {error!r}")

    async def _error(self, error: Exception) -> None:
        self.last_error = error
        self._look_for_refusal(error)
        # A lost connection is told once, by `_disconnected`; while there is none every attempt fails.
        loss = isinstance(error, (OSError, nats.errors.UnexpectedEOF, nats.errors.StaleConnectionError))
        level = logging.DEBUG if loss or not self._up.is_set() else logging.ERROR
        trace = None if isinstance(error, (nats.errors.Error, OSError)) else error
        _log.log(level, "nats: %s", error or repr(error), exc_info=trace)

    def _look_for_refusal(self, error: Exception) -> None:
        """Says once, aloud, that it is not the network that keeps us away."""
        refusal = ""
        if isinstance(error, Unusable):
            refusal = str(error)
        elif isinstance(error, ssl.SSLError):
            refusal = f"TLS failed ({error}): does MENDBUS_NATS_CA belong to this server?"
        elif "authorization" in str(error).lower() or "authentication" in str(error).lower():
            refusal = (
                "the server does not accept this user (wrong, expired or revoked credentials): see "
                "MENDBUS_NATS_CREDENTIALS; `mendbus nats-config` makes new ones, which are read at the next try"
            )
        if refusal and refusal != self.unwelcome:
            self.unwelcome = refusal
            _log.error("no connection to NATS: %s", refusal)

    async def _disconnected(self) -> None:
        if not self._up.is_set():
            return
        self._up.clear()
        if not self._lost.done():
            self._lost.set_result(None)
        if self._requests is not None:
            self._requests.lost()
        if not self._over:
            _log.warning("the connection to NATS was lost, trying again (%s)", self.last_error or "no reason known")

    async def _reconnected(self) -> None:
        self._lost = asyncio.get_running_loop().create_future()
        self._reconnects += 1
        self.unwelcome = ""
        self._up.set()
        _log.info("connected to NATS again")
        for watcher in list(self.watchers):
            try:
                await watcher.reconnected()
            except BusError as error:
                _log.warning("after a reconnect: %s", error)

    async def _closed(self) -> None:
        self._end(f"the server closed the connection for good ({self._client.last_error or self.last_error})")

    def _end(self, reason: str, *, log: bool = True) -> None:
        """The one way to the end, taken once."""
        if self._over:
            return
        self._over = reason
        self._up.set()
        if self._requests is not None:
            self._requests.over(reason)
        for watcher in list(self.watchers):
            watcher.closed(reason)
        if log:
            _log.critical("the bus is dead: %s", reason)
            if self._on_dead is not None:
                try:
                    self._on_dead(reason)
                except Exception:
                    _log.exception("what should be done about a dead bus failed")

    async def _watch(self) -> None:
        while not self._over:
            await asyncio.sleep(_WATCH_SECONDS)
            reason = await self._sick()
            if reason:
                self._end(reason)

    async def _sick(self) -> str:
        """Why the client is deaf although it does not say so."""
        client = cast("Any", self._client)
        if client.is_closed:
            return f"the NATS client closed the connection ({client.last_error or self.last_error})"
        if client.is_reconnecting and client._reconnection_task.done():
            return "the NATS client stopped trying to reconnect"
        if not client.is_connected:
            return ""
        if client._reading_task.done():
            return "the reader of the NATS client has ended"
        lost = self._lost
        self._echoes += 1
        self._echoed.clear()
        with contextlib.suppress(BusError):
            await self.send(f"{self._inbox}.echo", b"%d" % self._echoes)
        # In steps, so that a process that was stopped for a while still has time to read what came meanwhile. One that
        # is behind hears of everything late, and would be further behind if it were started again.
        waited, silence, heard = 0, 0, client.stats["in_msgs"]
        while silence < _ECHO_SECONDS and waited < _BEHIND_SECONDS:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(1.0):
                    _ = await self._echoed.wait()
                return ""
            if lost.done():
                return ""
            waited += 1
            silence = silence + 1 if client.stats["in_msgs"] == heard else 0
            heard = client.stats["in_msgs"]
        return f"NATS did not bring back our own message within {waited} s"

    async def _echo(self, message: Arrival) -> None:
        if message.data == b"%d" % self._echoes:
            self._echoed.set()


def _next_server(servers: list[Server], _: dict[str, Any]) -> tuple[Server, float]:
    """Any of those that failed least, after a random wait that grows with their failures, up to a second."""
    server = min(servers, key=lambda candidate: candidate.reconnects)
    return server, random.uniform(0.0, min(1.0, 0.05 * 2 ** min(server.reconnects, 6)))


class Listener:
    """A subscription at the client library."""

    def __init__(self, link: Link, client: Client, subscription: ClientSubscription) -> None:
        self._link = link
        self._client = client
        self._subscription = subscription

    async def end(self) -> None:
        """Ends at once: what has arrived and is not handled yet is dropped."""
        with contextlib.suppress(nats.errors.Error):
            await self._subscription.unsubscribe()

    async def finish(self) -> None:
        """Tells the server, and returns when what has arrived until then has been through the callback."""
        if self._link.over:
            return
        subscription = cast("Any", self._subscription)
        if self._link.connected:
            await cast("Any", self._client)._send_unsubscribe(subscription._id)
            with contextlib.suppress(BusError):
                await self._link.barrier()
        await subscription._pending_queue.join()
        await self.end()
