"""Joins the history to the bus: rows go to the stream HEALTH, come back after a restart, and are asked for."""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple, cast

from mendbus import codec
from mendbus.bus import StoredMessage
from mendbus.contracts.errors import BusError, Refused, StoreRefused
from mendbus.contracts.messages import AgentRef, Control, ControlResult, HealthMinute, HealthSample, HealthSeconds
from mendbus.contracts.subjects import HEADER_ID, MAX_BODY, MAX_SERVICE_BODY
from mendbus.runtime import Runtime
from mendbus.telemetry import Span
from mendbus_health_monitor.agents import Agents
from mendbus_health_monitor.history import MINUTE, SECONDS, History, Minute, minutes_of
from mendbus_health_monitor.rows import (
    WINDOW,
    bundles,
    minute_id,
    pack_minute,
    pack_seconds,
    points_of,
    row_of,
    seconds_id,
)
from mendbus_health_monitor.watched import NANO, Watched

log = logging.getLogger("mendbus")

PAGE: Final = 500
"""Rows in one answer; `next` in it is the `after` of the next question."""
MAX_WAITING: Final = 20_000
"""Rows that wait to be stored; beyond it the oldest are lost."""
DAY_SECONDS: Final = 24 * 3600

_LATER_SECONDS: Final = 2
"""A row of which this monitor has not heard the whole waits so long, in case another one has."""
_AFTER_SECOND: Final = 0.05
_DRAIN_SECONDS: Final = 2.0
_TTL_SECONDS: Final = SECONDS + 2 * WINDOW
_SKEW_SECONDS: Final = 600
"""How far this monitor's clock may be ahead of the server's, by which rows are found."""
_BREATH: Final = 100
"""Rows read at a stretch, before others get their turn."""


class _Row(NamedTuple):
    subject: str
    make: Callable[[], bytes | None]
    due_unix_nano: int
    ttl: float | None = None


class Keeping:
    """The history of the running service."""

    def __init__(self, runtime: Runtime, agents: Agents) -> None:
        self._runtime = runtime
        self._subjects = runtime.subjects
        second = runtime.now() // NANO
        self._window = second // WINDOW
        self._waiting: dict[str, _Row] = {}
        """By message id."""
        self._failing = False
        self.history = History(second)
        self.lost = 0
        """Rows that could not be kept."""
        agents.taken.append(self._take)

    async def start(self) -> None:
        """Answers questions, keeps what comes, and reads what was kept."""
        runtime, subjects = self._runtime, self._subjects
        await runtime.serve("history", subjects.control("history"), Control, self._answer, limit=MAX_BODY)
        runtime.spawn(self._keep(), "keep the history")
        runtime.spawn(self._restore(), "restore the history")

    async def drain(self) -> None:
        """Stores what is there of the seconds, so that who comes next goes on from here; gives up after a while."""
        second = self._runtime.now() // NANO
        self.history.tick(second + 1)
        # Under an id of its own: who comes next stores the rest of these ten seconds.
        for window in range(max(self._window, second // WINDOW - SECONDS // WINDOW), second // WINDOW + 1):
            self._gather_seconds(window, f".{self._runtime.instance}")
        self._gather_minutes()
        try:
            async with asyncio.timeout(_DRAIN_SECONDS):
                await self._store()
        except TimeoutError:
            log.warning("the last of the history could not be stored in time")

    def _take(self, watched: Watched, _: HealthSample) -> None:
        second = watched.heard_unix_nano // NANO
        self.history.add(watched.agent, watched.metrics.items(), watched.score.value, second)

    # -- keeping

    async def _keep(self) -> None:
        while True:
            into_second = self._runtime.now() % NANO / NANO
            await asyncio.sleep(1 - into_second + _AFTER_SECOND)
            await self.turn()

    async def turn(self) -> None:
        """What is done each second: closes what is over, and stores what is due."""
        second = self._runtime.now() // NANO
        self.history.tick(second)
        self._gather_minutes()
        window = second // WINDOW
        for over in range(max(self._window, window - SECONDS // WINDOW), window):
            self._gather_seconds(over)
        self._window = window
        await self._store()

    def _gather_minutes(self) -> None:
        closed, self.history.closed = self.history.closed, []
        for minute in closed:
            self._wait(minute)

    def _wait(self, minute: Minute) -> None:
        kind, agent = minute.agent.kind, minute.agent.id
        due = self._runtime.now() + (0 if minute.whole else _LATER_SECONDS * NANO)
        row = _Row(self._subjects.history_minute(kind, agent), lambda: pack_minute(minute), due)
        self._waiting.setdefault(minute_id(kind, agent, minute.number), row)

    def _gather_seconds(self, window: int, suffix: str = "") -> None:
        first, last, now = window * WINDOW, window * WINDOW + WINDOW - 1, self._runtime.now()
        for bundle in bundles(self.history):
            row = _Row(
                self._subjects.history_second(bundle),
                lambda bundle=bundle: pack_seconds(self.history, bundle, first, last),
                now,
                _TTL_SECONDS,
            )
            self._waiting[seconds_id(bundle, window) + suffix] = row

    async def _store(self) -> None:
        """Stores what is due, oldest first; what cannot be stored now waits for the next time."""
        while len(self._waiting) > MAX_WAITING:
            del self._waiting[next(iter(self._waiting))]
            self.lost += 1
        now = self._runtime.now()
        for message_id, row in [item for item in self._waiting.items() if item[1].due_unix_nano <= now]:
            body = row.make()
            if body is not None and len(body) <= MAX_SERVICE_BODY:
                try:
                    await self._runtime.bus.store(row.subject, body, id=message_id, ttl=row.ttl)
                except StoreRefused as error:
                    self.lost += 1
                    log.warning("a row of the history is lost: %s", error)
                except BusError as error:
                    if not self._failing:
                        log.warning("the history cannot be stored, its rows wait: %s", error)
                    self._failing = True
                    return
            _ = self._waiting.pop(message_id, None)
        self._failing = False

    # -- coming back

    async def _restore(self) -> None:
        """Reads the last ten minutes, and makes the rows of minutes that nobody was left to store."""
        bus, subjects, now = self._runtime.bus, self._subjects, self._runtime.now()
        stream, since = subjects.stream("HEALTH"), max(0, now - (SECONDS + MINUTE) * NANO)
        try:
            kept: set[str] = set()
            rows = bus.read(stream, subjects.everyone("history.minute"), since_unix_nano=since, headers_only=True)
            async for stored in rows:
                kept.add(stored.headers.get(HEADER_ID, ""))
            async for stored in bus.read(stream, subjects.everyone("history.second"), since_unix_nano=since):
                self._read_bundle(stored)
                await asyncio.sleep(0)
        except BusError as error:
            log.warning("the history before this start could not be read: %s", error)
            return
        second = self._runtime.now() // NANO
        oldest, running = (second - SECONDS) // MINUTE + 1, now // NANO // MINUTE
        for track in list(self.history.everyone()):
            points = track.points(oldest * MINUTE, running * MINUTE - 1)
            for number, metrics in minutes_of(points).items():
                if minute_id(track.agent.kind, track.agent.id, number) not in kept:
                    self._wait(Minute(track.agent, number, metrics, whole=False))

    def _read_bundle(self, stored: StoredMessage) -> None:
        try:
            message = codec.decode(HealthSeconds, stored.body, MAX_SERVICE_BODY)
        except Refused as refused:
            log.warning("what is stored on %s is of no use: %s", stored.subject, refused)
            return
        now = self._runtime.now() // NANO
        for agent, second, means in points_of(message):
            _ = self.history.put(agent, second, means, now)

    # -- answering

    async def _answer(self, control: Control, _: Span) -> ControlResult:
        try:
            question = _question(control, self._runtime.now())
        except ValueError as error:
            return self._runtime.result(ok=False, detail=str(error))
        if question.resolution == "1s":
            rows = self._seconds(question)
        else:
            rows = await self._minutes(question)
        page = rows[:PAGE]
        more = {"next": page[-1]["time_unix_nano"]} if len(rows) > PAGE else {}
        return self._runtime.result(data={"resolution": question.resolution, "rows": page, **more})

    def _seconds(self, question: "_Question") -> list[Mapping[str, Any]]:
        first, last = -(-question.first // NANO), -(-question.end // NANO) - 1
        return [
            {
                "time_unix_nano": second * NANO,
                "metrics": {name: value for name, value in means.items() if question.wants(name)},
            }
            for second, means in self.history.points(question.agent.key, first, last)
        ]

    async def _minutes(self, question: "_Question") -> list[Mapping[str, Any]]:
        agent, stream = question.agent, self._subjects.stream("HEALTH")
        subject = self._subjects.history_minute(agent.kind, agent.id)
        rows: dict[int, Mapping[str, Any]] = {}
        number, since = 0, max(0, question.first - _SKEW_SECONDS * NANO)
        async for stored in self._runtime.bus.read(stream, subject, since_unix_nano=since):
            number += 1
            if number % _BREATH == 0:
                await asyncio.sleep(0)
            try:
                minute = codec.decode(HealthMinute, stored.body, MAX_SERVICE_BODY)
            except Refused:
                continue
            if question.first <= minute.time_unix_nano < question.end:
                rows[minute.time_unix_nano] = row_of(minute, question.metrics)
        return [rows[at] for at in sorted(rows)]


class _Question(NamedTuple):
    agent: AgentRef
    resolution: str
    first: int
    end: int
    metrics: Sequence[str]

    def wants(self, name: str) -> bool:
        return not self.metrics or name in self.metrics


def _question(control: Control, now: int) -> _Question:
    """What is asked for. Raises `ValueError` with what is wrong."""
    arguments = control.arguments
    if control.agent is None:
        raise ValueError("name an agent: a history is one agent's")
    resolution = arguments.get("resolution", "1m")
    if resolution not in ("1m", "1s"):
        raise ValueError(f"the resolution is 1m or 1s, not {resolution!r}")
    first = _time(arguments, "from_unix_nano", now - DAY_SECONDS * NANO)
    end = _time(arguments, "to_unix_nano", now + MINUTE * NANO)
    after = _time(arguments, "after", -1)
    metrics = arguments.get("metrics", [])
    if not isinstance(metrics, list) or not all(isinstance(name, str) for name in cast("list[object]", metrics)):
        raise ValueError("metrics is a list of names")
    return _Question(control.agent, resolution, max(0, first, after + 1), end, cast("list[str]", metrics))


def _time(arguments: Mapping[str, Any], name: str, otherwise: int) -> int:
    value: object = arguments.get(name, otherwise)
    if not isinstance(value, int) or isinstance(value, bool):
        raise ValueError(f"{name} is a time in nanoseconds since 1970")
    return value
