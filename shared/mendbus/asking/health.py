"""What the health-monitor is asked: how agents are, what was found out about them, what runs out, what was foretold."""

import time
from typing import Any, Final

from mendbus import codec
from mendbus.asking.errors import Declined, NotFound, Unanswered
from mendbus.asking.orders import user
from mendbus.bus import Bus
from mendbus.contracts.errors import BusTimeout, MendbusError, NoResponders
from mendbus.contracts.ids import new_id
from mendbus.contracts.messages import AgentRef, Control, ControlResult
from mendbus.contracts.subjects import CONTENT_TYPE, HEADER_CONTENT_TYPE, MAX_SERVICE_BODY, Subjects

ANSWER_SECONDS: Final = 5.0
ORDER: Final = ("failed", "critical", "poor", "fair", "good", "excellent", "unknown", "retired")
"""Statuses of agents, the worst first."""
FURTHER: Final = ("signals", "capacity")
"""Verbs whose answers are told of one agent too, where somebody gives them: what was found out about its metrics."""

Data = dict[str, Any]


async def ask(bus: Bus, subjects: Subjects, verb: str, agent: tuple[str, str] | None = None, **arguments: Any) -> Data:
    """One answer of the health-monitor. Raises `MendbusError` when there is none, or it is a no."""
    return await _ask(bus, subjects, verb, AgentRef(kind=agent[0], id=agent[1]) if agent else None, None, arguments)


async def _ask(
    bus: Bus, subjects: Subjects, verb: str, agent: AgentRef | None, kind: str | None, arguments: Data
) -> Data:
    control = Control(
        id=new_id(),
        time_unix_nano=time.time_ns(),
        verb=verb,
        by=user(),
        agent=agent,
        kind=kind,
        arguments=arguments,
    )
    body, headers = codec.encode(control), {HEADER_CONTENT_TYPE: CONTENT_TYPE}
    try:
        reply = await bus.request(subjects.control(verb), body, headers, timeout=ANSWER_SECONDS)
    except NoResponders:
        raise Unanswered("nobody knows how agents are: is a health-monitor running?") from None
    except BusTimeout:
        raise Unanswered(f"the health-monitor did not answer within {ANSWER_SECONDS:g} s: ask again") from None
    result = codec.decode(ControlResult, reply.body, MAX_SERVICE_BODY)
    if not result.ok:
        raise Declined(f"the health-monitor says no: {result.detail or 'it gives no reason'}")
    return result.data


async def ask_all(
    bus: Bus, subjects: Subjects, verb: str, name: str, agent: tuple[str, str] | None = None, **arguments: Any
) -> tuple[list[Data], Data]:
    """The rows called `name` of every page of an answer, and the rest of the first page."""
    page = await ask(bus, subjects, verb, agent, **arguments)
    rows: list[Data] = page.pop(name, [])
    rest, after = page, page.pop("next", None)
    while after is not None:
        page = await ask(bus, subjects, verb, agent, **arguments, after=after)
        rows += page.pop(name, [])
        after = page.get("next")
    return rows, rest


async def agents(bus: Bus, subjects: Subjects) -> Data:
    """Every agent that the health-monitor knows, the worst first (`agents`), and what was wrong with samples.

    Raises `MendbusError`.
    """
    rows, rest = await ask_all(bus, subjects, "agents", "agents")
    rows.sort(key=_rank)
    return {"agents": rows, **rest}


async def agent(bus: Bus, subjects: Subjects, who: tuple[str, str]) -> Data:
    """One agent (kind, id): its row, its history (`seconds`, `minutes`), and what was found out about it.

    Raises `NotFound` when nobody has heard of it, other `MendbusError` when nobody answers.
    """
    rows, _ = await ask_all(bus, subjects, "agents", "agents", who)
    seconds, _ = await ask_all(bus, subjects, "history", "rows", who, resolution="1s")
    minutes, _ = await ask_all(bus, subjects, "history", "rows", who, resolution="1m")
    if not (rows or seconds or minutes):
        raise NotFound(f"no agent {'/'.join(who)} was heard of: `mendbus health` lists those that were")
    row = rows[0] if rows else _unheard(who)
    found = {verb: told for verb in FURTHER if (told := await _further(bus, subjects, verb, who)) is not None}
    return {**row, "seconds": seconds, "minutes": minutes, **found}


async def capacity(bus: Bus, subjects: Subjects, kind: str | None = None, agent_id: str | None = None) -> Data:
    """All pages of what runs out: `agents`, `kinds`, `mendbus`. Raises `MendbusError` when nobody answers."""
    who = AgentRef(kind=kind, id=agent_id) if kind and agent_id else None
    told: Data = {"agents": [], "kinds": [], "mendbus": {}}
    after: str | None = ""
    while after is not None:
        page = await _ask(bus, subjects, "capacity", who, kind, {"after": after})
        told["agents"] += page["agents"]
        told |= {name: page[name] for name in ("kinds", "mendbus") if name in page}
        after = page.get("next")
    return told


async def predictions(bus: Bus, subjects: Subjects) -> Data:
    """What predicted failures were worth since the health-monitor was started. Raises `MendbusError`."""
    return await ask(bus, subjects, "predictions")


def key_of(row: Data) -> str:
    """`kind/id` of an agent's row."""
    return f"{row['agent']['kind']}/{row['agent']['id']}"


def _rank(row: Data) -> tuple[int, float, str]:
    status = row["status"]
    return ORDER.index(status) if status in ORDER else len(ORDER), row.get("score", 0.0), key_of(row)


def _unheard(who: tuple[str, str]) -> Data:
    reason = "not heard since the health-monitor was started"
    return {"agent": {"kind": who[0], "id": who[1]}, "status": "unknown", "reason": reason, "metrics": {}}


async def _further(bus: Bus, subjects: Subjects, verb: str, who: tuple[str, str]) -> Data | None:
    try:
        return await ask(bus, subjects, verb, who)
    except MendbusError:
        return None
