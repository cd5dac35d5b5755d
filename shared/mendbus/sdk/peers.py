"""What an agent hears of its peers, and the breaker that cuts its calls to one that is isolated."""

import functools
import inspect
import logging
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Any, ParamSpec, TypeVar, cast

from mendbus import codec
from mendbus.bus import Message
from mendbus.contracts.errors import MendbusError, Refused
from mendbus.contracts.ids import is_token
from mendbus.contracts.messages import PeerNotice
from mendbus.contracts.subjects import MAX_SERVICE_BODY

log = logging.getLogger("mendbus.sdk")

P = ParamSpec("P")
R = TypeVar("R")


class PeerIsolated(MendbusError):
    """A call to a peer was cut. Attributes: `peer` (`kind/id`); `to`, who does its work now, if anybody."""

    def __init__(self, peer: str, to: str | None) -> None:
        self.peer = peer
        self.to = to
        super().__init__(f"{peer} is isolated" if to is None else f"{peer} has handed over to {to}")


class Peers:
    """Peers that must not be called. Nothing is known of those isolated before this agent connected."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._cut: dict[str, PeerNotice] = {}

    async def notice(self, message: Message) -> None:
        """A `PeerNotice` from the bus."""
        try:
            codec.check_content_type(message.headers)
            self.hear(codec.decode(PeerNotice, message.body, MAX_SERVICE_BODY))
        except Refused as refused:
            log.warning("refused a message on %s: %s", message.subject, refused)

    def hear(self, notice: PeerNotice) -> None:
        """Takes it in, unless something newer is known of the peer."""
        peer = notice.agent.key
        with self._lock:
            known = self._cut.get(peer)
            if known is not None and known.time_unix_nano > notice.time_unix_nano:
                return
            if notice.event == "restored":
                _ = self._cut.pop(peer, None)
            else:
                self._cut[peer] = notice

    def forget(self) -> None:
        """After a time without the bus: a peer cut for ever by a notice that was missed would be the worse error."""
        with self._lock:
            self._cut.clear()

    def check(self, peer: str) -> None:
        """Raises `PeerIsolated` for a peer that must not be called."""
        notice = self._cut.get(peer)
        if notice is not None:
            raise PeerIsolated(peer, notice.to)


class Breaker:
    """A context manager and a decorator around calls to a peer; entering raises `PeerIsolated` while it is cut off."""

    def __init__(self, peers: Peers, peer: str) -> None:
        kind, _, agent = peer.partition("/")
        if not (is_token(kind) and is_token(agent)):
            msg = f"{peer!r} is no peer: kind/id is expected"
            raise ValueError(msg)
        self._peers = peers
        self._peer = peer

    def __enter__(self) -> None:
        self._peers.check(self._peer)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None

    def __call__(self, function: Callable[P, R]) -> Callable[P, R]:
        """The function, synchronous or asynchronous, behind the breaker."""
        if inspect.iscoroutinefunction(function):

            @functools.wraps(function)
            async def call_async(*arguments: Any, **named: Any) -> Any:
                self._peers.check(self._peer)
                return await function(*arguments, **named)

            return cast("Callable[P, R]", call_async)

        @functools.wraps(function)
        def call(*arguments: P.args, **named: P.kwargs) -> R:
            self._peers.check(self._peer)
            return function(*arguments, **named)

        return call
