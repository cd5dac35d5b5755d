"""The learned model in the package: it says what its card says, and is refused when anything does not fit."""

import json
from collections.abc import Iterator
from typing import cast

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from mendbus import models
from mendbus.contracts.errors import ModelRefused
from mendbus.contracts.vocabulary import METRICS, Metric
from mendbus.features.names import HEALTH_FEATURES
from mendbus.features.vectors import COLUMN_STATISTICS, Health, Vector
from mendbus_predictor.model import FAILURE, GOLDEN, Model, load, packaged
from mendbus_predictor.reference import Reference


@pytest.fixture(scope="module")
def parts() -> tuple[models.Card, dict[str, bytes]]:
    return models.read_folder(packaged())


@pytest.fixture(scope="module")
def model() -> Iterator[Model]:
    found = load()
    yield found
    found.close()


def health(**values: float) -> Health:
    """Of features by name; `METRIC_recent` and `METRIC_steady` are the trend of the last seconds."""
    vector = np.full(len(HEALTH_FEATURES), np.nan)
    columns = np.full((len(COLUMN_STATISTICS), len(METRICS)), np.nan)
    for name, value in values.items():
        if name in HEALTH_FEATURES:
            vector[HEALTH_FEATURES.index(name)] = value
        metric, _, statistic = name.rpartition("_")
        if metric in METRICS and statistic in COLUMN_STATISTICS:
            columns[COLUMN_STATISTICS.index(statistic), METRICS.index(cast("Metric", metric))] = value
    return Health(vector, columns)


def usual() -> Reference:
    reference = Reference()
    row = np.full(len(METRICS), np.nan, np.float32)
    row[METRICS.index("response_time_ms")], row[METRICS.index("throughput_per_s")] = 20.0, 40.0
    row[METRICS.index("errors_per_s")] = 0.0
    for _ in range(60):
        reference.add(row)
    return reference


WELL = {"response_time_ms_last": 20.0, "response_time_ms_mean": 20.0, "response_time_ms_slope": 0.0}
SICK = {
    "response_time_ms_last": 600.0,
    "response_time_ms_mean": 200.0,
    "response_time_ms_slope": 8.0,
    "response_time_ms_recent": 20.0,
    "response_time_ms_steady": 0.9,
    "response_time_ms_z": 3.0,
    "throughput_per_s_last": 3.0,
    "throughput_per_s_mean": 25.0,
    "throughput_per_s_slope": -0.6,
    "throughput_per_s_z": -2.5,
    "errors_per_s_last": 2.0,
    "errors_per_s_z": 3.0,
    "errors_peak_per_s": 2.0,
    "errors_share_of_samples": 0.1,
    "errors_share_recent": 1.0,
    "errors_quiet_s": 0.0,
}


def test_the_model_in_the_package_loads_and_names_what_it_was_measured_at(model: Model) -> None:
    """Its horizon is 30 s, its golden predictions come out, and its card has figures of faults it had not seen."""
    assert model.horizon_ms == 30_000
    assert {"unseen_kind_recall", "unseen_kind_false_positives", "unseen_kind_pr_auc"} <= model.card.figures.keys()
    assert 0.0 < model.alarm < 1.0


def test_an_agent_that_goes_down_is_likelier_to_fail_than_one_that_is_well(model: Model) -> None:
    """What is far on the bad side of usual reaches the alarm, what is usual does not."""
    reference = usual()
    quiet = {"errors_peak_per_s": 0.0, "errors_share_of_samples": 0.0, "errors_quiet_s": 60.0}
    assert model.predict(None, health(**WELL, **quiet), reference).probability < model.alarm
    assert model.predict(None, health(**SICK), reference).probability >= model.alarm


numbers = st.floats(-1e12, 1e12) | st.just(float("nan"))


@given(arrays(np.float64, 64, elements=numbers), arrays(np.float64, (len(COLUMN_STATISTICS), 14), elements=numbers))
def test_any_health_has_a_probability(model: Model, features: Vector, columns: Vector) -> None:
    """Whatever the features are, the answer is a probability, and no strategy means no confidence in one."""
    prediction = model.predict(None, Health(features, columns), usual())
    assert 0.0 <= prediction.probability <= 1.0
    assert (prediction.strategy is None) == (prediction.confidence == 0.0)


def test_an_altered_model_is_refused(parts: tuple[models.Card, dict[str, bytes]]) -> None:
    """Another calibration, other features, a missing file or no trees at all: each is named."""
    card, files = parts
    moved = card.model_copy(update={"thresholds": {**card.thresholds, "offset": 9.0}})
    with pytest.raises(ModelRefused, match="golden row 0"):
        _ = Model(moved, files)
    with pytest.raises(ModelRefused, match="features"):
        _ = Model(card.model_copy(update={"features": card.features[::-1]}), files)
    with pytest.raises(ModelRefused, match=r"golden\.json is missing"):
        _ = Model(card, {name: content for name, content in files.items() if name != GOLDEN})
    with pytest.raises(ModelRefused, match="no threshold 'alarm'"):
        _ = Model(card.model_copy(update={"thresholds": {"slope": 1.0, "offset": 0.0, "persistence": 2.0}}), files)
    with pytest.raises(ModelRefused):
        _ = Model(card, files | {FAILURE: b"tree"})
    with pytest.raises(ModelRefused, match=r"golden\.json"):
        _ = Model(card, files | {GOLDEN: json.dumps([{"row": []}]).encode()})
