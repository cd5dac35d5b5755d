"""The NATS client library, made to bear what others send, a connection that just ended, and keys that change."""

import asyncio
import json
import logging
from collections.abc import Callable
from typing import Any, cast

import nats.errors
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.transport import TcpTransport

from mendbus.bus.client import Shows
from mendbus.contracts.errors import CredentialsError

_log = logging.getLogger(__name__)


def _nothing(_: str) -> None:
    """Until somebody asks for something, nobody waits."""


class Unusable(nats.errors.Error):
    """What we have to show cannot be shown, or not there; the library goes on trying after an error of its own kind."""


class ToughClient(Client):
    """A client that neither what others send nor a connection that just ended can break.

    It reads whatever bytes may come: an exception there would end the reader of the whole connection.
    """

    def __init__(self, credentials: Shows | None = None) -> None:
        super().__init__()
        self._ps = cast("Any", _Parser(self))
        self._credentials = credentials
        self.on_forbidden: Callable[[str], None] = _nothing

    def _connect_command(self) -> bytes:
        """Shows the key that stands in the file now: one that was renewed counts from the next attempt on."""
        found = self._credentials
        if found is not None:
            try:
                public, answer = found.proof()
                tls = found.context() is not None
            except CredentialsError as error:
                raise Unusable(str(error)) from None
            if tls and not self._server_info.get("tls_required"):
                raise Unusable("the server does not speak TLS, and MENDBUS_NATS_CA asks for it")
            cast("Any", self)._public_nkey = public
            self._signature_cb = lambda nonce: answer(nonce).encode()
        return cast("bytes", cast("Any", super())._connect_command())

    async def _process_err(self, err_msg: str) -> None:
        kind, _, subject = err_msg.strip("'").partition(' to "')
        if kind.lower() == "permissions violation for publish":
            self.on_forbidden(subject.partition('"')[0])
        # A violation names a subject, which may contain any word; it says nothing of who the user is.
        violation = kind.lower().startswith("permissions violation")
        if self._credentials is not None and not violation and "auth" in err_msg.lower():
            # The library would close for good; a key may be renewed, so it is shown again and again.
            await self._process_op_err(nats.errors.AuthorizationError())
            return
        await cast("Any", super())._process_err(err_msg.lower())

    async def _connect_to_server(self, s: Any) -> None:
        if isinstance(self._transport, _ToughTransport):
            # An attempt that the server, or we ourselves, refused is left open by the library.
            self._transport.close()
        await super()._connect_to_server(s)
        if type(self._transport) is TcpTransport:
            self._transport = _ToughTransport(self._transport)

    async def _flush_pending(self, force_flush: bool = False) -> Any:
        try:
            return await super()._flush_pending(force_flush)
        except OSError as error:
            # Whoever sends is told nothing: what is in the buffer goes out when the connection is back.
            await self._process_op_err(error)
            flushed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            flushed.set_result(None)
            return flushed

    async def _send_ping(self, future: Any = None) -> None:
        try:
            await cast("Any", super())._send_ping(future)
        except OSError as error:
            # Whoever waits for the answer hears of the loss.
            await self._process_op_err(error)

    def _build_message(
        self, sid: int, subject: bytes, reply: bytes, data: bytes, headers: dict[str, str] | None
    ) -> Msg:
        return Msg(
            _client=cast("Any", self),
            subject=subject.decode("utf-8", "replace"),
            reply=reply.decode("utf-8", "replace"),
            data=data,
            headers=headers,
            _sid=sid,
        )

    async def _process_headers(self, headers: Any) -> dict[str, str] | None:
        try:
            return await cast("Any", super())._process_headers(headers)
        except (ValueError, IndexError) as error:
            _log.warning("headers that are none were left out: %r", error)
            return None


class _ToughTransport(TcpTransport):
    """Says as usual that its socket has gone: uvloop raises `RuntimeError`, which the client takes for a bug."""

    def __init__(self, connected: TcpTransport) -> None:
        super().__init__()
        vars(self).update(vars(connected))

    async def connect_tls(self, uri: Any, ssl_context: Any, buffer_size: int, connect_timeout: int) -> None:
        """As usual; told that it is over TLS, the end of the connection is nothing to warn about."""
        await super().connect_tls(uri, ssl_context, buffer_size, connect_timeout)
        cast("Any", self._io_writer)._protocol._over_ssl = True

    def close(self) -> None:
        """Closes what TLS goes over as well: TLS alone waits for the other side, which may be gone."""
        super().close()
        below = cast("Any", self)._bare_io_writer
        if below is not None and below is not self._io_writer:
            below.close()

    def write(self, payload: bytes) -> None:
        try:
            super().write(payload)
        except RuntimeError as error:
            raise ConnectionResetError(str(error)) from None

    def writelines(self, payload: list[bytes]) -> None:
        try:
            super().writelines(payload)
        except RuntimeError as error:
            raise ConnectionResetError(str(error)) from None


class _Parser:
    """Takes the lines of the server apart where it parts them: at single spaces.

    The client library's own one takes other white space in a subject for the end of it, and then understands no more.
    """

    def __init__(self, client: Client) -> None:
        self._client = cast("Any", client)
        self._buffer = bytearray()

    def reset(self) -> None:
        """Forgets what has come of a line."""
        self._buffer = bytearray()

    async def parse(self, data: bytes) -> None:
        """Handles all that is whole, keeps the rest. Raises `ProtocolError`."""
        buffer = self._buffer
        buffer += data
        start = 0
        while buffer is self._buffer:
            end = buffer.find(b"\r\n", start)
            if end < 0:
                break
            words = bytes(buffer[start:end]).split(b" ")
            following = end + 2
            if words[0] in (b"MSG", b"HMSG"):
                following += int(words[-1]) + 2
                if len(buffer) < following:
                    break
                await self._message(words, bytes(buffer[end + 2 : following - 2]))
            else:
                await self._word(words[0], b" ".join(words[1:]))
            start = following
        del buffer[:start]

    async def _message(self, words: list[bytes], content: bytes) -> None:
        head = int(words[-2]) if words[0] == b"HMSG" else 0
        reply = words[3] if len(words) == (6 if head else 5) else b""
        await self._client._process_msg(int(words[2]), words[1], reply, content[head:], content[:head])

    async def _word(self, word: bytes, rest: bytes) -> None:
        if word == b"PING":
            await self._client._process_ping()
        elif word == b"PONG":
            await self._client._process_pong()
        elif word == b"INFO":
            await self._client._process_info(json.loads(rest))
        elif word == b"-ERR":
            await self._client._process_err(rest.decode("utf-8", "replace"))
        elif word != b"+OK":
            raise nats.errors.ProtocolError
