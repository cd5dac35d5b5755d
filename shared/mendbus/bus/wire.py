"""The narrow face of a NATS connection, over which JetStream is spoken, free of the client library."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Final, Protocol

from mendbus.contracts.errors import BusError

MAX_SUBJECT: Final = 1000
"""Longest subject that is sent, in characters: a line of the protocol has 4096 bytes, and a reply stands in it too."""


class Arrival(Protocol):
    """A message as the client library hands it over."""

    @property
    def subject(self) -> str:
        """Where it was sent."""
        ...

    @property
    def reply(self) -> str:
        """Where an answer goes, or nothing."""
        ...

    @property
    def data(self) -> bytes:
        """The body."""
        ...

    @property
    def headers(self) -> Mapping[str, str] | None:
        """The headers, if it has some."""
        ...


class Listening(Protocol):
    """A subscription of our own protocol work."""

    async def end(self) -> None:
        """Ends at once: what has arrived and is not handled yet is dropped."""
        ...

    async def finish(self) -> None:
        """Tells the server, and returns when what has arrived until then has been through the callback."""
        ...


class Watcher(Protocol):
    """What lives on the connection and wants to know about it."""

    async def reconnected(self) -> None:
        """The connection came back: what was under way is lost, subscriptions stand."""
        ...

    def closed(self, reason: str) -> None:
        """The connection is gone for good."""
        ...

    async def stop(self) -> None:
        """Asked for when the bus is closed."""
        ...


class Wire(Protocol):
    """A connection. Errors: those of `mendbus.contracts.errors`."""

    watchers: set[Watcher]
    api: str
    """Where the JetStream API is asked; an account that has none of its own asks another's under another name."""

    async def send(
        self, subject: str, body: bytes, *, reply: str = "", headers: Mapping[str, str] | None = None
    ) -> None:
        """Sends; while the connection is lost the message waits in a bounded buffer."""
        ...

    async def ask(
        self, subject: str, body: bytes, headers: Mapping[str, str] | None = None, *, timeout: float
    ) -> Arrival:
        """Sends and waits for one answer. Raises `NoResponders`, `BusTimeout`, `BusClosed`.

        Waits for the connection first; if it is lost afterwards, the time-out comes at once.
        """
        ...

    async def listen(self, subject: str, callback: Callable[[Arrival], Awaitable[None]], queue: str = "") -> Listening:
        """Calls back for each message, in order; an exception is logged."""
        ...

    def new_inbox(self) -> str:
        """A subject of our own that nobody else uses."""
        ...

    @property
    def connected(self) -> bool:
        """Whether the server is reachable now."""
        ...

    @property
    def reconnects(self) -> int:
        """How often the connection was lost and came back."""
        ...


STATUS = "Status"


def status_of(message: Arrival) -> str:
    """The three digits of a message by which the server tells something itself, else nothing."""
    headers = message.headers
    return headers.get(STATUS, "") if headers and not message.data else ""


def description_of(message: Arrival) -> str:
    """The server's words in a status message."""
    # The client library files them under a key whose hash is not that of its text.
    return next((value for key, value in (message.headers or {}).items() if key == "Description"), "")


def check_sendable(subject: str, body: bytes, headers: Mapping[str, str] | None, limit: int) -> None:
    """Raises `BusError` for what a server with this limit of bytes would answer by closing the connection for good.

    A subject may be somebody else's word: the reply of a request is sent to wherever the asker said.
    """
    if (
        not subject
        or len(subject) > MAX_SUBJECT
        or subject[0] == "."
        or subject[-1] == "."
        or ".." in subject
        or "*" in subject
        or ">" in subject
        or " " in subject
        or not subject.isprintable()
    ):
        raise BusError(f"nothing was sent to {subject[:100]!r}: it is no subject to send to")
    size = len(body)
    if headers:
        size += _HEADER_FRAME + sum(len(key) + len(value) + 4 for key, value in headers.items())
        if size * _UTF8_MOST > limit:
            size += sum(len(value.encode("utf-8", "replace")) - len(value) for value in headers.values())
    if size > limit:
        raise BusError(f"{size} bytes for {subject!r} are too much, the server takes {limit}")


_HEADER_FRAME: Final = 12
_UTF8_MOST: Final = 4
