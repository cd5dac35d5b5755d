"""Every figure that is measured, with what it must be and should be; and the book in which a run notes them."""

import math
import statistics
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, cast

from mendbus.contracts.vocabulary import SERVICES

Mode = Literal["traced", "untraced"]
"""With tracing to a live OTLP receiver, which is what counts, or without."""

ROWS = (
    "floor",
    "selection",
    "recovery",
    "burst",
    "sustained",
    "storm",
    "distinct",
    "memory",
    "start",
    "warm",
    "rollback",
    "health",
    "replicas",
)
ASKED_FOR = ("replicas",)
"""Rows that are measured only when they are named: they judge nothing, and take long."""
REPLICAS = (1, 2, 4)
"""Replicas of each service, in turn; of the health-monitor, which runs once, always one."""
HEALTH_AGENTS = (100, 250, 500, 1000)
"""Agents that one health-monitor watches, in turn."""


@dataclass(frozen=True, slots=True)
class Bound:
    """A limit that a figure keeps or misses."""

    relation: Literal["<", "<=", ">=", "=="]
    value: float

    def holds(self, figure: float) -> bool:
        """Whether the figure keeps it."""
        match self.relation:
            case "<":
                return figure < self.value
            case "<=":
                return figure <= self.value
            case ">=":
                return figure >= self.value
            case "==":
                return figure == self.value

    def __str__(self) -> str:
        return f"{self.relation} {self.value:g}"


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of the table; its row is the part of `key` before the first dot."""

    key: str
    what: str
    unit: str = "ms"
    must: Bound | None = None
    aim: Bound | None = None
    floor: str | None = None
    """Key of the figure of the floor that it is divided by."""

    @property
    def row(self) -> str:
        """The row it belongs to."""
        return self.key.partition(".")[0]


def _less(value: float) -> Bound:
    return Bound("<", value)


def _least(value: float) -> Bound:
    return Bound(">=", value)


_NONE = Bound("==", 0.0)

_RECOVERY = tuple(
    figure
    for agents in (6, 25, 100)
    for figure in (
        Figure(
            f"recovery.{agents}.mean",
            f"error -> recovery verified, {agents} agents, mean",
            must=_less(37.2),
            floor="floor.mean",
        ),
        Figure(
            f"recovery.{agents}.p50",
            f"error -> recovery verified, {agents} agents, p50",
            aim=_less(10.0),
            floor="floor.p50",
        ),
        Figure(
            f"recovery.{agents}.p99",
            f"error -> recovery verified, {agents} agents, p99",
            must=_less(48.9 if agents == 6 else 50.0),
            aim=_less(25.0),
            floor="floor.p99",
        ),
    )
)


def _distinct(key: str, whose: str) -> tuple[Figure, ...]:
    what = f"distinct recoveries, {whose}"
    judged = key == "distinct"
    must, aim = (_least(300.0), _least(1000.0)) if judged else (None, None)
    return (
        Figure(f"{key}.rate", what, "/s", must, aim, floor="floor.rate"),
        Figure(f"{key}.p50", f"{what}, p50", floor="floor.p50"),
        Figure(f"{key}.p99", f"{what}, p99", floor="floor.p99"),
        Figure(f"{key}.cpu", f"{what}: CPU of each, five services"),
        Figure(f"{key}.server", f"{what}: CPU of each, nats-server"),
        Figure(f"{key}.failed", f"{what}: ended otherwise", ""),
    )


def _sustained(length: str) -> tuple[Figure, ...]:
    key, what = f"sustained.{length}", f"sustained, {length}"
    meanwhile = f"{what}: meanwhile, of other agents"
    return (
        Figure(f"{key}.rate", f"{what}: errors counted", "/s", _least(1000.0), floor="floor.rate"),
        Figure(f"{key}.wrong", f"{what}: errors lost or counted twice", "", _NONE),
        Figure(f"{key}.lag", f"{what}: not yet acknowledged when the last was reported", ""),
        Figure(f"{key}.drain", f"{what}: until the last is counted", "s"),
        Figure(f"{key}.recovered", f"{meanwhile}, recoveries verified", ""),
        Figure(f"{key}.failed", f"{meanwhile}, failures that ended otherwise", "", _NONE),
        Figure(f"{key}.p50", f"{meanwhile}, error -> recovery verified, p50", floor="floor.p50"),
        Figure(f"{key}.p99", f"{meanwhile}, error -> recovery verified, p99", floor="floor.p99"),
        Figure(f"{key}.cpu", f"{what}: CPU per error, five services", "ms"),
        Figure(f"{key}.server", f"{what}: CPU per error, nats-server", "ms"),
    )


_HEALTH = (
    *(
        Figure(
            f"health.cpu.{agents}",
            f"health-monitor, {agents} agents twice a second: CPU",
            "% of a core",
            _less(10.0) if agents == HEALTH_AGENTS[0] else None,
        )
        for agents in HEALTH_AGENTS
    ),
    *(
        Figure(
            f"health.memory.{agents}",
            f"health-monitor, {agents} agents: private memory above idle",
            "MB",
            _less(30.0) if agents == HEALTH_AGENTS[0] else None,
        )
        for agents in HEALTH_AGENTS
    ),
    Figure("health.status.p50", "status after its sample, beside 100 agents, p50", "ms", _less(20.0), _less(9.0)),
    Figure("health.status.p99", "status after its sample, beside 100 agents, p99", "ms", aim=_less(20.0)),
    Figure("health.silent", "last sample of an agent -> status failed, longest of ten", "s", _less(1.5)),
    Figure("health.died", "fatal error of an agent -> status failed, longest of ten", "ms", aim=_less(20.0)),
    Figure("health.day", "history on the server, one agent and day of 8 metrics", "MB"),
)

_REPLICAS = tuple(
    Figure(f"replicas.{number}.{key}", f"{number} of each service: {what}", unit)
    for number in REPLICAS
    for key, what, unit in (
        ("rate", "distinct recoveries", "/s"),
        ("p50", "distinct recoveries, p50", "ms"),
        ("p99", "distinct recoveries, p99", "ms"),
        ("cpu", "CPU of each, all services", "ms"),
        ("server", "CPU of each, nats-server", "ms"),
        ("failed", "ended otherwise", ""),
        ("waiting", "errors that waited, most at once", ""),
        ("owners", "strategy-selectors that owned something", ""),
    )
)

FIGURES: tuple[Figure, ...] = (
    Figure("floor.mean", "bare nats-py, four stages, mean"),
    Figure("floor.p50", "bare nats-py, four stages, p50"),
    Figure("floor.p99", "bare nats-py, four stages, p99"),
    Figure("floor.rate", "bare nats-py, four stages, as fast as it goes", "/s"),
    Figure("selection.mean", "acknowledged -> strategy selected, mean", must=_less(4.7), floor="floor.mean"),
    Figure("selection.p50", "acknowledged -> strategy selected, p50", floor="floor.p50"),
    Figure("selection.p99", "acknowledged -> strategy selected, p99", must=_less(8.2), floor="floor.p99"),
    Figure("selection.ratio", "its p50 over the floor's p50 just before", "x", Bound("<=", 3.0), Bound("<=", 2.0)),
    Figure("selection.stored", "stored by the server -> strategy selected, p50", floor="floor.p50"),
    Figure("selection.ack", "report() -> acknowledged, p50", floor="floor.p50"),
    *_RECOVERY,
    Figure("burst.p50", "50 errors at once, 16 parallel, lean agents, p50", floor="floor.p50"),
    Figure(
        "burst.p99",
        "50 errors at once, 16 parallel, lean agents, p99",
        must=_less(100.0),
        aim=_less(48.9),
        floor="floor.p99",
    ),
    Figure("burst.sdk.p50", "50 errors at once, 16 parallel, SDK agents, p50", floor="floor.p50"),
    Figure("burst.sdk.p99", "50 errors at once, 16 parallel, SDK agents, p99", floor="floor.p99"),
    *_sustained("short"),
    *_sustained("long"),
    *(
        Figure(f"sustained.{when}.{service}", f"sustained: private memory of {service}, {when}", "MB")
        for service in SERVICES
        for when in ("before", "after")
    ),
    Figure("sustained.more", "sustained, 2500/s wanted: counted", "/s", None, _least(2500.0), floor="floor.rate"),
    Figure("storm.rate", "storm of one fingerprint at report()", "/s", _least(5000.0), _least(20000.0)),
    Figure("storm.wrong", "storm: errors lost or counted twice", "", _NONE),
    Figure("storm.incidents", "storm: incidents", "", Bound("==", 1.0)),
    *(
        figure
        for key, whose in (("distinct", "lean agents"), ("distinct.sdk", "SDK agents"))
        for figure in _distinct(key, whose)
    ),
    *(
        Figure(f"memory.{when}.{service}", f"private memory of {service}, {when}", "MB", _less(most), _less(wanted))
        for service, most, wanted in (
            ("classifier", 55.0, 40.0),
            ("predictor", 55.0, 40.0),
            ("strategy-selector", 40.0, 30.0),
            ("executor", 40.0, 30.0),
            ("health-monitor", 40.0, 30.0),
        )
        for when in ("idle", "loaded")
    ),
    Figure("memory.single", "--single-process, resident, idle", "MB", _less(90.0), _less(65.0)),
    *(
        Figure(f"start.{service}", f"start of {service} to ready", "s", _less(1.5), _less(0.7))
        for service in ("classifier", "predictor", "strategy-selector", "executor", "health-monitor")
    ),
    Figure("start.report.mean", "SDK report() call, mean", "ms", _less(1.0), _less(0.2)),
    Figure("start.report.p99", "SDK report() call, p99", "ms"),
    Figure("start.status.p50", "health status on the bus after a sample, p50", "ms", _less(20.0), _less(9.0)),
    Figure("start.status.p99", "health status on the bus after a sample, p99", "ms"),
    *(
        figure
        for key, what, must, aim in (
            ("warm", "warm restart, command -> healthy probe", 48.9, 15.0),
            ("warm.agent", "warm restart, command -> the agent answers itself", 48.9, 15.0),
            ("rollback", "rollback of 1 MiB, command -> healthy probe", 25.0, 10.0),
            ("rollback.bucket", "the same from the bucket", 25.0, 10.0),
        )
        for figure in (
            Figure(f"{key}.p50", f"{what}, p50", aim=_less(aim)),
            Figure(f"{key}.p99", f"{what}, p99", must=_less(must)),
        )
    ),
    *_HEALTH,
    *_REPLICAS,
)
BY_KEY = {figure.key: figure for figure in FIGURES}


@dataclass
class Book:
    """What the runs found: for each figure one value a run, and whatever else is worth keeping."""

    values: dict[str, dict[Mode, list[float]]] = field(default_factory=lambda: defaultdict(lambda: defaultdict(list)))
    details: dict[str, dict[Mode, list[dict[str, Any]]]] = field(
        default_factory=lambda: defaultdict(lambda: defaultdict(list))
    )
    failures: dict[str, str] = field(default_factory=dict[str, str])
    """Why a row could not be measured, by row and mode."""

    def note(self, key: str, mode: Mode, value: float) -> None:
        """Notes what one run found. Raises `KeyError` for a figure that there is none of."""
        self.values[BY_KEY[key].key][mode].append(value)

    def note_times(self, prefix: str, mode: Mode, milliseconds: Sequence[float]) -> None:
        """Notes mean, p50 and p99 of one run, as far as there are such figures."""
        summary = {"mean": statistics.fmean(milliseconds)} | {f"p{p}": quantile(milliseconds, p) for p in (50, 99)}
        for name, value in summary.items():
            if f"{prefix}.{name}" in BY_KEY:
                self.note(f"{prefix}.{name}", mode, value)

    def describe(self, row: str, mode: Mode, **facts: object) -> None:
        """Keeps facts about one run of a row."""
        self.details[row][mode].append(cast("dict[str, Any]", facts))

    def runs(self, key: str, mode: Mode) -> Sequence[float]:
        """What each run of a figure found."""
        return self.values[key][mode] if key in self.values else ()

    def median(self, key: str, mode: Mode) -> float | None:
        """The median of the runs of a figure; None when there was none."""
        runs = self.runs(key, mode)
        return statistics.median(runs) if runs else None

    def ratio(self, figure: Figure, mode: Mode) -> float | None:
        """The figure as a multiple of that of the floor."""
        value = self.median(figure.key, mode)
        floor = self.median(figure.floor, "untraced") if figure.floor else None
        return value / floor if value is not None and floor else None


def quantile(values: Sequence[float], percent: float) -> float:
    """The value that `percent` of the values do not exceed (nearest rank)."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(percent / 100 * len(ordered)) - 1)]
