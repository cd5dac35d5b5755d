"""`python -m tests.simulation --seeds N [--seed S] [--plant NAME]`: runs schedules; exit status 1 when one fails."""

import argparse
import os
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from itertools import repeat

from tests.simulation.planted import BUGS, planted
from tests.simulation.schedule import draw
from tests.simulation.world import Result, simulate


def main() -> int:
    """Runs what was asked for."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seeds", type=int, default=100, help="how many schedules to run")
    parser.add_argument("--first", type=int, default=1, help="the first seed")
    parser.add_argument(
        "--seed", type=int, help="run this seed only, tell its story, and check that it repeats exactly"
    )
    parser.add_argument("--plant", choices=sorted(BUGS), help="plant a bug, and run until a schedule finds it")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="how many run at the same time")
    options = parser.parse_args()
    if options.seed is not None:
        with planted(options.plant):
            return _one(options.seed)
    return _many(range(options.first, options.first + options.seeds), options.jobs, options.plant)


def _one(seed: int) -> int:
    result = simulate(seed)
    _explain(result)
    same = simulate(seed).digest == result.digest
    print(f"digest {result.digest}, the second run {'is the same' if same else 'DIFFERS'}")
    return 1 if result.wrong or not same else 0


def _many(seeds: range, jobs: int, plant: str | None) -> int:
    begun = time.perf_counter()
    failed = run = 0
    with ProcessPoolExecutor(jobs) as pool:
        for result in pool.map(_simulate, seeds, repeat(plant), chunksize=1):
            run += 1
            if not result.wrong:
                continue
            failed += 1
            _explain(result)
            with_bug = f" --plant {plant}" if plant else ""
            print(f"replay it: python -m tests.simulation --seed {result.seed}{with_bug}\n", flush=True)
            if plant:
                pool.shutdown(wait=False, cancel_futures=True)
                break
    seconds = time.perf_counter() - begun
    print(f"{run} schedules in {seconds:.1f} s ({run / seconds * 60:.0f} a minute), {failed} failed")
    return 1 if failed else 0


def _simulate(seed: int, plant: str | None) -> Result:
    with planted(plant):
        return simulate(seed)


def _explain(result: Result) -> None:
    print(draw(result.seed))
    print("\n".join(f"  {line}" for line in result.story))
    for what in result.wrong:
        print(f"  WRONG: {what}")
    print(f"  {result.messages} messages in {result.seconds:.1f} simulated seconds")


if __name__ == "__main__":
    if os.environ.get("PYTHONHASHSEED") != "0":
        # Sets of text would have another order in each process.
        command = [sys.executable, "-m", "tests.simulation", *sys.argv[1:]]
        os.execve(sys.executable, command, {**os.environ, "PYTHONHASHSEED": "0"})
    sys.exit(main())
