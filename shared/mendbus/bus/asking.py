"""Requests of one connection: each waits for one answer on a subject of its own, under its deadline."""

import asyncio
from collections.abc import Awaitable, Mapping
from typing import Final, Protocol

from mendbus.bus.wire import Arrival, status_of
from mendbus.contracts.errors import BusClosed, BusTimeout, Forbidden, NoResponders

_NO_RESPONDERS: Final = "503"


class _Send(Protocol):
    def __call__(
        self, subject: str, body: bytes, *, reply: str, headers: Mapping[str, str] | None
    ) -> Awaitable[None]: ...


class Requests:
    """What has been asked and not answered yet."""

    def __init__(self, inbox: str, send: _Send) -> None:
        """Answers come to subjects one token below `inbox`, and are to be given to `answered`."""
        self._inbox = inbox
        self._send = send
        self._number = 0
        self._waiting: dict[str, asyncio.Future[Arrival]] = {}
        self._subjects: dict[str, str] = {}

    async def ask(
        self, subject: str, body: bytes, headers: Mapping[str, str] | None, begun: float, timeout: float
    ) -> Arrival:
        """Sends and waits until `timeout` after `begun` (loop time). Raises `NoResponders`, `BusTimeout`."""
        loop = asyncio.get_running_loop()
        self._number += 1
        reply = f"{self._inbox}.{self._number}"
        answer: asyncio.Future[Arrival] = loop.create_future()
        self._waiting[reply] = answer
        self._subjects[reply] = subject
        timer = loop.call_at(begun + timeout, _give_up, answer)
        try:
            await self._send(subject, body, reply=reply, headers=headers)
            message = await answer
        except TimeoutError:
            raise BusTimeout(subject, round(loop.time() - begun, 3)) from None
        finally:
            timer.cancel()
            del self._waiting[reply], self._subjects[reply]
            # Of a time-out this frame is part of the traceback: together they would be garbage for the collector.
            del answer
        if status_of(message) == _NO_RESPONDERS:
            raise NoResponders(subject)
        return message

    async def answered(self, arrival: Arrival) -> None:
        """Gives an answer to whoever waits for it; one that is too late is dropped."""
        answer = self._waiting.get(arrival.subject)
        if answer is not None and not answer.done():
            answer.set_result(arrival)

    def forbidden(self, subject: str) -> None:
        """Ends those on a subject with `Forbidden`: the server has not taken one of them."""
        for reply, asked in self._subjects.items():
            answer = self._waiting[reply]
            if asked == subject and not answer.done():
                answer.set_exception(Forbidden(subject))

    def lost(self) -> None:
        """Times all out now: the connection on which the answers would have come is gone."""
        for answer in self._waiting.values():
            _give_up(answer)

    def over(self, reason: str) -> None:
        """Ends all with `BusClosed`."""
        for answer in self._waiting.values():
            if not answer.done():
                answer.set_exception(BusClosed(reason))


def _give_up(answer: asyncio.Future[Arrival]) -> None:
    if not answer.done():
        answer.set_exception(TimeoutError())
