"""The baseline model: its file and its arithmetic are what they say, and it is refused when it does not fit."""

import json
import math
from importlib import resources
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from mendbus.contracts.errors import ModelRefused
from mendbus.features.names import ERROR_FEATURES, HEALTH_FEATURES
from mendbus.features.vectors import Vector
from mendbus_predictor.baseline import FILE, digest, load, read

TEXT = (resources.files("mendbus_predictor") / "model" / FILE).read_text("utf-8")


def changed(**parts: Any) -> str:
    """The model's file with parts of its card or of itself replaced, and a digest that fits."""
    content = json.loads(TEXT)
    for name, value in parts.items():
        (content["card"] if name in content["card"] else content)[name] = value
    if "digest" not in parts:
        content["card"]["digest"] = digest(content)
    return json.dumps(content)


def health(**values: float) -> Vector:
    vector = np.full(len(HEALTH_FEATURES), np.nan)
    for name, value in values.items():
        vector[HEALTH_FEATURES.index(name)] = value
    return vector


def test_the_model_in_the_package_fits_this_program() -> None:
    """It loads, its horizon is 30 s, and its card says that nobody has scored it."""
    model = load()
    assert (model.name, model.card.horizon_ms, model.card.scored) == ("baseline-1", 30_000, False)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("{", "not JSON"),
        ("[]", "valid dictionary"),
        ("{}", "card: Field required"),
        (changed(digest="0" * 64), "digest"),
        (changed(error_features=list(ERROR_FEATURES[:-1])), "31 error_features, 32 are computed"),
        (changed(health_features=list(HEALTH_FEATURES[::-1])), r"health_features\[0\] is 'errors_quiet_s'"),
        (changed(bias=1e9), "bias"),
        (changed(terms=[{"feature": "luck", "center": 0, "scale": 1, "weight": 1, "most": 1}]), "'luck', which is no"),
        (changed(terms=[{"feature": "recurrences", "center": 0, "scale": 0, "weight": 1, "most": 1}]), "scale 0"),
        (changed(terms=[]), "terms"),
    ],
)
def test_a_model_that_does_not_fit_is_refused(text: str, why: str) -> None:
    """An altered file, another list of features, or a term nobody can compute is named in the error."""
    with pytest.raises(ModelRefused, match=why):
        read(text)


def test_an_altered_weight_is_noticed() -> None:
    """A file whose content does not fit its digest is refused."""
    content = json.loads(TEXT)
    content["terms"][0]["weight"] *= 2
    with pytest.raises(ModelRefused, match="digest"):
        read(json.dumps(content))


def test_the_probability_is_the_logistic_sum_of_its_terms() -> None:
    """Bias and evidence add up as the file says, evidence is capped, and what is missing says nothing."""
    terms = [
        {"feature": "disk_percent_last", "center": 90, "scale": 5, "weight": 2, "most": 1.5, "strategy": "rollback"},
        {"feature": "recurrences", "center": 0, "scale": 1, "weight": 0.5, "most": 3},
    ]
    model = read(changed(terms=terms, bias=-2.0, sureness=1.0))
    assert model.predict(None, health()).probability == pytest.approx(1 / (1 + math.exp(2)))
    assert model.predict(None, health(disk_percent_last=80.0)).features == {}
    half = model.predict(None, health(disk_percent_last=92.5))
    assert half.probability == pytest.approx(1 / (1 + math.exp(1)))
    assert (half.strategy, half.confidence) == (None, 0.0)
    errors = np.zeros(len(ERROR_FEATURES))
    errors[ERROR_FEATURES.index("recurrences")] = 2.0
    full = model.predict(errors, health(disk_percent_last=100.0))
    assert full.probability == pytest.approx(1 / (1 + math.exp(-2)))
    assert (full.strategy, full.confidence) == ("rollback", pytest.approx(2 * full.probability - 1))
    assert list(full.features) == ["disk_percent_last", "recurrences"]


def test_a_ratio_needs_both_its_features() -> None:
    """A term over two features says nothing where the second is missing or zero."""
    term = {
        "feature": "memory_bytes_slope",
        "per": "memory_bytes_mean",
        "center": 0,
        "scale": 0.01,
        "weight": 1,
        "most": 9,
    }
    model = read(changed(terms=[term], bias=0.0))
    assert model.predict(None, health(memory_bytes_slope=5.0, memory_bytes_mean=100.0)).probability > 0.9
    for mean in (0.0, math.nan):
        assert model.predict(None, health(memory_bytes_slope=5.0, memory_bytes_mean=mean)).probability == 0.5


numbers = st.floats(width=64, allow_nan=True, allow_infinity=False)


@given(arrays(np.float64, 32, elements=numbers), arrays(np.float64, 64, elements=numbers))
def test_any_vectors_have_a_prediction(errors: Vector, found: Vector) -> None:
    """Probability and confidence are between 0 and 1 for any numbers, and no strategy means no confidence in one."""
    prediction = load().predict(errors, found)
    assert 0.0 <= prediction.probability <= 1.0
    assert 0.0 <= prediction.confidence <= 0.9
    assert (prediction.strategy is None) == (prediction.confidence == 0.0)


@pytest.mark.parametrize(
    ("found", "strategy"),
    [
        ({"disk_percent_last": 99.0, "disk_percent_slope": 0.2}, "graceful_degradation"),
        ({"availability_ratio_last": 0.4, "errors_per_s_last": 2.0}, "restart"),
        (
            {
                "queue_depth_slope": 5.0,
                "queue_depth_mean": 100.0,
                "queue_depth_z": 3.0,
                "response_time_ms_slope": 40.0,
                "response_time_ms_mean": 800.0,
            },
            "scale_down",
        ),
    ],
)
def test_plain_cases_come_out_plain(found: dict[str, float], strategy: str) -> None:
    """A full disk, a dying service and a growing backlog are likely failures, each with the strategy that fits."""
    prediction = load().predict(None, health(**found))
    assert prediction.probability > 0.8
    assert prediction.strategy == strategy


def test_a_healthy_agent_is_unlikely_to_fail() -> None:
    """Work, even much of it, is no sign of failure."""
    busy = health(cpu_percent_mean=95.0, throughput_per_s_last=1e5, availability_ratio_last=1.0, disk_percent_last=50.0)
    assert load().predict(None, busy).probability < 0.05
