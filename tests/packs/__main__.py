"""`python -m tests.packs --data DIR [--holdout DIR] [--json]`: learns on each pack of DIR and scores.

The exit status judges; what counts is the held-out part where one is given, the out-of-fold scores of DIR otherwise.
"""

import argparse
import json
import math
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

from tests.packs import drives, engines, jobs, machines
from tests.packs.report import lines, summary
from tests.packs.running import Result, run
from tests.packs.task import Task

ADAPTERS: dict[str, Callable[[Path], list[Task]]] = {
    "servers-smd": machines.servers_smd,
    "servers-asd": machines.servers_asd,
    "pump-1hz": machines.pump,
    "microfaults": machines.microfaults,
    "capacity": jobs.capacity,
    "turbofan": engines.turbofan,
    "disks": drives.disks,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """0 when every must is kept, 1 when one is missed, 2 when there is nothing to score."""
    parser = argparse.ArgumentParser(prog="python -m tests.packs", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="a folder with one folder for each pack")
    parser.add_argument("--holdout", type=Path, help="a folder of the same layout; nothing is fitted on it")
    parser.add_argument("--only", action="append", choices=sorted(ADAPTERS), help="this pack alone (repeatable)")
    parser.add_argument("--json", action="store_true", help="one JSON document instead of tables")
    given = parser.parse_args(arguments)
    begun, used = time.monotonic(), time.process_time()
    results: list[Result] = []
    for name in given.only or ADAPTERS:
        if not (given.data / name).is_dir():
            print(f"{name}: not in {given.data}, left out", file=sys.stderr)
            continue
        found = _pack(name, given.data, given.holdout)
        results += found
        if not given.json:
            print("\n".join(line for result in found for line in lines(result)), flush=True)
    if not results:
        print(f"no pack found in {given.data}: expected folders named {', '.join(ADAPTERS)}", file=sys.stderr)
        return 2
    told = summary(results, time.monotonic() - begun, time.process_time() - used)
    if given.json:
        print(json.dumps(_plain({"results": [asdict(result) for result in results], **asdict(told)}), sort_keys=True))
    else:
        print(told.line)
    return 0 if told.kept else 1


def _pack(name: str, data: Path, holdout: Path | None) -> list[Result]:
    learned = {task.name: task for task in ADAPTERS[name](data / name)}
    shifted = sorted(holdout.glob(f"{name}-*")) if holdout else []
    hidden = [holdout / name, *shifted] if holdout and (holdout / name).is_dir() else shifted
    results: list[Result] = []
    asked = {task.name: task for folder in hidden for task in ADAPTERS[name](folder)}
    for task_name, task in learned.items():
        results += run(task, [other for key, other in asked.items() if key.startswith(task_name)])
    return results


def _plain(value: object) -> object:
    """Without NaN, which JSON has no word for."""
    if isinstance(value, dict):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_plain(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


if __name__ == "__main__":
    sys.exit(main())
