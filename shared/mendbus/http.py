"""The smallest HTTP server that does: health questions (`/livez`, `/readyz`, `/metrics`), and pages with live streams.

One request a connection. Every wait has a deadline, and head and body of a request have a bound.
"""

import asyncio
import json
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Final, NamedTuple, TypeVar
from urllib.parse import parse_qsl, unquote, urlsplit

log = logging.getLogger("mendbus")

T = TypeVar("T")


class Page(NamedTuple):
    """A text that is no JSON."""

    content_type: str
    text: str


Answer = tuple[bool, Mapping[str, Any] | Page]
"""Whether all is well (200 or 503), and the JSON, or the page, to say with it."""

JSON: Final = "application/json"

_REQUEST_SECONDS = 5.0
_STALL_SECONDS = 10.0
"""How long a client may take nothing of what it is sent, and how long it may take over what remains at the end."""
_TURNED_AWAY_SECONDS = 1.0
_HEAD_BYTES: Final = 8192
_FIELDS: Final = 64
_ONCE: Final = frozenset(("host", "content-length", "authorization", "origin", "content-type"))
"""Headers of which a second one would leave open which counts."""


@dataclass(frozen=True, slots=True)
class Request:
    """What a client asks. Header names are in small letters, the path is decoded; of a repeated query name the last."""

    method: str
    path: str
    query: Mapping[str, str] = field(default_factory=dict[str, str])
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class Response:
    """What it is answered; `stream` follows the body, for as long as the client stays."""

    status: int = 200
    content_type: str = JSON
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    stream: AsyncIterator[bytes] | None = None


class Unfit(Exception):
    """A request that is answered with an error. Attributes: `status`, `reason` (a sentence)."""

    def __init__(self, status: int, reason: str) -> None:
        self.status = status
        self.reason = reason
        super().__init__(reason)


def as_json(value: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """A response in JSON."""
    return Response(status, JSON, (json.dumps(value) + "\n").encode(), headers or {})


async def serve(
    host: str,
    port: int,
    handle: Callable[[Request], Awaitable[Response]],
    *,
    methods: Sequence[str] = ("GET", "HEAD"),
    max_body: int = 0,
    at_once: int = 1000,
) -> asyncio.Server:
    """Answers each request by `handle`, which may raise `Unfit`. `port` 0 takes any free one; see `port_of`.

    `max_body` in bytes; beyond `at_once` connections more are turned away. Raises `OSError` if the port is taken.
    """
    open_now = 0

    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal open_now
        open_now += 1
        try:
            with suppress(OSError, TimeoutError, asyncio.IncompleteReadError):
                if open_now <= at_once:
                    await _answer(reader, writer, handle, methods, max_body)
                    return
                async with asyncio.timeout(_TURNED_AWAY_SECONDS):
                    # Unread, the request would have the connection reset, and the answer lost.
                    _ = await reader.read(_HEAD_BYTES)
                await _write(writer, as_json({"error": f"{at_once} connections are open, try again later"}, 503))
        finally:
            await _close(writer)
            open_now -= 1

    return await asyncio.start_server(converse, host, port, limit=_HEAD_BYTES)


async def serve_health(host: str, port: int, routes: Mapping[str, Callable[[], Answer]]) -> asyncio.Server:
    """Serves GET for the given paths. `port` 0 takes any free one; see `port_of`. Raises `OSError` if it is taken."""

    async def handle(request: Request) -> Response:
        route = routes.get(request.path)
        if route is None:
            return as_json({"error": f"there is no {request.path}", "paths": sorted(routes)}, 404)
        well, body = route()
        status = 200 if well else 503
        if isinstance(body, Page):
            return Response(status, body.content_type, body.text.encode())
        return as_json(body, status)

    return await serve(host, port, handle)


def port_of(server: asyncio.Server) -> int:
    """The port a server listens on."""
    return int(server.sockets[0].getsockname()[1])


async def _answer(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    handle: Callable[[Request], Awaitable[Response]],
    methods: Sequence[str],
    max_body: int,
) -> None:
    method = ""
    try:
        async with asyncio.timeout(_REQUEST_SECONDS):
            request = await _read(reader, methods, max_body)
        method = request.method
        if method == "POST":
            # What was ordered is done, whether somebody waits for the answer or not.
            response = await handle(request)
        else:
            async with _watching(reader) as gone:
                response = await _unless(gone, handle(request))
    except Unfit as unfit:
        headers = {"Allow": ", ".join(methods)} if unfit.status == HTTPStatus.METHOD_NOT_ALLOWED else {}
        response = as_json({"error": unfit.reason}, unfit.status, headers)
    except (TimeoutError, OSError, asyncio.IncompleteReadError):
        raise
    except Exception:
        log.exception("a request could not be answered")
        response = as_json({"error": "this could not be answered: the service's log says why"}, 500)
    await _write(writer, response, head_only=method == "HEAD")
    if response.stream is not None and method != "HEAD":
        await _stream(reader, writer, response.stream)


async def _read(reader: asyncio.StreamReader, methods: Sequence[str], max_body: int) -> Request:
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.LimitOverrunError:
        raise Unfit(431, f"the head of a request may have {_HEAD_BYTES} bytes") from None
    lines = head[:-4].decode("latin-1").split("\r\n")
    words = lines[0].split(" ")
    if len(words) != 3 or not words[2].startswith("HTTP/1."):
        raise Unfit(400, "this is no HTTP/1 request")
    method, target, _ = words
    if method not in methods:
        raise Unfit(405, f"{method[:16]} is not answered here, only {', '.join(methods)}")
    headers = _headers(lines[1:])
    if "transfer-encoding" in headers:
        raise Unfit(411, "a body needs a Content-Length")
    length = headers.get("content-length", "0")
    if not length.isascii() or not length.isdigit() or len(length) > 12:
        raise Unfit(400, "Content-Length is no number")
    if int(length) > max_body:
        raise Unfit(413, f"a body of {length} bytes is too large: {max_body} are taken")
    try:
        parts = urlsplit(target)
        query = dict(parse_qsl(parts.query, keep_blank_values=True, max_num_fields=_FIELDS, errors="strict"))
        path = unquote(parts.path, errors="strict")
    except ValueError:
        raise Unfit(400, "the address of the request cannot be read") from None
    if not path.startswith("/") or parts.netloc:
        raise Unfit(400, "the path of a request begins with /")
    return Request(method, path, query, headers, await reader.readexactly(int(length)))


def _headers(lines: Sequence[str]) -> dict[str, str]:
    headers: dict[str, str] = {}
    for line in lines:
        name, colon, value = line.partition(":")
        name = name.lower()
        if not colon or not name or name != name.strip() or (name in _ONCE and name in headers):
            raise Unfit(400, "a header of the request is malformed, or stands there twice")
        headers[name] = value.strip()
    return headers


async def _write(writer: asyncio.StreamWriter, response: Response, *, head_only: bool = False) -> None:
    phrase = HTTPStatus(response.status).phrase
    lines = [f"HTTP/1.1 {response.status} {phrase}", f"Content-Type: {response.content_type}"]
    if response.stream is None:
        lines.append(f"Content-Length: {len(response.body)}")
    lines += ["Connection: close", *(f"{name}: {value}" for name, value in response.headers.items())]
    if "Cache-Control" not in response.headers:
        lines.append("Cache-Control: no-store")
    writer.write("\r\n".join([*lines, "", ""]).encode("latin-1") + (b"" if head_only else response.body))
    await _drain(writer)


async def _drain(writer: asyncio.StreamWriter) -> None:
    try:
        async with asyncio.timeout(_STALL_SECONDS):
            await writer.drain()
    except TimeoutError:
        writer.transport.abort()
        raise


async def _close(writer: asyncio.StreamWriter) -> None:
    """Closes a connection once what was written has been taken; what is not taken in time is thrown away."""
    try:
        writer.close()
        with suppress(OSError, TimeoutError):
            async with asyncio.timeout(_STALL_SECONDS):
                await writer.wait_closed()
    finally:
        # Else it waits for its client for ever, and holds what it has to send.
        writer.transport.abort()


@asynccontextmanager
async def _watching(reader: asyncio.StreamReader) -> AsyncGenerator[asyncio.Future[None]]:
    """What is done as soon as the client has gone, for the length of a block."""
    gone = asyncio.ensure_future(_end_of(reader))
    try:
        yield gone
    finally:
        gone.cancel()
        await asyncio.gather(gone, return_exceptions=True)


async def _unless(gone: asyncio.Future[None], work: Awaitable[T]) -> T:
    """What comes of some work, which is given up when its client goes. Raises `ConnectionResetError` then."""
    working = asyncio.ensure_future(work)
    try:
        await asyncio.wait((working, gone), return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise ConnectionResetError("the client has gone")
        return working.result()
    finally:
        if not working.done():
            working.cancel()
            await asyncio.gather(working, return_exceptions=True)


async def _end_of(reader: asyncio.StreamReader) -> None:
    if await reader.read(_HEAD_BYTES):
        # Behind a request there may stand a little more; who goes on sending is no client that waits.
        _ = await reader.read(1)


async def _stream(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, chunks: AsyncIterator[bytes]) -> None:
    """Sends what comes until there is no more, or the client has gone, or takes nothing for a while."""
    try:
        async with _watching(reader) as gone:
            while chunk := await _unless(gone, anext(chunks, b"")):
                writer.write(chunk)
                await _drain(writer)
    finally:
        close = getattr(chunks, "aclose", None)
        if close is not None:
            await close()
