"""Settings from an environment: what does not fit is said, all of it, and nothing secret with it."""

import pytest

from mendbus.contracts.errors import SettingsError
from mendbus.settings import LEAST_TOKEN, from_environment


def test_a_token_that_could_be_guessed_is_refused_and_not_shown() -> None:
    """At the start, instead of a page on which nothing can be done; beside it what was got is shown."""
    with pytest.raises(SettingsError) as refused:
        _ = from_environment({"MENDBUS_DASHBOARD_TOKEN": "hunter2", "MENDBUS_DASHBOARD_PORT": "seven"})
    said = str(refused.value)
    assert "MENDBUS_DASHBOARD_TOKEN" in said
    assert f"7 characters, and {LEAST_TOKEN} are the least" in said
    assert "hunter2" not in said
    assert "got 'seven'" in said


@pytest.mark.parametrize("token", ["", "x" * LEAST_TOKEN])
def test_a_token_that_is_long_enough_and_none_are_taken(token: str) -> None:
    """Without one the dashboard is there for looking."""
    assert from_environment({"MENDBUS_DASHBOARD_TOKEN": token}).dashboard_token == token
