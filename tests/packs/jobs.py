"""Adapter of the pack of cluster jobs: will CPU or memory reach a limit within half an hour."""

from pathlib import Path

import numpy as np
from tests.packs import reading, windows
from tests.packs.task import Task

_STEP_S = 300
_AHEAD = 6
_DAY = 288
_WEEK = 7 * _DAY
_LOOK = 3  # neighbouring steps say nearly the same
_GUESSES = 7
_SPANS = (2, 5, 10, 20, 60)
_WIDTHS = (3, 12, 36, _DAY, _WEEK)


def capacity(folder: Path) -> list[Task]:
    """Two limits of the same machines, 80 % and 70 %."""
    metrics = reading.parquet(folder / "metrics.parquet")
    values = np.column_stack([metrics["cpu"], metrics["mem"]]).astype(float)
    return [
        _task(folder, metrics, values, limit, suffix)
        for limit, suffix in ((80.0, ""), (70.0, "_70"))
        if (folder / f"labels{suffix}.parquet").is_file()
    ]


def _task(folder: Path, metrics: reading.Columns, values: np.ndarray, limit: float, suffix: str) -> Task:
    samples = reading.parquet(folder / f"labels{suffix}.parquet")
    at = reading.located(metrics, samples)
    jobs = [span for _, span in reading.spans(metrics["entity"])]
    rich = np.concatenate([margins(values[span], limit) for span in jobs])[at]
    plain = np.concatenate([_plain(values[span]) for span in jobs])[at]
    return Task(
        name=f"capacity {limit:.0f} %",
        kind="ahead",
        entity=samples["entity"],
        t=samples["t"],
        y=samples["y"].astype(int),
        events=reading.events(folder / f"events{suffix}.csv"),
        horizon=_AHEAD,
        unit_s=_STEP_S,
        step_s=_STEP_S,
        plain=plain,
        rich=rich,
        simple={
            "static": values[at].max(axis=1),
            "ewma-z": np.concatenate([_in_spreads(values[span], limit, 19) for span in jobs])[at],
        },
        hints={
            "history": rich[:, -2].astype(float),
            "steps": rich[:, -1].astype(float),
        },
        thin=20,
    )


def margins(x: np.ndarray, limit: float) -> np.ndarray:
    """How near the limit is, in spreads of the job itself, over many horizons: one column each, larger is nearer."""
    columns = [x.max(axis=1)]
    for span in _SPANS:
        level = windows.faded(x, span)
        spread = np.sqrt(windows.faded((x - windows.before(level)) ** 2, span))
        columns += [_nearest(level, spread, limit), _nearest(x, spread, limit), level.max(axis=1)]
    columns += [windows.highest(x, width).max(axis=1) for width in _WIDTHS]
    columns += [windows.mean(x, width).max(axis=1) for width in _WIDTHS[2:]]
    day = windows.deviation(x, _DAY)
    columns += [_nearest(windows.faded(x, 5), day, limit), _nearest(windows.mean(x, 12), day, limit)]
    columns += [rises(x, limit), _in_steps(x, limit)]
    return np.column_stack(columns).astype(np.float32)


def rises(x: np.ndarray, limit: float) -> np.ndarray:
    """How often this job has risen within the horizon by as much as is missing now, as a logarithm.

    A rise is counted from the smoothed level, in spreads of the job, softly (one that nearly sufficed counts in part)
    and only when it was over by then; before there is a history, a common guess stands for it.
    """
    level = windows.faded(x, 5)
    spread = np.sqrt(windows.faded((x - windows.before(x)) ** 2, _DAY)) + 0.5
    missing = (limit - level) / spread
    reached = (_next_highest(x) - level) / spread
    chances = np.empty(x.shape)
    for start in range(0, len(x), _DAY):
        now, past = np.arange(start, min(start + _DAY, len(x))), np.arange(max(0, start - _WEEK), start + _DAY - _AHEAD)
        past = past[past < len(x)][::_LOOK]
        over = (past[None, :] <= now[:, None] - _AHEAD).astype(float)
        for resource in range(x.shape[1]):
            enough = _soft((reached[past, resource][None, :] - missing[now, resource][:, None]) / 0.5)
            guess = _soft(2.0 - missing[now, resource])
            chances[now, resource] = ((enough * over).sum(axis=1) + _GUESSES * guess) / (over.sum(axis=1) + _GUESSES)
    return np.log(chances + 1e-12).max(axis=1)


def _soft(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-np.clip(x, -30, 30)))


def _next_highest(x: np.ndarray) -> np.ndarray:
    """The highest of the next steps: of the future, so it may only be used once it is past."""
    padded = np.concatenate([x[1:], np.repeat(x[-1:], _AHEAD, axis=0)])
    return np.lib.stride_tricks.sliding_window_view(padded, _AHEAD, axis=0)[: len(x)].max(axis=-1)


def _in_steps(x: np.ndarray, limit: float) -> np.ndarray:
    """The distance to the limit in typical steps of the last day."""
    steps = windows.deviation(x - windows.before(x), _DAY)
    return _nearest(windows.faded(x, 5), steps, limit)


def _in_spreads(x: np.ndarray, limit: float, span: float) -> np.ndarray:
    level = windows.faded(x, span)
    return _nearest(level, np.sqrt(windows.faded((x - windows.before(level)) ** 2, span)), limit)


def _nearest(level: np.ndarray, spread: np.ndarray, limit: float) -> np.ndarray:
    return ((level - limit) / (spread + 1.0)).max(axis=1)


def _plain(x: np.ndarray) -> np.ndarray:
    levels = [
        x,
        *(f(x, width) for width in (3, 12, 36) for f in (windows.mean, windows.deviation)),
        windows.moved(x, 6),
    ]
    return np.hstack(levels).astype(np.float32)
