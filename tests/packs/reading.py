"""Reads the files of a pack into columns, sorted by entity and time.

DuckDB reads Parquet here because it is a single wheel without dependencies, the smallest of the kept readers.
"""

import csv
import gzip
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from tests.packs.task import Events

Columns = dict[str, np.ndarray]


def parquet(path: Path, order: str = "entity, t") -> Columns:
    """The columns of a file, sorted by `order`; missing numbers become NaN. Raises FileNotFoundError."""
    if not path.is_file():
        raise FileNotFoundError(path)
    import duckdb  # so that what reads no file needs no reader

    with duckdb.connect() as connection:
        found = connection.read_parquet(str(path)).order(order).fetchnumpy()
    return {name: _filled(column) for name, column in found.items()}


def _filled(column: np.ndarray) -> np.ndarray:
    return column.astype(float).filled(np.nan) if isinstance(column, np.ma.MaskedArray) else column


def rows(path: Path) -> Columns:
    """The columns of a CSV file, packed or not, as text: names of machines may look like numbers."""
    packed = path.read_bytes()
    text = (gzip.decompress(packed) if path.suffix == ".gz" else packed).decode()
    reader = csv.DictReader(text.splitlines())
    names, found = list(reader.fieldnames or ()), list(reader)
    return {name: np.array([row[name] for row in found], dtype=object) for name in names}


def events(path: Path) -> Events:
    """The events of a file with entity, start and, where they last, end."""
    found = rows(path)
    end = found["end"].astype(int) if "end" in found else None
    return Events(found["entity"], found["start"].astype(int), end)


def spans(entity: np.ndarray) -> Iterator[tuple[str, slice]]:
    """Each entity of a sorted column with the rows it owns."""
    starts = np.flatnonzero(np.r_[True, entity[1:] != entity[:-1]]) if len(entity) else np.zeros(0, int)
    for start, end in zip(starts, np.r_[starts[1:], len(entity)], strict=True):
        yield str(entity[start]), slice(int(start), int(end))


def located(metrics: Columns, samples: Columns) -> np.ndarray:
    """For each sample the row of `metrics` of the same entity and time.

    Raises ValueError when a sample has no such row: scoring it from an older one would be a silent lie.
    """
    where = dict(spans(metrics["entity"]))
    found = np.empty(len(samples["t"]), int)
    for name, span in spans(samples["entity"]):
        owned = where[name]
        found[span] = owned.start + np.searchsorted(metrics["t"][owned], samples["t"][span])
    found = np.minimum(found, len(metrics["t"]) - 1)
    if (metrics["t"][found] != samples["t"]).any():
        raise ValueError("a sample of the labels has no row of metrics at its time: the files do not belong together")
    return found
