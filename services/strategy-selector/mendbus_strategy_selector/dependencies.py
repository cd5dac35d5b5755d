"""What is to blame: an error may be the symptom of a graver incident, or of one of an agent that is needed."""

from collections.abc import Callable, Iterable

from mendbus.contracts.asks import AttemptResult
from mendbus.contracts.messages import RecoveryCommand
from mendbus.contracts.vocabulary import IN_PLACE, NoticeEvent
from mendbus_strategy_selector.agents import Agents
from mendbus_strategy_selector.incident import Incident
from mendbus_strategy_selector.incidents import Open, is_grave

_NANO = 1_000_000_000


def graver_of(incident: Incident, of: Callable[[str], Iterable[Open]]) -> Open | None:
    """The grave incident of the same agent that a lesser one is a symptom of. `of`: the open incidents of an agent.

    An agent that has died is slow too, and nothing that is done about its slowness can help.
    """
    if is_grave(incident.error.severity):
        return None
    return min((found for found in of(incident.agent.key) if found.grave), key=lambda found: found.rank, default=None)


def reported_of(incident: Incident, of: Callable[[str], Iterable[Open]]) -> Open | None:
    """What an agent has already reported of itself, where the incident is about a prediction. `of`: as above."""
    others = (found for found in of(incident.agent.key) if found.id != incident.id)
    return min(others, key=lambda found: found.rank, default=None)


def upstream_of(
    incident: Incident, agents: Agents, of: Callable[[str], Iterable[Open]], window_seconds: float
) -> Open | None:
    """The incident that this one is a symptom of: the first in rank within the window of the nearest agents it needs.

    What needs one another is so probed in that order. `of`: the incidents of an agent that come into question.

    Of two agents that need each other, only the incident of lower rank waits. With `graver_of`, which goes by the same
    rank, no circle of incidents can come to wait for itself.
    """
    agent = incident.agent.key
    needs = agents.depends_on(agent)
    if not needs:
        return None
    known = agents.known()
    passed, level = {agent}, _matching(needs, known)
    while level := level - passed:
        passed |= level
        found = [
            candidate
            for key in level
            for candidate in of(key)
            if abs(candidate.opened_unix_nano - incident.opened_unix_nano) <= window_seconds * _NANO
            and (_before(candidate, incident) or agent not in _all_needed(key, agents))
        ]
        if found:
            return min(found, key=lambda candidate: candidate.rank)
        level = {need for key in level for need in _matching(agents.depends_on(key), known)}
    return None


def notice_of(command: RecoveryCommand, result: AttemptResult) -> NoticeEvent | None:
    """What the peers of an agent must hear after a command, if anything."""
    if command.strategy not in ("isolate", "failover") or result.status not in ("done", "accepted"):
        return None
    if command.action != "apply":
        return "restored"
    if command.strategy == "isolate":
        return "isolated"
    return None if result.code == IN_PLACE else "failed_over"


def _before(candidate: Open, incident: Incident) -> bool:
    grave = is_grave(incident.error.severity)
    return candidate.rank < Open(incident.id, incident.agent.key, incident.opened_unix_nano, grave).rank


def _all_needed(agent: str, agents: Agents) -> set[str]:
    """Everything an agent needs, also by way of others."""
    known, found, waiting = agents.known(), set[str](), [agent]
    while waiting:
        for key in _matching(agents.depends_on(waiting.pop()), known) - found:
            found.add(key)
            waiting.append(key)
    return found


def _matching(needs: Iterable[str], known: set[str]) -> set[str]:
    """The agents meant by kinds and `kind/id`."""
    exact = {need for need in needs if "/" in need}
    kinds = {need for need in needs if "/" not in need}
    return exact | ({key for key in known if key.split("/")[0] in kinds} if kinds else set())
