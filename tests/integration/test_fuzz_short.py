"""A short form of `make fuzz`, the same cases each time: nothing that is nearly right breaks what reads it."""

import asyncio

import pytest
from tests.fuzz import listening, reading, requesting
from tests.fuzz.finding import Going, Tally

CASES = {reading.bytes_of_messages: 1500, reading.policy_files: 150, reading.environments: 300}


@pytest.mark.parametrize("target", CASES, ids=lambda target: target.__name__)
def test_what_reads_text_or_bytes_returns_or_refuses(target: object) -> None:
    """Codec, policy files and settings raise nothing but what they say they raise."""
    tally = Tally(target.__name__, 1)  # type: ignore[attr-defined]
    target(tally, lambda number: number < CASES[target])  # type: ignore[operator, index]
    assert tally.found == []
    assert len(tally.tried) > 1


async def test_whatever_comes_over_http_is_answered_or_closed() -> None:
    """The endpoint goes on answering, and no exception gets out of it."""
    tally = Tally("http", 1)
    await requesting.endpoint(tally, _first(200))
    assert tally.found == []
    assert {"400", "404", "405", "503"} <= set(tally.tried)


async def test_whatever_comes_over_the_bus_work_goes_on() -> None:
    """Five services and an SDK agent log no exception, and every few cases an error is recovered."""
    tally = Tally("subjects", 1)
    async with asyncio.timeout(50):
        await listening.in_memory(tally, _first(200))
    assert tally.found == []
    assert tally.tried["recovered"] == 10


async def test_a_break_is_found() -> None:
    """The fuzzer itself sees what it is for: an exception that nobody expects is a finding that names its case."""
    tally = Tally("planted", 7)

    def break_() -> str:
        raise IndexError("planted")

    tally.attempt(3, b"x", break_, ValueError)
    assert tally.found
    assert "planted, seed 7, case 3: IndexError" in tally.found[0]
    assert tally.chooser(3).random() == Tally("planted", 7).chooser(3).random()


def _first(cases: int) -> Going:
    return lambda number: number < cases
