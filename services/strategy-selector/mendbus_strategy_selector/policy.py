"""The recovery policy: which strategy when, how often, how long. Every default is one of SPEC section 2."""

import hashlib
import json
import tomllib
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from mendbus.contracts.errors import SettingsError
from mendbus.contracts.vocabulary import Category, Severity, Strategy

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
PARAMETERS: dict[Strategy, dict[str, Any]] = {
    "retry": {"max_tries": 3, "base_ms": 20, "max_ms": 500, "jitter": "full"},
    "restart": {"mode": "warm", "grace_ms": 500},
    "scale_down": {"factor": 0.5},
    "isolate": {"reason": "recovery"},
}

Seconds = Annotated[float, Field(gt=0, le=7 * 24 * 3600)]


class Policy(BaseModel):
    """One file of it decides what recoveries look like; its digest stands in every decision."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    enable_automatic_recovery: bool = True
    """Off: decide, record `suppressed`, act on nothing."""
    enable_predictive_failure_detection: bool = True
    """Off: a prediction decides nothing."""
    dry_run: bool = False
    """On: decide and record as always, send no command."""
    max_recovery_attempts: Annotated[int, Field(ge=1, le=20)] = 3
    """Attempts of an incident before a person is called."""
    recovery_timeout_ms: Annotated[int, Field(ge=1, le=3_600_000)] = 5000
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
    ask_timeout_ms: Annotated[int, Field(ge=1, le=60_000)] = 50
    """How long classifier and predictor may take, once, and once more."""

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
        return Policy.model_validate(tomllib.loads(file.read_text("utf-8")))
    except OSError as error:
        raise SettingsError([f"the policy file cannot be read: {error}"]) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError([f"{file}: not TOML: {error}"]) from None
    except ValidationError as error:
        problems = [
            f"{file}: {'.'.join(str(step) for step in item['loc'])}: {item['msg']}"
            for item in error.errors(include_url=False)
        ]
        raise SettingsError(problems) from None
