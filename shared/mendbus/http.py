"""The smallest HTTP server that answers health questions: `/livez`, `/readyz` and `/metrics`."""

import asyncio
import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, Final, NamedTuple


class Page(NamedTuple):
    """A text that is no JSON."""

    content_type: str
    text: str


Answer = tuple[bool, Mapping[str, Any] | Page]
"""Whether all is well (200 or 503), and the JSON, or the page, to say with it."""

_JSON: Final = "application/json"

_REQUEST_SECONDS = 5.0


async def serve_health(host: str, port: int, routes: Mapping[str, Callable[[], Answer]]) -> asyncio.Server:
    """Serves GET for the given paths. `port` 0 takes any free one; see `port_of`. Raises `OSError` if it is taken."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, TimeoutError, ValueError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            async with asyncio.timeout(_REQUEST_SECONDS):
                head = await reader.readuntil(b"\r\n\r\n")
                method, path, *_ = head.split(b"\r\n", 1)[0].decode("latin-1").split(" ")
                writer.write(_respond(method, path.split("?")[0], routes))
                await writer.drain()
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()

    return await asyncio.start_server(handle, host, port, limit=8192)


def port_of(server: asyncio.Server) -> int:
    """The port a server listens on."""
    return int(server.sockets[0].getsockname()[1])


def _respond(method: str, path: str, routes: Mapping[str, Callable[[], Answer]]) -> bytes:
    route = routes.get(path)
    body: Mapping[str, Any] | Page
    if method not in ("GET", "HEAD"):
        status, body = "405 Method Not Allowed", {"error": f"{method} is not answered here, only GET"}
    elif route is None:
        status, body = "404 Not Found", {"error": f"there is no {path}", "paths": sorted(routes)}
    else:
        well, body = route()
        status = "200 OK" if well else "503 Service Unavailable"
    page = body if isinstance(body, Page) else Page(_JSON, json.dumps(body) + "\n")
    content = page.text.encode()
    head = (
        f"HTTP/1.1 {status}\r\nContent-Type: {page.content_type}\r\nContent-Length: {len(content)}\r\n"
        "Connection: close\r\nCache-Control: no-store\r\n\r\n"
    )
    return head.encode() + (b"" if method == "HEAD" else content)
