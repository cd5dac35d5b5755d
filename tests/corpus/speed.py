"""How fast the packaged model answers and what it costs: `python -m tests.corpus.speed`. Needs a quiet machine."""

import asyncio
import gc
import json
import statistics
import subprocess
import sys
import tempfile
import time
from asyncio.events import Handle
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, Final, cast

import numpy as np
from tests.corpus import written
from tests.support import ask, memory_runtime

from mendbus import codec
from mendbus.booster import Booster
from mendbus.contracts.asks import Classification, Classify
from mendbus.models import read_folder, write_folder
from mendbus.modelstore import ModelStore
from mendbus.settings import Settings
from mendbus.testing import eventually
from mendbus_classifier import build, features, model, rules, table
from mendbus_classifier.features import Text
from mendbus_classifier.handlers import Classifier
from mendbus_classifier.life import Pair

_LOOP: Final = "--loop"
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
    """Prints microseconds per call (mean, median, 99.9th percentile), memory, and the longest hold-ups of a loop."""
    used = model.load()
    texts = [Text(s.kind, s.message) for s in list(written.samples())[::3]]
    asked = [_question(text) for text in texts]
    packed = [codec.encode(question) for question in asked]
    # A stack of 16 KiB, and one word that never ends: what takes longest of all that the wire lets through.
    frames = "".join(f"  at {name}.handle(/srv/app/{name}.js:{line}:7)\n" for line, name in enumerate(["a", "b"] * 256))
    longest = [_question(Text("Error", text.message * 9, frames[:16384])) for text in texts[:200]]
    classifier = Classifier(Pair(used=used))
    _, files = model.models.read_folder(model.packaged())
    tokens = table.read(files[model.TABLE], "speed")
    booster = Booster(files[model.CATEGORY].decode(), "speed", len(features.NAMES))
    rows = [features.row(t, rules.read(t.kind, t.message), tokens) for t in texts]
    slow = cast("Any", import_module("lightgbm")).Booster(
        model_str=files[model.CATEGORY].decode(), params={"num_threads": 1}
    )
    found = {
        # What the machine adds to work of about that length that is always the same.
        "counting to 9000": _times(lambda _: sum(range(9000)), asked),
        "event to label": _times(classifier.classify, asked),
        "event to label, bytes to bytes": _times(lambda body: _answered(classifier, body), packed),
        "event to label, longest texts": _times(classifier.classify, longest),
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
    loop = json.loads(subprocess.check_output([sys.executable, "-m", "tests.corpus.speed", _LOOP], text=True))
    for name, value in loop.items():
        print(f"{name:58} {value:7.2f} ms")
    print(json.dumps({name: [round(value, 1) for value in values] for name, values in found.items()} | loop))


def _answered(classifier: Classifier, body: bytes) -> bytes:
    return codec.encode(classifier.classify(codec.decode(Classify, body)))


async def held_up(folder: Path) -> dict[str, float]:
    """The longest time (ms) that one callback held a loop up: as the service answers, as its model is replaced."""
    took: list[float] = []
    # Each callback of a loop passes here.
    handles = cast("Any", Handle)
    run = cast("Callable[[Handle], None]", handles._run)

    def timed(handle: Handle) -> None:
        began = time.perf_counter()
        run(handle)
        took.append(time.perf_counter() - began)

    card, files = read_folder(model.packaged())
    write_folder(folder / "new", card.model_copy(update={"name": "speed-2"}), files)
    texts = [Text(s.kind, s.message) for s in list(written.samples())[::3]]
    found: dict[str, float] = {}
    async with memory_runtime(build(), settings=Settings(trace=False, canary_seconds=0, data_dir=folder)) as runtime:
        store = ModelStore(runtime.bus, runtime.subjects, model.SERVICE)

        async def asked(text: Text) -> str:
            return (await ask(runtime.bus, runtime.subjects.classify, _question(text), Classification)).model

        for text in texts[:100]:
            await asked(text)
        handles._run = timed
        for text in texts:
            await asked(text)
        found["longest hold-up of the loop as it answers"] = 1e3 * max(took)
        # Packing and writing it is work of the command line, in a process of its own.
        name = await store.add(folder / "new", "now", "speed")
        took.clear()
        _ = await store.promote(name, "now", "speed")
        await eventually(lambda: _is(asked(texts[0]), "speed-2"), timeout=60.0)
        found["longest hold-up of the loop as its model is replaced"] = 1e3 * max(took)
        handles._run = run
    return found


async def _is(answer: Any, wanted: str) -> bool:
    return await answer == wanted


def _question(text: Text) -> Classify:
    exception = {"type": text.kind or "Error", "message": text.message, "stacktrace": text.stack or None}
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
    if _LOOP in sys.argv:
        with tempfile.TemporaryDirectory() as place:
            print(json.dumps(asyncio.run(held_up(Path(place)))))
    else:
        main()
