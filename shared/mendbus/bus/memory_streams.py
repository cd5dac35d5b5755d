"""A stream in memory: its messages, what it refuses, and how it renames what it stores."""

import asyncio
import heapq
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, cast

from mendbus.contracts.patterns import covers
from mendbus.contracts.subjects import HEADER_ID

_NANO: Final = 1_000_000_000
_OVERHEAD: Final = 22
"""Bytes that a message takes beside its subject, headers and body."""


class Refusal(Exception):
    """What the server answers instead of storing or doing. Attributes: `code`, `description`."""

    def __init__(self, code: int, description: str) -> None:
        self.code = code
        self.description = description
        super().__init__(description)


@dataclass(frozen=True, slots=True)
class Record:
    """A message as it is kept."""

    subject: str
    data: bytes
    headers: Mapping[str, str]
    sequence: int
    time_unix_nano: int
    size: int


class MemoryStream:
    """Messages in the order in which they came."""

    def __init__(self, config: Mapping[str, Any], time_unix_nano: Callable[[], int]) -> None:
        self.config = dict(config)
        self.name = cast("str", config["name"])
        self.last_sequence = 0
        self._time_unix_nano = time_unix_nano
        self._records: dict[int, Record] = {}
        self._by_subject: dict[str, dict[int, None]] = {}
        self._ids: dict[str, tuple[int, float]] = {}
        self._expiries: list[tuple[float, int]] = []
        self._bytes = 0

    def listens(self, subject: str) -> bool:
        """Whether a message on the subject would be stored here."""
        return any(covers(pattern, subject) for pattern in cast("list[str]", self.config.get("subjects") or []))

    def known(self, message_id: str) -> int:
        """The sequence under which an id was stored within the duplicate window, or 0."""
        now = asyncio.get_running_loop().time()
        window = self.config.get("duplicate_window", 0) / _NANO
        sequence, stored = self._ids.get(message_id, (0, 0.0))
        return sequence if sequence and now - stored < window else 0

    def check(self, subject: str, data: bytes, headers: Mapping[str, str]) -> None:
        """Raises `Refusal` when a message must not be stored."""
        self._expire()
        if 0 < self.config.get("max_msg_size", -1) < len(data) + _length(headers):
            raise Refusal(10054, "message size exceeds maximum allowed")
        expected = headers.get("Nats-Expected-Last-Subject-Sequence")
        if expected is not None:
            last = self.last(self._renamed(subject))
            there = last.sequence if last is not None else 0
            if int(expected) != there:
                raise Refusal(10071, f"wrong last sequence: {there}")
        if "Nats-TTL" in headers and not self.config.get("allow_msg_ttl"):
            raise Refusal(10166, "per-message TTL is disabled")
        if "Nats-Rollup" in headers and not self.config.get("allow_rollup_hdrs"):
            raise Refusal(10111, "rollup not permitted")

    def store(self, subject: str, data: bytes, headers: Mapping[str, str]) -> int:
        """Keeps a message that has been checked. Raises `Refusal` when there is no room."""
        subject = self._renamed(subject)
        size = _OVERHEAD + len(subject) + len(data) + sum(len(key) + len(value) + 4 for key, value in headers.items())
        self._make_room(subject, size, rollup="Nats-Rollup" in headers)
        self.last_sequence += 1
        sequence = self.last_sequence
        self._records[sequence] = Record(subject, data, dict(headers), sequence, self._time_unix_nano(), size)
        self._by_subject.setdefault(subject, {})[sequence] = None
        self._bytes += size
        now = asyncio.get_running_loop().time()
        if HEADER_ID in headers:
            self._ids[headers[HEADER_ID]] = (sequence, now)
        ages = [age / _NANO for age in (self.config.get("max_age", 0),) if age]
        if "Nats-TTL" in headers:
            ages.append(float(headers["Nats-TTL"].rstrip("s")))
        for age in ages:
            heapq.heappush(self._expiries, (now + age, sequence))
        return sequence

    def last(self, subject: str) -> Record | None:
        """The last message kept on a subject without wildcards."""
        self._expire()
        sequences = self._by_subject.get(subject)
        return self._records[next(reversed(sequences))] if sequences else None

    def get(self, sequence: int) -> Record | None:
        """A message by its sequence."""
        self._expire()
        return self._records.get(sequence)

    def select(self, pattern: str, start: int = 1, since_unix_nano: int = 0) -> Iterator[Record]:
        """Messages that fit, oldest first."""
        self._expire()
        for record in list(self._records.values()):
            if (
                record.sequence >= start
                and record.time_unix_nano >= since_unix_nano
                and covers(pattern, record.subject)
            ):
                yield record

    def purge(self, pattern: str, before: int = 0) -> int:
        """Removes what fits, and is below a sequence if one is given; says how many messages that were."""
        sequences = [record.sequence for record in self.select(pattern) if not before or record.sequence < before]
        for sequence in sequences:
            self._remove(sequence)
        return len(sequences)

    def counts(self, pattern: str) -> dict[str, int]:
        """How many messages there are on each subject that fits."""
        self._expire()
        return {subject: len(kept) for subject, kept in self._by_subject.items() if covers(pattern, subject)}

    def update(self, config: Mapping[str, Any]) -> None:
        """Has other settings from now on. As on the real server, fewer messages of a subject means its oldest go."""
        self.config = dict(config)
        most = self.config.get("max_msgs_per_subject", -1)
        for kept in list(self._by_subject.values()) if most > 0 else ():
            for sequence in list(kept)[: max(0, len(kept) - most)]:
                self._remove(sequence)

    def state(self) -> dict[str, Any]:
        """As the API tells it."""
        self._expire()
        first = next(iter(self._records), self.last_sequence + 1)
        return {
            "messages": len(self._records),
            "bytes": self._bytes,
            "first_seq": first,
            "last_seq": self.last_sequence,
        }

    def _make_room(self, subject: str, size: int, *, rollup: bool) -> None:
        """Removes what a new message pushes out. Raises `Refusal` instead where the stream must not forget."""
        kept = list(self._by_subject.get(subject, ()))
        most = self.config.get("max_msgs_per_subject", -1)
        replaced = kept if rollup else kept[: max(0, len(kept) + 1 - most)] if most > 0 else []
        if replaced and not rollup and self.config.get("discard_new_per_subject"):
            raise Refusal(10077, "maximum messages per subject exceeded")
        limit = self.config.get("max_bytes", -1)
        freed = sum(self._records[sequence].size for sequence in replaced)
        if limit > 0 and self._bytes + size - freed > limit and self.config.get("discard") == "new":
            raise Refusal(10077, "maximum bytes exceeded")
        for sequence in replaced:
            self._remove(sequence)
        while 0 < limit < self._bytes + size and self._records:
            self._remove(next(iter(self._records)))

    def _remove(self, sequence: int) -> None:
        record = self._records.pop(sequence, None)
        if record is None:
            return
        self._bytes -= record.size
        kept = self._by_subject[record.subject]
        del kept[sequence]
        if not kept:
            del self._by_subject[record.subject]

    def _expire(self) -> None:
        now = asyncio.get_running_loop().time()
        while self._expiries and self._expiries[0][0] <= now:
            self._remove(heapq.heappop(self._expiries)[1])

    def _renamed(self, subject: str) -> str:
        transform = cast("dict[str, str] | None", self.config.get("subject_transform"))
        return subject if transform is None else rename(transform["src"], transform["dest"], subject)


def rename(source: str, destination: str, subject: str) -> str:
    """A subject transform: `{{wildcard(n)}}`, `$n` and `{{partition(buckets,n,...)}}`; what does not fit stays."""
    if not covers(source, subject):
        return subject
    found = [token for wanted, token in zip(source.split("."), subject.split("."), strict=False) if wanted == "*"]

    def replace(match: re.Match[str]) -> str:
        if match["short"]:
            return found[int(match["short"]) - 1]
        numbers = [int(number) for number in match["arguments"].split(",")]
        if match["function"] == "wildcard":
            return found[numbers[0] - 1]
        return str(_hash("".join(found[number - 1] for number in numbers[1:])) % numbers[0])

    pattern = r"\$(?P<short>\d+)|\{\{(?P<function>wildcard|partition)\((?P<arguments>[\d, ]+)\)\}\}"
    return re.sub(pattern, replace, destination)


def _length(headers: Mapping[str, str]) -> int:
    """Bytes that headers take on the wire: a first line, a line each, an empty one."""
    return sum(len(key) + len(value) + 4 for key, value in headers.items()) + 14 if headers else 0


def _hash(text: str) -> int:
    """FNV-1a with 32 bits, as the server's partition function uses it."""
    value = 0x811C9DC5
    for byte in text.encode():
        value = (value ^ byte) * 0x01000193 & 0xFFFFFFFF
    return value
