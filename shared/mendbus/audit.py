"""Is the journal what was written? Numbers, hash chain, stream sequences, and heads that were seen earlier.

A chain without a head held elsewhere shows what was changed in the middle of it; whoever rewrites all that follows too
is found by a head (number and digest) from before, whoever cuts the end off as well.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple

from mendbus import codec
from mendbus.bus import StoredMessage
from mendbus.contracts.errors import Refused
from mendbus.contracts.fields import Count, ShortText, Token, UnixNano, WireModel
from mendbus.contracts.journal import JournalRecord
from mendbus.contracts.subjects import MAX_SERVICE_BODY

BUCKET: Final = "heads"
"""Key-value bucket in which the owner of each partition publishes the head of its chain, under the chain's name."""
MAX_PROBLEMS: Final = 1000
_NEARLY_FULL: Final = 2 * MAX_SERVICE_BODY

Fault = Literal["unreadable", "misplaced", "changed", "missing", "reordered", "deleted", "rewritten", "cut"]
"""`changed`: a record does not have the digest its successor states; `missing`: numbers are left out; `reordered`: a
number comes again or too late; `deleted`: a stream sequence is gone; `rewritten`: a record that an earlier head names
has another digest; `cut`: the chain ends before an earlier head; `misplaced`: a record of another partition;
`unreadable`: no record at all."""


class ChainHead(WireModel):
    """The last record of a chain at some time; whoever holds it can later tell whether the chain was rewritten.

    `chain` is the partition's number as text, or `control`; `digest` the SHA-256 (hex) of the record's body.
    """

    chain: Token
    number: Count
    digest: ShortText
    sequence: Count
    time_unix_nano: UnixNano


class Retention(NamedTuple):
    """What the server says of the stream, which alone explains that its oldest records are gone. Times in ns."""

    created_unix_nano: int = 0
    max_age_nano: int = 0
    bytes: int = 0
    max_bytes: int = -1
    first_sequence: int = 1
    last_sequence: int = 0

    def explains(self, since_unix_nano: int, now: int) -> bool:
        """Whether a record written at that time or later may be gone by now without anybody's doing.

        What is older than the stream itself is no excuse: a stream that was made anew has lost records otherwise.
        """
        aged = 0 < self.max_age_nano <= now - max(since_unix_nano, self.created_unix_nano)
        full = 0 < self.max_bytes <= self.bytes + _NEARLY_FULL
        return self.first_sequence > 1 and (aged or full)


class Problem(NamedTuple):
    """Where a chain is not what was written. `number` and `sequence` are 0 where there is none."""

    fault: Fault
    chain: str
    number: int
    sequence: int
    detail: str


class ChainReport(NamedTuple):
    """One chain as it was read. `notes` say what could not be proven either way."""

    chain: str
    records: int
    entries: int
    first: int
    head: ChainHead | None
    confirmed: int
    problems: tuple[Problem, ...]
    notes: tuple[str, ...]

    @property
    def whole(self) -> bool:
        """Whether nothing is wrong with it."""
        return not self.problems


class Report(NamedTuple):
    """The verdict on a journal. `problems` holds those of all chains, and of the stream that they stand in."""

    chains: tuple[ChainReport, ...]
    problems: tuple[Problem, ...]

    @property
    def whole(self) -> bool:
        """Whether nothing is wrong at all."""
        return not self.problems

    @property
    def heads(self) -> list[ChainHead]:
        """What to keep for the next time; only of chains with nothing wrong."""
        return [chain.head for chain in self.chains if chain.head is not None and chain.whole]


@dataclass(slots=True)
class _Chain:
    """What has been read of one chain."""

    name: str
    heads: dict[int, list[ChainHead]]
    problems: list[Problem]
    notes: list[str]
    records: int = 0
    entries: int = 0
    first: int = 0
    confirmed: int = 0
    last: ChainHead | None = None


def digest_of(body: bytes) -> str:
    """SHA-256 (hex) of a record's body, as the next record states it."""
    return hashlib.sha256(body).hexdigest()


def chain_of(subject: str) -> str:
    """The chain's name: the last token of the journal's subject."""
    return subject.rsplit(".", 1)[1]


class Verifier:
    """Reads records in the order of the stream, holding no more than the last of each chain.

    `whole_stream`: all chains are read, so that a hole in the stream's sequences is a deleted record.
    """

    def __init__(
        self, heads: Iterable[ChainHead], retention: Retention, now: int, *, whole_stream: bool = True
    ) -> None:
        self._retention = retention
        self._now = now
        self._whole_stream = whole_stream
        self._chains: dict[str, _Chain] = {}
        self._sequence = 0
        self._holes: list[Problem] = []
        for head in heads:
            self._chain(head.chain).heads.setdefault(head.number, []).append(head)

    @property
    def sequence(self) -> int:
        """The stream sequence of the record read last."""
        return self._sequence

    def take(self, message: StoredMessage) -> None:
        """Looks at the next record."""
        self._look_for_hole(message.sequence)
        chain = self._chain(chain_of(message.subject))
        digest = digest_of(message.body)
        try:
            record = codec.decode(JournalRecord, message.body, MAX_SERVICE_BODY)
        except Refused as refused:
            number = chain.last.number + 1 if chain.last else 0
            self._wrong(chain, "unreadable", number, message.sequence, f"not a record: {refused}")
            if chain.last is not None:
                chain.last = chain.last.model_copy(update={"number": number, "digest": digest})
            return
        if chain.name.isdigit() and record.partition != int(chain.name):
            told = f"a record of partition {record.partition} stands in the chain of {chain.name}"
            self._wrong(chain, "misplaced", record.number, message.sequence, told)
        if chain.last is None:
            self._begin(chain, record, message)
        else:
            self._follow(chain, chain.last, record, message)
        chain.records += 1
        chain.entries += len(record.entries)
        chain.last = ChainHead(
            chain=chain.name,
            number=record.number,
            digest=digest,
            sequence=message.sequence,
            time_unix_nano=record.time_unix_nano,
        )
        self._compare(chain, chain.last)

    def finish(self, first_sequence: int = 0) -> Report:
        """The verdict, when everything has been read; `first_sequence` is the stream's own by now, if it has moved."""
        if self._sequence < self._retention.last_sequence:
            self._look_for_hole(self._retention.last_sequence + 1)
        self._holes = [hole for hole in self._holes if hole.sequence >= first_sequence]
        for chain in self._chains.values():
            for head in (head for heads in chain.heads.values() for head in heads):
                self._unseen(chain, head)
        ordered = sorted(self._chains.values(), key=lambda chain: (len(chain.name), chain.name))
        reports = tuple(
            ChainReport(
                chain.name,
                chain.records,
                chain.entries,
                chain.first,
                chain.last,
                chain.confirmed,
                tuple(chain.problems),
                tuple(chain.notes),
            )
            for chain in ordered
        )
        problems = [problem for chain in ordered for problem in chain.problems]
        return Report(reports, (*problems, *self._holes))

    def _chain(self, name: str) -> _Chain:
        return self._chains.setdefault(name, _Chain(name, {}, [], []))

    def _wrong(self, chain: _Chain, fault: Fault, number: int, sequence: int, detail: str) -> None:
        if len(chain.problems) < MAX_PROBLEMS:
            chain.problems.append(Problem(fault, chain.name, number, sequence, detail))

    def _look_for_hole(self, sequence: int) -> None:
        expected = self._sequence + 1 if self._sequence else self._retention.first_sequence
        if self._whole_stream and sequence != expected and len(self._holes) < MAX_PROBLEMS:
            told = f"the stream lacks sequences {expected} to {sequence - 1}: records were deleted"
            if sequence < expected:
                told = f"stream sequence {sequence} comes after {expected - 1}"
            self._holes.append(Problem("deleted", "", 0, expected, told))
        self._sequence = sequence

    def _begin(self, chain: _Chain, record: JournalRecord, message: StoredMessage) -> None:
        chain.first = record.number
        if record.number <= 1:
            if record.previous:
                told = "the first record names one before it"
                self._wrong(chain, "changed", record.number, message.sequence, told)
        elif self._retention.explains(0, self._now):
            chain.notes.append(f"records 1 to {record.number - 1} are older than what is kept")
        else:
            told = f"records 1 to {record.number - 1} are gone, and retention does not explain it"
            self._wrong(chain, "missing", 1, message.sequence, told)

    def _follow(self, chain: _Chain, before: ChainHead, record: JournalRecord, message: StoredMessage) -> None:
        expected = before.number + 1
        if record.number > expected:
            told = f"record {before.number} is followed by {record.number}"
            self._wrong(chain, "missing", expected, message.sequence, told)
        elif record.number < expected:
            told = f"record {record.number} comes after {before.number}"
            self._wrong(chain, "reordered", record.number, message.sequence, told)
        elif record.previous != before.digest:
            told = f"record {before.number} is not the one that record {record.number} was written after"
            self._wrong(chain, "changed", before.number, before.sequence, told)

    def _compare(self, chain: _Chain, seen: ChainHead) -> None:
        for head in chain.heads.pop(seen.number, ()):
            if head.digest == seen.digest:
                chain.confirmed = max(chain.confirmed, head.number)
            else:
                told = f"record {head.number} had the digest {head.digest[:16]} and has {seen.digest[:16]} now"
                self._wrong(chain, "rewritten", head.number, seen.sequence, told)

    def _unseen(self, chain: _Chain, head: ChainHead) -> None:
        """An earlier head whose record was not met."""
        last = chain.last.number if chain.last else 0
        gone = self._retention.explains(head.time_unix_nano, self._now)
        if head.number >= chain.first and not (chain.last is None and gone):
            told = f"the chain ends with record {last}, but record {head.number} has been there"
            if head.number <= last:
                told = f"record {head.number}, which an earlier head names, is not there"
            self._wrong(chain, "cut" if head.number > last else "missing", head.number, 0, told)
        elif gone:
            chain.notes.append(f"the earlier head {head.number} is older than what is kept and proves nothing any more")
        else:
            told = f"record {head.number}, which an earlier head names, is gone, and retention does not explain it"
            self._wrong(chain, "missing", head.number, 0, told)
