"""A consumer in memory: what it has delivered, what is to be acknowledged, and who waits for more."""

import asyncio
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol, cast

from mendbus.bus.jetstream import unix_nano
from mendbus.bus.memory_streams import MemoryStream, Record
from mendbus.contracts.patterns import covers

_NANO: Final = 1_000_000_000


class Outlet(Protocol):
    """Where a consumer delivers to."""

    def tell(
        self, to: str, subject: str, data: bytes = b"", headers: Mapping[str, str] | None = None, reply: str = ""
    ) -> None:
        """Delivers to who listens on `to`."""
        ...

    def listening(self, subject: str) -> bool:
        """Whether anybody would hear it."""
        ...


@dataclass(slots=True, eq=False)
class _Pull:
    reply: str
    left: int
    no_wait: bool
    timers: list[asyncio.TimerHandle]
    told: float


@dataclass(slots=True)
class _Unanswered:
    attempt: int
    timer: asyncio.TimerHandle | None


class MemoryConsumer:
    """Durable and pulled, or passing and pushed."""

    def __init__(self, outlet: Outlet, stream: MemoryStream, config: Mapping[str, Any]) -> None:
        self.config = dict(config)
        self.name = cast("str", config["name"])
        self.gone = False
        """Whether the last listener of a pushing consumer has left."""
        self._outlet = outlet
        self._stream = stream
        self._count = 0
        self._delivered = 0
        self._unanswered: dict[int, _Unanswered] = {}
        self._again: deque[int] = deque()
        self._pulls: deque[_Pull] = deque()
        self._beat: asyncio.TimerHandle | None = None
        self._told = 0.0
        self._first: deque[int] = deque()
        self._position = self._begin()
        if self._push:
            self._schedule_beat()

    def _begin(self) -> int:
        """Where to begin, by the delivery policy; the last of each subject is put first."""
        policy = self.config.get("deliver_policy", "all")
        if policy == "by_start_sequence":
            return cast("int", self.config["opt_start_seq"])
        if policy == "by_start_time":
            since = unix_nano(self.config["opt_start_time"])
            later = (record.sequence for record in self._stream.select(">", since_unix_nano=since))
            return next(later, self._stream.last_sequence + 1)
        if policy == "last_per_subject":
            last = {record.subject: record.sequence for record in self._stream.select(">") if self._wants(record)}
            self._first.extend(sorted(last.values()))
            return self._stream.last_sequence + 1
        return 1

    def info(self) -> dict[str, Any]:
        """As the API tells it."""
        waiting = sum(1 for record in self._stream.select(">", self._position) if self._wants(record))
        floor = min(self._unanswered, default=self._delivered + 1) - 1
        return {
            "name": self.name,
            "config": self.config,
            "delivered": {"consumer_seq": self._count, "stream_seq": self._delivered},
            "ack_floor": {"stream_seq": floor},
            "num_ack_pending": len(self._unanswered),
            "num_pending": waiting + len(self._first),
        }

    def update(self, config: Mapping[str, Any]) -> None:
        """Takes over other settings."""
        self.config.update(config)
        self.pump()

    def pull(self, reply: str, question: Mapping[str, Any]) -> None:
        """Somebody waits for messages."""
        loop = asyncio.get_running_loop()
        pull = _Pull(reply, question.get("batch", 1), bool(question.get("no_wait")), [], loop.time())
        self._pulls.append(pull)
        if not pull.no_wait:
            pull.timers.append(loop.call_later(question["expires"] / _NANO, self._expire, pull))
            self._schedule_pull_beat(pull, question["idle_heartbeat"] / _NANO)
        self.pump()

    def answered(self, sequence: int, word: bytes) -> None:
        """An acknowledgement, or the word that somebody is still at work."""
        entry = self._unanswered.get(sequence)
        if entry is None:
            return
        if word == b"+WPI":
            if entry.timer is not None:
                entry.timer.cancel()
                entry.timer = self._ack_timer(sequence)
            return
        if entry.timer is not None:
            entry.timer.cancel()
        del self._unanswered[sequence]
        self.pump()

    def pump(self) -> None:
        """Delivers what there is to whoever waits."""
        while (to := self._taker()) is not None:
            record = self._next()
            if record is None:
                break
            self._deliver(to, record)
        for pull in [pull for pull in self._pulls if pull.no_wait]:
            self._end(pull, "404", "No Messages")

    def close(self) -> None:
        """Ends all timers."""
        for entry in self._unanswered.values():
            if entry.timer is not None:
                entry.timer.cancel()
        for pull in list(self._pulls):
            self._drop(pull)
        if self._beat is not None:
            self._beat.cancel()

    @property
    def _push(self) -> str:
        return cast("str", self.config.get("deliver_subject", ""))

    @property
    def _explicit(self) -> bool:
        return self.config.get("ack_policy") == "explicit"

    def _wants(self, record: Record) -> bool:
        patterns = cast("list[str]", self.config.get("filter_subjects") or [self.config.get("filter_subject") or ">"])
        return any(covers(pattern, record.subject) for pattern in patterns)

    def _taker(self) -> str | None:
        if self._push:
            return self._push if self._outlet.listening(self._push) else None
        while self._pulls:
            if self._outlet.listening(self._pulls[0].reply):
                return self._pulls[0].reply
            self._drop(self._pulls[0])
        return None

    def _next(self) -> Record | None:
        """What is due again comes first, and is not held up by the limit of what may be unanswered."""
        while self._again:
            sequence = self._again.popleft()
            record = self._stream.get(sequence)
            if sequence in self._unanswered:
                if record is not None:
                    return record
                del self._unanswered[sequence]
        if self._explicit and len(self._unanswered) >= self.config.get("max_ack_pending", 1000):
            return None
        while self._first:
            record = self._stream.get(self._first.popleft())
            if record is not None:
                return record
        while self._position <= self._stream.last_sequence:
            record = self._stream.get(self._position)
            self._position += 1
            if record is not None and self._wants(record):
                return record
        return None

    def _deliver(self, to: str, record: Record) -> None:
        sequence = record.sequence
        self._count += 1
        self._delivered = max(self._delivered, sequence)
        self._told = asyncio.get_running_loop().time()
        attempt = 1
        if self._explicit:
            entry = self._unanswered.setdefault(sequence, _Unanswered(0, None))
            entry.attempt += 1
            attempt = entry.attempt
            entry.timer = self._ack_timer(sequence)
        position = f"{attempt}.{sequence}.{self._count}.{record.time_unix_nano}.0"
        data, headers = record.data, record.headers
        if self.config.get("headers_only"):
            data, headers = b"", {**headers, "Nats-Msg-Size": str(len(data))}
        reply = f"$JS.ACK.{self._stream.name}.{self.name}.{position}"
        self._outlet.tell(to, record.subject, data, headers, reply)
        if not self._push:
            pull = self._pulls[0]
            pull.left -= 1
            pull.told = self._told
            if not pull.left:
                self._drop(pull)

    def _ack_timer(self, sequence: int) -> asyncio.TimerHandle:
        wait = self.config["ack_wait"] / _NANO
        return asyncio.get_running_loop().call_later(wait, self._overdue, sequence)

    def _overdue(self, sequence: int) -> None:
        self._unanswered[sequence].timer = None
        self._again.append(sequence)
        self.pump()

    def _expire(self, pull: _Pull) -> None:
        self._end(pull, "408", "Request Timeout")

    def _end(self, pull: _Pull, status: str, description: str) -> None:
        self._drop(pull)
        self._outlet.tell(pull.reply, pull.reply, headers={"Status": status, "Description": description})

    def _drop(self, pull: _Pull) -> None:
        self._pulls.remove(pull)
        for timer in pull.timers:
            timer.cancel()

    def _schedule_pull_beat(self, pull: _Pull, every: float) -> None:
        def beat() -> None:
            if asyncio.get_running_loop().time() - pull.told >= every:
                self._outlet.tell(pull.reply, pull.reply, headers={"Status": "100", "Description": "Idle Heartbeat"})
            pull.timers[-1] = asyncio.get_running_loop().call_later(every, beat)

        pull.timers.append(asyncio.get_running_loop().call_later(every, beat))

    def _schedule_beat(self) -> None:
        every = self.config["idle_heartbeat"] / _NANO

        def beat() -> None:
            if not self._outlet.listening(self._push):
                self.gone = True
                return
            if asyncio.get_running_loop().time() - self._told >= every:
                headers = {"Status": "100", "Nats-Last-Consumer": str(self._count)}
                self._outlet.tell(self._push, self._push, headers=headers)
            self._schedule_beat()

        self._beat = asyncio.get_running_loop().call_later(every, beat)
