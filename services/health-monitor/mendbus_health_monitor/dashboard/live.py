"""Joins the hub to the bus, for as long as somebody looks: nothing is heard or held for pages that are not open."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import Any, Final

from mendbus.asking.errors import Unanswered
from mendbus.asking.view import View
from mendbus.bus import Message, Subscription
from mendbus.contracts.errors import BusError
from mendbus.contracts.ids import new_id
from mendbus.contracts.messages import HealthSample
from mendbus.contracts.subjects import HEADER_CODE, HEADER_REASON, HEADER_SUBJECT
from mendbus.redaction import DEFAULT, Redaction, redact
from mendbus.runtime import Runtime
from mendbus_health_monitor.dashboard.breathing import breathing
from mendbus_health_monitor.dashboard.hub import Hub, agent_of, incident_of
from mendbus_health_monitor.watched import Watched

log = logging.getLogger("mendbus")

BATCH_SECONDS: Final = 0.1
LINGER_SECONDS: Final = 60.0
"""How long what is known is kept when the last page has closed: it may only be loaded again."""
_READY_SECONDS: Final = 15.0
_RETRY_SECONDS: Final = 1.0
_RATES_TICKS: Final = 10
_TEXT: Final = 400


class Live:
    """The live picture. `own` tells Mendbus's own capacity; `redaction`: what is taken out of reasons."""

    def __init__(
        self,
        runtime: Runtime,
        own: Callable[[], dict[str, Any]],
        redaction: Callable[[], Redaction] = lambda: DEFAULT,
    ) -> None:
        self._runtime = runtime
        self._own = own
        self._redaction = redaction
        self._wanted = asyncio.Event()
        self._ready = asyncio.Event()
        self._hub = Hub("", runtime.now)
        self._view: View | None = None
        self._idle = 0

    @property
    def held(self) -> bool:
        """Whether the picture is held and kept current now."""
        return self._view is not None

    def start(self) -> None:
        """Begins to wait for the first page."""
        self._runtime.spawn(self._run(), "dashboard: live picture")

    def hear(self, watched: Watched, _: HealthSample) -> None:
        """A sample that was taken in."""
        if self._hub.clients:
            self._hub.sample(watched.agent.key, lambda: _sample(watched))

    async def snapshot(self) -> dict[str, Any]:
        """Everything now, and the event it stands for. Raises `Unanswered` when it cannot be read in time."""
        hub, view = await self._opened()
        dead = await self._dead_letters()
        # From here on nothing waits: what is told belongs to this very event.
        hub.flush()
        board = view.board
        return {
            "event": hub.event,
            "now_unix_nano": self._runtime.now(),
            "problem": self._problem(view),
            "agents": [agent_of(agent) for agent in board.agents.values()],
            "incidents": [incident_of(incident) for incident in board.live()],
            "alerts": [alert.model_dump(exclude_none=True) for alert in board.alerts.values()],
            "rates": board.rates(),
            "dead": dead,
        }

    async def follow(self, after: str, watch: str) -> AsyncGenerator[bytes]:
        """What a page is sent that follows. Raises `Unanswered` when there is nothing to follow, or too many do."""
        hub, _ = await self._opened()
        if hub.full:
            raise Unanswered(f"{hub.full}: close one")
        return _stream(hub, after, watch)

    async def _opened(self) -> tuple[Hub, View]:
        self._idle = 0
        self._wanted.set()
        try:
            async with asyncio.timeout(_READY_SECONDS):
                _ = await self._ready.wait()
        except TimeoutError:
            raise Unanswered("the live picture could not be read yet: is NATS reachable? Try again") from None
        if self._view is None:
            raise Unanswered("the live picture is being read anew: try again")
        return self._hub, self._view

    async def _dead_letters(self) -> int | None:
        try:
            usage = await self._runtime.bus.usage(self._runtime.subjects.stream("DEAD"))
        except BusError:
            return None
        return usage.last_sequence - max(1, usage.first_sequence) + 1

    async def _run(self) -> None:
        while True:
            _ = await self._wanted.wait()
            reason = "the connection to NATS was lost, and is back"
            try:
                await self._follow()
            except BusError as error:
                log.warning("the live picture of the dashboard is read anew: %s", error)
                reason = "the live picture was lost"
                await asyncio.sleep(_RETRY_SECONDS)
            finally:
                self._hub.end(reason)

    async def _follow(self) -> None:
        """Reads what there is and follows what comes, until nobody looks any more or the connection was lost."""
        runtime, bus = self._runtime, breathing(self._runtime.bus)
        hub = self._hub = Hub(new_id()[-8:], runtime.now)
        loaded = False

        def told(kind: str, key: str, value: Any) -> None:
            if loaded:
                hub.put(kind, key, value)

        view = View(bus, runtime.subjects, runtime.now, told)
        reconnects = bus.reconnects
        dead: Subscription | None = None
        try:
            dead = await bus.subscribe(runtime.subjects.everyone("dead"), self._dead)
            await view.listen()
            await view.load()
            loaded = True
            self._view, self._idle = view, 0
            self._ready.set()
            await self._tell(view, hub, reconnects)
        finally:
            # In one breath: whoever asks from here on waits for the next picture.
            self._view = None
            self._ready.clear()
            await view.stop()
            if dead is not None:
                await dead.stop()

    async def _tell(self, view: View, hub: Hub, reconnects: int) -> None:
        bus = self._runtime.bus
        rates, own, problem, ticks = view.board.rates(), self._own(), self._problem(view), 0
        while bus.reconnects == reconnects:
            await asyncio.sleep(BATCH_SECONDS)
            ticks += 1
            if ticks % _RATES_TICKS == 0:
                if rates != (rates := view.board.rates()):
                    hub.put("rates", "rates", rates)
                if own.get("time_unix_nano") != (own := self._own()).get("time_unix_nano"):
                    hub.put("capacity", "mendbus", own)
            if problem != (problem := self._problem(view)):
                hub.put("problem", "problem", problem)
            hub.flush()
            self._idle = 0 if hub.clients else self._idle + 1
            if self._idle * BATCH_SECONDS > LINGER_SECONDS:
                self._wanted.clear()
                return

    def _problem(self, view: View) -> str:
        if not self._runtime.bus.connected:
            return "NATS is out of reach: what is shown is from before"
        return view.board.problem

    async def _dead(self, message: Message) -> None:
        said = message.headers
        facts = {
            "service": message.subject.rsplit(".", 1)[-1],
            "code": said.get(HEADER_CODE, ""),
            "reason": redact(said.get(HEADER_REASON, ""), self._redaction())[:_TEXT],
            "subject": said.get(HEADER_SUBJECT, "")[:_TEXT],
            "time_unix_nano": self._runtime.now(),
        }
        self._hub.put("dead", new_id(), facts)


async def _stream(hub: Hub, after: str, watch: str) -> AsyncGenerator[bytes]:
    # A page joins when it is first sent something: whoever went before that was never there.
    client = hub.join(after, watch)
    try:
        async with aclosing(client.chunks()) as chunks:
            async for chunk in chunks:
                yield chunk
    finally:
        hub.clients.discard(client)


def _sample(watched: Watched) -> dict[str, Any]:
    return {
        "kind": "sample",
        "agent": watched.agent.key,
        "time_unix_nano": watched.heard_unix_nano,
        "score": round(watched.score.value, 1),
        "metrics": dict(watched.metrics),
    }
