"""Deciding recorded decisions again under another policy. Nothing is done, and nothing is written."""

import asyncio
import logging
from collections import Counter
from typing import Any

from pydantic import ValidationError

from mendbus import codec
from mendbus.bus import Bus
from mendbus.contracts.errors import Refused
from mendbus.contracts.subjects import MAX_SERVICE_BODY, Subjects
from mendbus_strategy_selector.decide import Choice, DecisionState, decide
from mendbus_strategy_selector.policy import Policy

log = logging.getLogger("mendbus")

SHOWN_DIFFERENCES = 500
_AT_ONCE = 20


async def replay(bus: Bus, subjects: Subjects, policy: Policy, since_unix_nano: int | None) -> dict[str, Any]:
    """What another policy would have decided: totals, changes by kind, and the first differences.

    A decision whose record cannot be read counts as `unreadable`. Raises `BusError`.
    """
    decided, different, unreadable = 0, 0, 0
    changes: Counter[str] = Counter()
    shown: list[dict[str, Any]] = []
    stream, filter_ = subjects.stream("JOURNAL"), subjects.everyone("journal")
    async for message in bus.read(stream, filter_, since_unix_nano=since_unix_nano):
        try:
            entries = codec.unpack(message.body, MAX_SERVICE_BODY)["entries"]
        except (Refused, KeyError):
            unreadable += 1
            continue
        for entry in entries:
            if entry["type"] != "decided" or entry.get("decision", {}).get("state", {}).get("canary"):
                continue
            decided += 1
            if decided % _AT_ONCE == 0:
                await asyncio.sleep(0)
            try:
                found = _difference(policy, entry)
            except (ValidationError, KeyError, TypeError) as error:
                log.debug("a decision of record %d cannot be decided again: %s", message.sequence, error)
                unreadable += 1
                continue
            if found is None:
                continue
            different += 1
            changes[f"{_named(found['was'])} -> {_named(found['would_be'])}"] += 1
            if len(shown) < SHOWN_DIFFERENCES:
                shown.append(found)
    return {
        "policy": policy.digest,
        "decided": decided,
        "different": different,
        "unreadable": unreadable,
        "changes": dict(changes.most_common(100)),
        "differences": shown,
    }


def _difference(policy: Policy, entry: dict[str, Any]) -> dict[str, Any] | None:
    decision = entry["decision"]
    again = _told(decide(policy, DecisionState.model_validate(decision["state"])))
    # Whether something was to be done shows in the command; what the outcome was otherwise, in the rule and reason.
    was = {"strategy": entry.get("strategy"), "acts": entry.get("command") is not None, "rule": decision["rule"]}
    if (was["strategy"], was["acts"]) == (again["strategy"], again["acts"]):
        return None
    return {
        "incident_id": entry["incident_id"],
        "attempt": entry["attempt"],
        "was": was | {"reason": decision["reason"]},
        "would_be": again,
    }


def _told(choice: Choice) -> dict[str, Any]:
    acts = choice.outcome is None and choice.strategy is not None
    return {"strategy": choice.strategy, "acts": acts, "rule": choice.rule, "reason": choice.reason}


def _named(choice: dict[str, Any]) -> str:
    if choice["acts"]:
        return str(choice["strategy"])
    return f"{choice['strategy']} ({choice['rule']})" if choice["strategy"] else str(choice["rule"])
