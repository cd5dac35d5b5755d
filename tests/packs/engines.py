"""Adapter of the turbofan pack: does this engine fail within thirty cycles. A cycle is counted as an hour."""

from pathlib import Path

import numpy as np
from tests.packs import reading, windows
from tests.packs.task import Task

_AHEAD = 30
_FIRST = 20
_HOUR_S = 3600
_COMMON = ("entity", "t")


def turbofan(folder: Path) -> list[Task]:
    """One task, named like its folder: a shifted sibling of the pack is asked the same."""
    metrics, samples = reading.parquet(folder / "metrics.parquet"), reading.parquet(folder / "labels.parquet")
    names = sorted(name for name in metrics if name not in _COMMON)
    values = np.column_stack([metrics[name] for name in names]).astype(float)
    engines = [span for _, span in reading.spans(metrics["entity"])]
    at = reading.located(metrics, samples)
    raw = np.concatenate([_plain(values[span]) for span in engines])[at]
    drift = np.concatenate([wear(values[span]) for span in engines])[at]
    since_new = [_from_start(values[span]) for span in engines]
    z, late = np.concatenate(since_new)[at], np.concatenate([windows.faded(one, 10) for one in since_new])[at]
    age = samples["t"].astype(np.float32)[:, None]
    return [
        Task(
            name=folder.name,
            kind="ahead",
            entity=samples["entity"],
            t=samples["t"].astype(int),
            y=samples["y"].astype(int),
            events=reading.events(folder / "events.csv"),
            horizon=_AHEAD,
            unit_s=_HOUR_S,
            step_s=_HOUR_S,
            plain=np.hstack([raw, age]),
            rich=np.hstack([raw, drift, age]),
            simple={"static": np.abs(z).max(axis=1), "ewma-z": np.abs(late).max(axis=1)},
            hints={"drift": np.sqrt((late**2).mean(axis=1))},
        )
    ]


def wear(x: np.ndarray) -> np.ndarray:
    """How far an engine has drifted from its own first cycles, sensor by sensor and whichever the sensor."""
    z = _from_start(x)
    slow, fast = windows.faded(z, 30), windows.faded(z, 8)
    slope = windows.moved(slow, 15)
    falling = -np.sort(-np.abs(slow), axis=1)[:, :10]
    climbing = -np.sort(-np.abs(slope), axis=1)[:, :5]
    size = np.column_stack([np.sqrt((slow**2).mean(axis=1)), np.sqrt((fast**2).mean(axis=1))])
    return np.hstack([slow, fast, slope, falling, climbing, size]).astype(np.float32)


def _plain(x: np.ndarray) -> np.ndarray:
    return np.hstack([x, windows.mean(x, 10), windows.mean(x, 30)]).astype(np.float32)


def _from_start(x: np.ndarray) -> np.ndarray:
    """Each row against the mean of the first cycles known by then, in units of their spread."""
    first = x[:_FIRST]
    known = np.cumsum(first, axis=0) / np.arange(1, len(first) + 1)[:, None]
    middle = np.concatenate([known, np.repeat(known[-1:], max(0, len(x) - len(first)), axis=0)])[: len(x)]
    noise = windows.faded((x - windows.before(windows.faded(x, 10))) ** 2, 100)
    smallest = 1e-4 * np.maximum(1.0, np.abs(middle))
    return np.clip((x - middle) / np.maximum(np.sqrt(noise), smallest), -20, 20)
