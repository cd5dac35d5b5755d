"""What tests of learned choice stand on: errors, ends of attempts, journal entries."""

from typing import Any

from mendbus_strategy_selector.choosing import Learned
from mendbus_strategy_selector.experience import Seen

SEEN = Seen("runtime", "network", "TimeoutError", "f1", "error")
MINUTE = 60_000_000_000


def expects(*, acts: bool = True, seed: int = 0, outcomes: float = 40.0, **helps: float) -> Learned:
    """A model that expects these chances of help, from so many outcomes each."""
    return Learned.model_validate(
        {
            "model": "choice-9",
            "acts": acts,
            "seed": seed,
            "helps": helps,
            "outcomes": dict.fromkeys(helps, outcomes),
            "seconds": dict.fromkeys(helps, 0.1),
        }
    )


def attempt(strategy: str, *, verified: bool, seconds: float = 0.1, status: str = "done") -> dict[str, Any]:
    """An attempt as an outcome tells it."""
    return {
        "strategy": strategy,
        "status": status,
        "verified": verified,
        "started_unix_nano": MINUTE,
        "ended_unix_nano": MINUTE + round(seconds * 1e9),
    }


def ended(incident: str, *attempts: dict[str, Any], outcome: str = "recovered", settled: bool = True) -> dict[str, Any]:
    """An outcome as it stands in the journal."""
    return {
        "incident_id": incident,
        "agent": {"kind": SEEN.kind, "id": "a1"},
        "fingerprint": SEEN.fingerprint,
        "outcome": outcome,
        "settled": settled,
        "attempts": list(attempts),
        "error": {"exception": {"type": SEEN.type}},
        "classification": {"category": SEEN.category, "severity": SEEN.severity},
    }


def concluded(*told: Any, **more: Any) -> dict[str, Any]:
    """The entry of an outcome."""
    return {"type": "concluded", "outcome": ended(*told, **more)}


def decided(incident: str, mine: str, other: str, **more: Any) -> dict[str, Any]:
    """The entry of a first decision of which a learned choice was noted."""
    noted = {"model": "choice-9", "strategy": mine, "rival": "policy", "rival_strategy": other, **more}
    return {"type": "decided", "incident_id": incident, "attempt": 1, "decision": {"learned": noted}}
