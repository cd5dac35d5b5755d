"""Licences: every package in an image states one that may be there."""

import pytest
from requirements.licences import refused, table


def test_every_package_may_be_carried() -> None:
    """Each package of each image states a permissive licence."""
    rows = table()
    assert {"nats-py", "lightgbm", "numpy", "hatchling"} <= {name for name, *_ in rows}
    assert {name: refused(stated) for name, _, stated, _ in rows if refused(stated)} == {}


@pytest.mark.parametrize(
    ("expression", "missing"),
    [
        ("MIT", []),
        ("Apache-2.0 AND MIT", []),
        ("GPL-3.0-only OR MIT", []),
        ("GPL-3.0-only AND MIT", ["GPL-3.0-only"]),
        ("", ["none stated"]),
    ],
)
def test_what_is_not_permissive_is_found(expression: str, missing: list[str]) -> None:
    """Of alternatives one has to be permissive, of parts every one, and saying nothing is not enough."""
    assert refused(expression) == missing
