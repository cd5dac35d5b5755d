"""What the health-monitor is asked: how agents are, what was found out about them, what runs out, what was foretold."""

from typing import Any, Final

from mendbus.asking.errors import NotFound
from mendbus.asking.orders import Order, answer_to
from mendbus.bus import Bus
from mendbus.contracts.errors import MendbusError
from mendbus.contracts.subjects import Subjects

ANSWER_SECONDS: Final = 5.0
ORDER: Final = ("failed", "critical", "poor", "fair", "good", "excellent", "unknown", "retired")
"""Statuses of agents, the worst first."""
FURTHER: Final = ("signals", "capacity")
"""Verbs whose answers are told of one agent too, where somebody gives them: what was found out about its metrics."""

Data = dict[str, Any]
Target = tuple[str | None, str | None]
"""Of whom something is asked: an agent (kind and id), a kind, or everybody."""


async def ask(bus: Bus, subjects: Subjects, verb: str, target: Target = (None, None), **arguments: Any) -> Data:
    """One answer of the health-monitor. Raises `MendbusError` when there is none, or it is a no."""
    return (await answer_to(bus, subjects, Order(verb, target), arguments, ANSWER_SECONDS, "health-monitor")).data


async def ask_all(
    bus: Bus, subjects: Subjects, verb: str, name: str, target: Target = (None, None), **arguments: Any
) -> tuple[list[Data], Data]:
    """The rows called `name` of every page of an answer, and the rest of the first page."""
    page = await ask(bus, subjects, verb, target, **arguments)
    rows: list[Data] = page.pop(name, [])
    rest, after = page, page.pop("next", None)
    while after is not None:
        page = await ask(bus, subjects, verb, target, **arguments, after=after)
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
    told: Data = {"agents": [], "kinds": [], "mendbus": {}}
    after: str | None = ""
    while after is not None:
        page = await ask(bus, subjects, "capacity", (kind, agent_id), after=after)
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
