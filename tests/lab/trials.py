"""The oracle's trials in a small file, as far as choices are judged by them: `python -m tests.lab.trials`.

The records of `results/oracle/` tell everything and are not kept with the code. `trials.json.xz` holds of each what
`choosing` and `folding` look at, unrounded, so that both come to the same from it; beside them what a run through the
whole pipeline knew of the same errors, and the conditions under which it was all measured, as they stand in
`oracle.json`. The command writes it anew from the records; `oracle.json` is folded before (`tests.lab.oracle --fold`).
"""

import argparse
import json
import lzma
import sys
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from tests.lab import choosing, oracle
from tests.lab.choosing import Known
from tests.lab.faults.catalogue import FAULTS
from tests.lab.utility import Harm

from mendbus import models

FILE = Path(__file__).with_name("trials.json.xz")
_ALWAYS = ("strategy", "repetition", "recovered", "seconds", "reported", "noticed")
_OF_CASE = ("fault", "parameters", "kind", "state")
_HARMS = tuple(field.name for field in fields(Harm))


@dataclass(frozen=True, slots=True)
class Trials:
    """All trials, by key in order; `known`: errors by kind and type (see `choosing.known_errors`)."""

    conditions: Mapping[str, Any]
    known: Mapping[tuple[str, str], Known]
    records: Sequence[Mapping[str, Any]]

    @property
    def digest(self) -> str:
        """Changes with any of them."""
        return models.digest(_written(self))


def kept(record: Mapping[str, Any], types: Collection[str]) -> dict[str, Any]:
    """What is looked at of a trial, without what its case tells; `types`: short names of all that its case reported."""
    found: dict[str, Any] = {name: record[name] for name in _ALWAYS}
    found |= {name: record[name] for name in _HARMS if record.get(name)}
    if record.get("errors"):
        found["errors"] = [[error["type"], error["severity"], error["message"]] for error in record["errors"]]
    if choosing.RETRIED.search(record["detail"]):
        found |= {"code": record["code"], "detail": record["detail"]}
    shown = [felt["first"] for felt in record["felt"]]
    if told := [first for first in shown if (match := choosing.SHOWN.match(first)) and match[1] in types]:
        found["felt"] = told
    return found


def _whole(case: Mapping[str, Any], record: Mapping[str, Any]) -> dict[str, Any]:
    key = f"{case['case']} {record['strategy']} {record['repetition']}"
    names = ("type", "severity", "message")
    return {
        "key": key,
        **case,
        **asdict(Harm()),
        "code": "",
        "detail": "",
        **record,
        "errors": [dict(zip(names, error, strict=True)) for error in record.get("errors", ())],
        "felt": [{"first": first} for first in record.get("felt", ())],
    }


def packed(trials: Trials) -> bytes:
    """The file's content: the same for the same trials."""
    return lzma.compress(_written(trials), preset=9)


def _written(trials: Trials) -> bytes:
    by_case: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for record in in_order(trials.records):
        by_case[record["case"]].append(record)
    cases: list[dict[str, Any]] = []
    for name, records in by_case.items():
        types = {type_.rpartition(".")[2] for record in records for type_ in record["reported"]}
        of_case = {key: records[0][key] for key in _OF_CASE}
        cases.append({"case": name, **of_case, "trials": [kept(record, types) for record in records]})
    known = [[*key, *asdict(one).values()] for key, one in sorted(trials.known.items())]
    content = {"conditions": trials.conditions, "known": known, "cases": cases}
    return json.dumps(content, separators=(",", ":")).encode()


def read(file: Path = FILE) -> Trials:
    """What was written there. Raises `OSError`, `lzma.LZMAError`, `ValueError` or `KeyError` for anything else."""
    content: dict[str, Any] = json.loads(lzma.decompress(file.read_bytes()))
    known = {(kind, type_): Known(message, severity) for kind, type_, message, severity in content["known"]}
    records: list[Mapping[str, Any]] = []
    for case in content["cases"]:
        tried = case.pop("trials")
        records += [_whole(case, record) for record in tried]
    return Trials(content["conditions"], known, records)


def measured(folder: Path, seen: Path | None, conditions: Mapping[str, Any]) -> Trials:
    """The trials recorded in `folder`, of faults that there are; `seen`: result of `tests.lab.faultlab`."""
    return Trials(
        conditions,
        choosing.known_errors(json.loads(seen.read_text())) if seen else {},
        in_order(record for record in oracle.recorded(folder).values() if record["fault"] in FAULTS),
    )


def in_order(records: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """By key, so that sums come out the same each time."""
    return sorted(records, key=lambda record: str(record["key"]))


def latest() -> Path | None:
    """The result of the run of `tests.lab.faultlab` that tells most."""
    found = sorted(oracle.RESULTS.parent.glob("fault-lab-*.json"), key=lambda file: file.stat().st_size)
    return found[-1] if found else None


def main(given: Sequence[str] | None = None) -> int:
    """Writes the file from the records; the exit status: 2 when there are none."""
    parser = argparse.ArgumentParser(prog="python -m tests.lab.trials", description="packs the oracle's trials")
    parser.add_argument("--results", type=Path, default=oracle.RESULTS, help="folder of the oracle's trials")
    parser.add_argument("--seen", type=Path, help="result of tests.lab.faultlab with the errors of a run")
    parser.add_argument("--output", type=Path, default=FILE, help="file that they are written to")
    options = parser.parse_args(given)
    conditions = json.loads(oracle.FOLDED.read_text())["conditions"]
    trials = measured(options.results, options.seen or latest(), conditions)
    if not trials.records:
        print(f"there are no trials in {options.results}; measure them with python -m tests.lab.oracle")
        return 2
    if len(trials.records) != conditions["trials"]:
        print(
            f"{oracle.FOLDED} is of {conditions['trials']} trials and there are {len(trials.records)}; fold them first"
        )
        return 2
    options.output.write_bytes(packed(trials))
    print(f"{len(trials.records)} trials in {options.output.stat().st_size} bytes, written to {options.output}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
