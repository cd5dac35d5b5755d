"""What operators ask and order about alerts: listed, acknowledged, silenced. Each order is noted in the audit trail."""

import logging
from collections.abc import Awaitable, Callable
from typing import Any, Final

from mendbus import codec
from mendbus.bus import StoredMessage
from mendbus.contracts.errors import BusError, Refused
from mendbus.contracts.ids import new_id
from mendbus.contracts.messages import AgentRef, Alert, Control, ControlResult
from mendbus.contracts.subjects import CONTENT_TYPE, HEADER_CONTENT_TYPE, MAX_BODY, MAX_SERVICE_BODY
from mendbus.runtime import Runtime
from mendbus.telemetry import Span
from mendbus_health_monitor.alerts import Alerts
from mendbus_health_monitor.audit_notes import AuditNotes
from mendbus_health_monitor.silences import LONGEST_SECONDS, Silence

log = logging.getLogger("mendbus")

PAGE: Final = 100
"""Alerts or silences in one answer; `next` in it is the `after` of the next question."""

_KEEP_NANO: Final = 3600 * 1_000_000_000
"""How long a silence is kept after its end."""
_NANO: Final = 1_000_000_000
_DELETED: Final = {"KV-Operation": "DEL"}


class Orders:
    """Answers the verbs, and keeps the silences. `emit` stores a change of an alert and returns when it is kept."""

    def __init__(self, runtime: Runtime, alerts: Alerts, emit: Callable[[Alert], Awaitable[None]]) -> None:
        self._runtime = runtime
        self._subjects = runtime.subjects
        self._alerts = alerts
        self._emit = emit
        self.silences: dict[str, Silence] = {}
        """By id."""
        self._sequences: dict[str, int] = {}
        self._notes = AuditNotes(runtime)

    async def start(self) -> None:
        """Reads the silences, then listens for every verb. Raises `BusError`."""
        runtime, subjects, bus = self._runtime, self._subjects, self._runtime.bus
        stream, every = subjects.bucket_stream("alerting"), subjects.key("alerting", "silence", ">")
        async for stored in bus.read(stream, every):
            await self._stored(stored)
        runtime.subscriptions.append(await bus.follow(stream, every, self._stored, last_per_subject=True))
        await self._notes.start()
        await runtime.serve("alerts", subjects.control("alerts"), Control, self._list, limit=MAX_BODY)
        await runtime.serve("silences", subjects.control("silences"), Control, self._list_silences, limit=MAX_BODY)
        verbs = {"ack": self._acknowledge, "silence": self._silence, "unsilence": self._unsilence}
        for verb, act in verbs.items():
            await runtime.serve(verb, subjects.control(verb), Control, self._answering(verb, act), limit=MAX_BODY)

    async def tidy(self) -> None:
        """Forgets silences that ended a while ago, and notes what could not be noted in the audit trail yet."""
        now = self._runtime.now()
        for silence in list(self.silences.values()):
            if silence.until_unix_nano + _KEEP_NANO < now:
                try:
                    await self._remove(silence.id)
                except BusError as error:
                    log.debug("the silence %s is not forgotten: %s", silence.id, error)
        await self._notes.tidy()

    def _answering(
        self, verb: str, act: Callable[[Control], Awaitable[tuple[str, dict[str, Any]]]]
    ) -> Callable[[Control, Span], Awaitable[ControlResult]]:
        async def answer(control: Control, _: Span) -> ControlResult:
            try:
                if control.verb != verb:
                    raise ValueError(f"the order says {control.verb!r} and came as {verb!r}")
                detail, data = await act(control)
            except (ValueError, BusError) as error:
                return self._runtime.result(ok=False, detail=str(error))
            return self._runtime.result(detail=detail, data=data)

        return answer

    async def _acknowledge(self, control: Control) -> tuple[str, dict[str, Any]]:
        key = _text(control, "key")
        if not key:
            raise ValueError("ack names the key of an alert; without one it does nothing")
        found = self._alerts.open.get(key)
        agent = found.agent if found else None
        async with self._notes.noting(control, key, agent=agent, reason=control.reason) as note:
            alert = self._alerts.acknowledge(key, control.by, control.reason, self._runtime.now())
            await self._emit(alert)
        return f"acknowledged until it is resolved{note.said}", {"alert": alert.model_dump(exclude_none=True)}

    async def _silence(self, control: Control) -> tuple[str, dict[str, Any]]:
        now, until = self._runtime.now(), control.arguments.get("until_unix_nano")
        if not isinstance(until, int) or isinstance(until, bool) or not now < until <= now + LONGEST_SECONDS * _NANO:
            raise ValueError("a silence needs an end (until_unix_nano) in the future, at most 30 days ahead")
        silence = Silence(
            id=new_id(now),
            by=control.by,
            reason=control.reason,
            begun_unix_nano=now,
            until_unix_nano=until,
            key=_text(control, "key"),
            rule=_text(control, "rule"),
            kind=control.kind,
            agent=control.agent.key if control.agent else None,
        )
        if silence.empty:
            raise ValueError("a silence names an agent, a kind, a rule or a key; without one it mutes nothing")
        subject = self._subjects.key("alerting", "silence", silence.id)
        reason = f"{silence.target}{': ' + silence.reason if silence.reason else ''}"[:250]
        async with self._notes.noting(
            control, silence.id, agent=control.agent, kind=silence.kind, reason=reason, until_unix_nano=until
        ) as note:
            stored = await self._runtime.bus.store(subject, codec.encode(silence), {HEADER_CONTENT_TYPE: CONTENT_TYPE})
            self.silences[silence.id], self._sequences[silence.id] = silence, stored.sequence
        muted = sum(silence.fits(alert) for alert in self._alerts.open.values())
        data = {"silence": silence.model_dump(exclude_none=True), "muted": muted}
        return f"{muted} open alerts are silent now, and others that fit{note.said}", data

    async def _unsilence(self, control: Control) -> tuple[str, dict[str, Any]]:
        silence_id = _text(control, "id") or ""
        silence = self.silences.get(silence_id)
        if silence is None:
            raise ValueError(f"there is no silence {silence_id!r}")
        kind, _, name = (silence.agent or "").partition("/")
        agent = AgentRef(kind=kind, id=name) if name else None
        async with self._notes.noting(
            control, silence_id, agent=agent, kind=silence.kind, reason=control.reason
        ) as note:
            await self._remove(silence_id)
        return f"{silence.target} is silent no more{note.said}", {"silence": silence.model_dump(exclude_none=True)}

    async def _remove(self, silence_id: str) -> None:
        stored = await self._runtime.bus.store(self._subjects.key("alerting", "silence", silence_id), b"", _DELETED)
        _ = self.silences.pop(silence_id, None)
        self._sequences[silence_id] = stored.sequence

    # What is kept, what is listed

    async def _stored(self, stored: StoredMessage) -> None:
        silence_id = stored.subject.rsplit(".", 1)[1]
        if stored.sequence <= self._sequences.get(silence_id, 0):
            return
        self._sequences[silence_id] = stored.sequence
        if not stored.body:
            _ = self.silences.pop(silence_id, None)
            return
        try:
            self.silences[silence_id] = codec.decode(Silence, stored.body, MAX_SERVICE_BODY)
        except Refused as refused:
            log.warning("what is stored on %s is of no use: %s", stored.subject, refused)

    async def _list(self, control: Control, _: Span) -> ControlResult:
        keys = sorted(key for key in self._alerts.open if key > (_text(control, "after") or ""))[:PAGE]
        more = {"next": keys[-1]} if len(keys) == PAGE else {}
        rows = [self._alerts.open[key].model_dump(exclude_none=True) for key in keys]
        return self._runtime.result(data={"alerts": rows, **more})

    async def _list_silences(self, control: Control, _: Span) -> ControlResult:
        now, after = self._runtime.now(), _text(control, "after") or ""
        found = sorted(one.id for one in self.silences.values() if one.id > after and one.until_unix_nano > now)[:PAGE]
        more = {"next": found[-1]} if len(found) == PAGE else {}
        rows = [self.silences[name].model_dump(exclude_none=True) for name in found]
        return self._runtime.result(data={"silences": rows, **more})


def _text(control: Control, name: str) -> str | None:
    value = control.arguments.get(name)
    return value if isinstance(value, str) and value else None
