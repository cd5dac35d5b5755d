"""Heartbeats to a supervisor: written while the user's loop answers, and by this process alone."""

import asyncio
import os

import pytest

from mendbus.sdk.heartbeat import HEARTBEAT, HEARTBEAT_MS, Heartbeat
from mendbus.testing import eventually


async def test_it_beats_while_it_is_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    """What does not answer any more stops the beats; the environment is cleared for children."""
    reading, writing = os.pipe()
    os.set_blocking(reading, False)
    monkeypatch.setenv(HEARTBEAT, str(writing))
    monkeypatch.setenv(HEARTBEAT_MS, "2")
    heartbeat = Heartbeat()
    assert HEARTBEAT not in os.environ
    assert HEARTBEAT_MS not in os.environ
    hang = asyncio.Event()
    left = 3

    async def answers() -> bool:
        nonlocal left
        left -= 1
        if left < 0:
            hang.set()
            await asyncio.sleep(60)
        return True

    beating = asyncio.create_task(heartbeat.run(answers))
    await asyncio.wait_for(hang.wait(), 5.0)
    assert os.read(reading, 100) == b"..."
    beating.cancel()
    os.close(reading)
    left = 3
    # Nobody reads any more: it ends without a word.
    await asyncio.wait_for(heartbeat.run(answers), 5.0)
    os.close(writing)


@pytest.mark.parametrize("value", ["", "x", "99999"])
async def test_without_a_supervisor_it_does_nothing(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    """A descriptor that is no pipe of ours is never written to."""
    monkeypatch.setenv(HEARTBEAT, value)

    async def answers() -> bool:
        raise AssertionError

    await Heartbeat().run(answers)
    assert await eventually(lambda: True)
