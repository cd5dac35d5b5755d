"""How fast the packaged predictor is and what it costs: `python -m tests.bench.predicting`. Needs a quiet machine.

In this process alone, without a bus: an error's features and prediction together, and 100 agents that tell of their
health twice a second. Exit status 1 when a figure is above what it must be.
"""

import gc
import json
import random
import statistics
import subprocess
import sys
import time
from typing import Final

from mendbus.contracts.asks import Assess
from mendbus.contracts.messages import HealthSample
from mendbus.contracts.vocabulary import METRICS
from mendbus.modellife import Pair
from mendbus_predictor.handlers import Predictor
from mendbus_predictor.model import Model, load

MOST_MEAN_US: Final = 187.0
MOST_LAST_US: Final = 342.0
"""99.9th percentile of an error's features and prediction."""
MOST_CORE_PERCENT: Final = 10.0
MOST_MEGABYTES: Final = 55.0
AGENTS: Final = 100
_ERRORS: Final = 5000
_FILL: Final = 120
_SECONDS: Final = 30
_NANO: Final = 1_000_000_000
_GAUGES: Final = ("descriptors", "loop_lag_ms", "user_loop_lag_ms", "worker_rss", "worker_fds", "worker_threads")
_CHILD: Final = """
import psutil
from mendbus_predictor import handlers
from mendbus_predictor.model import load
found = load()
print(psutil.Process().memory_full_info().uss)
"""


class _Clock:
    def __init__(self) -> None:
        self.at = 1_700_000_000 * _NANO

    def __call__(self) -> int:
        return self.at


def main() -> int:
    """Prints the figures; the exit status says whether each is what it must be."""
    clock = _Clock()
    predictor = Predictor(Pair[Model](used=load()), clock)
    chance = random.Random(1)
    for sequence in range(_FILL):
        clock.at += _NANO // 2
        for agent in range(AGENTS):
            _ = predictor.hear(_sample(agent, sequence, clock.at, chance))
    mean, middle, last = _errors(predictor, clock, chance)
    share = _health(predictor, clock, chance)
    memory = int(subprocess.check_output([sys.executable, "-c", _CHILD], text=True)) / 1e6
    print(f"features and prediction of an error  mean {mean:.1f}  p50 {middle:.1f}  p99.9 {last:.1f} us")
    print(f"{AGENTS} agents at 2 Hz, in-process      {share:.2f} % of a core")
    print(f"private memory of code and model     {memory:.1f} MB")
    print(json.dumps({"mean_us": mean, "p50_us": middle, "p999_us": last, "core_percent": share, "mb": memory}))
    fits = mean < MOST_MEAN_US and last < MOST_LAST_US and share < MOST_CORE_PERCENT and memory < MOST_MEGABYTES
    return 0 if fits else 1


def _errors(predictor: Predictor, clock: _Clock, chance: random.Random) -> tuple[float, float, float]:
    """Microseconds of an error, each after a new sample, so that no features are left over from the one before."""
    taken: list[int] = []
    asked = [_question(agent) for agent in range(AGENTS)]
    gc.collect()
    gc.disable()
    for number in range(_ERRORS):
        agent = number % AGENTS
        if agent == 0:
            clock.at += _NANO // 2
        # A late evaluation would compute the features before they are asked for.
        watched = predictor.watched(f"runtime/a{agent}")
        sample = _sample(agent, _FILL + number // AGENTS, clock.at, chance)
        _ = watched.window.add(sample, clock.at)
        watched.usual.add(watched.window.newest)
        began = time.perf_counter_ns()
        _ = predictor.assess(asked[agent])
        taken.append(time.perf_counter_ns() - began)
    gc.enable()
    taken.sort()
    return statistics.mean(taken) / 1e3, taken[len(taken) // 2] / 1e3, taken[int(len(taken) * 0.999)] / 1e3


def _health(predictor: Predictor, clock: _Clock, chance: random.Random) -> float:
    """Percent of a core that samples of so many agents take, twice a second; one evaluation a second each."""
    first = _FILL + _ERRORS // AGENTS
    rounds = [[_sample(a, first + n, clock.at, chance) for a in range(AGENTS)] for n in range(2 * _SECONDS)]
    began = time.process_time_ns()
    for told in rounds:
        clock.at += _NANO // 2
        for sample in told:
            _ = predictor.hear(sample)
    return (time.process_time_ns() - began) / (_SECONDS * _NANO) * 100


def _sample(agent: int, sequence: int, now: int, chance: random.Random) -> HealthSample:
    return HealthSample.model_validate(
        {
            "agent": {"kind": "runtime", "id": f"a{agent}", "instance": "b"},
            "time_unix_nano": 1_700_000_000 * _NANO + sequence * _NANO // 2,
            "sequence": sequence,
            "interval_ms": 500,
            "metrics": {metric: chance.random() for metric in METRICS},
            "gauges": {gauge: chance.random() for gauge in _GAUGES},
        }
    )


def _question(agent: int) -> Assess:
    error = {
        "id": "e",
        "time_unix_nano": 1,
        "agent": {"kind": "runtime", "id": f"a{agent}"},
        "exception": {"type": "E", "message": "m"},
    }
    classification = {"category": "memory", "severity": "error", "confidence": 0.7, "model": "m"}
    return Assess.model_validate({"error": error, "fingerprint": "v1:0", "classification": classification})


if __name__ == "__main__":
    sys.exit(main())
