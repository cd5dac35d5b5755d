"""What operators ordered, on its way into the audit trail: on disk before it is done, and until it is noted."""

import logging
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

from mendbus import codec
from mendbus.bus import StoredMessage
from mendbus.contracts.errors import BusError, Refused, StoreRefused
from mendbus.contracts.ids import new_id
from mendbus.contracts.journal import AUDIT
from mendbus.contracts.messages import AgentRef, Control, ControlResult
from mendbus.contracts.subjects import CONTENT_TYPE, HEADER_CONTENT_TYPE, MAX_SERVICE_BODY
from mendbus.runtime import Runtime

log = logging.getLogger("mendbus")

MOST_WAITING: Final = 1000
"""Orders that may wait to be noted; beyond that further ones are refused."""

_AUDIT_SECONDS: Final = 3.0
_OTHERS_NANO: Final = 60 * 1_000_000_000
"""What another monitor wrote down is its own to bring, until it is this old: then that one is gone."""
_HEADERS: Final = {HEADER_CONTENT_TYPE: CONTENT_TYPE}
_DELETED: Final = {"KV-Operation": "DEL"}


@dataclass(slots=True)
class Note:
    """An order that is to be noted. `said`: what the operator is told of that, empty when it is noted."""

    order: Control
    said: str = ""
    noted: bool = False
    """Whether it is in the audit trail, and only its copy is left to be deleted."""
    under_way: bool = False
    """Whether it is being done right now."""


class _Unanswered(Exception):
    """Nobody is there who could note it."""


class AuditNotes:
    """The orders that wait, in the bucket `alerting` below `note`.

    Each is noted once at least: a second time when this process, or the answer, is lost between noting and deleting.
    """

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._waiting: dict[str, Note] = {}
        """By id, which follows time."""
        self._own: set[str] = set()
        self._refused: dict[str, str] = {}

    async def start(self) -> None:
        """Takes up what was left behind. Raises `BusError`."""
        subjects, bus = self._runtime.subjects, self._runtime.bus
        stream, every = subjects.bucket_stream("alerting"), subjects.key("alerting", "note", ">")
        self._runtime.subscriptions.append(await bus.follow(stream, every, self._stored, last_per_subject=True))

    @asynccontextmanager
    async def noting(
        self,
        control: Control,
        key: str,
        *,
        agent: AgentRef | None = None,
        kind: str | None = None,
        reason: str | None = None,
        until_unix_nano: int | None = None,
    ) -> AsyncGenerator[Note]:
        """Writes an order down, has it done by the body of the `with`, and brings it into the audit trail.

        `key`: what it is about. Where the body refuses (`ValueError`, `StoreRefused`), nothing is noted; what it ends
        with otherwise may have been done, and is. Raises `ValueError` when too many wait, and `BusError` when it cannot
        be written down: then the body is not run.
        """
        note = Note(self._made(control, key, agent, kind, reason, until_unix_nano), under_way=True)
        if len(self._waiting) >= MOST_WAITING:
            msg = f"not done: {len(self._waiting)} orders wait for the audit trail, which a strategy-selector keeps"
            raise ValueError(msg)
        self._own.add(note.order.id)
        self._waiting[note.order.id] = note
        try:
            _ = await self._runtime.bus.store(self._subject(note), codec.encode(note.order), _HEADERS)
        except BusError:
            self._drop(note)
            raise
        try:
            yield note
            problem = await self._note(note)
        except (ValueError, StoreRefused):
            note.noted = True
            await self._forget(note)
            raise
        except _Unanswered as error:
            problem = str(error)
        finally:
            note.under_way = False
        if problem:
            log.warning("%s by %s is not in the audit trail yet: %s", control.verb, control.by, problem)
            note.said = f"; not in the audit trail yet: {problem}"

    async def tidy(self) -> None:
        """Notes what could not be noted yet, the oldest first; stops when nobody answers."""
        now = self._runtime.now()
        for note in [self._waiting[name] for name in sorted(self._waiting)]:
            others = note.order.id not in self._own and now - note.order.time_unix_nano < _OTHERS_NANO
            if others or note.under_way:
                continue
            try:
                problem = await self._note(note)
            except _Unanswered:
                return
            # One that is refused stays, for a strategy-selector that knows better; it holds up no other.
            if problem and self._refused.get(note.order.id) != problem:
                self._refused[note.order.id] = problem
                log.error("the audit trail refuses what %s ordered, it is kept: %s", note.order.by, problem)

    def _made(
        self,
        control: Control,
        key: str,
        agent: AgentRef | None,
        kind: str | None,
        reason: str | None,
        until: int | None,
    ) -> Control:
        now = self._runtime.now()
        arguments: dict[str, Any] = {"verb": control.verb, "key": key}
        if until is not None:
            arguments["until_unix_nano"] = until
        return Control(
            id=new_id(now),
            time_unix_nano=now,
            verb=AUDIT,
            by=control.by,
            agent=agent,
            kind=kind,
            arguments=arguments,
            reason=reason,
        )

    async def _note(self, note: Note) -> str:
        """Has it noted; returns why it was refused, or nothing. Raises `_Unanswered`."""
        if not note.noted:
            subject = self._runtime.subjects.control(AUDIT)
            # Dated anew: signed orders count for a minute, in a process that is not younger, and each time once.
            body = codec.encode(note.order.model_copy(update={"time_unix_nano": self._runtime.now()}))
            try:
                reply = await self._runtime.bus.request(subject, body, _HEADERS, timeout=_AUDIT_SECONDS)
                result = codec.decode(ControlResult, reply.body, MAX_SERVICE_BODY)
            except (BusError, Refused) as error:
                msg = f"no strategy-selector notes it: {error}"
                raise _Unanswered(msg) from error
            if not result.ok:
                return result.detail or "refused"
            note.noted = True
        await self._forget(note)
        return ""

    async def _forget(self, note: Note) -> None:
        try:
            _ = await self._runtime.bus.store(self._subject(note), b"", _DELETED)
        except BusError as error:
            log.debug("the note %s is not forgotten yet: %s", note.order.id, error)
            return
        self._drop(note)

    def _drop(self, note: Note) -> None:
        _ = self._waiting.pop(note.order.id, None)
        _ = self._refused.pop(note.order.id, None)
        self._own.discard(note.order.id)

    def _subject(self, note: Note) -> str:
        return self._runtime.subjects.key("alerting", "note", note.order.id)

    async def _stored(self, stored: StoredMessage) -> None:
        name = stored.subject.rsplit(".", 1)[1]
        if not stored.body:
            if name not in self._own:
                _ = self._waiting.pop(name, None)
            return
        if name in self._own:
            return
        try:
            order = codec.decode(Control, stored.body, MAX_SERVICE_BODY)
        except Refused as refused:
            log.warning("what is stored on %s is of no use: %s", stored.subject, refused)
            return
        self._waiting.setdefault(name, Note(order))
