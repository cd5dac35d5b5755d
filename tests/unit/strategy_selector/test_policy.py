"""The policy: its defaults are pinned, its file is refused whole with everything that is wrong."""

from pathlib import Path

import pytest

from mendbus.contracts.errors import SettingsError
from mendbus_strategy_selector.policy import LADDERS, Policy, load_policy


def test_the_defaults_are_those_of_the_contract() -> None:
    """Changing a default must break this test on purpose."""
    policy = Policy()
    assert (policy.max_recovery_attempts, policy.recovery_timeout_ms, policy.min_confidence) == (3, 5000, 0.8)
    assert (policy.settle_seconds, policy.recurrence_seconds, policy.hold_seconds) == (5.0, 60.0, 60.0)
    assert policy.ask_timeout_ms == 50
    assert policy.enable_automatic_recovery
    assert policy.enable_predictive_failure_detection
    assert policy.enable_cross_agent_coordination
    assert not policy.dry_run
    assert (policy.require_approval, policy.approval_seconds, policy.symptom_seconds) == ([], 3600.0, 2.0)
    assert (policy.restarts_per_agent, policy.restarts_per_kind, policy.restarts_in_all) == (3, 10, 30)
    assert (policy.retries_per_second, policy.sick_share, policy.sick_at_least) == (10, 0.5, 3)
    assert LADDERS["network"] == ["retry", "fallback", "failover", "graceful_degradation"]


def test_a_file_changes_what_it_names_and_the_digest(tmp_path: Path) -> None:
    """What the file does not name stays as it is; the digest tells policies apart."""
    file = tmp_path / "policy.toml"
    file.write_text('settle_seconds = 1.5\n[ladders]\nbuild = ["retry"]\n')
    policy = load_policy(file)
    assert (policy.settle_seconds, policy.ladders["build"], policy.recurrence_seconds) == (1.5, ["retry"], 60.0)
    assert policy.digest != Policy().digest == load_policy(None).digest


def test_everything_wrong_in_a_file_is_named(tmp_path: Path) -> None:
    """All problems come at once, each with its place."""
    file = tmp_path / "policy.toml"
    file.write_text('settle_seconds = -1\nnonsense = 3\nfirst = "pray"\n')
    with pytest.raises(SettingsError) as refused:
        load_policy(file)
    assert len(refused.value.problems) == 3
    assert "settle_seconds" in str(refused.value)
    assert "nonsense" in str(refused.value)


def test_a_file_that_is_missing_or_no_toml_is_refused(tmp_path: Path) -> None:
    """The error names the file and what is wrong with it."""
    with pytest.raises(SettingsError, match="cannot be read"):
        load_policy(tmp_path / "absent.toml")
    broken = tmp_path / "broken.toml"
    broken.write_text("= 3")
    with pytest.raises(SettingsError, match="not TOML"):
        load_policy(broken)
