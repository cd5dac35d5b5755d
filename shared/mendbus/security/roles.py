"""Who may order what: operators are viewers, operators or admins; services have the role of their name."""

from typing import Final, Literal, get_args

Level = Literal["viewer", "operator", "admin"]
LEVELS: Final[tuple[Level, ...]] = get_args(Level)
"""What a person may do: look; look and order; everything, rehearsed faults, reports in an agent's name and sending dead
letters again included."""

VIEWER_VERBS: Final = frozenset(
    ("status", "replay", "agents", "history", "signals", "capacity", "predictions", "alerts", "silences")
)
"""Verbs of `control` that change nothing."""
ADMIN_VERBS: Final = frozenset(("rehearse", "profile"))
"""Verbs of `control` that break something on purpose or look into a process."""
SERVICE_VERBS: Final = {"health-monitor": frozenset(("audit",))}
"""What services order themselves: the health-monitor has operators' actions noted."""
_SIGNERS: Final = {"command": frozenset(("executor",)), "rehearse": frozenset(("admin",))}


def may_order(role: str, verb: str) -> bool:
    """Whether a role may send this verb of `control`."""
    if role in SERVICE_VERBS:
        return verb in SERVICE_VERBS[role]
    if role == "admin":
        return True
    if role == "operator":
        return verb not in ADMIN_VERBS
    return role == "viewer" and verb in VIEWER_VERBS


def may_sign(role: str, family: str) -> bool:
    """Whether a role may send messages of `command` or `rehearse`."""
    return role in _SIGNERS.get(family, ())
