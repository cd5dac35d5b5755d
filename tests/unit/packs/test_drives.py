"""Counters in start-stop form are read as they stood at the sample."""

import gzip
from pathlib import Path

import numpy as np
import pytest
from tests.packs import drives

duckdb = pytest.importorskip("duckdb", reason="packs are Parquet files")

_COUNTERS = "smart_5, smart_10, smart_12, smart_187, smart_188, smart_189, smart_196, smart_197, smart_198"
_CHANGES = f"""select * from (values
    ('a', 'm1', 2.0, 100, 0, 0, 1, 0, 0, 0, 0, 0, 0),
    ('a', 'm1', 2.0, 900, 8, 0, 1, 0, 0, 0, 0, 0, 0),
    ('a', 'm1', 2.0, 2000, 50, 0, 2, 0, 0, 0, 0, 0, 0),
    ('b', 'm2', 4.0, 10, 3, 0, 1, null, 0, 0, 0, 0, 0)
) as changes(entity, model, size_tb, tstart, {_COUNTERS})"""


def _pack(folder: Path, labels: str) -> Path:
    with duckdb.connect() as connection:
        connection.sql(_CHANGES).write_parquet(str(folder / "changes.parquet"))
        connection.sql(f"select * from (values {labels}) as labels(entity, t, y)").write_parquet(
            str(folder / "labels.parquet")
        )
    for name, text in (("drives", "entity,model,t0\na,m1,100\nb,m2,10\n"), ("events", "entity,start\na,2100\n")):
        (folder / f"{name}.csv.gz").write_bytes(gzip.compress(text.encode()))
    return folder


def test_a_sample_knows_the_counters_of_its_time(tmp_path: Path) -> None:
    """The last change up to the sample counts, never a later one, and a missing counter adds nothing to the sum."""
    (task,) = drives.disks(_pack(tmp_path, "('a', 820, 0), ('a', 1540, 1), ('b', 730, 0)"))
    assert np.allclose(task.simple["static"], np.log1p([0, 8, 3]))
    assert list(task.y) == [0, 1, 0]


def test_drives_without_counters_are_refused(tmp_path: Path) -> None:
    """A drive that the labels name and the counters do not is an error."""
    with pytest.raises(ValueError, match="do not belong together"):
        drives.disks(_pack(tmp_path, "('zzz', 820, 0)"))
