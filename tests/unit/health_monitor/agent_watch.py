"""A monitor's agents for tests, and one agent that speaks to it."""

from typing import Any

from tests.support import Clock

from mendbus.contracts.messages import AgentGoodbye, AgentHello, ErrorReported, HealthSample, HealthStatus
from mendbus.redaction import Redaction
from mendbus_health_monitor.agents import Agents

WELL = {"errors_per_s": 0.0, "availability_ratio": 1.0}
SICK = {"errors_per_s": 5.0, "availability_ratio": 0.5}


class Watch:
    """A monitor's agents, and one agent that speaks to it."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.redaction = Redaction()
        self.agents = Agents(self.clock, lambda: self.redaction)
        self.sequence = 0
        self.stored = 0

    def ref(self, instance: str = "boot1", agent: str = "a1") -> dict[str, Any]:
        return {"kind": "runtime", "id": agent, "instance": instance}

    def sample(self, metrics: dict[str, float] = WELL, **more: Any) -> HealthStatus | None:
        self.sequence += 1
        known = {
            "agent": self.ref(),
            "time_unix_nano": self.clock(),
            "sequence": self.sequence,
            "interval_ms": 500,
            "metrics": metrics,
        }
        return self.agents.hear(HealthSample.model_validate({**known, **more}))

    def feed(self, count: int, metrics: dict[str, float] = WELL, **more: Any) -> list[str]:
        told: list[str] = []
        for _ in range(count):
            self.clock.pass_seconds(0.5)
            status = self.sample(metrics, **more)
            told += [status.status] if status else []
        return told

    def hello(self, **more: Any) -> None:
        self.stored += 1
        known = {
            "id": "h1",
            "time_unix_nano": self.clock(),
            "agent": self.ref(),
            "strategies": ["retry"],
            "interval_ms": 500,
        }
        self.agents.greet(AgentHello.model_validate({**known, **more}), self.stored)

    def goodbye(self, instance: str = "boot1", **more: Any) -> HealthStatus | None:
        known = {"id": "g1", "time_unix_nano": self.clock(), "agent": self.ref(instance)}
        return self.agents.leave(AgentGoodbye.model_validate({**known, **more}))

    def die(self, **more: Any) -> HealthStatus | None:
        known = {
            "id": "e1",
            "time_unix_nano": self.clock(),
            "agent": self.ref(),
            "exception": {"type": "ProcessDied", "message": "the process was ended by\n SIGKILL"},
            "severity": "fatal",
        }
        return self.agents.die(ErrorReported.model_validate({**known, **more}))

    def hear_outcome(self, word: str, errors: int, sequence: int = 0) -> None:
        outcome = {"incident_id": "i1", "sequence": sequence, "agent": self.ref(), "outcome": word}
        self.agents.troubles.hear(outcome | {"error_count": errors}, self.clock(), self.clock())

    def overdue(self) -> list[tuple[str, str]]:
        return [(status.agent.id, status.status) for status in self.agents.overdue()]
