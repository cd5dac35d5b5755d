"""The whole way, on packs that are made up here."""

import csv
import json
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
from tests.packs.__main__ import main

duckdb = pytest.importorskip("duckdb", reason="packs are Parquet files")

_SENSORS = 6


def _written(path: Path, head: list[str], rows: Iterable[list[object]]) -> Path:
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(head)
        writer.writerows(rows)
    return path


def _parquet(path: Path, head: list[str], rows: list[list[object]]) -> None:
    source = _written(path.with_suffix(".tmp"), head, rows)
    with duckdb.connect() as connection:
        connection.read_csv(str(source), dtype={"entity": "VARCHAR"}).write_parquet(str(path))
    source.unlink()


def _engines(folder: Path, seed: int, engines: int = 10, life: int = 60) -> None:
    """Engines whose sensors drift before they fail; their names look like numbers."""
    folder.mkdir(parents=True)
    noise = np.random.default_rng(seed)
    metrics: list[list[object]] = []
    labels: list[list[object]] = []
    for engine in range(engines):
        for t in range(1, life + 1):
            drift = max(0.0, t - life / 2) / 5
            metrics.append([f"{seed}{engine:03}", t, *(100 + drift + noise.normal(0, 1, _SENSORS)).round(3)])
            labels.append([f"{seed}{engine:03}", t, int(t >= life - 15)])
    _parquet(folder / "metrics.parquet", ["entity", "t", *(f"s{i}" for i in range(_SENSORS))], metrics)
    _parquet(folder / "labels.parquet", ["entity", "t", "y"], labels)
    _written(folder / "events.csv", ["entity", "start"], ([f"{seed}{engine:03}", life] for engine in range(engines)))


def test_held_out_packs_are_judged_and_each_score_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The document names every baseline beside ours for both parts, also of a shifted sibling of a pack."""
    _engines(tmp_path / "data" / "turbofan", 1)
    _engines(tmp_path / "hidden" / "turbofan", 2)
    _engines(tmp_path / "hidden" / "turbofan-shift", 3)
    status = main(["--data", str(tmp_path / "data"), "--holdout", str(tmp_path / "hidden"), "--json"])
    told = json.loads(capsys.readouterr().out)
    assert [(one["task"], one["part"]) for one in told["results"]] == [
        ("turbofan", "dev"),
        ("turbofan", "holdout"),
        ("turbofan-shift", "holdout"),
    ]
    for one in told["results"]:
        assert set(one["at"]["0.05"]) == {"static", "ewma-z", "pca", "lightgbm", "ours"}
        assert one["at"]["0.05"]["ours"]["pr_auc"] > 0.8
    assert told["tasks"] == 2
    assert status == (0 if told["kept"] else 1)


def test_the_last_line_sums_up(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """People get tables, and a last line that says what was kept."""
    _engines(tmp_path / "turbofan", 1)
    status = main(["--data", str(tmp_path)])
    last = capsys.readouterr().out.rstrip().splitlines()[-1]
    assert last.startswith("MISSED" if status else "kept")


def test_a_folder_without_packs_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing to score is not a success."""
    assert main(["--data", str(tmp_path)]) == 2
    assert "no pack found" in capsys.readouterr().err


def test_labels_that_do_not_belong_to_the_metrics_are_refused(tmp_path: Path) -> None:
    """A sample without a row of metrics is an error, not a guess."""
    _engines(tmp_path / "turbofan", 1)
    _parquet(tmp_path / "turbofan" / "labels.parquet", ["entity", "t", "y"], [["1000", 999, 1], ["1001", 3, 0]])
    with pytest.raises(ValueError, match="do not belong together"):
        main(["--data", str(tmp_path)])
