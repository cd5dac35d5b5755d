"""Links between the lab's processes do what their weather says, and the faults of code and network are well formed."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

import pytest
from tests.lab.faults import Fault
from tests.lab.faults.code import CODE
from tests.lab.faults.network import NETWORK
from tests.lab.kinds import KINDS
from tests.lab.links import Link, Weather

from mendbus.contracts.vocabulary import CATEGORIES

Ask = Callable[[], Awaitable[bytes]]


@asynccontextmanager
async def linked() -> AsyncIterator[tuple[Link, Ask]]:
    """A link to a server that says each line twice, and a way to ask it one line over a connection of its own."""

    async def twice(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            writer.write(line.strip() * 2 + b"\n")
        writer.close()

    server = await asyncio.start_server(twice, "127.0.0.1", 0)
    link = Link(server.sockets[0].getsockname()[1], seed=1)
    await link.start()

    async def ask() -> bytes:
        async with asyncio.timeout(2.0):
            reader, writer = await asyncio.open_connection("127.0.0.1", link.port)
            try:
                writer.write(b"word\n")
                return await reader.readline()
            finally:
                writer.close()

    try:
        yield link, ask
    finally:
        await link.stop()
        server.close()


async def test_a_link_that_refuses_refuses_until_it_is_told_otherwise() -> None:
    """A connection is refused by the system itself, and the port is the same afterwards."""
    async with linked() as (link, ask):
        port = link.port
        await link.set(Weather(refuse=True))
        with pytest.raises(ConnectionRefusedError):
            _ = await ask()
        await link.set(Weather())
        assert await ask() == b"wordword\n"
        assert link.port == port


async def test_weather_clears_up_by_itself_after_its_time() -> None:
    """What was set for a while is over after it, and not before."""
    async with linked() as (link, ask):
        begun = time.monotonic()
        await link.set(Weather(refuse=True), seconds=0.2)
        while True:
            try:
                assert await ask() == b"wordword\n"
                break
            except ConnectionRefusedError:
                await asyncio.sleep(0.01)
        assert 0.2 <= time.monotonic() - begun < 1.5


async def test_newer_weather_stays_when_the_time_of_older_weather_is_up() -> None:
    """The time that older weather was set for ends with that weather."""
    async with linked() as (link, ask):
        await link.set(Weather(delay=0.01), seconds=0.05)
        await link.set(Weather(refuse=True))
        await asyncio.sleep(0.1)
        with pytest.raises(ConnectionRefusedError):
            _ = await ask()


async def test_a_link_delays_each_way() -> None:
    """An answer takes the delay of the question and its own."""
    async with linked() as (link, ask):
        await link.set(Weather(delay=0.1))
        begun = time.monotonic()
        assert await ask() == b"wordword\n"
        assert time.monotonic() - begun >= 0.2


async def test_a_link_drops_its_share_of_connections() -> None:
    """About so many of a hundred connections end without an answer, the others are served."""
    async with linked() as (link, ask):
        await link.set(Weather(drop=0.3))
        answers: list[bytes] = []
        for _ in range(100):
            try:
                answers.append(await ask())
            except ConnectionError:
                answers.append(b"")
        assert set(answers) == {b"", b"wordword\n"}
        assert 15 <= answers.count(b"") <= 45


async def test_a_silent_link_takes_connections_and_says_nothing() -> None:
    """The question is swallowed; when the silence ends, so does the connection."""
    async with linked() as (link, _):
        await link.set(Weather(silent=True))
        reader, writer = await asyncio.open_connection("127.0.0.1", link.port)
        writer.write(b"word\n")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                _ = await reader.readline()
        await link.set(Weather())
        async with asyncio.timeout(1.0):
            with suppress(ConnectionResetError):
                assert await reader.read() == b""
        writer.close()


async def test_a_link_truncates_what_is_answered() -> None:
    """So many bytes arrive, then the connection ends."""
    async with linked() as (link, ask):
        await link.set(Weather(truncate=3))
        assert await ask() == b"wor"


async def test_a_link_that_is_cut_breaks_what_is_open() -> None:
    """An open connection ends, and a new one does not last."""
    async with linked() as (link, ask):
        reader, writer = await asyncio.open_connection("127.0.0.1", link.port)
        writer.write(b"word\n")
        assert await reader.readline() == b"wordword\n"
        await link.set(Weather(cut=True))
        async with asyncio.timeout(1.0):
            with suppress(ConnectionResetError):
                assert await reader.readline() == b""
            with suppress(ConnectionError):
                assert await ask() == b""
        writer.close()


async def test_a_lossy_link_breaks_connections_under_way() -> None:
    """With everything lost, a connection is made and ends at the first bytes."""
    async with linked() as (link, ask):
        await link.set(Weather(lose=1.0))
        with suppress(ConnectionError):
            assert await ask() == b""


@pytest.mark.parametrize("fault", [*CODE, *NETWORK], ids=lambda fault: fault.name)
def test_a_fault_is_well_formed(fault: Fault) -> None:
    """It says what it is in known words, and its cases are few and different."""
    cases = fault.cases()
    assert fault.description.endswith(".")
    assert fault.category in CATEGORIES
    assert fault.kinds
    assert {*fault.kinds, *fault.feels} <= set(KINDS)
    assert all(1 <= len(values) <= 4 for values in fault.parameters.values())
    assert len({tuple(sorted(case.items())) for case in cases}) == len(cases)


def test_no_two_faults_have_the_same_name() -> None:
    """A fault is known by its name."""
    names = [fault.name for fault in (*CODE, *NETWORK)]
    assert len(set(names)) == len(names)
