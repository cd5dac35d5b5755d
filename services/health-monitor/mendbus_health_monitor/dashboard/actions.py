"""What the page may have done: the same orders as the commands', hence in the audit trail, by whom the page names."""

import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, cast, get_args

from mendbus.asking import alerts, dead, orders, text
from mendbus.asking.orders import Order
from mendbus.contracts.ids import is_token
from mendbus.contracts.vocabulary import Category, Severity
from mendbus.http import Request, Unfit
from mendbus.runtime import Runtime

MOST_BYTES: Final = 1024
"""Of a reason or a note."""
LONGEST_BY: Final = 64
PAUSE_SECONDS: Final = 7 * 86400
SILENCE_SECONDS: Final = 30 * 86400

Said = Mapping[str, str]


async def act(runtime: Runtime, request: Request) -> dict[str, Any]:
    """What was done. Raises `Unfit` for an order that is none, `MendbusError` when it is not done."""
    verb = request.path.removeprefix("/api/actions/")
    known = ACTIONS.get(verb)
    if known is None:
        raise Unfit(404, f"there is no action {verb[:64]!r}: {', '.join(sorted(ACTIONS))}")
    names, do = known
    try:
        return await do(runtime, said(request, {*names, "by"}))
    except ValueError as error:
        raise Unfit(400, str(error)[:400]) from None


def said(request: Request, names: set[str]) -> Said:
    """The fields of an order, all of them text. Raises `Unfit` and `ValueError`."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise Unfit(415, "an order comes as application/json")
    try:
        value: Any = json.loads(request.body)
    except (ValueError, RecursionError):
        raise ValueError("the order is no JSON") from None
    if not isinstance(value, dict):
        raise ValueError("an order is a JSON object")
    found: dict[str, str] = {}
    for name, field in cast("dict[str, Any]", value).items():
        if name not in names:
            raise ValueError(f"the order has a {name[:64]!r}, and only {', '.join(sorted(names))} are taken")
        if field is None or field == "":
            continue
        if not isinstance(field, str | int) or isinstance(field, bool):
            raise ValueError(f"{name} of the order is no text")
        found[name] = str(field)
    by = found.get("by", "").strip()
    if not 1 <= len(by) <= LONGEST_BY or not by.isprintable():
        raise ValueError(f"the order does not say by whom it is: by, 1 to {LONGEST_BY} characters")
    for name in ("reason", "text"):
        if len(found.get(name, "").encode("utf-8", "replace")) > MOST_BYTES:
            raise ValueError(f"{name} of the order is longer than {MOST_BYTES} bytes")
    return found | {"by": by}


def _needed(order: Said, name: str) -> str:
    if not order.get(name, "").strip():
        raise ValueError(f"the order has no {name}")
    return order[name]


def _seconds(order: Said, default: str, most: int) -> float:
    seconds = text.seconds_of(order.get("for", default))
    if not 0 < seconds <= most:
        raise ValueError(f"for {order.get('for')!r} is too long, or nothing: up to {most // 86400}d")
    return seconds


def _target(order: Said) -> tuple[str | None, str | None]:
    target = _needed(order, "target")
    if target == "everything":
        return None, None
    kind, slash, agent = target.partition("/")
    if not is_token(kind) or (slash and not is_token(agent)):
        raise ValueError(f"target {target[:140]!r} is neither everything, nor a kind, nor KIND/ID")
    return kind, agent or None


async def _ack(runtime: Runtime, order: Said) -> dict[str, Any]:
    key = _needed(order, "key")
    done, result = await alerts.acknowledge(runtime.bus, runtime.subjects, key, order.get("reason"), order["by"])
    return orders.facts("ack", done, result)


async def _silence(runtime: Runtime, order: Said) -> dict[str, Any]:
    agent = None
    if order.get("agent"):
        kind, _, name = order["agent"].partition("/")
        if not (is_token(kind) and is_token(name)):
            raise ValueError(f"agent {order['agent'][:140]!r} is no KIND/ID")
        agent = kind, name
    if order.get("kind") and not is_token(order["kind"]):
        raise ValueError(f"kind {order['kind'][:80]!r} is no kind of agents")
    named = {"rule": order.get("rule"), "key": order.get("key")}
    if not any((agent, order.get("kind"), *named.values())):
        raise ValueError("a silence names an agent, a kind, a rule or a key")
    seconds = _seconds(order, "2h", SILENCE_SECONDS)
    result = await alerts.silence(
        runtime.bus, runtime.subjects, agent, order.get("kind"), named, seconds, order.get("reason"), order["by"]
    )
    return orders.facts("silence", result.data["silence"]["id"], result)


async def _unsilence(runtime: Runtime, order: Said) -> dict[str, Any]:
    wanted = _needed(order, "id")
    done, result = await alerts.unsilence(runtime.bus, runtime.subjects, wanted, order.get("reason"), order["by"])
    return orders.facts("unsilence", done, result)


def _deciding(verb: str) -> Callable[[Runtime, Said], Awaitable[dict[str, Any]]]:
    async def decide(runtime: Runtime, order: Said) -> dict[str, Any]:
        wanted = _needed(order, "incident")
        done, result = await orders.decide(
            runtime.bus, runtime.subjects, verb, wanted, order.get("reason"), order["by"]
        )
        return orders.facts(verb, done, result)

    return decide


async def _pause(runtime: Runtime, order: Said) -> dict[str, Any]:
    wanted = Order(
        "pause", _target(order), order.get("reason"), order["by"], seconds=_seconds(order, "1h", PAUSE_SECONDS)
    )
    return orders.facts("pause", wanted.what, await orders.send(runtime.bus, runtime.subjects, wanted))


async def _resume(runtime: Runtime, order: Said) -> dict[str, Any]:
    wanted = Order("resume", _target(order), order.get("reason"), order["by"])
    return orders.facts("resume", wanted.what, await orders.send(runtime.bus, runtime.subjects, wanted))


async def _note(runtime: Runtime, order: Said) -> dict[str, Any]:
    wanted, words = _needed(order, "incident"), _needed(order, "text")
    done, result = await orders.annotate(runtime.bus, runtime.subjects, "note", wanted, words, order["by"], {})
    return orders.facts("note", done, result)


async def _relabel(runtime: Runtime, order: Said) -> dict[str, Any]:
    wanted, why, category = (_needed(order, name) for name in ("incident", "reason", "category"))
    severity = order.get("severity")
    if category not in get_args(Category) or category == "unknown":
        raise ValueError(f"category {category[:40]!r} is none that can be learnt from")
    if severity is not None and severity not in get_args(Severity):
        raise ValueError(f"severity {severity[:40]!r} is none")
    labels = {"category": category} | ({"severity": severity} if severity else {})
    done, result = await orders.annotate(runtime.bus, runtime.subjects, "relabel", wanted, why, order["by"], labels)
    return orders.facts("relabel", done, result)


async def _replay(runtime: Runtime, order: Said) -> dict[str, Any]:
    number = _needed(order, "sequence")
    if not (number.isascii() and number.isdecimal() and len(number) < 16 and int(number)):
        raise ValueError(f"sequence {number[:40]!r} is no number of a dead letter")
    letter = dead.sendable(await dead.read_one(runtime.bus, runtime.subjects, int(number)))
    sent = await dead.send(runtime.bus, runtime.subjects, letter, order["by"])
    return {"verb": "replay", "target": number, "detail": f"sent to {text.clean(letter.subject)}", **sent}


Do = Callable[[Runtime, Said], Awaitable[dict[str, Any]]]

ACTIONS: Final[Mapping[str, tuple[tuple[str, ...], Do]]] = {
    "ack": (("key", "reason"), _ack),
    "silence": (("agent", "kind", "rule", "key", "for", "reason"), _silence),
    "unsilence": (("id", "reason"), _unsilence),
    "approve": (("incident", "reason"), _deciding("approve")),
    "reject": (("incident", "reason"), _deciding("reject")),
    "close": (("incident", "reason"), _deciding("close")),
    "pause": (("target", "for", "reason"), _pause),
    "resume": (("target", "reason"), _resume),
    "note": (("incident", "text"), _note),
    "relabel": (("incident", "category", "severity", "reason"), _relabel),
    "replay": (("sequence",), _replay),
}
