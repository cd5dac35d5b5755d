"""What the page may ask: each question is answered by the function that answers the command, so that numbers agree."""

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from mendbus.analytics_reading import analyse
from mendbus.analytics_report import facts
from mendbus.asking import alerts, dead, health, incident_facts, pauses, storage, text, tracing
from mendbus.contracts.ids import is_token
from mendbus.http import Request, Unfit
from mendbus.redaction import Redaction
from mendbus.runtime import Runtime

Ask = Callable[[Runtime, Request, tuple[str, ...]], Awaitable[Any]]
Hide = Callable[[Any, Redaction], Any]
Rules = Callable[[], Redaction]
"""What nobody shall see, as the policy says now."""

_ID: Final = "[A-Za-z0-9_-]{1,64}"
_DEFAULT_SINCE: Final = "24h"
_DEFAULT_LIMIT: Final = 50
_MOST: Final = 1000
"""Rows in an answer: outcomes and letters are held for it, and others ask at the same time."""


@dataclass(frozen=True, slots=True)
class Question:
    """One address: its pattern, whose groups are given to the function, and the query names that it takes."""

    pattern: re.Pattern[str]
    ask: Ask
    names: frozenset[str]
    hide: Hide | None
    """What takes out what is secret, where the answer holds what was sent as it was sent."""


async def answer(runtime: Runtime, request: Request, rules: Rules) -> Any:
    """Plain values, without what `rules` say is secret.

    Raises `Unfit` for an address that is none and a query that does not fit, `MendbusError`.
    """
    for question in QUESTIONS:
        found = question.pattern.fullmatch(request.path)
        if found is not None:
            unknown = sorted(set(request.query) - question.names)
            if unknown:
                raise Unfit(400, f"{request.path} takes no {unknown[0][:64]!r}: {_listed(question.names)}")
            try:
                told = await question.ask(runtime, request, found.groups())
                return question.hide(told, rules()) if question.hide else told
            except ValueError as error:
                raise Unfit(400, str(error)[:400]) from None
    raise Unfit(404, f"there is no {request.path[:200]}")


async def _agents(runtime: Runtime, _: Request, __: tuple[str, ...]) -> Any:
    return await health.agents(runtime.bus, runtime.subjects)


async def _agent(runtime: Runtime, _: Request, who: tuple[str, ...]) -> Any:
    return await health.agent(runtime.bus, runtime.subjects, (who[0], who[1]))


async def _checkpoints(runtime: Runtime, _: Request, who: tuple[str, ...]) -> Any:
    return await storage.checkpoints(runtime.bus, runtime.subjects, (who[0], who[1]))


async def _incidents(runtime: Runtime, request: Request, _: tuple[str, ...]) -> Any:
    query = request.query
    agent = _agent_of(query["agent"]) if query.get("agent") else None
    seconds, limit = text.seconds_of(query.get("since", _DEFAULT_SINCE)), _number(query, "limit", _DEFAULT_LIMIT)
    only_open = _flag(query, "open")
    found = await incident_facts.listed(runtime.bus, runtime.subjects, limit, seconds, agent, only_open=only_open)
    return found.facts()


async def _incident(runtime: Runtime, _: Request, which: tuple[str, ...]) -> Any:
    return (await incident_facts.explained(runtime.bus, runtime.subjects, which[0], audit=True)).facts()


async def _trace(runtime: Runtime, _: Request, which: tuple[str, ...]) -> Any:
    settings = runtime.settings
    # Files of several megabytes are read: not on the thread that hears samples.
    found = await asyncio.to_thread(tracing.local_trace, settings, which[0])
    wanted = found or await tracing.told_trace(runtime.bus, runtime.subjects, which[0])
    return [row._asdict() for row in await asyncio.to_thread(tracing.spans, settings, wanted)]


async def _alerts(runtime: Runtime, request: Request, _: tuple[str, ...]) -> Any:
    if _flag(request.query, "all"):
        seconds = text.seconds_of(request.query.get("since", _DEFAULT_SINCE))
        found = await alerts.changed(runtime.bus, runtime.subjects, seconds)
    else:
        found = await alerts.open_alerts(runtime.bus, runtime.subjects)
    return [alert.model_dump(exclude_none=True) for alert in found]


async def _silences(runtime: Runtime, _: Request, __: tuple[str, ...]) -> Any:
    return await alerts.rows_of(runtime.bus, runtime.subjects, "silences")


async def _pauses(runtime: Runtime, _: Request, __: tuple[str, ...]) -> Any:
    return await pauses.pauses(runtime.bus, runtime.subjects)


async def _analytics(runtime: Runtime, request: Request, _: tuple[str, ...]) -> Any:
    now = runtime.now()
    first = text.moment_of(request.query.get("from", _DEFAULT_SINCE), now)
    last = text.moment_of(request.query["to"], now) if request.query.get("to") else now
    if first >= last:
        raise ValueError("the range ends before it begins: from, to")
    return facts(await analyse(runtime.bus, runtime.subjects, first, last))


async def _capacity(runtime: Runtime, request: Request, _: tuple[str, ...]) -> Any:
    kind, slash, agent = request.query.get("target", "").partition("/")
    if (kind and not is_token(kind)) or (slash and not is_token(agent)):
        raise ValueError(f"{request.query['target']!r} is neither a kind nor KIND/ID")
    return await health.capacity(runtime.bus, runtime.subjects, kind or None, agent or None)


async def _predictions(runtime: Runtime, _: Request, __: tuple[str, ...]) -> Any:
    return await health.predictions(runtime.bus, runtime.subjects)


async def _dead(runtime: Runtime, request: Request, _: tuple[str, ...]) -> Any:
    return await dead.newest(runtime.bus, runtime.subjects, _number(request.query, "limit", _DEFAULT_LIMIT))


async def _dead_letter(runtime: Runtime, _: Request, which: tuple[str, ...]) -> Any:
    return await dead.read_one(runtime.bus, runtime.subjects, int(which[0]))


def _all_hidden(letters: list[dict[str, Any]], rules: Redaction) -> list[dict[str, Any]]:
    return [dead.redacted(letter, rules) for letter in letters]


def _question(pattern: str, ask: Ask, *names: str, hide: Hide | None = None) -> Question:
    return Question(re.compile(pattern), ask, frozenset(names), hide)


QUESTIONS: Final = (
    _question("/api/agents", _agents),
    _question(f"/api/agents/({_ID})/({_ID})", _agent),
    _question(f"/api/agents/({_ID})/({_ID})/checkpoints", _checkpoints),
    _question("/api/incidents", _incidents, "since", "limit", "agent", "open"),
    _question(f"/api/incidents/({_ID})", _incident),
    _question(f"/api/incidents/({_ID})/trace", _trace),
    _question("/api/alerts", _alerts, "all", "since"),
    _question("/api/silences", _silences),
    _question("/api/pauses", _pauses),
    _question("/api/analytics", _analytics, "from", "to"),
    _question("/api/capacity", _capacity, "target"),
    _question("/api/predictions", _predictions),
    _question("/api/dead", _dead, "limit", hide=_all_hidden),
    _question("/api/dead/([1-9][0-9]{0,14})", _dead_letter, hide=dead.Letter.shown),
)


def _listed(names: frozenset[str]) -> str:
    return f"only {', '.join(sorted(names))}" if names else "it has no query"


def _number(query: Mapping[str, str], name: str, default: int) -> int:
    said = query.get(name, str(default))
    if not (said.isascii() and said.isdecimal() and len(said) < 9 and 1 <= int(said) <= _MOST):
        raise ValueError(f"{name} is {said[:40]!r}: a number from 1 to {_MOST} is expected")
    return int(said)


def _flag(query: Mapping[str, str], name: str) -> bool:
    said = query.get(name, "0")
    if said not in ("0", "1"):
        raise ValueError(f"{name} is {said[:40]!r}: 0 or 1 is expected")
    return said == "1"


def _agent_of(name: str) -> tuple[str, str]:
    kind, _, agent = name.partition("/")
    if not (is_token(kind) and is_token(agent)):
        raise ValueError(f"{name[:140]!r} is no agent: KIND/ID is expected, each 1 to 64 of A-Z a-z 0-9 _ -")
    return kind, agent
