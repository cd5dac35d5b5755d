"""The table for people and the file for programs."""

import json
import os
import platform
import time
from collections.abc import Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any
from urllib.request import urlopen

from tests import results
from tests.bench.bed import DEFAULT_POLICY
from tests.bench.figures import FIGURES, Book, Figure, Mode
from tests.bench.judge import judged
from tests.bench.plan import Plan

from mendbus.contracts.subjects import PARTITIONS
from mendbus.server import NatsServer
from mendbus_strategy_selector.policy import load_policy

_HEAD = ("figure", "unit", "must", "aim", "measured", "noise", "untraced", "x floor", "")


def conditions(plan: Plan, folder: Path) -> dict[str, Any]:
    """What the figures were measured under; starts a server for a moment to ask it how it was configured."""
    server = NatsServer.start(folder / "asked")
    try:
        with urlopen(f"{server.monitor_url}/varz", timeout=5.0) as answer:
            status = json.load(answer)
    finally:
        server.stop()
    policy_file = folder / "policy.toml"
    policy_file.write_text(DEFAULT_POLICY)
    return {
        "date": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "nats_server": status["version"],
        "sync_always": status["jetstream"]["config"].get("sync_always", False),
        "partitions": PARTITIONS,
        "tracing": "to a live OTLP receiver; untraced beside it",
        "policy": load_policy(policy_file).digest,
        "cores": len(os.sched_getaffinity(0)),
        "load_average": [round(load, 2) for load in os.getloadavg()],
        "python": platform.python_version(),
        "nats_py": version("nats-py"),
        "machine": platform.machine(),
        "kernel": platform.release(),
        "plan": asdict(plan),
    }


def table(book: Book, rows: Sequence[str]) -> str:
    """The figures of these rows, those of the floor first."""
    shown = (figure for figure in FIGURES if figure.row in rows and (figure.must or figure.key in book.values))
    lines = [_HEAD, *(_line(book, figure) for figure in shown)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(_HEAD))]
    lines.insert(1, tuple("-" * width for width in widths))
    return "\n".join(
        "  ".join(
            text.ljust(width) if column in (0, 1, len(_HEAD) - 1) else text.rjust(width)
            for column, (text, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )


def _line(book: Book, figure: Figure) -> tuple[str, ...]:
    traced = judged(book, figure)
    ratio = book.ratio(figure, "untraced" if traced.value is None else "traced")
    return (
        figure.what,
        figure.unit,
        str(figure.must or ""),
        str(figure.aim or ""),
        _number(traced.value),
        f"{traced.noise:.2g}" if traced.noise else "",
        _number(book.median(figure.key, "untraced")),
        "" if ratio is None else f"{ratio:.2f}",
        traced.verdict,
    )


def _number(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:.0f}" if abs(value) >= 1000 or value == int(value) else f"{value:.3g}"


def content(book: Book, rows: Sequence[str], found: dict[str, Any], missed: Sequence[str]) -> dict[str, Any]:
    """Everything, for programs."""
    return {
        "conditions": found,
        "rows": list(rows),
        "figures": [_as_values(book, figure) for figure in FIGURES if figure.row in rows],
        "missed": missed,
        "failures": book.failures,
        "details": book.details,
    }


def write(everything: dict[str, Any]) -> Path:
    """Writes it to `results/bench-<date>.json`; returns the file."""
    return results.write("bench", everything)


def _as_values(book: Book, figure: Figure) -> dict[str, Any]:
    modes: tuple[Mode, ...] = ("traced", "untraced")
    values: dict[str, Any] = {
        mode: {
            "median": book.median(figure.key, mode),
            "noise": judged(book, figure, mode).noise,
            "ratio_to_floor": book.ratio(figure, mode),
            "runs": runs,
        }
        for mode in modes
        if (runs := book.runs(figure.key, mode))
    }
    return {
        "key": figure.key,
        "what": figure.what,
        "unit": figure.unit,
        "must": str(figure.must) if figure.must else None,
        "aim": str(figure.aim) if figure.aim else None,
        **values,
    }
