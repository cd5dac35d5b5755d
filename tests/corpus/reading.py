"""The committed corpus as samples: what was harvested, what was written, and their augmentations."""

import json
import lzma
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Final

from tests.corpus.recording import Record

from mendbus_classifier.offline.samples import Sample

HARVEST: Final = Path(__file__).parent / "harvest.jsonl.xz"


def pack(records: Iterable[Record]) -> bytes:
    """Records as compressed JSON Lines; the same records give the same bytes."""
    lines = "".join(json.dumps(asdict(record), ensure_ascii=False, sort_keys=True) + "\n" for record in records)
    return lzma.compress(lines.encode("utf-8", "backslashreplace"), preset=9 | lzma.PRESET_EXTREME)


def harvested() -> Iterator[Sample]:
    """What real software said when it was made to fail."""
    for line in lzma.decompress(HARVEST.read_bytes()).decode().splitlines():
        yield Sample(**json.loads(line))
