"""Pauses: recovery stopped for everything, for a kind or for one agent, until a time."""

from pydantic import BaseModel, ConfigDict

from mendbus.contracts.journal import Operated
from mendbus.contracts.messages import AgentRef

EVERYTHING = "everything"
LONGEST_SECONDS = 7 * 24 * 3600
"""A pause ends by itself after a week at most, so that nobody forgets one."""


class Pause(BaseModel):
    """What is paused (`everything`, a kind or `kind/id`), until when, and by whom."""

    model_config = ConfigDict(frozen=True)

    scope: str
    until_unix_nano: int
    by: str
    reason: str = ""

    @property
    def sentence(self) -> str:
        """Who paused what, and why."""
        return f"{self.scope} is paused by {self.by}" + (f": {self.reason}" if self.reason else "")


def scope_of(entry: Operated) -> str:
    """What an operator's action is about, as pauses name it."""
    return entry.agent.key if entry.agent else entry.kind or EVERYTHING


class Pauses:
    """The pauses in force, as entries of the journal set and end them."""

    def __init__(self) -> None:
        self.of: dict[str, Pause] = {}

    def apply(self, entry: Operated) -> None:
        """Takes an operator's `pause` or `resume` in; other verbs change nothing."""
        scope = scope_of(entry)
        if entry.verb == "pause" and entry.until_unix_nano is not None:
            self.of[scope] = Pause(
                scope=scope, until_unix_nano=entry.until_unix_nano, by=entry.by, reason=entry.reason or ""
            )
        elif entry.verb == "resume":
            self.of.pop(scope, None)

    def holding(self, agent: AgentRef, now: int) -> Pause | None:
        """The pause that an agent is under at a time (nanoseconds since 1970), the widest first."""
        for scope in (EVERYTHING, agent.kind, agent.key):
            pause = self.of.get(scope)
            if pause is not None and pause.until_unix_nano > now:
                return pause
        return None

    def in_force(self, now: int) -> list[Pause]:
        """All pauses that have not ended."""
        return [pause for pause in self.of.values() if pause.until_unix_nano > now]
