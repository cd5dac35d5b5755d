"""What was found in an agent's metrics over a longer time, as conditions of alerts. Knows no bus."""

from typing import Final, Protocol

from mendbus.contracts.ids import is_token
from mendbus.contracts.messages import AgentRef
from mendbus_health_monitor.alert_conditions import Condition, cut, key_of

SOON_SECONDS: Final = 3600.0
"""What runs out within this time is graver."""


class Finding(Protocol):
    """What the analysis of an agent's health has found, for as long as it stands. `agent` is KIND/ID."""

    @property
    def agent(self) -> str:
        """Whose metric."""
        ...

    @property
    def metric(self) -> str:
        """Which one."""
        ...

    @property
    def finding(self) -> str:
        """`exhaustion`; anything else that is harmful is a degradation."""
        ...

    @property
    def harmful(self) -> bool:
        """Whether the metric gets worse."""
        ...

    @property
    def sentence(self) -> str:
        """What a person reads."""
        ...

    @property
    def eta_seconds(self) -> float | None:
        """When it will have run out, for an exhaustion."""
        ...


def condition_of(finding: Finding) -> Condition:
    """The condition of a finding that stands."""
    kind, _, agent_id = finding.agent.partition("/")
    # What is found of Mendbus itself is about no agent.
    agent = AgentRef(kind=kind, id=agent_id) if is_token(kind) and is_token(agent_id) and kind != "mendbus" else None
    name, summary = finding.agent, cut(finding.sentence)
    if finding.finding == "exhaustion":
        soon = finding.eta_seconds is not None and finding.eta_seconds < SOON_SECONDS
        hint = f"give it more or take load off before then: see `mendbus capacity` and `mendbus health {name}`"
        key = key_of("exhaustion", name, finding.metric)
        return Condition(key, "exhaustion", "major" if soon else "minor", summary, hint, agent)
    hint = f"nothing has failed yet: see what changed then with `mendbus health {name}`"
    return Condition(key_of("degradation", name, finding.metric), "degradation", "warning", summary, hint, agent)
