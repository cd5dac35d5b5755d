"""The sender: one publish in flight, every event until its acknowledgement, whatever the disk does."""

import asyncio
import logging
from pathlib import Path
from typing import Any, cast

import pytest
from tests.unit.sdk.sending import REF, Setup

from mendbus import codec
from mendbus.bus import Bus
from mendbus.contracts.errors import BusClosed, BusTimeout, NoResponders, StoreRefused
from mendbus.contracts.messages import ErrorReported
from mendbus.sdk import sender as module
from mendbus.sdk.disk import DiskKeeper
from mendbus.sdk.reports import Captured
from mendbus.testing import eventually


async def test_what_is_published_is_a_valid_event_with_its_trace() -> None:
    """Subject, id, headers, body and span tell the same story, and the span ends with the acknowledgement."""
    setup = Setup()
    event_id = setup.report("boom", "critical")
    async with setup.running():
        await eventually(lambda: setup.outbox.unsettled == 1)
    message = setup.bus.stored[event_id]
    event = codec.decode(ErrorReported, message.body)
    assert message.subject == "mendbus.v1.error.critical.build_pipeline.b1"
    assert (event.id, event.agent, event.severity) == (event_id, REF, "critical")
    assert (event.metrics, event.checkpoint_id) == ({"cpu_percent": 1.0}, "checkpoint-1")
    [span] = setup.tracer.spans
    assert span.ended
    assert message.headers == {
        "Content-Type": "application/vnd.msgpack",
        "traceparent": span.traceparent,
    }
    assert (span.name, span.kind, span.parent) == ("publish error.critical", "producer", None)
    assert span.attributes == {
        "messaging.system": "nats",
        "messaging.operation.name": "publish",
        "messaging.operation.type": "send",
        "messaging.destination.name": message.subject,
        "messaging.destination.template": "mendbus.v1.error.{severity}.{kind}.{agent}",
        "messaging.message.id": event_id,
        "messaging.nats.sequence": 1,
        "mendbus.agent": "build_pipeline/b1",
        "error.type": "ValueError",
        "exception.message": "boom",
    }


async def test_one_publish_is_in_flight_and_the_rest_goes_as_a_batch() -> None:
    """What gathers during a publish goes together in the next one, counted exactly, with its own sequences."""
    setup = Setup()
    setup.bus.seconds = 0.02
    setup.report("first")
    async with setup.running():
        await asyncio.sleep(0.005)
        for number in range(30):
            setup.report(f"{number % 10}")
        await eventually(lambda: setup.outbox.waiting == 0)
    assert [len(attempt) for attempt in setup.bus.attempts] == [1, 10]
    assert setup.counts() == {"first": 1} | {f"{number}": 3 for number in range(10)}
    entries = setup.outbox._acknowledged.values()
    assert [entry.sequence for entry in entries] == list(range(1, 12))


async def test_repeats_within_a_second_have_no_trace_of_their_own() -> None:
    """A storm makes one trace: later events of the failure carry no traceparent, another failure has its own."""
    setup = Setup()
    async with setup.running():
        setup.report()
        await eventually(lambda: setup.outbox.unsettled == 1)
        setup.report()
        setup.report("other")
        await eventually(lambda: setup.outbox.unsettled == 3)
    traced = ["traceparent" in message.headers for message in setup.bus.stored.values()]
    assert sorted(traced) == [False, True, True]
    assert len(setup.tracer.spans) == 2


@pytest.mark.parametrize(
    "error",
    [BusTimeout("errors", 2.0), NoResponders("errors"), StoreRefused("errors", 10077, "maximum bytes exceeded")],
)
async def test_an_event_is_sent_until_it_is_acknowledged(error: Exception, caplog: pytest.LogCaptureFixture) -> None:
    """After a time-out, no answer or a refusal the same bytes go out under the same id; the log says so once."""
    setup = Setup()
    setup.bus.errors = [error, error]
    event = setup.report()
    async with setup.running():
        await eventually(lambda: setup.outbox.unsettled == 1)
    assert setup.bus.attempts == [[event]] * 3
    assert len([record for record in caplog.records if record.levelno == logging.WARNING]) == 1


async def test_a_lost_answer_is_repaired_by_the_duplicate() -> None:
    """When only the answer was lost, the repeat is answered as a duplicate, which is success."""
    setup = Setup()
    setup.bus.lose_answers = 1
    event = setup.report()
    async with setup.running():
        await eventually(lambda: setup.outbox.unsettled == 1)
    assert setup.bus.attempts == [[event]] * 2
    assert setup.counts() == {"boom": 1}


async def test_a_batch_with_a_duplicate_is_sent_one_by_one() -> None:
    """A batch whose answer was lost is refused as a whole the second time, and its events go as singles."""
    setup = Setup()
    setup.bus.lose_answers = 1
    ids = [setup.report(f"{number}") for number in range(3)]
    async with setup.running():
        await eventually(lambda: setup.outbox.unsettled == 3)
    assert setup.bus.attempts == [ids, ids, *[[event] for event in ids]]
    assert set(setup.counts().values()) == {1}


async def test_one_refused_event_does_not_keep_the_others() -> None:
    """In a batch that cannot be stored each event has its chance, and the refused one alone is tried again."""
    setup = Setup()
    refused = StoreRefused("errors", 10054, "too large")
    setup.bus.errors = [refused, refused]
    ids = [setup.report(f"{number}") for number in range(3)]
    async with setup.running():
        await eventually(lambda: setup.outbox.unsettled == 3)
    assert setup.bus.attempts == [ids, [ids[0]], [ids[1]], [ids[2]], [ids[0]]]


async def test_an_agent_over_its_share_says_so_and_sends_again(caplog: pytest.LogCaptureFixture) -> None:
    """What the server refuses for filling ERRORS stays in the outbox, is told in words, and goes out later."""
    setup = Setup()
    setup.bus.errors = [StoreRefused("errors", 10077, "maximum messages per subject exceeded")] * 3
    event = setup.report()
    async with setup.running():
        await eventually(lambda: setup.outbox.unsettled == 1)
    assert setup.bus.attempts == [[event]] * 4
    assert "since this agent fills ERRORS" in caplog.text
    assert setup.counts() == {"boom": 1}


async def test_nothing_is_sent_while_disconnected_and_all_of_it_later() -> None:
    """Without a connection failures gather and are counted; they go out when it is back."""
    setup = Setup()
    setup.bus.connected = False
    async with setup.running():
        for _ in range(50):
            setup.report()
        await asyncio.sleep(0.05)
        assert setup.bus.attempts == []
        setup.bus.connected = True
        await eventually(lambda: setup.outbox.unsettled == 1)
    assert setup.counts() == {"boom": 50}


async def test_a_closed_connection_ends_the_sender_and_keeps_the_events() -> None:
    """A connection that is gone for good ends the sending; what was under way waits for the next connection."""
    setup = Setup()
    setup.bus.errors = [BusClosed("gone")]
    setup.report()
    with pytest.raises(BusClosed):
        await setup.sender.run(cast("Bus", setup.bus))
    setup.bus.closed = True
    with pytest.raises(BusClosed):
        await setup.sender.run(cast("Bus", setup.bus))
    setup.bus.closed = False
    async with setup.running():
        await eventually(lambda: setup.outbox.unsettled == 1)


async def test_disk_keeps_what_memory_would_lose(tmp_path: Path) -> None:
    """Each state an event goes through is on disk before the next, and a new process goes on with the same bytes."""
    keeper = DiskKeeper(tmp_path, REF.kind, REF.id)
    setup = Setup(keeper)
    setup.bus.errors = [BusTimeout("errors", 2.0)] * 100
    first = setup.report("first")
    setup.report("first")
    async with setup.running():
        await eventually(lambda: setup.bus.attempts)
        setup.bus.connected = False
        second = setup.report("second")
        setup.report("second")
        await eventually(lambda: len(keeper.load()) == 2)
        setup.report("second")
        await asyncio.sleep(0.25)
    sent = keeper.body(first)
    keeper.close()

    keeper = DiskKeeper(tmp_path, REF.kind, REF.id)
    again = Setup(keeper)
    again.outbox.restore(keeper.load())
    async with again.running():
        await eventually(lambda: again.outbox.unsettled == 2)
        third = again.report("third")
        await eventually(lambda: again.outbox.unsettled == 3)
    assert again.counts() == {"first": 2, "second": 3, "third": 1}
    assert again.bus.stored[first].body == sent
    again.outbox.settle([first, second])
    again.sender.keep()
    assert [(entry.id, entry.acknowledged) for entry in keeper.load()] == [(third, True)]
    keeper.close()


async def test_a_broken_disk_does_not_stop_the_sending(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """When the file cannot be written errors go on from memory, and are written once it can; a lost body is told."""
    keeper = DiskKeeper(tmp_path, REF.kind, REF.id)
    setup = Setup(keeper)
    connection, keeper._db = keeper._db, DiskKeeper(tmp_path, "x", "y")._db
    keeper._db.close()
    async with setup.running():
        event = setup.report()
        await eventually(lambda: setup.outbox.unsettled == 1)
        assert "kept in memory meanwhile" in caplog.text
        keeper._db = connection
        setup.sender.keep()
    assert [entry.id for entry in keeper.load()] == [event]
    # The file was emptied by somebody else: what is to be sent again is not there.
    keeper._db.execute("DELETE FROM events")
    setup.outbox.unknown([event])
    again = Setup(keeper)
    again.outbox = setup.outbox
    async with setup.running():
        await eventually(lambda: setup.outbox.waiting == 0)
    assert setup.outbox.counts.shed == 1
    keeper.close()


async def test_shedding_is_told_and_ends_spans(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """What the full outbox sheds is logged with its number, and no span stays open for it."""
    monkeypatch.setattr(module, "_TICK_SECONDS", 0.005)
    setup = Setup()
    setup.outbox.limit = 2
    setup.bus.errors = [BusTimeout("errors", 2.0)]
    setup.report("sent", "warning")
    async with setup.running():
        await eventually(lambda: setup.bus.attempts)
        setup.bus.connected = False
        await asyncio.sleep(0.06)
        for number in range(3):
            setup.report(f"{number}", "fatal")
        tending = asyncio.create_task(setup.sender.tend())
        await eventually(lambda: "2 failure(s) more were shed" in caplog.text)
        tending.cancel()
        await asyncio.gather(tending, return_exceptions=True)
    assert setup.outbox.counts.shed == 2
    setup.sender.close()
    assert [span.error for span in setup.tracer.spans] == ["shed from the full outbox"]


async def test_a_failure_that_cannot_be_encoded_does_not_keep_the_others(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """One report that cannot be put into words is lost alone, and said to be."""
    encode = module.encode

    def picky(captured: Captured, **rest: Any) -> bytes:
        if captured.message == "unspeakable":
            raise TypeError("no words")
        return encode(captured, **rest)

    monkeypatch.setattr(module, "encode", picky)
    setup = Setup()
    for message in ("one", "unspeakable", "two"):
        setup.report(message)
    async with setup.running():
        await eventually(lambda: setup.outbox.unsettled == 2)
    assert setup.counts() == {"one": 1, "two": 1}
    assert (setup.outbox.waiting, setup.outbox.counts.shed) == (0, 1)
    assert "cannot be encoded" in caplog.text
