"""Orders of operators: pause, resume, approve, reject, close, note, relabel, rehearse, audit, status, replay. The owner
of what an order names does it, and answers when it is on disk; an order that names nothing acts on nothing.
"""

import asyncio
import logging
from collections.abc import Callable
from typing import Any

from mendbus import codec
from mendbus.bus import Message
from mendbus.contracts.errors import BusError, Refused, SettingsError
from mendbus.contracts.journal import AUDIT, AUDITED, Operated
from mendbus.contracts.messages import Control, ControlResult
from mendbus.contracts.subjects import MAX_BODY, partition_of
from mendbus.runtime import Runtime
from mendbus.telemetry import Span
from mendbus_strategy_selector.annotating import ANNOTATIONS, annotation, known
from mendbus_strategy_selector.control_journal import write_control
from mendbus_strategy_selector.ownership import Ownership
from mendbus_strategy_selector.parking import INCIDENT_VERBS
from mendbus_strategy_selector.pauses import LONGEST_SECONDS
from mendbus_strategy_selector.policy import read_policy
from mendbus_strategy_selector.replay import replay
from mendbus_strategy_selector.steps import Context

log = logging.getLogger("mendbus")

_NANO = 1_000_000_000
_SECONDS = 5.0
REHEARSE = "rehearse"
VERBS = ("pause", "resume", REHEARSE, AUDIT, "status", *sorted(INCIDENT_VERBS), *ANNOTATIONS)


class Controls:
    """Answers the orders that this replica is the one to answer."""

    def __init__(self, runtime: Runtime, context: Context, ownership: Ownership) -> None:
        self._runtime = runtime
        self._context = context
        self._ownership = ownership

    async def start(self) -> None:
        """Listens for every verb."""
        for verb in VERBS:
            subject = self._runtime.subjects.control(verb)
            self._runtime.subscriptions.append(await self._runtime.bus.subscribe(subject, self._receive))
        await self._runtime.serve("replay", self._runtime.subjects.control("replay"), Control, self._replay)

    async def _receive(self, message: Message) -> None:
        try:
            codec.check_content_type(message.headers)
            control = codec.decode(Control, message.body, MAX_BODY)
            if control.verb != message.subject.rsplit(".", 1)[1]:
                raise Refused("invalid", f"the body says {control.verb!r}, the subject {message.subject!r}")
        except Refused as refused:
            if self._ownership.owned(0) is not None:
                await self._runtime.reply_error(message, 400, str(refused))
                await self._runtime.dead_letter(message, refused)
            return
        number = self._responsible(control)
        if number is not None and self._ownership.owned(number) is None:
            return
        try:
            async with asyncio.timeout(_SECONDS):
                detail, data = await self._do(control)
        except ValueError as refused:
            await self._answer(message, ok=False, detail=str(refused))
        except (BusError, TimeoutError) as error:
            await self._answer(message, ok=False, detail=f"not done: {error!r}")
        else:
            await self._answer(message, ok=True, detail=detail, data=data)

    def _responsible(self, control: Control) -> int | None:
        """The partition whose owner answers; None: every replica does."""
        if control.verb == "status":
            return None
        if control.verb in ANNOTATIONS:
            # Into the short journal of operators: whoever shows an incident reads all of it.
            return 0
        return partition_of(control.agent.kind, control.agent.id) if control.agent else 0

    async def _do(self, control: Control) -> tuple[str, dict[str, Any]]:
        if control.verb == "status":
            return "", self._status()
        if control.verb in INCIDENT_VERBS:
            incident = control.arguments.get("incident")
            if control.agent is None or not isinstance(incident, str):
                msg = f"{control.verb} names an agent and an incident; without them it acts on nothing"
                raise ValueError(msg)
            partition = self._ownership.owned(partition_of(control.agent.kind, control.agent.id))
            return await partition.operate(control, incident) if partition else "", {}
        if control.verb in ANNOTATIONS:
            note = annotation(control)
            if not await known(self._runtime, self._context.overview.incidents, control):
                msg = f"there is no incident {note.incident_id} of {control.agent.key if control.agent else '?'}"
                raise ValueError(msg)
            await write_control(self._runtime, note)
            return "on disk", {}
        entry = audited(control) if control.verb == AUDIT else operated(control, self._runtime.now)
        if control.agent is None:
            await write_control(self._runtime, entry)
            return "on disk", {}
        partition = self._ownership.owned(partition_of(control.agent.kind, control.agent.id))
        if partition is not None:
            await partition.write(entry)
        return "on disk", {}

    async def _replay(self, control: Control, _: Span) -> ControlResult:
        """One replica answers: it reads the whole journal since then."""
        text, since = control.arguments.get("policy"), control.arguments.get("since_unix_nano")
        if not isinstance(text, str):
            return self._runtime.result(ok=False, detail="replay needs a policy: the text of a TOML file")
        try:
            policy = read_policy(text, "policy")
        except SettingsError as error:
            return self._runtime.result(ok=False, detail=str(error))
        start = since if isinstance(since, int) else None
        return self._runtime.result(data=await replay(self._runtime.bus, self._runtime.subjects, policy, start))

    def _status(self) -> dict[str, Any]:
        context, now = self._context, self._runtime.now()
        pauses = context.overview.pauses.in_force(now) + self._ownership.pauses(now)
        return {
            "policy_digest": context.policy.digest,
            "policy_problems": context.policies.problems,
            "partitions": self._ownership.numbers(),
            "latched": context.overview.latched,
            "choice": context.choices.standing(),
            "pauses": [pause.model_dump() for pause in {pause.scope: pause for pause in pauses}.values()],
        }

    async def _answer(
        self, message: Message, *, ok: bool, detail: str = "", data: dict[str, Any] | None = None
    ) -> None:
        await self._runtime.reply(message, self._runtime.result(ok=ok, detail=detail, data=data))


def operated(control: Control, now: Callable[[], int]) -> Operated:
    """The entry of a pause, a resume, or a rehearsal, which is only noted here.

    Raises `ValueError` for one that names nothing, too much, or no fitting end.
    """
    everything = control.arguments.get("all") is True
    named = [thing for thing in (control.agent, control.kind, everything) if thing]
    if len(named) != 1:
        msg = f"{control.verb} names {len(named)} things to act on, so it acts on nothing: an agent, a kind, or all"
        raise ValueError(msg)
    if control.verb == REHEARSE and control.agent is None:
        msg = "a fault is rehearsed with one agent, and this order names none"
        raise ValueError(msg)
    until: int | None = None
    if control.verb == "pause":
        said = control.arguments.get("until_unix_nano")
        latest = now() + LONGEST_SECONDS * _NANO
        if not isinstance(said, int) or isinstance(said, bool) or not now() < said <= latest:
            msg = "a pause needs an end (until_unix_nano) in the future, at most 7 days ahead"
            raise ValueError(msg)
        until = said
    return Operated(
        verb=control.verb,
        by=control.by,
        reason=control.reason,
        agent=control.agent,
        kind=control.kind,
        until_unix_nano=until,
    )


def audited(control: Control) -> Operated:
    """The entry of what an operator had another service do. Raises `ValueError` for what is no such action."""
    verb, key = control.arguments.get("verb"), control.arguments.get("key")
    until = control.arguments.get("until_unix_nano")
    if verb not in AUDITED or not isinstance(key, str):
        msg = f"audit notes one of {', '.join(sorted(AUDITED))} and what it is about (key), and nothing else"
        raise ValueError(msg)
    return Operated(
        verb=str(verb),
        by=control.by,
        reason=control.reason,
        agent=control.agent,
        kind=control.kind,
        until_unix_nano=until if isinstance(until, int) else None,
        key=key.encode()[:256].decode("utf-8", "ignore"),
    )
