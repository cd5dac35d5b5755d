"""The committed corpus as samples: what was harvested, what was written, and their augmentations."""

import json
import lzma
import re
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Final

from tests.corpus.recording import Record

from mendbus_classifier.offline.samples import Sample

RUN: Final = 8
"""Texts that share so many words in a row count as taken from one another."""
_WORD: Final = re.compile(r"\w+")
HARVEST: Final = Path(__file__).parent / "harvest.jsonl.xz"


def runs(text: str) -> set[tuple[str, ...]]:
    """All runs of `RUN` words of a text, in lower case."""
    words = [word.lower() for word in _WORD.findall(text)]
    return {tuple(words[i : i + RUN]) for i in range(len(words) - RUN + 1)}


def pack(records: Iterable[Record]) -> bytes:
    """Records as compressed JSON Lines; the same records give the same bytes."""
    lines = "".join(json.dumps(asdict(record), ensure_ascii=False, sort_keys=True) + "\n" for record in records)
    return lzma.compress(lines.encode("utf-8", "backslashreplace"), preset=9 | lzma.PRESET_EXTREME)


def harvested() -> Iterator[Sample]:
    """What real software said when it was made to fail."""
    for line in lzma.decompress(HARVEST.read_bytes()).decode().splitlines():
        yield Sample(**json.loads(line))
