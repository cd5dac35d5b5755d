"""The outbox: exact counts, stable events, the stated order of shedding."""

import sys
import threading
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, rule

from mendbus.sdk import outbox as module
from mendbus.sdk.entries import RESEND_UNASKED_NS, Entry, must_ask, rank_of
from mendbus.sdk.outbox import ASK_AFTER, BATCH, REPEAT_PAUSE, Outbox
from mendbus.sdk.reports import Captured, Words
from mendbus.sdk.stacks import Link

SEVERITIES = ("warning", None, "error", "critical", "fatal")


def failure(message: str = "boom", severity: str | None = None) -> Captured:
    return Captured((Link("ValueError", message, (), "", ""),), Words(severity), {})  # type: ignore[arg-type]


def add(box: Outbox, message: str = "boom", severity: str | None = None, now_ns: int = 1) -> str:
    return box.add(("ValueError", message, severity or ""), failure(message, severity), now_ns)


def publish(box: Outbox, now: float = 100.0, now_ns: int = 1) -> list[Entry]:
    """Takes a batch and freezes it as the sender does."""
    taken = box.take(now_ns, now, hurry=True)
    for entry in taken:
        entry.captured = None
        entry.body = entry.body or b"%d" % entry.count
    return taken


def test_repeats_are_counted_into_what_waits() -> None:
    """While a failure waits its repeats change its count and latest time, and get its id."""
    box = Outbox()
    event = add(box, now_ns=5)
    assert add(box, now_ns=7) == event
    assert box.count_repeat(("ValueError", "boom", ""), 9) == event
    assert box.count_repeat(("ValueError", "other", ""), 9) is None
    [entry] = box.take(10, 0.0)
    assert (entry.count, entry.first_ns, entry.last_ns) == (3, 5, 9)
    assert add(box) != event
    assert box.counts.reported == 4


def test_the_gravest_go_first_and_a_batch_is_bounded() -> None:
    """A batch holds at most a hundred events and half a mebibyte, graver ones before others, older before newer."""
    box = Outbox()
    for number in range(120):
        add(box, f"w{number}", "warning")
    add(box, "c", "critical")
    add(box, "f", "fatal")
    taken = box.take(1, 0.0)
    assert [entry.severity for entry in taken[:3]] == ["fatal", "critical", "warning"]
    assert len(taken) == BATCH
    assert len(box.take(1, 0.0)) == 22
    large = Outbox()
    for number in range(3):
        add(large, f"{number}" + "x" * 300_000)
    assert len(large.take(1, 0.0)) == 1


def test_repeats_of_what_was_just_published_wait_a_moment() -> None:
    """The next event of a failure is not handed out at once, unless the agent is in a hurry to stop."""
    box = Outbox()
    add(box)
    assert len(box.take(1, 10.0)) == 1
    add(box)
    assert box.take(1, 10.0) == []
    assert box.next_due(10.0) == pytest.approx(REPEAT_PAUSE)
    add(box, "other")
    assert len(box.take(1, 10.0)) == 1
    assert len(box.take(1, 10.0, hurry=True)) == 1
    add(box)
    assert len(box.take(1, 10.1)) == 1
    assert box.next_due(10.1) is None


def test_what_was_not_acknowledged_is_sent_again_unchanged() -> None:
    """A released event keeps its id and count; later repeats are another event."""
    box = Outbox()
    add(box)
    [first] = publish(box)
    other = add(box)
    box.release([first])
    again = publish(box)
    assert [(entry.id, entry.count) for entry in again] == [(first.id, 1), (other, 1)]


def test_the_oldest_of_the_least_severity_is_shed_first() -> None:
    """Warnings go before errors and unsaid ones, then critical, fatal last; the new one takes part."""
    box = Outbox(limit=5)
    for number, severity in enumerate(("fatal", "critical", "error", None, "warning")):
        add(box, f"{number}", severity)
    gone: list[str] = []
    for number in range(5, 10):
        before = {entry.id: entry for pending in box._pending for entry in pending.values()}
        add(box, f"{number}", "fatal")
        after = {entry.id for pending in box._pending for entry in pending.values()}
        gone += [entry.captured.message for key, entry in before.items() if key not in after and entry.captured]
    assert gone == ["4", "2", "3", "1", "0"]
    assert box.counts.shed == 5
    late = add(box, "late", "warning")
    assert not box.holds(late)
    assert box.counts.shed == 6


def test_what_is_in_flight_is_never_shed() -> None:
    """An event under way stays, whatever comes meanwhile."""
    box = Outbox(limit=2)
    add(box, "a", "warning")
    [entry] = publish(box)
    for number in range(5):
        add(box, f"{number}", "fatal")
    assert box.holds(entry.id)
    box.acknowledge(entry, 1, 0.0)
    assert box.counts.acknowledged == 1


def test_bytes_are_bounded_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few large events are shed as many small ones are."""
    monkeypatch.setattr(module, "MAX_BYTES", 10_000)
    box = Outbox()
    for number in range(20):
        add(box, f"{number}" + "x" * 2000)
    assert 0 < box.waiting < 5
    assert box.counts.shed == 20 - box.waiting


def test_acknowledged_copies_have_a_bound_of_their_own() -> None:
    """Copies of stored events never keep new ones out, nor are they shed for them; the oldest copy is forgotten."""
    box = Outbox(limit=3)
    for number in range(5):
        add(box, f"{number}")
        [entry] = publish(box)
        box.acknowledge(entry, number + 1, 0.0)
    assert box.unsettled == 3
    assert box.counts.forgotten == 2
    for number in range(3):
        add(box, f"new {number}")
    assert (box.waiting, box.unsettled, box.counts.shed) == (3, 3, 0)


def test_settlements_end_an_event() -> None:
    """Settled and rejected events are forgotten and counted; unknown ids and events never sent are left alone."""
    box = Outbox()
    waiting = add(box, "open")
    for name in ("a", "b", "c"):
        add(box, name)
    entries = [entry for entry in publish(box) if entry.id != waiting]
    box.release([])
    for entry in entries[:2]:
        box.acknowledge(entry, 1, 0.0)
    assert box.settle([entries[0].id, "unheard-of"]) == 1
    assert box.settle([entries[1].id], rejected=True) == 1
    # Settled before its acknowledgement came.
    assert box.settle([entries[2].id]) == 1
    box.acknowledge(entries[2], 9, 0.0)
    assert (box.counts.settled, box.counts.rejected, box.unsettled) == (2, 1, 0)
    fresh = Outbox()
    never_sent = add(fresh)
    assert fresh.settle([never_sent]) == 0


def test_overdue_settlements_are_asked_for() -> None:
    """Thirty seconds after the acknowledgement an event is asked about, and again thirty seconds later."""
    box = Outbox()
    add(box)
    [entry] = publish(box)
    box.acknowledge(entry, 7, 100.0)
    assert box.to_ask(1, 100.0 + ASK_AFTER - 1, 10) == []
    assert box.to_ask(1, 100.0 + ASK_AFTER, 10) == [entry]
    assert box.to_ask(1, 100.0 + ASK_AFTER, 0) == []
    box.still_open([entry.id, "unheard-of"], 130.0)
    assert box.to_ask(1, 130.0, 10) == []
    box.unknown([entry.id, "unheard-of"])
    assert (box.waiting, box.unsettled, box.counts.acknowledged) == (1, 0, 0)
    assert publish(box) == [entry]


def test_old_events_are_sent_again_only_after_asking() -> None:
    """Five minutes after its first sending an event waits for the answer that it is unknown, for each sending anew."""
    box = Outbox()
    add(box)
    [entry] = publish(box, now_ns=10)
    box.release([entry])
    later = 10 + RESEND_UNASKED_NS
    assert publish(box, now_ns=later) == []
    assert box.to_ask(later, 500.0, 10) == [entry]
    box.ask_again_at([entry], 510.0)
    assert box.to_ask(later, 509.0, 10) == []
    box.unknown([entry.id])
    assert publish(box, now_ns=later) == [entry]
    box.release([entry])
    assert publish(box, now_ns=later) == []
    box.still_open([entry.id], 600.0)
    assert (box.waiting, box.unsettled) == (0, 1)
    assert must_ask(entry, 5)


def test_the_outbox_wakes_the_sender_once_per_event() -> None:
    """Each new event wakes the sender, a repeat does not."""
    woken: list[int] = []
    box = Outbox(wake=lambda: woken.append(1))
    add(box)
    add(box)
    add(box, "other")
    assert len(woken) == 2


def test_counts_are_exact_when_many_threads_report() -> None:
    """Reports from many threads, while another takes batches, are all counted."""
    box = Outbox()
    done = threading.Event()
    published: list[int] = []

    def send() -> None:
        finished = False
        while not finished:
            finished = done.is_set()
            for entry in publish(box, now=0.0):
                published.append(entry.count)
                box.acknowledge(entry, 1, 0.0)

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        sender = threading.Thread(target=send)
        sender.start()
        threads = [
            threading.Thread(target=lambda: [add(box, f"{number % 3}") for number in range(2000)]) for _ in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        done.set()
        sender.join()
    finally:
        sys.setswitchinterval(interval)
    assert sum(published) == box.counts.reported == 8000


class Machine(RuleBasedStateMachine):
    """Reports, sendings, losses and settlements in any order; what a stream would hold is kept beside."""

    flights = Bundle("flights")

    def __init__(self) -> None:
        super().__init__()
        self.box = Outbox(limit=6, keeping=True)
        self.now = 0.0
        self.stored: dict[str, int] = {}
        self.published: dict[str, int] = {}
        self.reported = 0

    @property
    def now_ns(self) -> int:
        return int(self.now * 1e9) + 1

    @rule(message=st.sampled_from("abcdefgh"), severity=st.sampled_from(SEVERITIES))
    def report(self, message: str, severity: str | None) -> None:
        least = [rank_of(e.severity) for p in self.box._pending for e in p.values() if not e.in_flight]
        before = {e.id: rank_of(e.severity) for p in self.box._pending for e in p.values()}
        event = add(self.box, message, severity, self.now_ns)
        self.reported += 1
        lost = [rank for key, rank in before.items() if not self.box.holds(key)]
        assert all(rank <= min([*least, rank_of(severity)]) for rank in lost)
        if not self.box.holds(event):
            assert all(rank >= rank_of(severity) for rank in least)

    @rule(target=flights, hurry=st.booleans())
    def take(self, hurry: bool) -> list[Entry]:
        pending = [entry for entries in self.box._pending for entry in entries.values()]
        unasked = {entry.id for entry in pending if must_ask(entry, self.now_ns)}
        taken = self.box.take(self.now_ns, self.now, hurry=hurry)
        for entry in taken:
            assert entry.id not in unasked
            entry.captured = None
            assert self.published.setdefault(entry.id, entry.count) == entry.count
        return taken

    @rule(flight=flights, keep=st.booleans(), answered=st.booleans())
    def publish(self, flight: list[Entry], keep: bool, answered: bool) -> None:
        for entry in flight:
            if not entry.in_flight:
                continue
            if keep:
                self.stored.setdefault(entry.id, entry.count)
            if keep and answered:
                self.box.acknowledge(entry, 1, self.now)
        self.box.release(flight)

    @rule(seconds=st.sampled_from([0.01, 1.0, 40.0, 400.0]))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @rule(data=st.data(), verdict=st.sampled_from(["settled", "rejected", "open", "unknown"]))
    def answer(self, data: st.DataObject, verdict: str) -> None:
        asked = self.box.to_ask(self.now_ns, self.now, 3)
        if not asked:
            return
        ids = [entry.id for entry in asked if (entry.id in self.stored) == (verdict != "unknown")]
        if verdict == "open":
            self.box.still_open(ids, self.now)
        elif verdict == "unknown":
            self.box.unknown(ids)
        else:
            self.box.settle(ids, rejected=verdict == "rejected")

    @rule()
    def settle_all_stored(self) -> None:
        self.box.settle(list(self.stored))

    @rule()
    def keep(self) -> None:
        dirty, gone = self.box.changes()
        assert not {entry.id for entry in dirty} & set(gone)
        if len(dirty) % 2:
            self.box.mark_again(dirty, gone)

    @invariant()
    def everything_reported_is_somewhere(self) -> None:
        box, counts = self.box, self.box.counts
        unsettled = sum(entry.count for entry in box._acknowledged.values())
        assert counts.reported == self.reported
        assert self.reported == (
            box.waiting_failures() + unsettled + counts.settled + counts.rejected + counts.shed + counts.forgotten
        )

    @invariant()
    def the_bounds_hold(self) -> None:
        in_flight = sum(entry.in_flight for pending in self.box._pending for entry in pending.values())
        assert self.box.waiting <= max(self.box.limit, in_flight) + 3
        assert self.box.unsettled <= self.box.limit

    @invariant()
    def sizes_add_up(self) -> None:
        box = self.box
        assert box._pending_bytes == sum(entry.size for pending in box._pending for entry in pending.values())
        assert box._acknowledged_bytes == sum(entry.size for entry in box._acknowledged.values())


TestMachine = Machine.TestCase
TestMachine.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)


def test_a_kept_outbox_survives_its_process(tmp_path: Path) -> None:
    """Waiting, sent and acknowledged events come back from disk with bodies, counts and state; settled ones do not."""
    from mendbus.sdk.disk import DiskKeeper

    keeper = DiskKeeper(tmp_path, "runtime", "r1")
    box = Outbox(keeping=True)
    for name in ("settled", "stored", "sent", "waiting"):
        add(box, name, "critical")
        if name != "waiting":
            [entry] = publish(box, now_ns=50)
            entry.traceparent = "tp"
            if name != "sent":
                box.acknowledge(entry, 7, 0.0)
            if name == "settled":
                keep(box, keeper)
                box.settle([entry.id])
    keep(box, keeper)
    keeper.close()

    keeper = DiskKeeper(tmp_path, "runtime", "r1")
    again = Outbox(keeping=True)
    entries = keeper.load()
    again.restore(entries)
    stored, sent, waiting = entries
    assert (stored.acknowledged, stored.sequence, stored.severity, stored.count) == (True, 7, "critical", 1)
    assert (sent.acknowledged, sent.first_sent_ns, sent.traceparent) == (False, 50, "tp")
    assert (waiting.first_sent_ns, waiting.acknowledged) == (0, False)
    assert [keeper.body(entry.id) for entry in entries] == [b"1", b"1", b"open 1"]
    assert keeper.body("unheard-of") is None
    assert again.to_ask(60, 0.0, 10) == [stored]
    assert {entry.id for entry in again.take(60, 0.0)} == {sent.id, waiting.id}
    assert again.counts.reported == 3
    keeper.close()


def keep(box: Outbox, keeper: object) -> None:
    dirty, gone = box.changes()
    rows = [(entry, entry.body or b"open %d" % entry.count) for entry in dirty]
    keeper.keep(rows, gone)  # type: ignore[attr-defined]
