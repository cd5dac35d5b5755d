"""Sends an operator's order and prints what was done about it."""

from mendbus.asking import orders
from mendbus.asking.orders import Order
from mendbus.cli.connect import connected
from mendbus.cli.output import clean, document, say
from mendbus.contracts.messages import ControlResult
from mendbus.settings import Settings


async def send(settings: Settings, order: Order, *, as_json: bool) -> None:
    """Sends one order. Raises `MendbusError` when nobody does it, with the reason."""
    async with connected(settings) as bus:
        result = await orders.send(bus, settings.subjects, order)
    tell(order.verb, order.what, result, as_json=as_json)


async def decide(
    settings: Settings, verb: str, prefix: str, reason: str | None, by: str | None, *, as_json: bool
) -> None:
    """Sends an order about the incident whose id begins so. Raises `MendbusError`."""
    async with connected(settings) as bus:
        incident, result = await orders.decide(bus, settings.subjects, verb, prefix, reason, by)
    tell(verb, incident, result, as_json=as_json)


def tell(verb: str, what: str, result: ControlResult, *, as_json: bool) -> None:
    """Prints what was done about an order."""
    if as_json:
        document(orders.facts(verb, what, result))
    else:
        say(f"{verb} {what}: {clean(result.detail or 'done')}")
