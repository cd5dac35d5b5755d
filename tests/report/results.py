"""What was measured, read from the files of the runs; each figure knows the run that it is from."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.bench.figures import ROWS
from tests.report import junit
from tests.report.junit import TestRun

REPETITIONS = 5
"""The bench's figures count as medians of so many runs."""
SOAK_MINUTES = 30.0


@dataclass(frozen=True)
class Run:
    """One run: when, on what, by what command."""

    name: str
    file: Path
    when: datetime
    command: str
    machine: str
    data: Mapping[str, Any]

    @property
    def date(self) -> str:
        """In UTC, to the minute."""
        return self.when.astimezone(UTC).strftime("%Y-%m-%d %H:%M")


@dataclass(frozen=True)
class Found:
    """A figure; `detail`: what is to be said beside it; `noise`: what of it may be the machine's, in its unit."""

    value: float
    run: Run
    detail: str = ""
    noise: float = 0.0


@dataclass
class Results:
    """All runs of a folder, by name of the kind, the newest first; what could not be read, and why."""

    runs: dict[str, list[Run]] = field(default_factory=dict[str, list[Run]])
    tests: list[TestRun] = field(default_factory=list[TestRun])
    unread: list[str] = field(default_factory=list[str])

    def of(self, name: str, fit: Callable[[Run], bool] = lambda _: True) -> Run | None:
        """The newest run of a kind that fits."""
        return next((run for run in self.runs.get(name, ()) if fit(run)), None)

    def bench(self, key: str) -> Found | None:
        """A figure of the bench, measured with tracing on, from the newest run of its row with repetitions enough."""
        row = key.partition(".")[0]
        run = self.of(
            "bench", lambda run: row in run.data["rows"] and run.data["conditions"]["plan"]["runs"] >= REPETITIONS
        )
        if run is None:
            return None
        for figure in run.data["figures"]:
            if figure["key"] == key and "traced" in figure:
                return Found(figure["traced"]["median"], run, "", figure["traced"]["noise"] or 0.0)
        return None

    def noted(self, key: str) -> Found | None:
        """A figure that some other measurement noted under this key, the newest."""
        fit = [run for name in ("figures", "chaos") for run in self.runs.get(name, ()) if key in run.data["figures"]]
        if not fit:
            return None
        run = max(fit, key=lambda run: run.when)
        value = run.data["figures"][key]
        if isinstance(value, Mapping):
            return Found(float(value["value"]), run, between(value.get("interval")))
        return Found(float(value), run)

    @property
    def lab(self) -> Run | None:
        """The newest run of all faults under the default policy."""
        return self.of("fault-lab", _whole_lab)

    @property
    def soak(self) -> Run | None:
        """The newest that was long enough."""
        return self.of("soak", lambda run: run.data["minutes"] >= SOAK_MINUTES)


def _whole_lab(run: Run) -> bool:
    return run.data["conditions"].get("policy_file", "default") == "default" and "--fault" not in run.command


def between(interval: Sequence[float] | None, scale: float = 1.0) -> str:
    """An interval of 95 % in words, "" for none."""
    return f"{interval[0] * scale:.3g} to {interval[1] * scale:.3g}" if interval else ""


_COMMANDS = {"bench": "make bench", "soak": "python -m tests.lab.soak", "fault-lab": "make fault-lab"}
_NEEDED = {
    "bench": ("rows", "figures", "conditions"),
    "fault-lab": ("summary", "cases", "conditions"),
    "soak": ("minutes", "processes", "conditions"),
    "scale": ("sizes", "conditions"),
    "figures": ("figures", "conditions"),
    "chaos": ("figures", "conditions"),
    "coverage": ("totals", "meta"),
}


def read(folder: Path) -> Results:
    """Everything in a folder; what is broken is told in `unread`, and counts as not measured."""
    found = Results()
    for name, needed in _NEEDED.items():
        for file in sorted(folder.glob("coverage.json" if name == "coverage" else f"{name}-*.json")):
            try:
                run = _run(name, file, needed)
            except (OSError, ValueError) as error:
                found.unread.append(f"{file.name}: {error}")
            else:
                found.runs.setdefault(name, []).append(run)
        found.runs.get(name, []).sort(key=lambda run: run.when, reverse=True)
    for file in folder.glob("junit*.xml"):
        try:
            found.tests.append(junit.read(file))
        except (OSError, ValueError) as error:
            found.unread.append(f"{file.name}: {error}")
    found.tests.sort(key=lambda run: run.date, reverse=True)
    return found


def _run(name: str, file: Path, needed: Sequence[str]) -> Run:
    data: Any = json.loads(file.read_text(encoding="utf-8"))
    missing = [key for key in needed if not isinstance(data, dict) or key not in data]
    if missing:
        msg = f"there is no {', no '.join(missing)} in it"
        raise ValueError(msg)
    conditions = data["meta"] if name == "coverage" else data["conditions"]
    date = str(conditions.get("date") or conditions.get("timestamp") or "")
    when = datetime.fromisoformat(date) if date else datetime.fromtimestamp(file.stat().st_mtime, UTC)
    command = "make coverage" if name == "coverage" else str(conditions.get("command") or _command(name, data))
    return Run(name, file, when if when.tzinfo else when.astimezone(), command, _machine(conditions), data)


def _command(name: str, data: Mapping[str, Any]) -> str:
    if name == "bench" and len(data["rows"]) < len(ROWS):
        return f"python -m tests.bench --only {','.join(data['rows'])}"
    if name == "soak":
        return f"{_COMMANDS[name]} --minutes {data['minutes']:g}"
    return _COMMANDS.get(name, "not told")


def _machine(conditions: Mapping[str, Any]) -> str:
    known = {
        "cores": "{} cores",
        "machine": "{}",
        "kernel": "Linux {}",
        "python": "Python {}",
        "nats_server": "nats-server {}",
    }
    parts = [text.format(conditions[key]) for key, text in known.items() if conditions.get(key)]
    load = conditions.get("load_average")
    if load:
        parts.append(f"load {load[0]:g}")
    return ", ".join(parts) or "not told"
