"""Sends an operator's order and prints what was done about it."""

import getpass
import time
from typing import TYPE_CHECKING, Any, NamedTuple

from mendbus import codec
from mendbus.cli.connect import connected
from mendbus.cli.incidents import find_outcomes
from mendbus.cli.output import clean, document, say
from mendbus.contracts.errors import BusTimeout, MendbusError, NoResponders
from mendbus.contracts.ids import new_id
from mendbus.contracts.messages import AgentRef, Control, ControlResult
from mendbus.contracts.subjects import CONTENT_TYPE, HEADER_CONTENT_TYPE, MAX_SERVICE_BODY, Subjects
from mendbus.settings import Settings

if TYPE_CHECKING:
    from mendbus.bus import Bus

ANSWER_SECONDS = 8.0


class Order(NamedTuple):
    """A verb on a kind, an agent, or (neither) everything; `seconds` from now is when it ends."""

    verb: str
    target: tuple[str | None, str | None]
    reason: str | None = None
    by: str | None = None
    seconds: float | None = None
    incident: str | None = None


async def send(settings: Settings, order: Order, *, as_json: bool) -> None:
    """Sends one order. Raises `MendbusError` when nobody does it, with the reason."""
    async with connected(settings) as bus:
        result = await ask(bus, settings.subjects, control_of(order))
    kind, agent = order.target
    what = order.incident or (f"{kind}/{agent}" if agent else kind or "everything")
    tell(order.verb, what, result, as_json=as_json)


async def decide(
    settings: Settings, verb: str, prefix: str, reason: str | None, by: str | None, *, as_json: bool
) -> None:
    """Sends an order about the incident whose id begins so. Raises `MendbusError`."""
    async with connected(settings) as bus:
        outcomes = await find_outcomes(bus, settings.subjects, prefix)
        if not outcomes:
            raise MendbusError(f"no incident that begins with {prefix!r} has an outcome: see `mendbus incidents`")
        last = outcomes[-1]
        target = last.agent.kind, last.agent.id
        order = Order(verb, target, reason, by, incident=last.incident_id)
        result = await ask(bus, settings.subjects, control_of(order))
    tell(verb, last.incident_id, result, as_json=as_json)


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


async def ask(bus: "Bus", subjects: Subjects, control: Control, seconds: float = ANSWER_SECONDS) -> ControlResult:
    """The answer to an order. Raises `MendbusError` when there is none."""
    try:
        reply = await bus.request(
            subjects.control(control.verb),
            codec.encode(control),
            {HEADER_CONTENT_TYPE: CONTENT_TYPE},
            timeout=seconds,
        )
    except NoResponders:
        raise MendbusError(f"no service takes {control.verb} orders: is a strategy-selector running?") from None
    except BusTimeout:
        raise MendbusError(f"nobody answered within {seconds:g} s whether {control.verb} was done: ask again") from None
    return codec.decode(ControlResult, reply.body, MAX_SERVICE_BODY)


def tell(verb: str, what: str, result: ControlResult, *, as_json: bool) -> None:
    """Prints what was done about an order. Raises `MendbusError` when it was refused."""
    if not result.ok:
        raise MendbusError(f"{verb} of {what} was refused: {clean(result.detail or 'no reason was given')}")
    if as_json:
        document({"verb": verb, "target": what, "detail": result.detail, "by": result.instance, **result.data})
    else:
        say(f"{verb} {what}: {clean(result.detail or 'done')}")


def user() -> str:
    """The name of whoever runs this command."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "operator"
