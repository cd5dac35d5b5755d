"""Harvests the corpus anew: `python -m tests.corpus [--write] [--without FILE]`.

Takes a few minutes; needs the tools it provokes. `--without`: leaves out what shares eight words in a row with the
texts of a file of labelled errors, so that what is trained on and what is measured with have nothing in common.
"""

import argparse
import json
import sys
from collections import Counter
from collections.abc import Iterable
from itertools import chain
from pathlib import Path

from tests.corpus import harvest_python, harvest_python_system, harvest_tools
from tests.corpus.reading import HARVEST, pack, runs
from tests.corpus.recording import Record

from mendbus_classifier.offline import samples


def main() -> None:
    """Harvests, tells what came, and with `--write` replaces what is committed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help=f"replace {HARVEST.name}")
    parser.add_argument("--without", type=Path, help="labelled errors, JSON Lines")
    wanted = parser.parse_args()
    found = distinct(chain(harvest_python.records(), harvest_python_system.records(), harvest_tools.records()))
    if wanted.without:
        taken = {run for s in samples.read(wanted.without) for run in runs(f"{s.kind} {s.message} {s.stack}")}
        found = [record for record in found if not runs(f"{record.kind} {record.message} {record.stack}") & taken]
    for category, count in sorted(Counter(record.category for record in found).items()):
        print(f"{category:14} {count:5}")
    print(f"{'distinct':14} {len(found):5}")
    if wanted.write:
        HARVEST.write_bytes(pack(found))
        print(f"wrote {HARVEST.stat().st_size} bytes to {HARVEST.name}", file=sys.stderr)


def distinct(records: Iterable[Record]) -> list[Record]:
    """Each text once, the first of equal ones, in a stable order."""
    seen: dict[tuple[str, str], Record] = {}
    for record in records:
        seen.setdefault((record.kind, record.message), record)
    return sorted(seen.values(), key=lambda r: (r.category, r.group, json.dumps((r.kind, r.message))))


if __name__ == "__main__":
    main()
