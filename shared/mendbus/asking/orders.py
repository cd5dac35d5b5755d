"""Orders of operators: the message of one, and the answer to it."""

import getpass
import time
from collections.abc import Mapping
from typing import Any, NamedTuple

from mendbus import codec
from mendbus.asking.errors import Declined, NotFound, Unanswered
from mendbus.asking.incidents import find_incident, find_outcomes
from mendbus.asking.text import clean
from mendbus.bus import Bus
from mendbus.contracts.errors import BusTimeout, NoResponders
from mendbus.contracts.ids import new_id
from mendbus.contracts.messages import AgentRef, Control, ControlResult
from mendbus.contracts.subjects import CONTENT_TYPE, HEADER_CONTENT_TYPE, MAX_SERVICE_BODY, Subjects
from mendbus.contracts.vocabulary import ServiceName

ANSWER_SECONDS = 8.0


class Order(NamedTuple):
    """A verb on a kind, an agent, or (neither) everything; `seconds` from now is when it ends."""

    verb: str
    target: tuple[str | None, str | None]
    reason: str | None = None
    by: str | None = None
    seconds: float | None = None
    incident: str | None = None

    @property
    def what(self) -> str:
        """What it is about, in words."""
        kind, agent = self.target
        return self.incident or (f"{kind}/{agent}" if agent else kind or "everything")

    @property
    def said(self) -> str:
        """The order in words."""
        return f"{self.verb} of {self.what}"


def control_of(order: Order) -> Control:
    """The message of an order."""
    kind, agent = order.target
    now = time.time_ns()
    arguments: dict[str, Any] = {}
    if order.seconds is not None:
        arguments["until_unix_nano"] = now + int(order.seconds * 1e9)
    if order.incident is not None:
        arguments["incident"] = order.incident
    if kind is None:
        arguments["all"] = True
    return Control(
        id=new_id(),
        time_unix_nano=now,
        verb=order.verb,
        by=order.by or user(),
        agent=AgentRef(kind=kind, id=agent) if kind and agent else None,
        kind=kind if kind and not agent else None,
        arguments=arguments,
        reason=order.reason,
    )


async def ask(
    bus: Bus,
    subjects: Subjects,
    control: Control,
    seconds: float = ANSWER_SECONDS,
    service: ServiceName = "strategy-selector",
) -> ControlResult:
    """The answer of a service to an order or a question. Raises `Unanswered` when there is none."""
    try:
        reply = await bus.request(
            subjects.control(control.verb),
            codec.encode(control),
            {HEADER_CONTENT_TYPE: CONTENT_TYPE},
            timeout=seconds,
        )
    except NoResponders:
        raise Unanswered(f"nobody takes {control.verb}: is a {service} running?") from None
    except BusTimeout:
        raise Unanswered(f"no {service} answered {control.verb} within {seconds:g} s, done or not: ask again") from None
    return codec.decode(ControlResult, reply.body, MAX_SERVICE_BODY)


async def answer_to(
    bus: Bus,
    subjects: Subjects,
    order: Order,
    arguments: Mapping[str, Any],
    seconds: float = ANSWER_SECONDS,
    service: ServiceName = "strategy-selector",
) -> ControlResult:
    """What a service answers to an order or a question with these arguments. Raises `Unanswered`, or `Declined`."""
    control = control_of(order).model_copy(update={"arguments": dict(arguments)})
    return done(order.verb, await ask(bus, subjects, control, seconds, service))


async def send(bus: Bus, subjects: Subjects, order: Order) -> ControlResult:
    """What was done about an order. Raises `MendbusError` when nobody does it, with the reason."""
    return done(order.said, await ask(bus, subjects, control_of(order)))


async def decide(
    bus: Bus, subjects: Subjects, verb: str, prefix: str, reason: str | None, by: str | None
) -> tuple[str, ControlResult]:
    """Sends an order about the incident whose id begins so; its id, and what was done. Raises `MendbusError`."""
    outcomes = await find_outcomes(bus, subjects, prefix)
    if not outcomes:
        raise NotFound(f"no incident that begins with {prefix!r} has an outcome: see `mendbus incidents`")
    last = outcomes[-1]
    order = Order(verb, (last.agent.kind, last.agent.id), reason, by, incident=last.incident_id)
    return last.incident_id, await send(bus, subjects, order)


async def annotate(
    bus: Bus, subjects: Subjects, verb: str, prefix: str, reason: str, by: str | None, labels: dict[str, Any]
) -> tuple[str, ControlResult]:
    """Writes on the incident whose id begins so; its id, and what was done.

    Raises `MendbusError` when it was refused, or there is none such.
    """
    incident, agent = await find_incident(bus, subjects, prefix)
    order = Order(verb, (agent.kind, agent.id), reason, by, incident=incident)
    control = control_of(order)
    control = control.model_copy(update={"arguments": control.arguments | labels})
    return incident, done(order.said, await ask(bus, subjects, control))


def done(what: str, result: ControlResult) -> ControlResult:
    """The answer to what was ordered or asked, unless it is a no. Raises `Declined` when it is."""
    if not result.ok:
        raise Declined(f"{what} was refused: {clean(result.detail or 'no reason was given')}")
    return result


def facts(verb: str, what: str, result: ControlResult) -> dict[str, Any]:
    """What was done, for programs."""
    return {"verb": verb, "target": what, "detail": result.detail, "by": result.instance, **result.data}


def user() -> str:
    """The name of whoever runs this process."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "operator"
