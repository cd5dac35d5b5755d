"""What will go wrong, and when: all of it drawn from one seed before the run begins."""

import random
from dataclasses import dataclass
from typing import Literal

from mendbus.contracts.vocabulary import Severity, Strategy

FAULT_SECONDS = 6.0
"""Faults happen within so many simulated seconds; after that everything works and must come to rest."""

Behaviour = Literal["honest", "lying", "silent", "slow", "double", "late"]
REPLICAS = {"strategy-selector": 2, "executor": 2, "classifier": 1, "predictor": 1, "health-monitor": 1}
_KINDS = ("runtime", "build_pipeline", "orchestrator")
_FAILURES = ("Alpha", "Beta", "Gamma")
_MESSAGES = (
    "out of memory while loading",
    "connection refused by peer",
    "module not found",
    "something happened",
    "permission denied, token expired",
)
_STRATEGY_SETS: tuple[tuple[Strategy, ...], ...] = (
    ("retry", "restart", "rollback"),
    ("retry", "restart", "rollback", "fallback", "isolate", "scale_down", "graceful_degradation"),
    ("retry",),
)


@dataclass(frozen=True)
class Report:
    """An error that an agent will report. `valid` False: bytes that are no error."""

    at: float
    what: str
    message: str
    severity: Severity
    count: int = 1
    valid: bool = True


@dataclass(frozen=True)
class AgentPlan:
    """An agent and how it behaves. `cures`: what heals it; `relapses`: it fails again soon after it was healed."""

    kind: str
    id: str
    behaviour: Behaviour
    strategies: tuple[Strategy, ...]
    cures: tuple[Strategy, ...]
    relapses: bool
    restarts: tuple[float, ...]
    reports: tuple[Report, ...]
    sample_seconds: float = 1.0
    """Between health samples."""


@dataclass(frozen=True)
class Crash:
    """A replica dies: at a time, or from then on with its n-th message, before or after that is sent."""

    at: float
    service: str
    replica: int
    down: float
    how: Literal["kill", "terminate"] = "kill"
    message: int | None = None
    sent: bool = False


@dataclass(frozen=True)
class Stop:
    """A replica is stopped as by SIGSTOP, and goes on later."""

    at: float
    service: str
    replica: int
    seconds: float


@dataclass(frozen=True)
class Noise:
    """Probabilities, for each message, of what may happen to it."""

    lose: float
    double: float
    delay: float
    delay_seconds: float


@dataclass(frozen=True)
class Schedule:
    """One run."""

    seed: int
    noise: Noise
    small_bounds: bool
    """Whether snapshots, floors and forgetting come after a few records rather than thousands."""
    agents: tuple[AgentPlan, ...]
    crashes: tuple[Crash, ...] = ()
    stops: tuple[Stop, ...] = ()
    seconds: float = FAULT_SECONDS
    """How long faults may happen."""

    def __str__(self) -> str:
        lines = [f"seed {self.seed}: {self.noise}, small_bounds={self.small_bounds}"]
        for agent in self.agents:
            lines.append(
                f"  agent {agent.kind}/{agent.id}: {agent.behaviour}, supports {', '.join(agent.strategies)}, "
                f"cured by {', '.join(agent.cures) or 'nothing'}, relapses={agent.relapses}, "
                f"restarts at {agent.restarts}"
            )
            lines += [f"    {report}" for report in agent.reports]
        lines += [f"  {crash}" for crash in self.crashes]
        lines += [f"  {stop}" for stop in self.stops]
        return "\n".join(lines)


def draw(seed: int) -> Schedule:
    """The schedule of a seed."""
    choose = random.Random(f"schedule {seed}")
    noisy = choose.random() < 0.7
    noise = Noise(
        lose=choose.choice((0.01, 0.03, 0.08)) if noisy else 0.0,
        double=choose.choice((0.0, 0.02, 0.1)) if noisy else 0.0,
        delay=choose.choice((0.02, 0.1)) if noisy else 0.0,
        delay_seconds=choose.choice((0.05, 0.5, 2.5)),
    )
    return Schedule(
        seed=seed,
        noise=noise,
        small_bounds=choose.random() < 0.5,
        agents=tuple(_agent(choose, number) for number in range(choose.randint(2, 4))),
        crashes=tuple(_crash(choose) for _ in range(choose.randint(1, 5))),
        stops=tuple(_stop(choose) for _ in range(choose.choice((0, 1, 1, 2)))),
    )


def _at(choose: random.Random) -> float:
    return round(choose.uniform(0.3, FAULT_SECONDS), 4)


def _agent(choose: random.Random, number: int) -> AgentPlan:
    strategies = choose.choice(_STRATEGY_SETS)
    behaviour: Behaviour = choose.choice(("honest", "honest", "honest", "lying", "silent", "slow", "double", "late"))
    cures = tuple(s for s in strategies if choose.random() < 0.5)
    return AgentPlan(
        kind=choose.choice(_KINDS),
        id=f"a{number}",
        behaviour=behaviour,
        strategies=strategies,
        cures=() if behaviour == "lying" else cures,
        relapses=choose.random() < 0.3,
        restarts=tuple(_at(choose) for _ in range(choose.choice((0, 0, 1, 2)))),
        reports=tuple(sorted((_report(choose) for _ in range(choose.randint(3, 9))), key=lambda report: report.at)),
    )


def _report(choose: random.Random) -> Report:
    what = choose.randrange(len(_FAILURES))
    severity: Severity = choose.choice(("warning", "error", "error", "critical", "fatal"))
    return Report(
        at=_at(choose),
        what=_FAILURES[what],
        message=_MESSAGES[choose.randrange(len(_MESSAGES))] if choose.random() < 0.3 else _MESSAGES[what],
        severity=severity,
        count=choose.choice((1, 1, 1, 2, 5)),
        valid=choose.random() < 0.95,
    )


def _crash(choose: random.Random) -> Crash:
    service = choose.choice(("strategy-selector", "strategy-selector", "strategy-selector", *REPLICAS))
    exact = choose.random() < 0.5
    return Crash(
        at=_at(choose),
        service=service,
        replica=choose.randrange(REPLICAS[service]),
        down=round(choose.uniform(0.2, 2.0), 4),
        how="terminate" if not exact and choose.random() < 0.3 else "kill",
        message=choose.randint(1, 40) if exact else None,
        sent=choose.random() < 0.5,
    )


def _stop(choose: random.Random) -> Stop:
    service = choose.choice(("strategy-selector", "strategy-selector", "strategy-selector", "executor", "predictor"))
    return Stop(_at(choose), service, choose.randrange(REPLICAS[service]), round(choose.uniform(0.3, 4.0), 4))
