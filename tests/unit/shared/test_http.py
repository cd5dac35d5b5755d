"""The HTTP server: what it answers, what it refuses, and streams that end with their reader."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from mendbus import http
from mendbus.http import Request, Response, Unfit
from mendbus.testing import eventually


async def exchange(server: asyncio.Server, sent: bytes) -> tuple[int, dict[str, str], bytes]:
    """Sends bytes; the status, the headers and the body of the answer."""
    reader, writer = await asyncio.open_connection("127.0.0.1", http.port_of(server))
    writer.write(sent)
    answer = await asyncio.wait_for(reader.read(), 5)
    writer.close()
    await writer.wait_closed()
    head, _, body = answer.partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    return int(first.split()[1]), dict(line.split(": ", 1) for line in lines), body


@asynccontextmanager
async def served(**how: object) -> AsyncIterator[asyncio.Server]:
    """A server that says what it was asked."""

    async def handle(request: Request) -> Response:
        if request.path == "/unfit":
            raise Unfit(409, "not now")
        if request.path == "/bug":
            raise RuntimeError("a bug")
        return http.as_json([request.method, request.path, dict(request.query), request.body.decode()])

    server = await http.serve("127.0.0.1", 0, handle, **how)  # pyright: ignore[reportArgumentType]
    try:
        yield server
    finally:
        server.close()


async def test_a_request_is_read_whole() -> None:
    """Path and query are decoded, the body is as long as it says, and HEAD gets the head alone."""
    async with served(methods=("GET", "HEAD", "POST"), max_body=10) as server:
        sent = b"POST /a%20b?x=1&y=%C3%A4&x=2 HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\nbody, and more"
        status, headers, body = await exchange(server, sent)
        assert (status, json.loads(body)) == (200, ["POST", "/a b", {"x": "2", "y": "ä"}, "body"])
        assert headers["Connection"] == "close"
        assert headers["Cache-Control"] == "no-store"
        status, headers, body = await exchange(server, b"HEAD /a HTTP/1.0\r\n\r\n")
        assert (status, body) == (200, b"")
        assert int(headers["Content-Length"]) > 0


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"nonsense\r\n\r\n", 400),
        (b"GET / FTP/1.1\r\n\r\n", 400),
        (b"GET http://elsewhere/ HTTP/1.1\r\n\r\n", 400),
        (b"GET /%ff HTTP/1.1\r\n\r\n", 400),
        (b"GET /?" + b"&".join(b"a=1" for _ in range(65)) + b" HTTP/1.1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nhost: b\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost : a\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nContent-Length: -1\r\n\r\n", 400),
        (b"GET /unfit HTTP/1.1\r\n\r\n", 409),
        (b"PATCH / HTTP/1.1\r\n\r\n", 405),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", 411),
        (b"POST / HTTP/1.1\r\nContent-Length: 11\r\n\r\n", 413),
        (b"GET / HTTP/1.1\r\nX: " + b"x" * 9000 + b"\r\n\r\n", 431),
        (b"GET /bug HTTP/1.1\r\n\r\n", 500),
    ],
)
async def test_what_does_not_fit_is_refused_in_a_sentence(sent: bytes, status: int) -> None:
    """Each has a status of its own and says why; a bug of the handler is not told to the client."""
    async with served(methods=("GET", "POST"), max_body=10) as server:
        found, headers, body = await exchange(server, sent)
        assert found == status
        assert "a bug" not in json.loads(body)["error"]
        assert ("Allow" in headers) == (status == 405)


async def test_only_so_many_are_served_at_once() -> None:
    """Who comes when all places are taken is told so, and does not wait."""
    async with served(at_once=1) as server:
        _, holding = await asyncio.open_connection("127.0.0.1", http.port_of(server))

        async def turned_away() -> bool:
            return (await exchange(server, b"GET / HTTP/1.0\r\n\r\n"))[0] == 503

        assert await eventually(turned_away)
        holding.close()
        await holding.wait_closed()


def conversations() -> int:
    """Connections that the server still has to do with."""
    names = [getattr(task.get_coro(), "__qualname__", "") for task in asyncio.all_tasks()]
    return names.count("serve.<locals>.converse")


@pytest.mark.parametrize("streamed", [False, True])
async def test_who_reads_nothing_is_let_go(monkeypatch: pytest.MonkeyPatch, streamed: bool) -> None:
    """What it was to be sent is thrown away with its connection and its place is free, for answers and streams."""
    monkeypatch.setattr(http, "_STALL_SECONDS", 0.05)
    lump = bytes(1 << 20)
    asked: list[str] = []

    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield lump

    async def handle(request: Request) -> Response:
        if request.path == "/small":
            return Response()
        asked.append(request.path)
        return Response(stream=endless()) if streamed else Response(body=lump * 16)

    server = await http.serve("127.0.0.1", 0, handle, at_once=2)
    held = [await asyncio.open_connection("127.0.0.1", http.port_of(server)) for _ in range(2)]
    for _, writer in held:
        writer.write(b"GET / HTTP/1.1\r\n\r\n")

    assert await eventually(lambda: len(asked) == 2)
    assert await eventually(lambda: conversations() == 0)
    assert (await exchange(server, b"GET /small HTTP/1.1\r\n\r\n"))[0] == 200
    for _, writer in held:
        writer.close()
    server.close()


async def test_a_place_is_taken_until_the_connection_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who has been answered but has not taken all of it counts: it holds what it is still to be sent."""
    taken = asyncio.Event()

    async def flushed(_: asyncio.StreamWriter) -> None:
        await taken.wait()

    monkeypatch.setattr(asyncio.StreamWriter, "wait_closed", flushed)
    async with served(at_once=1) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", http.port_of(server))
        writer.write(b"GET / HTTP/1.1\r\n\r\n")
        assert b" 200 " in await reader.readline()
        other, asking = await asyncio.open_connection("127.0.0.1", http.port_of(server))
        asking.write(b"GET / HTTP/1.1\r\n\r\n")
        assert b" 503 " in await other.readline()
        taken.set()
        writer.close()
        asking.close()


@pytest.mark.parametrize(("method", "ends"), [("GET", "given up"), ("POST", "done")])
async def test_a_question_is_given_up_when_its_client_goes_and_an_order_is_not(method: str, ends: str) -> None:
    """What nobody waits for any more holds up nobody else; what was ordered is done to its end."""
    begun, wanted, ended = asyncio.Event(), asyncio.Event(), list[str]()

    async def handle(_: Request) -> Response:
        begun.set()
        try:
            await wanted.wait()
        except asyncio.CancelledError:
            ended.append("given up")
            raise
        ended.append("done")
        return http.as_json("here")

    server = await http.serve("127.0.0.1", 0, handle, methods=("GET", "POST"))
    _, writer = await asyncio.open_connection("127.0.0.1", http.port_of(server))
    # Some send a line's end behind the request: they wait all the same.
    writer.write(f"{method} / HTTP/1.1\r\n\r\n\r\n".encode())
    await asyncio.wait_for(begun.wait(), 5)
    for _ in range(10):
        await asyncio.sleep(0)
    assert not ended
    writer.close()
    await writer.wait_closed()
    if method == "POST":
        wanted.set()
    await eventually(lambda: ended == [ends])
    server.close()


async def test_a_stream_ends_with_its_reader() -> None:
    """What is streamed arrives as it comes; a reader that goes ends the source."""
    ended = asyncio.Event()

    async def numbers() -> AsyncIterator[bytes]:
        try:
            yield b"one\n"
            await asyncio.Event().wait()
        finally:
            ended.set()

    async def handle(_: Request) -> Response:
        return Response(stream=numbers(), content_type="text/plain")

    server = await http.serve("127.0.0.1", 0, handle)
    reader, writer = await asyncio.open_connection("127.0.0.1", http.port_of(server))
    writer.write(b"GET / HTTP/1.1\r\n\r\n")
    head = await reader.readuntil(b"\r\n\r\n")
    assert b"Content-Length" not in head
    assert await reader.readline() == b"one\n"
    writer.close()
    await writer.wait_closed()
    await asyncio.wait_for(ended.wait(), 5)
    server.close()
