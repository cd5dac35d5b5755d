"""What a running service stands on: its word on an order."""

import asyncio

import pytest
from tests.support import memory_runtime

from mendbus import codec
from mendbus.bus import Message
from mendbus.contracts.errors import ServiceFailed
from mendbus.contracts.messages import SettledQuery
from mendbus.contracts.subjects import HEADER_CODE
from mendbus.runtime import Backlog, Drain, Runtime, Service
from mendbus.testing import eventually


async def start(_: Runtime) -> Drain:
    async def drain() -> None:
        return

    return drain


@pytest.mark.parametrize("kind", ["é", "x" * 65])
async def test_a_subject_that_names_no_agent_is_a_dead_letter(kind: str) -> None:
    """Where each subject is an agent's, one that is not is refused, even if the body names no agent either."""
    heard: list[object] = []

    async def hear(query: SettledQuery, _: Message) -> None:
        heard.append(query)

    async with memory_runtime(Service("executor", "does nothing", start)) as runtime:
        subjects = runtime.subjects
        await runtime.listen(subjects.everyone("settled"), SettledQuery, hear)
        with pytest.raises(ServiceFailed, match="does not end in a kind and an agent id"):
            await runtime.bus.request(f"{subjects.root}.settled.{kind}.v1", codec.pack({"event_ids": []}), timeout=5.0)
        dead = await runtime.bus.last(subjects.stream("DEAD"), subjects.dead("executor"))
        assert dead is not None
        assert dead.headers[HEADER_CODE] == "bad_subject"
        assert heard == []


async def test_what_a_service_did_fits_the_wire() -> None:
    """It names who did it; a detail that is too long is cut where a character ends, an empty one is left out."""
    async with memory_runtime(Service("executor", "does nothing", start)) as runtime:
        refused = runtime.result(ok=False, detail="a" + "ä" * 600)
        assert (refused.ok, refused.service, refused.instance) == (False, "executor", "test")
        assert refused.detail == "a" + "ä" * 499
        done = runtime.result(data={"rows": []})
        assert (done.ok, done.detail, done.data) == (True, None, {"rows": []})


async def test_who_is_behind_hears_the_newest_of_each() -> None:
    """Beyond what may wait, what a newer one of its subject has overtaken is left out; the others keep their order."""
    handled: list[tuple[str, bytes]] = []

    async def handle(message: Message) -> None:
        handled.append((message.subject, message.body))

    backlog = Backlog(4, handle)
    for subject, body in (("a", b"1"), ("b", b"1"), ("a", b"2"), ("c", b"1"), ("a", b"3"), ("b", b"2")):
        await backlog.put(Message(subject, body, {}, ""))
    working = asyncio.create_task(backlog.work())
    await eventually(lambda: len(handled) == 4)
    assert handled == [("a", b"2"), ("c", b"1"), ("a", b"3"), ("b", b"2")]
    assert backlog.left_out == 2
    await backlog.put(Message("a", b"4", {}, ""))
    await eventually(lambda: handled[-1] == ("a", b"4"))
    working.cancel()


async def test_who_answers_does_not_wait_for_what_is_waiting() -> None:
    """Between two messages of a backlog comes what else is to be done."""
    seen: list[int] = []

    async def handle(_: Message) -> None:
        seen.append(turns)

    turns = 0
    backlog = Backlog(100, handle)
    for _ in range(10):
        await backlog.put(Message("a", b"", {}, ""))
    working = asyncio.create_task(backlog.work())
    while len(seen) < 10:
        turns += 1
        await asyncio.sleep(0)
    assert len(set(seen)) == 10
    working.cancel()
