"""The demo's child processes: whatever they do, the demo is told in words, and they end."""

from pathlib import Path

import pytest

from mendbus.demo import children
from mendbus.demo.children import Child, DemoFailed

ECHO = """
import json, sys
print(json.dumps({"event": "up", "n": 1}), flush=True)
for line in sys.stdin:
    asked = json.loads(line)
    told = {"value": asked["x"]} if asked["do"] == "echo" else {"failed": "ValueError: no"}
    print(json.dumps({"id": asked["id"]} | told), flush=True)
"""
STUBBORN = """
import signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print('{"event": "up"}', flush=True)
time.sleep(60)
"""


async def start(code: str, folder: Path) -> Child:
    """A process that runs some code."""
    return await Child.start("child", ["-c", code], {}, folder / "log")


async def test_events_and_answers_are_told_apart(tmp_path: Path) -> None:
    """An event is found also after it came, an answer belongs to its question, and a failure is an exception."""
    child = await start(ECHO, tmp_path)
    try:
        assert await child.ask("echo", x=[1]) == [1]
        assert (await child.event("up", lambda told: told["n"] == 1, 5.0))["n"] == 1
        with pytest.raises(DemoFailed, match="the child could not break: ValueError: no"):
            await child.ask("break", x=0)
        with pytest.raises(DemoFailed, match=r"said nothing of 'down' for 0\.05 s"):
            await child.event("down", lambda _: True, 0.05)
    finally:
        await child.stop()


async def test_the_end_of_a_process_ends_every_wait_with_its_last_words(tmp_path: Path) -> None:
    """Nobody waits for a deadline when there is nobody left to speak."""
    child = await start("import sys; sys.exit('cannot go on')", tmp_path)
    with pytest.raises(DemoFailed, match=r"the child has ended; its last words:\ncannot go on"):
        await child.event("up", lambda _: True, 30.0)
    await child.stop()


async def test_a_process_that_does_not_end_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Patience has an end."""
    child = await start(STUBBORN, tmp_path)
    await child.event("up", lambda _: True, 10.0)
    monkeypatch.setattr(children, "STOP_SECONDS", 0.1)
    await child.stop()
    with pytest.raises(DemoFailed, match="has ended"):
        await child.event("more", lambda _: True, 5.0)
