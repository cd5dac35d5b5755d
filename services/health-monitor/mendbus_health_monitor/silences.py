"""Silences: alerts that shall notify nobody for a while. They are raised and kept all the same. Knows no bus."""

from collections.abc import Iterable
from fnmatch import fnmatchcase
from typing import Final

from mendbus.contracts.fields import DetailText, ShortText, Token, UnixNano, WireModel
from mendbus.contracts.messages import Alert

LONGEST_SECONDS: Final = 30 * 24 * 3600
"""A silence ends by itself, so that nobody forgets one."""
PREFIX: Final = "silence:"


class Silence(WireModel):
    """Mutes the alerts that fit all that is named: `key` and `rule` may hold `*` and `?`; `agent` is KIND/ID."""

    id: Token
    by: ShortText
    reason: DetailText | None = None
    begun_unix_nano: UnixNano
    until_unix_nano: UnixNano
    key: ShortText | None = None
    rule: ShortText | None = None
    kind: Token | None = None
    agent: ShortText | None = None

    @property
    def empty(self) -> bool:
        """Whether it names nothing; then it mutes nothing."""
        return all(what is None for what in (self.key, self.rule, self.kind, self.agent))

    @property
    def target(self) -> str:
        """What it names, in words."""
        named = (("key", self.key), ("rule", self.rule), ("kind", self.kind), ("agent", self.agent))
        return " ".join(f"{name} {what}" for name, what in named if what is not None)

    def fits(self, alert: Alert) -> bool:
        """Whether it is about this alert."""
        if self.empty:
            return False
        agent = alert.agent
        return (
            (self.key is None or fnmatchcase(alert.key, self.key))
            and (self.rule is None or fnmatchcase(alert.rule or "", self.rule))
            and (self.kind is None or (agent is not None and agent.kind == self.kind))
            and (self.agent is None or (agent is not None and agent.key == self.agent))
        )


def silenced(alert: Alert, silences: Iterable[Silence], now: int) -> str | None:
    """What mutes an alert at a time (nanoseconds since 1970): of several silences the one that lasts longest."""
    found = [one for one in silences if one.begun_unix_nano <= now < one.until_unix_nano and one.fits(alert)]
    if not found:
        return None
    return PREFIX + max(found, key=lambda one: (one.until_unix_nano, one.id)).id
