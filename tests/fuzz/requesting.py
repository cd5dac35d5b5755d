"""The HTTP endpoint of a process: whatever comes, it answers or closes, says no word of its insides, and goes on."""

import asyncio
import re
from typing import Any, Final

from tests.fuzz import mutating
from tests.fuzz.finding import Going, Tally

from mendbus import http, metrics
from mendbus.metrics import Meter

PATHS: Final = ("/livez", "/readyz", "/metrics")
_SECONDS: Final = 8.0
"""Longer than the endpoint waits for a request."""
_EACH: Final = 20
_STATUS: Final = re.compile(rb"HTTP/1\.1 (200|400|404|405|411|413|431|503) [A-Za-z ]+\r\n")


async def endpoint(tally: Tally, going: Going) -> None:
    """The real endpoint on loopback, with bytes that are nearly requests; after each few a request that is one."""
    problems: list[str] = []
    loop = asyncio.get_running_loop()
    before = loop.get_exception_handler()
    loop.set_exception_handler(lambda _, context: problems.append(_told(context)))
    routes = {
        "/livez": lambda: (True, {"live": True}),
        "/readyz": lambda: (False, {"services": {"x": {"ready": False}}}),
        "/metrics": lambda: (True, http.Page(metrics.CONTENT_TYPE, metrics.prometheus([Meter("x")]))),
    }
    server = await http.serve_health("127.0.0.1", 0, routes)
    try:
        async with server:
            port, number = http.port_of(server), 0
            while going(number):
                numbers = range(number, number + _EACH)
                await asyncio.gather(*(_case(tally, port, one, problems) for one in numbers))
                number += _EACH
                answer = await send(port, b"GET /livez HTTP/1.1\r\n\r\n")
                if not answer.startswith(b"HTTP/1.1 200 OK\r\n"):
                    tally.find(number, f"a good request was answered {answer[:100]!r}", "")
    finally:
        loop.set_exception_handler(before)


async def _case(tally: Tally, port: int, number: int, problems: list[str]) -> None:
    given = mutating.request(tally.chooser(number), PATHS)
    try:
        answer = await send(port, given)
    except TimeoutError:
        tally.find(number, f"neither an answer nor an end within {_SECONDS:g} s", given)
        return
    match = _STATUS.match(answer)
    tally.tried[match[1].decode() if match else "closed" if not answer else "FOUND"] += 1
    if answer and not match:
        tally.find(number, f"no answer that a client understands: {answer[:100]!r}", given)
    while problems:
        tally.find(number, problems.pop(), given)


async def send(port: int, given: bytes) -> bytes:
    """What is answered until the other side closes. Raises `TimeoutError`."""
    async with asyncio.timeout(_SECONDS):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            writer.write(given)
            writer.write_eof()
            return await reader.read()
        except ConnectionError:
            # It closed before it had read everything, which it may.
            return b""
        finally:
            writer.close()


def _told(context: dict[str, Any]) -> str:
    return f"an exception nobody handles: {context.get('exception')!r}"
