"""What is told to open pages: changes gathered into batches with numbers, kept for a while, a bounded queue for each
page. Knows no bus and no HTTP.
"""

import asyncio
import json
from collections import deque
from collections.abc import AsyncGenerator, Callable, Mapping
from typing import Any, Final

from mendbus.asking.board import LiveIncident, Watched
from mendbus.contracts.messages import Alert

KEPT_BATCHES: Final = 600
KEPT_BYTES: Final = 2 << 20
"""What a page that comes back is told of what it missed; who missed more begins anew."""
QUEUE_BYTES: Final = 1 << 20
"""What may wait for one page; one that is slower than that is let go, and comes back."""
MAX_CLIENTS: Final = 64
"""Pages that follow at a time."""
ALIVE_SECONDS: Final = 15.0
_STAGES: Final[Mapping[str, str]] = {"reported": "received", "commanded": "acting", "verified": "verifying"}


class Client:
    """One open page; `watch` is the agent (`kind/id`) whose samples it wants."""

    def __init__(self, watch: str = "") -> None:
        self.watch = watch
        self._waiting: deque[bytes] = deque()
        self._bytes = 0
        self._news = asyncio.Event()
        self.closed = False

    def put(self, chunk: bytes) -> None:
        """Has it told; one for which too much waits is let go."""
        if self.closed:
            return
        self._waiting.append(chunk)
        self._bytes += len(chunk)
        if self._bytes > QUEUE_BYTES:
            self._waiting.clear()
            self.closed = True
        self._news.set()

    def end(self) -> None:
        """Lets it go once it has been told everything."""
        self.closed = True
        self._news.set()

    async def chunks(self, alive: float = ALIVE_SECONDS) -> AsyncGenerator[bytes]:
        """What to send, with a sign of life after each `alive` seconds of silence, until it is let go."""
        yield b"retry: 1000\n\n"
        while True:
            while self._waiting:
                chunk = self._waiting.popleft()
                self._bytes -= len(chunk)
                yield chunk
            if self.closed:
                return
            self._news.clear()
            try:
                async with asyncio.timeout(alive):
                    _ = await self._news.wait()
            except TimeoutError:
                yield b": alive\n\n"


class Hub:
    """Numbers what changes: `epoch` is of this hub alone, so that numbers of another one are known as such."""

    def __init__(self, epoch: str, now: Callable[[], int]) -> None:
        self._epoch = epoch
        self._now = now
        self._number = 0
        self._changed: dict[tuple[str, str], Any] = {}
        self._kept: deque[tuple[int, bytes]] = deque()
        self._kept_bytes = 0
        self._ended = ""
        self.clients: set[Client] = set()

    @property
    def event(self) -> str:
        """The id of the last batch."""
        return f"{self._epoch}-{self._number}"

    @property
    def full(self) -> str:
        """Why nobody more may follow; empty: somebody may."""
        return f"{MAX_CLIENTS} pages are open, as many as are served" if len(self.clients) >= MAX_CLIENTS else ""

    def put(self, kind: str, key: str, value: Any) -> None:
        """Something changed; of several changes of the same within a batch the last is told."""
        self._changed[kind, key] = value

    def flush(self) -> None:
        """Makes a batch of what has changed since the last one."""
        if not self._changed:
            return
        changed, self._changed = self._changed, {}
        self._number += 1
        events = [event_of(kind, key, value) for (kind, key), value in changed.items()]
        chunk = message("batch", {"now_unix_nano": self._now(), "events": events}, self.event)
        self._kept.append((self._number, chunk))
        self._kept_bytes += len(chunk)
        while len(self._kept) > KEPT_BATCHES or self._kept_bytes > KEPT_BYTES:
            self._kept_bytes -= len(self._kept.popleft()[1])
        for client in list(self.clients):
            client.put(chunk)

    def sample(self, agent: str, facts: Callable[[], dict[str, Any]]) -> None:
        """A sample of an agent, for the pages that watch it. It has no number: who misses it misses little."""
        wanting = [client for client in self.clients if client.watch == agent]
        if wanting:
            chunk = message("batch", {"now_unix_nano": self._now(), "events": [facts()]})
            for client in wanting:
                client.put(chunk)

    def join(self, after: str, watch: str = "") -> Client:
        """A page that follows from now on (`after` ""), or that has heard everything up to an id.

        One that has missed what is kept no more, or comes when this hub has ended or is full, is told to begin anew.
        """
        client = Client(watch)
        missed = self._missed(after)
        # Looked at again: many may have been let in at once, and only now each has a queue.
        reason = self._ended or self.full or ("what was missed is kept no more" if missed is None else "")
        if missed is None or reason:
            client.put(message("reset", {"reason": reason}))
            client.end()
            return client
        for chunk in missed:
            client.put(chunk)
        self.clients.add(client)
        return client

    def end(self, reason: str) -> None:
        """Tells every page to begin anew, and whoever joins from now on: nothing is told here any more."""
        self._ended = reason
        for client in list(self.clients):
            client.put(message("reset", {"reason": reason}))
            client.end()
        self.clients.clear()

    def _missed(self, after: str) -> list[bytes] | None:
        if not after:
            return []
        epoch, _, text = after.rpartition("-")
        if epoch != self._epoch or not (text.isascii() and text.isdigit()) or len(text) > 15:
            return None
        number, first = int(text), self._kept[0][0] if self._kept else self._number + 1
        if number > self._number or number + 1 < first:
            return None
        return [chunk for place, chunk in self._kept if place > number]


def message(event: str, data: Any, number: str = "") -> bytes:
    """One server-sent event."""
    head = f"id: {number}\n" if number else ""
    return f"{head}event: {event}\ndata: {json.dumps(data, separators=(',', ':'))}\n\n".encode()


def event_of(kind: str, key: str, value: Any) -> dict[str, Any]:
    """A change for the page."""
    match value:
        case LiveIncident():
            return {"kind": kind, "incident": incident_of(value)}
        case Watched():
            return {"kind": kind, "agent": agent_of(value)}
        case Alert():
            return {"kind": kind, "alert": value.model_dump(exclude_none=True)}
        case _ if kind == "dead":
            return {"kind": kind, **value}
        case _:
            return {"kind": kind, "entry" if kind == "operated" else key: value}


def incident_of(incident: LiveIncident) -> dict[str, Any]:
    """An incident for the page; what is not known is left out."""
    facts: dict[str, Any] = {
        "incident_id": incident.id,
        "agent": incident.agent,
        "error": incident.error,
        "opened_unix_nano": incident.opened_unix_nano,
        "stage": _STAGES.get(incident.stage, incident.stage),
        "told": incident.told,
        "errors": incident.errors,
        "outcome": incident.outcome,
        "times": dict(incident.times),
    }
    extra = {"strategy": incident.strategy, "category": incident.category, "severity": incident.severity}
    return facts | {name: value for name, value in extra.items() if value is not None}


def agent_of(agent: Watched) -> dict[str, Any]:
    """An agent for the page."""
    return {
        "key": agent.key,
        "status": agent.status,
        "score": agent.score,
        "reason": agent.reason,
        "changed_unix_nano": agent.changed_unix_nano,
    }
