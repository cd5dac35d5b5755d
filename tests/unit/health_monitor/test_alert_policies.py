"""The alert policy in force: addresses and secrets from the environment, changed files taken over, wrong ones not."""

import os
from pathlib import Path

import pytest

from mendbus.contracts.errors import SettingsError
from mendbus.redaction import Redaction
from mendbus_health_monitor.alert_policies import AlertPolicies

HOOK = '[[webhook]]\nname = "w"\nurl_env = "HOOK_URL"\nsecret_env = "HOOK_SECRET"\n'
SET = {"HOOK_URL": "https://example.org/token", "HOOK_SECRET": "s3cret"}


def write(file: Path, text: str, stamp: int) -> Path:
    file.write_text(text)
    os.utime(file, (stamp, stamp))
    return file


def test_secrets_come_from_the_environment_and_show_nowhere(tmp_path: Path) -> None:
    """A webhook is found with its address and key, whose representation is empty."""
    policies = AlertPolicies(write(tmp_path / "p.toml", HOOK, 1), SET)
    found = policies.webhook("w")
    assert found is not None
    assert (found[1].url, found[1].secret) == ("https://example.org/token", "s3cret")
    assert "s3cret" not in repr(found)
    assert "token" not in repr(found)
    assert policies.webhook("other") is None


@pytest.mark.parametrize("environment", [{}, {"HOOK_URL": "nothing", "HOOK_SECRET": "s"}])
def test_a_variable_that_is_missing_or_no_address_is_refused(tmp_path: Path, environment: dict[str, str]) -> None:
    """By name, never by value."""
    with pytest.raises(SettingsError, match="HOOK_URL") as error:
        AlertPolicies(write(tmp_path / "p.toml", HOOK, 1), environment)
    assert "nothing" not in str(error.value)


def test_a_changed_file_is_taken_over_and_a_wrong_one_is_not(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The policy stays as it was until the file is right again; one that is gone changes nothing."""
    file = write(tmp_path / "p.toml", "", 1)
    policies = AlertPolicies(file, SET)
    assert not policies.look()
    write(file, HOOK, 2)
    assert policies.look()
    assert policies.webhook("w") is not None
    write(file, HOOK + "nonsense = 1\n", 3)
    assert not policies.look()
    assert policies.webhook("w") is not None
    assert "nonsense" in caplog.text
    file.unlink()
    assert not policies.look()
    write(file, "settle_seconds = 5.0\n", 4)
    assert policies.look()
    assert policies.webhook("w") is None


def test_redaction_is_read_with_it_and_again_when_it_changes(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A wrong one is refused, and the one before goes on counting."""
    file = write(tmp_path / "p.toml", '[redaction]\nnames = ["account"]\n', 1)
    policies = AlertPolicies(file, SET)
    assert policies.current.redaction == Redaction(names=("account",))
    write(file, "[redaction]\nemails = false\n", 2)
    assert policies.look()
    write(file, "[redaction]\nemail = false\n", 3)
    assert not policies.look()
    assert policies.current.redaction == Redaction(emails=False)
    assert "redaction.email" in caplog.text


def test_without_a_file_there_are_the_defaults() -> None:
    """And nothing to look at."""
    assert not AlertPolicies(None).look()
