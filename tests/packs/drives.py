"""Adapter of the pack of disk drives: does this drive fail within the next 720 power-on hours."""

import zlib
from pathlib import Path

import numpy as np
from tests.packs import reading
from tests.packs.task import Events, Task

_DAYS_H = 72
_WEEK_H = 240
_AHEAD_H = 720
_WARNED_H = 2160
_HOUR_S = 3600
_COUNTERS = (
    "smart_5",
    "smart_10",
    "smart_12",
    "smart_187",
    "smart_188",
    "smart_189",
    "smart_196",
    "smart_197",
    "smart_198",
)
_BAD = ("smart_5", "smart_187", "smart_188", "smart_197", "smart_198")
_CATEGORIES = 2**15
_FAR = 10**7  # hours: more than any drive runs, so that drives do not meet on one axis


def disks(folder: Path) -> list[Task]:
    """SMART counters in start-stop form, taken as they stood at each sample."""
    changes = reading.parquet(folder / "changes.parquet", "entity, tstart")
    samples = reading.parquet(folder / "labels.parquet")
    drives = reading.rows(folder / "drives.csv.gz")
    names, code = np.unique(changes["entity"], return_inverse=True)
    axis = code.astype(np.int64) * _FAR + changes["tstart"]
    drive = np.minimum(np.searchsorted(names, samples["entity"]), len(names) - 1).astype(np.int64)
    if (names[drive] != samples["entity"]).any():
        raise ValueError("a drive of the labels has no counters: the files do not belong together")
    first = np.searchsorted(axis, drive * _FAR)

    def rows_at(hours_back: int) -> np.ndarray:
        found = np.searchsorted(axis, drive * _FAR + samples["t"] - hours_back, side="right") - 1
        return np.maximum(found, first)

    counters = np.log1p(np.column_stack([changes[name] for name in _COUNTERS]).astype(np.float32))
    known = np.nan_to_num(counters)  # a counter that a model does not have says nothing against its drives
    now, month, season = rows_at(0), rows_at(_AHEAD_H), rows_at(_WARNED_H)
    since = (samples["t"] - changes["tstart"][now]).astype(np.float32)
    begun = dict(zip(drives["entity"], drives["t0"].astype(int), strict=True))
    t0 = np.array([begun[name] for name in names])[drive]
    models, which = np.unique(changes["model"], return_inverse=True)
    kinds = np.array([zlib.crc32(str(model).encode()) % _CATEGORIES for model in models])[which[first]]
    value, grown = counters[now], counters[now] - counters[month]
    age = np.column_stack([samples["t"], samples["t"] - t0, changes["size_tb"][first]]).astype(np.float32)
    bad = [_COUNTERS.index(name) for name in _BAD]
    growth = value - counters[season]
    days, week = rows_at(_DAYS_H), rows_at(_WEEK_H)
    busy = np.column_stack([now - week, now - month, now - season, now - first, since]).astype(np.float32)
    lately = np.hstack([(known[now] - known[earlier])[:, bad] for earlier in (days, week)])
    quiet = np.column_stack(
        [samples["t"] - changes["tstart"][_last_change(known[:, one], code)[now]] for one in bad]
    ).astype(np.float32)
    rich = np.hstack([value, grown, growth, lately, quiet, busy, age, kinds[:, None].astype(np.float32)])
    failed = reading.rows(folder / "events.csv.gz")
    return [
        Task(
            name="disks",
            kind="ahead",
            entity=samples["entity"],
            t=samples["t"].astype(int),
            y=samples["y"].astype(int),
            events=Events(failed["entity"], failed["start"].astype(int)),
            horizon=_WARNED_H,
            unit_s=_HOUR_S,
            step_s=_AHEAD_H * _HOUR_S,
            plain=np.hstack([value, grown, age]),
            rich=rich,
            simple={
                "static": known[now][:, bad].sum(axis=1),
                "ewma-z": (2 * known[now] - known[season])[:, bad].sum(axis=1),
            },
            folds=3,
            thin=4,
            category=rich.shape[1] - 1,
        )
    ]


def _last_change(counter: np.ndarray, drive: np.ndarray) -> np.ndarray:
    """For each row the row at which this counter took its value; the drive's first row if it never changed."""
    begins = np.r_[True, drive[1:] != drive[:-1]]
    changed = begins | np.r_[True, counter[1:] != counter[:-1]]
    return np.maximum.accumulate(np.where(changed, np.arange(len(counter)), 0))
