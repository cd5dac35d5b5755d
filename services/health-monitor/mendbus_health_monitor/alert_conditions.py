"""What an alert is made of: a condition that holds or is over, and the conditions that outcomes and operators tell of.

Knows no bus.
"""

import hashlib
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, NamedTuple

from mendbus.contracts.journal import LATCH, RESUME, Operated
from mendbus.contracts.messages import AgentRef, RecoveryOutcome
from mendbus.contracts.vocabulary import ALERT_SEVERITIES, AlertSeverity, Outcome
from mendbus.redaction import DEFAULT, Redaction, redact

HINTS: Final[dict[Outcome, str]] = {
    "escalated": "no strategy is left: see what was tried with `mendbus explain`, repair it, then close the incident",
    "failed": "the recovery ended without success: see what was tried with `mendbus explain`",
    "suppressed": "recovery is switched off, paused or latched: repair it by hand, or resume recovery",
    "awaiting_approval": "a strategy waits for a person's approval: see it with `mendbus explain`",
}
"""Outcomes that a person should know of, each with what to do. What heals itself is none of them."""
CLOSING: Final[frozenset[Outcome]] = frozenset(("recovered", "no_action"))

LATCHED: Final = "latched"
"""The condition that recovery is latched off."""
INCIDENT: Final = "incident"
MAX_INCIDENTS: Final = 1000
"""Incidents whose last outcome is remembered, so that one told twice changes nothing."""
CANARY: Final = "mendbus/canary"
"""An agent that fails on purpose to see whether that is noticed: no condition is made of it."""

RANK: Final[dict[AlertSeverity, int]] = {severity: rank for rank, severity in enumerate(ALERT_SEVERITIES)}

_TEXT_BYTES: Final = 1000
_KEY_BYTES: Final = 256
_MESSAGE_CHARACTERS: Final = 200


@dataclass(frozen=True, slots=True)
class Condition:
    """Something that holds now and that a person should know. `key` names it, `rule` says what found it.

    `flaps`: it may come and go by itself, so that it is kept open when it does so too often.
    """

    key: str
    rule: str
    severity: AlertSeverity
    summary: str
    hint: str
    agent: AgentRef | None = None
    incident_id: str | None = None
    trace_id: str | None = None
    flaps: bool = True


class Verdict(NamedTuple):
    """What was found of one key: the condition that holds, or (None) that it is over, with a sentence.

    `sequence`: of the outcome or journal record that says so.
    """

    key: str
    condition: Condition | None
    said: str = ""
    sequence: int | None = None


def key_of(*parts: str) -> str:
    """The key of a condition; one that is too long for the wire ends in a digest."""
    key = ":".join(parts)
    if len(key.encode()) <= _KEY_BYTES:
        return key
    digest = hashlib.sha256(key.encode()).hexdigest()[:16]
    return cut(key, _KEY_BYTES - 17) + "~" + digest


def cut(text: str, limit: int = _TEXT_BYTES) -> str:
    """Text of at most `limit` bytes of UTF-8."""
    return text.encode("utf-8", "replace")[:limit].decode("utf-8", "ignore")


def graver(severity: AlertSeverity) -> AlertSeverity:
    """The next severity; there is none after `critical`."""
    return ALERT_SEVERITIES[min(RANK[severity] + 1, len(ALERT_SEVERITIES) - 1)]


class Judge:
    """Makes verdicts of outcomes and of what operators did, each once."""

    def __init__(self, redaction: Callable[[], Redaction] = lambda: DEFAULT) -> None:
        """`redaction`: what is taken out of what failed and of reasons."""
        self._redaction = redaction
        self.operated = 0
        """Stream sequence of the last latch or resumption that was judged."""
        self._seen: OrderedDict[str, int] = OrderedDict()

    def remember(self, incident_id: str, sequence: int) -> None:
        """An outcome of the incident up to this sequence was judged before."""
        self._seen[incident_id] = max(sequence, self._seen.get(incident_id, -1))
        self._seen.move_to_end(incident_id)
        if len(self._seen) > MAX_INCIDENTS:
            self._seen.popitem(last=False)

    def outcome(self, outcome: RecoveryOutcome) -> Verdict | None:
        """What an outcome says of its incident's alert, if anything."""
        if outcome.sequence <= self._seen.get(outcome.incident_id, -1) or outcome.agent.key == CANARY:
            return None
        self.remember(outcome.incident_id, outcome.sequence)
        key = key_of(INCIDENT, outcome.incident_id)
        if outcome.outcome in CLOSING or outcome.settled:
            return Verdict(key, None, _sentence(outcome, self._redaction()), outcome.sequence)
        if outcome.outcome not in HINTS:
            return None
        condition = Condition(
            key=key,
            rule=INCIDENT,
            severity=severity_of(outcome),
            summary=_sentence(outcome, self._redaction()),
            hint=HINTS[outcome.outcome],
            agent=outcome.agent,
            incident_id=outcome.incident_id,
            trace_id=outcome.trace_id or None,
            flaps=False,
        )
        return Verdict(key, condition, sequence=outcome.sequence)

    def operate(self, entry: Operated, sequence: int) -> Verdict | None:
        """What a latch or the resumption of everything says, if the entry is one that was not seen before.

        `sequence`: of the journal's record with the entry.
        """
        if entry.verb not in (LATCH, RESUME) or entry.agent or entry.kind or sequence <= self.operated:
            return None
        self.operated = sequence
        if entry.verb == RESUME:
            return Verdict(LATCHED, None, f"{entry.by} resumed recovery", sequence)
        condition = Condition(
            key=LATCHED,
            rule=LATCHED,
            severity="critical",
            summary=cut(f"recovery is latched off: {redact(entry.reason or '', self._redaction())}"),
            hint="nothing is recovered: find out what restarts everything, then `mendbus resume --all`",
            flaps=False,
        )
        return Verdict(LATCHED, condition, sequence=sequence)


def severity_of(outcome: RecoveryOutcome) -> AlertSeverity:
    """`critical` where a process died or a system is down, `minor` for what waits for approval, `major` otherwise.

    So whoever has taken the approval on hears of it again when what was approved of does not help.
    """
    told = outcome.classification.severity if outcome.classification else None
    said = outcome.error.severity if outcome.error else None
    if "fatal" in (told, said):
        return "critical"
    return "minor" if outcome.outcome == "awaiting_approval" else "major"


def _sentence(outcome: RecoveryOutcome, rules: Redaction) -> str:
    failure = "failure"
    if outcome.error is not None:
        # Before it is cut: half a secret is not recognised any more.
        said = redact(" ".join(outcome.error.exception.message.split()), rules)[:_MESSAGE_CHARACTERS]
        failure = f"{outcome.error.exception.type}: {said}"
    summary = f"{outcome.agent.key} {outcome.outcome.replace('_', ' ')}: {failure}"
    if outcome.reason:
        summary += f" ({redact(outcome.reason, rules)})"
    return cut(summary)
