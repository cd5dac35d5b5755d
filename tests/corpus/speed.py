"""How fast the packaged model answers and what it costs: `python -m tests.corpus.speed`. Needs a quiet machine."""

import gc
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any, Final, cast

import numpy as np
from tests.corpus import written

from mendbus.booster import Booster
from mendbus.contracts.asks import Classify
from mendbus_classifier import features, model, rules, table
from mendbus_classifier.features import Text
from mendbus_classifier.handlers import Classifier
from mendbus_classifier.life import Pair

_ROUNDS: Final = 5
_CHILD: Final = """
import time, sys
began = time.perf_counter()
from mendbus_classifier.handlers import Classifier
from mendbus_classifier.life import Pair
from mendbus_classifier.model import load
import psutil
before = psutil.Process().memory_full_info().uss
found = load()
after = psutil.Process().memory_full_info().uss
print(time.perf_counter() - began, before, after, "numpy" in sys.modules, "scipy" in sys.modules)
"""


def main() -> None:
    """Prints microseconds per call: mean, median, 99.9th percentile."""
    used = model.load()
    texts = [Text(s.kind, s.message) for s in list(written.samples())[::3]]
    asked = [_question(text) for text in texts]
    classifier = Classifier(Pair(used=used))
    _, files = model.models.read_folder(model.packaged())
    tokens = table.read(files[model.TABLE], "speed")
    booster = Booster(files[model.CATEGORY].decode(), "speed", len(features.NAMES))
    rows = [features.row(t, rules.read(t.kind, t.message), tokens) for t in texts]
    slow = cast("Any", import_module("lightgbm")).Booster(
        model_str=files[model.CATEGORY].decode(), params={"num_threads": 1}
    )
    found = {
        "event to label": _times(classifier.classify, asked),
        "rules": _times(lambda t: rules.read(t.kind, t.message, t.stack), texts),
        "tokens": _times(lambda t: tokens.read(t.kind, t.message, t.stack), texts),
        "category model, C interface": _times(booster.predict, rows),
        "category model, Booster.predict": _times(lambda row: slow.predict(np.array([row])), rows[:300]),
    }
    for name, (mean, median, last) in found.items():
        print(f"{name:34} mean {mean:7.1f}  p50 {median:7.1f}  p99.9 {last:7.1f} us")
    seconds, before, after, numpy, scipy = subprocess.check_output([sys.executable, "-c", _CHILD], text=True).split()
    print(f"import and load {float(seconds):.2f} s; USS {int(before) / 1e6:.1f} -> {int(after) / 1e6:.1f} MB")
    print(f"numpy imported: {numpy}, scipy imported: {scipy}")
    print(json.dumps({name: [round(value, 1) for value in values] for name, values in found.items()}))


def _question(text: Text) -> Classify:
    exception = {"type": text.kind or "Error", "message": text.message}
    agent = {"kind": "runtime", "id": "a"}
    error = {"id": "e", "time_unix_nano": 1, "agent": agent, "exception": exception}
    return Classify.model_validate({"error": error, "fingerprint": "v1:0"})


def _times(call: Callable[[Any], object], given: Sequence[Any]) -> tuple[float, float, float]:
    taken: list[int] = []
    for one in given[:200]:
        call(one)
    gc.collect()
    gc.disable()
    for _ in range(_ROUNDS):
        for one in given:
            began = time.perf_counter_ns()
            call(one)
            taken.append(time.perf_counter_ns() - began)
    gc.enable()
    taken.sort()
    return statistics.mean(taken) / 1e3, taken[len(taken) // 2] / 1e3, taken[int(len(taken) * 0.999)] / 1e3


if __name__ == "__main__":
    main()
