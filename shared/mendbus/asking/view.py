"""The live picture: reads what there is, then follows what comes."""

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any, Final

from mendbus import codec
from mendbus.asking.board import Board, Told
from mendbus.asking.orders import Order, answer_to
from mendbus.bus import Bus, Message, StoredMessage, Subscription
from mendbus.contracts.errors import BusClosed, BusError, MendbusError, Refused
from mendbus.contracts.messages import Alert, HealthStatus
from mendbus.contracts.subjects import MAX_SERVICE_BODY, Subjects

_ANSWER_SECONDS: Final = 2.0
_BACK_NANO: Final = 24 * 3600 * 1_000_000_000
"""How far back incidents are looked for that are not done with."""
_JOURNAL_NANO: Final = 600 * 1_000_000_000


class View:
    """Joins the board to the bus."""

    def __init__(
        self,
        bus: Bus,
        subjects: Subjects,
        now: Callable[[], int],
        told: Told = lambda what, key, value: None,
    ) -> None:
        self.board = Board(now, told)
        self.news = asyncio.Event()
        """There is something to draw."""
        self._bus = bus
        self._subjects = subjects
        self._waiting: list[StoredMessage] | None = []
        self._seen = 0
        self._subscriptions: list[Subscription] = []

    async def listen(self) -> None:
        """Returns when nothing can be missed any more."""
        subjects = self._subjects
        self._subscriptions += [
            await self._bus.subscribe(subjects.everyone("alert"), self._alert),
            await self._bus.subscribe(subjects.everyone("status"), self._status),
            await self._bus.follow(
                subjects.stream("JOURNAL"), subjects.everyone("journal"), self._record, last_per_subject=False
            ),
        ]
        await self._bus.barrier()

    async def stop(self) -> None:
        """Listens no more."""
        while self._subscriptions:
            await self._subscriptions.pop().stop()

    async def load(self) -> None:
        """Reads what there is already; what cannot be read is said on the board. Raises `BusClosed`."""
        board, subjects = self.board, self._subjects
        self._waiting, self._seen = [], 0
        board.forget_incidents()
        board.problem, told = "reading what there is", ""
        try:
            for verb in ("agents", "alerts"):
                await self._ask(verb)
        except BusClosed:
            raise
        except MendbusError as error:
            told = f"the health-monitor does not answer: {error}"
        try:
            since = max(0, board.now() - _BACK_NANO)
            async for stored in self._bus.read(
                subjects.stream("RECOVERIES"), subjects.everyone("outcome"), since_unix_nano=since
            ):
                with contextlib.suppress(Refused, KeyError, TypeError):
                    # As the journal's records: services wrote it, and a day of them may be many thousands.
                    board.take_outcome(codec.reread(stored.body))
            await self._catch_up()
        except BusClosed:
            raise
        except BusError as error:
            told = f"not everything could be read: {error}"
        board.problem = told
        self.news.set()

    async def _ask(self, verb: str) -> None:
        order, after = Order(verb, (None, None)), ""
        while True:
            arguments = {"after": after}
            told = await answer_to(self._bus, self._subjects, order, arguments, _ANSWER_SECONDS, "health-monitor")
            data = told.data
            with contextlib.suppress(KeyError, TypeError, ValueError):
                if verb == "agents":
                    self.board.take_listing(data["agents"])
                else:
                    for row in data["alerts"]:
                        self.board.take_alert(codec.validate(Alert, row))
            following = data.get("next")
            if not isinstance(following, str) or following <= after:
                return
            after = following

    async def _catch_up(self) -> None:
        since = max(0, self.board.now() - _JOURNAL_NANO)
        stream, subjects = self._subjects.stream("JOURNAL"), self._subjects.everyone("journal")
        async for stored in self._bus.read(stream, subjects, since_unix_nano=since):
            self._apply(stored)
        held, self._waiting = self._waiting or [], None
        for stored in held:
            self._apply(stored)

    async def _record(self, stored: StoredMessage) -> None:
        if self._waiting is None:
            self._apply(stored)
        else:
            self._waiting.append(stored)

    def _apply(self, stored: StoredMessage) -> None:
        if stored.sequence <= self._seen:
            return
        self._seen = stored.sequence
        with contextlib.suppress(Refused, KeyError, TypeError):
            # Not validated: services wrote it, and there may be hundreds a second.
            record = codec.reread(stored.body)
            for entry in record["entries"]:
                self.board.take_entry(entry, record["time_unix_nano"])
        self.news.set()

    async def _alert(self, message: Message) -> None:
        self._take(Alert, message.body, self.board.take_alert)

    async def _status(self, message: Message) -> None:
        self._take(HealthStatus, message.body, self.board.take_status)

    def _take(self, model: Any, body: bytes, take: Callable[[Any], None]) -> None:
        with contextlib.suppress(Refused):
            take(codec.decode(model, body, MAX_SERVICE_BODY))
            self.news.set()
