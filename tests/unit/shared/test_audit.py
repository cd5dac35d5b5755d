"""The verifier: an untouched journal is whole, and every way of tampering with a stored one is found."""

import hashlib
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mendbus import codec
from mendbus.audit import ChainHead, Report, Retention, Verifier, digest_of
from mendbus.bus import StoredMessage
from mendbus.contracts.journal import Claimed, JournalRecord
from mendbus.contracts.subjects import Subjects

SUBJECTS = Subjects()
DAY = 86_400 * 10**9
NOW = 1_700_000_000 * 10**9
YOUNG = Retention(created_unix_nano=NOW - DAY, max_age_nano=30 * DAY)


def written(chains: list[int]) -> list[StoredMessage]:
    """A journal in which the owners of these partitions wrote one after the other."""
    messages: list[StoredMessage] = []
    last: dict[int, tuple[int, str]] = {}
    for sequence, partition in enumerate(chains, 1):
        number, previous = last.get(partition, (0, ""))
        record = JournalRecord(
            id=f"record-{sequence}",
            time_unix_nano=NOW - DAY + sequence,
            partition=partition,
            number=number + 1,
            owner="selector/x",
            previous=previous,
            entries=[Claimed(owner=f"selector/{sequence}")],
        )
        body = codec.encode(record)
        last[partition] = number + 1, hashlib.sha256(body).hexdigest()
        messages.append(StoredMessage(SUBJECTS.journal(partition), body, {}, sequence, NOW))
    return messages


def forged(message: StoredMessage, **changes: object) -> StoredMessage:
    """The same message with another record in it."""
    record = codec.decode(JournalRecord, message.body)
    return replace(message, body=codec.encode(record.model_copy(update=changes)))


def rehashed(messages: list[StoredMessage]) -> list[StoredMessage]:
    """Every number and digest made right again, as one would who knows how."""
    fixed: list[StoredMessage] = []
    last: dict[str, tuple[int, str]] = {}
    for message in messages:
        number, previous = last.get(message.subject, (0, ""))
        told = forged(message, number=number + 1, previous=previous)
        last[message.subject] = number + 1, digest_of(told.body)
        fixed.append(replace(told, sequence=len(fixed) + 1))
    return fixed


def verdict(
    messages: list[StoredMessage],
    heads: list[ChainHead] | None = None,
    retention: Retention | None = None,
    *,
    whole_stream: bool = True,
) -> Report:
    """What a verifier says that is shown these records."""
    retention = retention or YOUNG._replace(last_sequence=messages[-1].sequence if messages else 0)
    verifier = Verifier(heads or [], retention, NOW, whole_stream=whole_stream)
    for message in messages:
        verifier.take(message)
    return verifier.finish()


def faults(report: Report) -> set[str]:
    return {problem.fault for problem in report.problems}


journals = st.lists(st.integers(0, 2), min_size=2, max_size=25).map(written)


@given(journals)
def test_an_untouched_journal_is_whole(messages: list[StoredMessage]) -> None:
    """Every chain is whole, and its head is that of its last record; a later run confirms all heads."""
    report = verdict(messages)
    assert report.whole
    assert sum(chain.records for chain in report.chains) == len(messages)
    last = {message.subject.rsplit(".", 1)[1]: digest_of(message.body) for message in messages}
    assert {head.chain: head.digest for head in report.heads} == last
    again = verdict(messages, report.heads)
    assert again.whole
    assert all(chain.confirmed == chain.head.number for chain in again.chains if chain.head)


@given(journals, st.data())
def test_a_changed_record_is_found_where_it_is(messages: list[StoredMessage], data: st.DataObject) -> None:
    """A record with other entries is named by the one after it, or, when it is the last, by the earlier head."""
    heads = verdict(messages).heads
    at = data.draw(st.integers(0, len(messages) - 1))
    number = codec.decode(JournalRecord, messages[at].body).number
    messages[at] = forged(messages[at], entries=[Claimed(owner="nobody")])
    follows = any(later.subject == messages[at].subject for later in messages[at + 1 :])
    alone = verdict(messages)
    assert faults(alone) == ({"changed"} if follows else set())
    assert all(p.number == number and p.sequence == at + 1 for p in alone.problems)
    assert not verdict(messages, heads).whole


@given(journals, st.data())
def test_a_changed_byte_is_found(messages: list[StoredMessage], data: st.DataObject) -> None:
    """Whatever byte of whatever record is another one, a verifier that holds the head says so."""
    heads = verdict(messages).heads
    at = data.draw(st.integers(0, len(messages) - 1))
    body = bytearray(messages[at].body)
    body[data.draw(st.integers(0, len(body) - 1))] ^= data.draw(st.integers(1, 255))
    messages[at] = replace(messages[at], body=bytes(body))
    assert not verdict(messages, heads).whole


@given(journals, st.data())
def test_a_removed_record_is_found(messages: list[StoredMessage], data: st.DataObject) -> None:
    """A record that was deleted leaves a hole in the stream, wherever it stood, and a gap in its chain."""
    last = messages[-1].sequence
    at = data.draw(st.integers(0, len(messages) - 1))
    gone = messages.pop(at)
    report = verdict(messages, retention=YOUNG._replace(last_sequence=last))
    assert "deleted" in faults(report)
    assert any(p.fault == "deleted" and p.sequence == gone.sequence for p in report.problems)
    if any(later.subject == gone.subject for later in messages[at:]):
        chain = gone.subject.rsplit(".", 1)[1]
        assert any(p.fault == "missing" and p.chain == chain for p in report.problems)


@given(journals, st.data())
def test_swapped_records_are_found(messages: list[StoredMessage], data: st.DataObject) -> None:
    """Two records of a chain that stand in each other's place do not fit, even under sequences that do."""
    chains = {message.subject for message in messages}
    of = data.draw(st.sampled_from(sorted(chains)))
    places = [index for index, message in enumerate(messages) if message.subject == of]
    if len(places) < 2:
        return
    one, other = data.draw(st.lists(st.sampled_from(places), min_size=2, max_size=2, unique=True))
    a, b = messages[one], messages[other]
    messages[one], messages[other] = replace(b, sequence=a.sequence), replace(a, sequence=b.sequence)
    assert not verdict(messages).whole


@given(journals, st.data())
def test_a_wholly_rewritten_journal_is_found_by_an_earlier_head(
    messages: list[StoredMessage], data: st.DataObject
) -> None:
    """A record changed or removed, and all digests, numbers and sequences made right: only the earlier head tells."""
    heads = verdict(messages).heads
    at = data.draw(st.integers(0, len(messages) - 1))
    if data.draw(st.booleans()):
        messages[at] = forged(messages[at], entries=[Claimed(owner="nobody")])
    else:
        messages.pop(at)
    messages = rehashed(messages)
    assert verdict(messages).whole
    report = verdict(messages, heads)
    assert faults(report) <= {"rewritten", "cut"}
    assert not report.whole


@given(journals, st.data())
def test_what_grew_after_the_head_does_not_matter(messages: list[StoredMessage], data: st.DataObject) -> None:
    """A head from any time before is confirmed by the journal of now."""
    at = data.draw(st.integers(1, len(messages)))
    assert verdict(messages, verdict(messages[:at]).heads).whole


@given(journals, st.data())
def test_a_journal_that_was_cut_off_is_found(messages: list[StoredMessage], data: st.DataObject) -> None:
    """Where the stream was made anew without its newest records, the earlier heads are missing."""
    heads = verdict(messages).heads
    at = data.draw(st.integers(0, len(messages) - 1))
    report = verdict(messages[:at], heads)
    assert faults(report) == {"cut"}


OLD = Retention(NOW - 60 * DAY, 30 * DAY, first_sequence=4, last_sequence=6)


@pytest.mark.parametrize(
    ("retention", "explained"),
    [
        (OLD, True),
        (OLD._replace(created_unix_nano=NOW - 10 * DAY), False),
        (OLD._replace(created_unix_nano=NOW - 10 * DAY, bytes=(1 << 30) - 5, max_bytes=1 << 30), True),
        (OLD._replace(created_unix_nano=NOW - 10 * DAY, bytes=1 << 20, max_bytes=1 << 30), False),
    ],
)
def test_only_retention_explains_a_gap_at_the_start(retention: Retention, explained: bool) -> None:
    """The oldest records may be gone when the stream is older than what it keeps, or full; else they were removed."""
    report = verdict(written([0] * 6)[3:], retention=retention)
    assert report.whole is explained
    assert bool(report.chains[0].notes) is explained
    assert faults(report) == (set() if explained else {"missing"})


def test_a_gap_that_retention_cannot_leave_is_found() -> None:
    """Retention takes the oldest of the whole stream: a chain that lacks its start in the middle of it was robbed."""
    messages = [m for m in written([0, 1, 0, 1, 0, 1]) if m.sequence != 2]
    report = verdict(messages, retention=OLD._replace(first_sequence=1))
    assert faults(report) == {"missing", "deleted"}


def test_a_head_older_than_what_is_kept_proves_nothing() -> None:
    """A head whose record may be gone by age is noted; one that is younger must be there."""
    messages = written([0] * 6)
    old = ChainHead(chain="0", number=2, digest="d", sequence=2, time_unix_nano=NOW - 40 * DAY)
    assert verdict(messages[3:], [old], OLD).whole
    young = old.model_copy(update={"time_unix_nano": NOW - DAY})
    assert faults(verdict(messages[3:], [young], OLD)) == {"missing"}


def test_a_record_in_a_foreign_chain_is_found() -> None:
    """A record of another partition under this one's subject is named, and so are bytes that are no record."""
    messages = written([0, 0, 0])
    messages[1] = forged(messages[1], partition=3)
    assert "misplaced" in faults(verdict(messages))
    messages[1] = replace(messages[1], body=b"\xc1")
    assert "unreadable" in faults(verdict(messages))


def test_one_chain_can_be_verified_alone() -> None:
    """Sequences of other chains are no holes when only one chain is read."""
    messages = [m for m in written([0, 1, 0, 1, 0]) if m.subject.endswith(".0")]
    assert verdict(messages, whole_stream=False).whole
