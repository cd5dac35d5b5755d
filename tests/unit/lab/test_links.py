"""Links carry bytes unharmed in good weather, and do what the weather says in bad."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from tests.lab.links import Link, Weather

LONG = b"x" * 300_000 + b"\n"


@pytest.fixture
async def target() -> AsyncIterator[int]:
    """A server that sends each line back."""

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while line := await reader.readline():
                writer.write(line)
                await writer.drain()
        except ConnectionError:
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(echo, "127.0.0.1", 0, limit=1 << 20)
    async with server:
        yield server.sockets[0].getsockname()[1]


@pytest.fixture
async def link(target: int) -> AsyncIterator[Link]:
    """A link to it."""
    made = Link(target, seed=1)
    await made.start()
    yield made
    await made.stop()


class Client:
    """One connection through a link."""

    def __init__(self, streams: tuple[asyncio.StreamReader, asyncio.StreamWriter]) -> None:
        self.reader, self.writer = streams

    async def ask(self, line: bytes = b"hello\n", seconds: float = 2.0) -> bytes:
        """What comes back; b"" when the connection ended."""
        async with asyncio.timeout(seconds):
            try:
                self.writer.write(line)
                await self.writer.drain()
                return await self.reader.readline()
            except ConnectionError:
                return b""


async def through(link: Link) -> Client:
    return Client(await asyncio.open_connection("127.0.0.1", link.port, limit=1 << 20))


async def test_a_link_carries_every_byte(link: Link) -> None:
    """What comes back is what was sent, on several connections at once."""
    clients = [await through(link) for _ in range(3)]
    assert await asyncio.gather(*(client.ask(LONG) for client in clients)) == [LONG] * 3
    for client in clients:
        client.writer.close()


async def test_a_link_that_refuses_ends_what_is_open_and_lets_nobody_in(link: Link) -> None:
    """Nobody listens, as with a process that is gone; later the same port serves again."""
    client, port = await through(link), link.port
    assert await client.ask() == b"hello\n"
    await link.set(Weather(refuse=True))
    assert await client.ask() == b""
    with pytest.raises(ConnectionRefusedError):
        await through(link)
    await link.set(Weather())
    again = await through(link)
    assert (await again.ask(), link.port) == (b"hello\n", port)
    for one in (client, again):
        one.writer.close()


async def test_a_link_that_is_cut_ends_what_is_open_and_what_comes_new(link: Link) -> None:
    """Somebody listens, and every connection ends at once."""
    client = await through(link)
    assert await client.ask() == b"hello\n"
    await link.set(Weather(cut=True))
    new = await through(link)
    assert (await client.ask(), await new.ask()) == (b"", b"")
    for one in (client, new):
        one.writer.close()


async def test_bytes_on_a_silent_link_vanish_and_never_come_late(link: Link) -> None:
    """No answer and no error; when it is no longer silent the connection ends rather than miss bytes in the middle."""
    client = await through(link)
    await link.set(Weather(silent=True))
    with pytest.raises(TimeoutError):
        await client.ask(seconds=0.1)
    await link.set(Weather())
    assert await client.ask() == b""
    client.writer.close()


async def test_a_slow_link_takes_its_time_both_ways(link: Link) -> None:
    """There and back each take the delay at least, and the bytes are whole."""
    client = await through(link)
    assert await client.ask() == b"hello\n"
    await link.set(Weather(delay=0.05))
    loop = asyncio.get_running_loop()
    begun = loop.time()
    assert await client.ask() == b"hello\n"
    assert loop.time() - begun >= 0.1
    client.writer.close()


async def test_a_lossy_link_ends_about_the_share_of_new_connections(link: Link) -> None:
    """Of many connections about that share end at once, the same ones for the same seed; the others work."""
    await link.set(Weather(drop=0.3))
    answers = []
    for _ in range(60):
        client = await through(link)
        answers.append(await client.ask())
        client.writer.close()
    assert set(answers) == {b"", b"hello\n"}
    assert 8 <= answers.count(b"") <= 30


async def test_a_link_whose_target_is_gone_ends_connections(unused_tcp_port: int) -> None:
    """Who connects meets an end, not a wait."""
    link = Link(unused_tcp_port)
    await link.start()
    client = await through(link)
    assert await client.ask() == b""
    client.writer.close()
    await link.stop()


async def test_nothing_of_a_link_outlives_it(target: int) -> None:
    """After it was stopped no task of it runs and its port is free."""
    before = asyncio.all_tasks()
    link = Link(target)
    await link.start()
    client = await through(link)
    assert await client.ask() == b"hello\n"
    await link.stop()
    client.writer.close()
    assert not {task for task in asyncio.all_tasks() - before if "_pump" in repr(task)}
    with pytest.raises(ConnectionRefusedError):
        await through(link)
