"""The recovery policy: which strategy when, how often, how long. A file names what differs from the defaults here."""

import hashlib
import json
import tomllib
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from mendbus import alert_policy
from mendbus.contracts.errors import SettingsError
from mendbus.contracts.fields import MAX_TIMEOUT_MS, Ratio, Token
from mendbus.contracts.vocabulary import Category, Severity, Strategy
from mendbus.redaction import Redaction

LADDERS: dict[Category, list[Strategy]] = {
    "memory": ["restart", "graceful_degradation", "rollback"],
    "network": ["retry", "fallback", "failover", "graceful_degradation"],
    "storage": ["retry", "fallback", "rollback"],
    "build": ["rollback", "retry", "fallback"],
    "runtime": ["rollback", "restart", "fallback"],
    "dependency": ["rollback", "fallback", "restart"],
    "configuration": ["rollback", "restart"],
    "performance": ["scale_down", "graceful_degradation", "failover"],
    "concurrency": ["retry", "restart"],
    "security": ["isolate"],
    "unknown": ["retry", "restart", "rollback"],
}
AT_ONCE: dict[Category, Strategy] = {"memory": "restart", "security": "isolate", "performance": "scale_down"}
LEARNED_MAY: list[Strategy] = [
    "retry",
    "fallback",
    "rollback",
    "restart",
    "scale_down",
    "graceful_degradation",
    "failover",
]
LEARNED_EXPLORES: list[Strategy] = ["retry", "fallback", "graceful_degradation", "scale_down"]
PARAMETERS: dict[Strategy, dict[str, Any]] = {
    "retry": {"max_tries": 3, "base_ms": 20, "max_ms": 500, "jitter": "full"},
    "restart": {"mode": "warm", "grace_ms": 500},
    "scale_down": {"factor": 0.5},
    "isolate": {"reason": "recovery"},
}

PREVENTIVE_MAY: Final[tuple[Strategy, ...]] = ("scale_down", "graceful_degradation", "rollback", "restart")
"""What may be done to an agent that has not failed: it cuts nobody off, and its cost is over or taken back soon."""

Seconds = Annotated[float, Field(gt=0, le=7 * 24 * 3600)]


CoolDown = Annotated[float, Field(gt=0, le=60)]
"""Not longer than owners look back when they start."""
Budget = Annotated[int, Field(ge=0, le=100_000)]


class Preventive(BaseModel):
    """What is done about a failure that is predicted and has not happened: the table `[preventive]`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    strategies: dict[Token, list[Strategy]] = {}
    """By agent kind what may be done before a failure, the first choice first; nothing for kinds not named here."""
    least_probability: Ratio = 0.5
    """Predictions of a lower probability are not acted upon."""
    holdout_share: Annotated[float, Field(ge=0, le=1)] = 0.1
    """Share of predictions that are left alone although they would be acted upon, to see how many come true."""

    @field_validator("strategies")
    @classmethod
    def _harmless(cls, strategies: dict[str, list[Strategy]]) -> dict[str, list[Strategy]]:
        wrong = sorted({strategy for listed in strategies.values() for strategy in listed} - set(PREVENTIVE_MAY))
        if wrong:
            msg = f"{', '.join(wrong)} may not be used before a failure: name some of {', '.join(PREVENTIVE_MAY)}"
            raise ValueError(msg)
        return strategies


class Policy(BaseModel):
    """One file of it decides what recoveries look like; its digest stands in every decision."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    enable_automatic_recovery: bool = True
    """Off: decide, record `suppressed`, act on nothing."""
    enable_predictive_failure_detection: bool = True
    """Off: a prediction decides nothing."""
    enable_cross_agent_coordination: bool = True
    """Off: an error is never taken for the symptom of another agent's, and nobody waits for anybody."""
    dry_run: bool = False
    """On: decide and record as always, send no command."""
    require_approval: list[Strategy] = []
    """Strategies that wait until a person approves of them."""
    approval_seconds: Seconds = 3600.0
    """How long they wait before the incident is escalated."""
    max_recovery_attempts: Annotated[int, Field(ge=1, le=20)] = 3
    """Attempts of an incident before a person is called."""
    recovery_timeout_ms: Annotated[int, Field(ge=1, le=MAX_TIMEOUT_MS)] = 5000
    """Time that all attempts of an incident may take together; waiting not counted."""
    min_confidence: Annotated[float, Field(ge=0, le=1)] = 0.8
    """A valid prediction must be surer than this to choose the strategy."""
    grave: Severity = "critical"
    """From this severity on `at_once` decides first."""
    at_once: dict[Category, Strategy] = AT_ONCE
    """First choice for a grave error by category; categories not named here: `at_once_else`."""
    at_once_else: Strategy = "rollback"
    first: Strategy = "retry"
    """First choice for every other error."""
    ladders: dict[Category, list[Strategy]] = LADDERS
    """What follows, rung by rung."""
    parameters: dict[Strategy, dict[str, Any]] = PARAMETERS
    """What a command of a strategy carries."""
    settle_seconds: Seconds = 5.0
    """How long a recovery is watched before it counts as settled."""
    recurrence_seconds: Seconds = 60.0
    """An error that comes back within this time starts at the next rung."""
    hold_seconds: Seconds = 60.0
    """Good health after which a limiting strategy is lifted."""
    restarts_per_agent: Budget = 3
    """Restarts of one agent in 60 s; over it the next rung is taken."""
    restarts_per_kind: Budget = 10
    """Restarts of all agents of a kind in 60 s; over it the next rung is taken."""
    restarts_in_all: Budget = 30
    """Restarts of all agents in 60 s; over it recovery latches off until it is resumed."""
    cool_down_seconds: dict[Strategy, CoolDown] = {"failover": 30.0}
    """Least time between two uses of a strategy on one agent; before that the next rung is taken."""
    retries_per_second: Budget = 10
    """Retries of one agent in a second; over it the next one waits."""
    sick_share: Annotated[float, Field(gt=0, le=1)] = 0.5
    """When more than this share of the agents is sick at once (attempts have not helped them), healing stops."""
    sick_at_least: Annotated[int, Field(ge=1, le=100_000)] = 3
    """Fewer sick agents than this never stop healing."""
    symptom_seconds: Seconds = 2.0
    """Errors of an agent and of one that it depends on belong together when they come within this time."""
    enable_learned_choice: bool = True
    """Off: nothing learned decides or is noted, whatever has shown lift."""
    learned_may: list[Strategy] = LEARNED_MAY
    """What a learned choice may begin of itself; it never calls a person, and cuts nobody off."""
    learned_leaves: list[Strategy] = ["isolate"]
    """Choices of the policy that stand whatever was learned: what contains is not traded for what serves."""
    learned_explores: list[Strategy] = LEARNED_EXPLORES
    """What is tried out to learn: light, and undone by itself; never on grave errors, and never on security."""
    learned_explore_share: Annotated[float, Field(ge=0, le=0.5)] = 0.05
    """Share of errors, of those that are not grave, in which something may be tried out; 0: none."""
    learned_holdout_share: Annotated[float, Field(ge=0, le=0.5)] = 0.05
    """Share of the errors on which a learned choice differs that the policy decides all the same, as a comparison."""
    learned_least_gain: Annotated[float, Field(ge=0, le=1)] = 0.05
    """A learned choice must be expected to be worth so much more than the policy's."""
    learned_sureness: Annotated[float, Field(ge=0, le=10)] = 1.0
    """And by so many standard deviations of what is known; else the policy decides."""
    preventive: Preventive = Preventive()
    """What may be done before a failure that is predicted; nothing by default."""
    ask_timeout_ms: Annotated[int, Field(ge=1, le=60_000)] = 50
    """How long classifier and predictor may take, once, and once more."""
    redaction: Annotated[Redaction, Field(exclude=True)] = Redaction()
    """What is taken out of errors before they are kept; no decision changes with it, and so the digest does not."""

    @cached_property
    def digest(self) -> str:
        """Twelve hex digits that change with any setting."""
        canonical = json.dumps(self.model_dump(mode="json"), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()[:12]


def load_policy(file: Path | None) -> Policy:
    """The policy of a TOML file, or the default one. Raises `SettingsError` that names everything wrong in it."""
    if file is None:
        return Policy()
    try:
        text = file.read_text("utf-8")
    except OSError as error:
        raise SettingsError([f"the policy file cannot be read: {error}"]) from None
    except UnicodeDecodeError as error:
        raise SettingsError([f"{file}: not TOML: {error}"]) from None
    return read_policy(text, str(file))


def read_policy(text: str, name: str) -> Policy:
    """The policy of a TOML text; `name` stands in errors. Raises `SettingsError` that names everything wrong in it.

    What it says of alerts is checked too, though only the health-monitor acts on it, and no decision changes with it.
    """
    problems: list[str] = []
    try:
        tables = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise SettingsError([f"{name}: not TOML: {error}"]) from None
    try:
        _ = alert_policy.split(tables, name)
    except SettingsError as error:
        problems += error.problems
    try:
        policy = Policy.model_validate({key: tables[key] for key in tables if key not in alert_policy.TABLES})
    except ValidationError as error:
        problems += [
            f"{name}: {'.'.join(str(step) for step in item['loc'])}: {item['msg']}"
            for item in error.errors(include_url=False)
        ]
        raise SettingsError(problems) from None
    if problems:
        raise SettingsError(problems)
    return policy
