"""An alert of an agent says little while one that it depends on has an alert as grave. Knows no bus."""

from collections.abc import Iterable, Sequence
from typing import Final

from mendbus.contracts.messages import Alert
from mendbus_health_monitor.alert_conditions import RANK

PREFIX: Final = "alert:"


class Dependencies:
    """Which agent (`kind/id`) depends on which, as their hellos say; a kind stands for all its agents."""

    def __init__(self) -> None:
        self._named: dict[str, tuple[str, ...]] = {}
        self._kinds: dict[str, list[str]] = {}
        self._reached: dict[str, frozenset[str]] = {}
        self._upstream: dict[str, frozenset[str]] = {}

    def hear(self, agent: str, depends_on: Sequence[str]) -> None:
        """What an agent depends on."""
        if self._named.get(agent) != tuple(depends_on):
            self._named[agent] = tuple(depends_on)
            self._changed()

    def forget(self, agent: str) -> None:
        """It has left."""
        if self._named.pop(agent, None) is not None:
            self._changed()

    def upstream(self, agent: str) -> frozenset[str]:
        """Agents and kinds that it depends on, directly or not. Those that depend on it too are none of them.

        Without that, agents of a circle would mute one another, and nobody would hear of any.
        """
        found = self._upstream.get(agent)
        if found is None:
            found = frozenset(name for name in self._reach(agent) if not self._back(name, agent))
            self._upstream[agent] = found
        return found

    def _changed(self) -> None:
        self._reached.clear()
        self._upstream.clear()
        self._kinds.clear()
        for agent in self._named:
            self._kinds.setdefault(agent.partition("/")[0], []).append(agent)

    def _back(self, name: str, agent: str) -> bool:
        kind = agent.partition("/")[0]
        if name in (agent, kind):
            return True
        found = self._reach(name)
        return agent in found or kind in found

    def _reach(self, start: str) -> frozenset[str]:
        known = self._reached.get(start)
        if known is not None:
            return known
        reached: set[str] = set()
        left = [start]
        while left:
            name = left.pop()
            following = self._named.get(name, ()) if "/" in name else self._kinds.get(name, ())
            for each in following:
                if each not in reached:
                    reached.add(each)
                    left.append(each)
        self._reached[start] = frozenset(reached)
        return self._reached[start]


def inhibited(asked: Iterable[Alert], known: Iterable[Alert], dependencies: Dependencies) -> dict[str, str]:
    """Of the alerts asked for those that are muted because of an agent upstream, and by which alert, by key.

    `known`: those that may mute, the open ones and the ones that were resolved a moment ago; one mutes what is not
    graver than itself.
    """
    above_of = [(alert, dependencies.upstream(alert.agent.key)) for alert in asked if alert.agent is not None]
    # Most depend on nothing, and then the others need not be looked at: a thousand alerts may be raised one by one.
    wanted = frozenset[str]().union(*(above for _, above in above_of))
    gravest: dict[str, Alert] = {}
    for one in known if wanted else ():
        for name in (one.agent.key, one.agent.kind) if one.agent else ():
            if name in wanted and (name not in gravest or _order(one) > _order(gravest[name])):
                gravest[name] = one
    muted: dict[str, str] = {}
    for alert, above in above_of:
        found = [
            gravest[name] for name in above & gravest.keys() if RANK[gravest[name].severity] >= RANK[alert.severity]
        ]
        if found:
            muted[alert.key] = PREFIX + max(found, key=_order).key
    return muted


def _order(alert: Alert) -> tuple[int, str]:
    return RANK[alert.severity], alert.key
