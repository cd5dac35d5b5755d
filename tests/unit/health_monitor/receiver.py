"""A webhook's other end: takes requests, checks their signature as a receiver would, answers what it is told to."""

import asyncio
import hashlib
import hmac
import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Receiver:
    """`answers`: statuses to answer with, in turn; then 200. 0: no answer; -1: something that is no HTTP."""

    secret: str = ""
    answers: list[int] = field(default_factory=list[int])
    url: str = ""
    bodies: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    """Of the requests that were answered with 200."""
    headers: list[dict[str, str]] = field(default_factory=list[dict[str, str]])
    """Of all requests, names in lower case."""
    paths: list[str] = field(default_factory=list[str])

    async def take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One request."""
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:] if line)}
        body = await reader.readexactly(int(headers["content-length"]))
        self.headers.append(headers)
        self.paths.append(head[0].split(" ")[1])
        status = self.answers.pop(0) if self.answers else 200
        if status == 200 and not self.genuine(headers, body):
            status = 401
        if status == 200:
            self.bodies.append(json.loads(body))
        if status:
            writer.write(f"HTTP/1.1 {status} so\r\nContent-Length: 0\r\n\r\n".encode() if status > 0 else b"what?\r\n")
        else:
            await reader.read()
        writer.close()

    def genuine(self, headers: dict[str, str], body: bytes) -> bool:
        """Whether whoever sent it has the secret."""
        if not self.secret:
            return True
        text = b"v1:" + headers["mendbus-timestamp"].encode() + b":" + body
        expected = "v1=" + hmac.new(self.secret.encode(), text, hashlib.sha256).hexdigest()
        return hmac.compare_digest(expected, headers.get("mendbus-signature", ""))


@asynccontextmanager
async def receiving(secret: str = "", answers: list[int] | None = None) -> AsyncGenerator[Receiver]:
    """A receiver on a port of its own."""
    receiver = Receiver(secret, answers or [])
    server = await asyncio.start_server(receiver.take, "127.0.0.1", 0)
    try:
        receiver.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/hook?a=b"
        yield receiver
    finally:
        server.close()
