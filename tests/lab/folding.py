"""Folds the records of the oracle's trials into what each strategy is worth on each case, and shows it."""

import json
import os
import platform
import subprocess
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from statistics import fmean, median
from typing import Any

import psutil
from tests.lab import utility
from tests.lab.faults import Fault
from tests.lab.trial import ASKED_SECONDS, OTHERS_ASKED_SECONDS

COLUMNS = ("utility", "recovered", "seconds", "trials")
"""Of a strategy in a case: mean utility, share recovered, median seconds of those (null for none), number of trials."""
PERSON = "escalate"
NOTHING = "none"
_NOTICED = 0.5
"""A case counts when users noticed the fault in that share of its trials at least; a control always does."""
_MANY = 40


def fold(records: Iterable[Mapping[str, Any]], faults: Mapping[str, Fault], repetitions: int) -> dict[str, Any]:
    """All of it; `records` of faults that are known."""
    every = list(records)
    return {
        "conditions": _conditions(every, repetitions),
        "columns": COLUMNS,
        "cases": fold_cases(every, faults),
    }


def fold_cases(records: Iterable[Mapping[str, Any]], faults: Mapping[str, Fault]) -> list[dict[str, Any]]:
    """Every case, by name; `records` of faults that are known."""
    by_case: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for record in records:
        by_case[record["case"]].append(record)
    cases = [_case(found, faults[found[0]["fault"]]) for found in by_case.values()]
    return sorted(cases, key=lambda case: str(case["case"]))


def _case(records: Sequence[Mapping[str, Any]], fault: Fault) -> dict[str, Any]:
    first = records[0]
    control = fault.success == "undisturbed"
    by_strategy: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for record in records:
        by_strategy[record["strategy"]].append(record)
    found = {name: _row(tried) for name, tried in sorted(by_strategy.items())}
    # Nobody does anything else while a person is on the way: others suffer as when nothing is done.
    idle = [float(record["others"]) for record in by_strategy.get(NOTHING, ())]
    worth = utility.person(needed=not control, others=fmean(idle) if idle else 0.0)
    found[PERSON] = [round(worth, 3), 1.0, 0.0 if control else utility.PERSON_SECONDS, 0]
    noticed = fmean(record["noticed"] is not None for record in records)
    return {
        "case": first["case"],
        "fault": first["fault"],
        "parameters": first["parameters"],
        "kind": first["kind"],
        "state": first["state"],
        "category": fault.category,
        "success": fault.success,
        "noticed": round(noticed, 2),
        "counts": control or noticed >= _NOTICED,
        "strategies": found,
        "optimal": utility.optimal({name: float(row[0]) for name, row in found.items()}),
    }


def _row(records: Sequence[Mapping[str, Any]]) -> list[float | None]:
    worth = fmean(utility.utility(r["recovered"], r["seconds"], utility.harm_of(r)) for r in records)
    seconds = [float(r["seconds"]) for r in records if r["recovered"]]
    return [
        round(worth, 3),
        round(fmean(bool(r["recovered"]) for r in records), 3),
        round(median(seconds), 3) if seconds else None,
        len(records),
    ]


def _conditions(records: Sequence[Mapping[str, Any]], repetitions: int) -> dict[str, Any]:
    loads = [float(record["load"]) for record in records]
    return {
        "from": min(record["at"] for record in records),
        "to": max(record["at"] for record in records),
        "machine": f"{platform.system()} {platform.machine()}, {processor()}",
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory_bytes": psutil.virtual_memory().total,
        "python": platform.python_version(),
        "load": {"median": median(loads), "highest": max(loads)},
        "worlds": sorted({record["worlds"] for record in records}),
        "commits": sorted({record["commit"] for record in records if record["commit"]}),
        "trials": len(records),
        "asked_every": {"concerned": ASKED_SECONDS, "others": OTHERS_ASKED_SECONDS},
        "repetitions": repetitions,
        "seeds": "of a trial: the first four bytes of SHA-256 of its case and repetition, the same for all strategies",
        "tolerance": utility.TOLERANCE,
        "person_seconds": utility.PERSON_SECONDS,
    }


def processor() -> str:
    """What the machine computes with, as far as it says."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def commit_of(folder: Path) -> str:
    """The commit that is checked out there; "" if that is not known."""
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), "rev-parse", "--short=12", "HEAD"],
            capture_output=True,
            text=True,
            timeout=5,
            check=False,
        )
    except OSError:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def write(folded: Mapping[str, Any], file: Path) -> None:
    """As JSON with one line for each case."""
    head = {name: value for name, value in folded.items() if name != "cases"}
    lines = [f"{json.dumps(name)}: {_packed(value)}" for name, value in head.items()]
    cases = ",\n".join(_packed(case) for case in folded["cases"])
    fresh = file.with_name(f".{file.name}.new")
    fresh.write_text("{" + ",\n".join(lines) + ',\n"cases": [\n' + cases + "\n]}\n")
    fresh.replace(file)


def _packed(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"))


def show(folded: Mapping[str, Any]) -> None:
    """Mean utility and share recovered, case by case or, of many, fault by fault; `*`: optimal."""
    cases = folded["cases"]
    names = sorted({name for case in cases for name in case["strategies"]})
    print(f"\nmean utility (share recovered); * optimal\n{'':42}" + "".join(f"{name[:13]:>14}" for name in names))
    rows: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for case in cases:
        rows[case["case"] if len(cases) <= _MANY else case["fault"]].append(case)
    for title, found in rows.items():
        cells = "".join(f"{_cell(found, name):>14}" for name in names)
        print(f"{title[:41]:42}{cells}" + ("" if all(case["counts"] for case in found) else "  not always noticed"))
    counted = [case for case in cases if case["counts"]]
    optimal = Counter(name for case in counted for name in case["optimal"])
    print(f"{f'optimal, of {len(counted)} cases that count':42}" + "".join(f"{optimal[name]:>14}" for name in names))


def _cell(cases: Sequence[Mapping[str, Any]], name: str) -> str:
    rows = [case["strategies"][name] for case in cases if name in case["strategies"]]
    if not rows:
        return ""
    best = sum(name in case["optimal"] for case in cases)
    mark = "*" if 2 * best > len(cases) else ""
    return f"{fmean(row[0] for row in rows):.2f} ({fmean(row[1] for row in rows):.2f}){mark}"
