"""Settlements: what ends an event, and what is asked when nothing does."""

import asyncio
from typing import Any

import pytest
from tests.unit.sdk.sending import REF, Setup

from mendbus import codec
from mendbus.bus import Message
from mendbus.contracts.errors import BusTimeout
from mendbus.contracts.ids import new_id
from mendbus.contracts.messages import AgentRef, SettledQuery, SettledReply, Settlement
from mendbus.contracts.subjects import MAX_BODY
from mendbus.sdk import outbox as outbox_module
from mendbus.sdk import settlements as settlements_module
from mendbus.testing import eventually

OURS: dict[str, object] = {"agent": {"kind": "build_pipeline", "id": "b1"}}


async def test_settlements_and_rejections_end_events(caplog: pytest.LogCaptureFixture) -> None:
    """A settlement settles, also one whose outcome this version does not know; a rejection is logged; noise is not."""
    setup = Setup()
    ids = [setup.report(f"{number}") for number in range(4)]
    async with setup.running():
        await eventually(lambda: setup.outbox.unsettled == 4)
    settle = setup.settlements.settlement
    await settle(Message("s", codec.encode(Settlement(agent=REF, event_ids=ids[:1], outcome="recovered")), {}))
    await settle(Message("s", codec.pack(OURS | {"event_ids": ids[1:2], "outcome": "of the future"}), {}))
    assert (setup.outbox.counts.settled, setup.outbox.unsettled) == (2, 2)
    await settle(Message("s", codec.encode(Settlement(agent=REF, event_ids=ids[2:3], outcome="rejected")), {}))
    outcome = OURS | {"incident_id": ids[3], "outcome": "rejected", "reason": "too old"}
    await setup.settlements.outcome(Message("o", codec.pack(outcome | {"outcome": "recovered"}), {}))
    await setup.settlements.outcome(Message("o", codec.pack(outcome), {}))
    assert (setup.outbox.counts.rejected, setup.outbox.unsettled) == (2, 0)
    assert "too old" in caplog.text
    stranger = AgentRef(kind="build_pipeline", id="b2")
    again = setup.report("not theirs")
    setup.outbox.take(setup.now_ns, 1.0)
    await settle(Message("s", codec.encode(Settlement(agent=stranger, event_ids=[again], outcome="recovered")), {}))
    assert setup.outbox.holds(again)
    await settle(Message("s", b"\xc1", {}))
    await settle(Message("s", codec.pack({}), {}))
    await settle(Message("s", codec.pack(OURS), {}))
    assert "not understood" in caplog.text
    caplog.clear()
    await setup.settlements.outcome(Message("o", b"\xc1 rejected", {}))
    assert "not understood" in caplog.text


async def test_an_outcome_is_unpacked_only_if_it_may_be_a_rejection(monkeypatch: pytest.MonkeyPatch) -> None:
    """Outcomes are large and nearly all of them say something else; the word elsewhere in one is no rejection."""
    setup = Setup()
    unpacked: list[bytes] = []

    def unpack(body: bytes, limit: int) -> dict[str, Any]:
        unpacked.append(body)
        return msgpack_unpack(body, limit)

    msgpack_unpack = codec.unpack
    monkeypatch.setattr(settlements_module.codec, "unpack", unpack)
    event = setup.report()
    setup.outbox.take(setup.now_ns, 1.0)
    told = OURS | {"incident_id": event, "outcome": "recovered"}
    await setup.settlements.outcome(Message("o", codec.pack(told), {}))
    assert not unpacked
    await setup.settlements.outcome(Message("o", codec.pack(told | {"reason": "the call was rejected"}), {}))
    assert len(unpacked) == 1
    assert setup.outbox.holds(event)


def test_the_longest_question_fits_into_a_body() -> None:
    """As many ids as are asked at once, with the largest sequences there are, are within the bound of the wire."""
    ids = [new_id() for _ in range(settlements_module._ASK_AT_ONCE)]
    query = SettledQuery(agent=REF, event_ids=ids, sequences=dict.fromkeys(ids, 2**63 - 1))
    assert len(codec.encode(query)) <= MAX_BODY
    assert len(ids) <= 700


async def test_an_overdue_settlement_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """The question names ids and sequences; settled is forgotten, open waits, unknown is sent again under its id."""
    monkeypatch.setattr(settlements_module, "_TICK_SECONDS", 0.005)
    monkeypatch.setattr(outbox_module, "ASK_AFTER", 0.02)
    monkeypatch.setattr(settlements_module, "ASK_AFTER", 0.02)
    setup = Setup()
    ids = [setup.report(f"{number}") for number in range(3)]
    never_asked = "e8"
    asked: list[SettledQuery] = []

    async def answer(body: bytes) -> bytes:
        asked.append(codec.decode(SettledQuery, body))
        if len(asked) > 1:
            return codec.encode(SettledReply(settled=asked[-1].event_ids))
        setup.bus.stored.pop(ids[2])
        return codec.encode(SettledReply(settled=[ids[0], never_asked], open=[ids[1]], unknown=[ids[2], "e9"]))

    setup.bus.answers["settled.build_pipeline.b1"] = answer
    async with setup.running(settlements=True):
        await eventually(lambda: setup.outbox.counts.settled == 3)
    assert asked[0].event_ids == ids
    assert asked[0].sequences == {event: number for number, event in enumerate(ids, start=1)}
    assert setup.bus.attempts == [ids, [ids[2]]]


async def test_questions_without_an_answer_are_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody to ask, or nonsense for an answer, loses nothing: it is asked again later."""
    monkeypatch.setattr(settlements_module, "_TICK_SECONDS", 0.005)
    monkeypatch.setattr(outbox_module, "ASK_AFTER", 0.0)
    setup = Setup()
    setup.report()
    bodies = [b"\xc1", b"\xc1"]

    class Soon:
        def next(self) -> float:
            return 0.0

        def reset(self) -> None: ...

    monkeypatch.setattr(settlements_module, "BackOff", lambda *_: Soon())

    async def answer(body: bytes) -> bytes:
        if bodies:
            return bodies.pop()
        return codec.encode(SettledReply(settled=codec.decode(SettledQuery, body).event_ids))

    async with setup.running(settlements=True):
        await eventually(lambda: setup.outbox.unsettled == 1)
        await asyncio.sleep(0.02)
        setup.bus.answers["settled"] = answer
        await eventually(lambda: setup.outbox.counts.settled == 1)


async def test_an_old_event_is_asked_about_before_it_is_sent_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Over five minutes after its first sending an event goes out again only once it is said to be unknown."""
    monkeypatch.setattr(settlements_module, "_TICK_SECONDS", 0.005)
    setup = Setup()
    setup.bus.errors = [BusTimeout("errors", 2.0)]
    event = setup.report()

    async def answer(_: bytes) -> bytes:
        return codec.encode(SettledReply(unknown=[event]))

    async with setup.running(settlements=True):
        await eventually(lambda: setup.bus.attempts == [[event]])
        setup.now_ns += 400 * 10**9
        await asyncio.sleep(0.1)
        assert setup.bus.attempts == [[event]]
        setup.bus.answers["settled"] = answer
        await eventually(lambda: setup.outbox.unsettled == 1)
    assert setup.bus.attempts == [[event]] * 2
