"""What spans the partitions, known to every owner because it follows the whole journal: pauses, latch, restarts,
retries, who is sick, which incidents are open. It may lag by one commit.
"""

import logging
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterable
from typing import Any

from mendbus import codec
from mendbus.bus import Bus, StoredMessage, Subscription
from mendbus.contracts.canary import is_canary
from mendbus.contracts.errors import Refused
from mendbus.contracts.journal import LATCH, RESUME, Operated
from mendbus.contracts.subjects import Subjects
from mendbus.contracts.vocabulary import Strategy
from mendbus_strategy_selector.budgets import LATCHED
from mendbus_strategy_selector.incidents import OpenIncidents
from mendbus_strategy_selector.lessons import Lessons
from mendbus_strategy_selector.pauses import EVERYTHING, Pauses, scope_of

log = logging.getLogger("mendbus")

_NANO = 1_000_000_000
_BACK_SECONDS = 60
"""How much of the partitions' journals is read at the start: as long as budgets look back."""
RESTART_WINDOW = 60 * _NANO
RETRY_WINDOW = _NANO


class Overview:
    """The sum of the journals of all partitions, as far as decisions look beyond their own."""

    def __init__(self, now: Callable[[], int], lessons: Lessons | None = None) -> None:
        self._now = now
        self.lessons = lessons or Lessons()
        self._restarts: deque[tuple[int, str]] = deque()
        self._retries: dict[str, deque[int]] = defaultdict(deque)
        self._begun: dict[tuple[str, str], int] = {}
        """When each strategy but retry was last begun on an agent, the oldest first."""
        self._waiting: list[StoredMessage] | None = []
        self._seen = 0
        self.incidents = OpenIncidents()
        self.pauses = Pauses()
        self.latched = ""
        """Why recovery is latched off; empty: it is not."""
        self.latch_due = ""
        """Why a decision latched recovery off, until that stands in the journal of operators."""

    async def follow(self, bus: Bus, subjects: Subjects) -> Subscription:
        """Takes in what stands in the journal, and keeps current until stopped."""
        stream = subjects.stream("JOURNAL")
        following = await bus.follow(stream, subjects.everyone("journal"), self._hear, last_per_subject=False)
        async for message in bus.read(stream, subjects.journal_control):
            self._take(message)
        control, self._seen = self._seen, 0
        since = self._now() - _BACK_SECONDS * _NANO
        async for message in bus.read(stream, subjects.everyone("journal"), since_unix_nano=since):
            if message.subject != subjects.journal_control or message.sequence > control:
                self._take(message)
        held, self._waiting = self._waiting or [], None
        for message in held:
            self._take(message)
        return following

    async def _hear(self, message: StoredMessage) -> None:
        if self._waiting is None:
            self._take(message)
        else:
            self._waiting.append(message)

    def _take(self, message: StoredMessage) -> None:
        if message.sequence <= self._seen:
            return
        self._seen = message.sequence
        try:
            # Not validated: our own record, and validating every one of them again would double what writing it cost.
            record = codec.reread(message.body)
            for entry in record["entries"]:
                self.apply(entry, record["time_unix_nano"])
            self.lessons.take(message.sequence, record["entries"])
        except (Refused, KeyError, TypeError) as error:
            log.error("record %d of %s is passed over: %r", message.sequence, message.subject, error)

    def apply(self, entry: dict[str, Any], at: int) -> None:
        """Takes an entry of any partition in; `at` in nanoseconds since 1970."""
        match entry["type"]:
            case "decided":
                self._decided(entry, at)
            case "operated":
                self._operated(codec.validate(Operated, entry))
            case _:
                pass
        self.incidents.apply(entry, at)

    def _decided(self, entry: dict[str, Any], at: int) -> None:
        if entry["decision"]["rule"] == LATCHED and not self.latched:
            self.latch_due = entry["decision"]["reason"]
        command = entry.get("command")
        if command is None:
            return
        agent, strategy = f"{command['agent']['kind']}/{command['agent']['id']}", command["strategy"]
        if is_canary(agent):
            return
        if strategy == "retry":
            self._retries[agent].append(at)
            return
        if strategy == "restart":
            self._restarts.append((at, agent))
        self._begun.pop((agent, strategy), None)
        self._begun[agent, strategy] = at
        while self._begun and next(iter(self._begun.values())) < at - _BACK_SECONDS * _NANO:
            del self._begun[next(iter(self._begun))]

    def _operated(self, entry: Operated) -> None:
        self.pauses.apply(entry)
        if scope_of(entry) != EVERYTHING:
            return
        if entry.verb == LATCH:
            self.latched, self.latch_due = entry.reason or "latched", ""
        elif entry.verb == RESUME:
            self.latched = self.latch_due = ""
            self._restarts.clear()

    def restarts(self, agent: str) -> tuple[int, int, int]:
        """Restarts in the last 60 s: of the agent (`kind/id`), of its kind, of all."""
        oldest = self._now() - RESTART_WINDOW
        while self._restarts and self._restarts[0][0] < oldest:
            self._restarts.popleft()
        counts = Counter(key for _, key in self._restarts)
        kind = agent.split("/")[0] + "/"
        return counts[agent], sum(n for key, n in counts.items() if key.startswith(kind)), len(self._restarts)

    def seconds_since(self, agent: str, strategies: Iterable[Strategy]) -> dict[Strategy, float]:
        """How long ago each of the strategies was last begun on an agent, if that is not longer than 60 s."""
        now = self._now()
        found: dict[Strategy, float] = {}
        for strategy in strategies:
            begun = self._begun.get((agent, strategy))
            if begun is not None:
                found[strategy] = round(max(0, now - begun) / _NANO, 3)
        return found

    def retries(self, agent: str) -> int:
        """Retries of an agent in the last second."""
        times = self._retries.get(agent)
        if times is None:
            return 0
        oldest = self._now() - RETRY_WINDOW
        while times and times[0] < oldest:
            times.popleft()
        if not times:
            del self._retries[agent]
        return len(times)
