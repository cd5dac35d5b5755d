"""The alert part of the policy file: one schema, read by two services, refused whole when anything in it is wrong."""

import tomllib
from pathlib import Path
from typing import Any

import pytest

from mendbus.alert_policy import AlertPolicy, AlertRule, AlertTimes, Webhook, check_url, load_alert_policy, split
from mendbus.contracts.errors import SettingsError
from mendbus_strategy_selector.policy import Policy, read_policy

WHOLE = """
settle_seconds = 2.0
[alerts]
repeat_seconds = 60.0
escalate_seconds = {major = 30}
[[alert_rule]]
name = "queue"
metric = "queue_depth"
above = 100
[[webhook]]
name = "oncall"
url_env = "ONCALL_URL"
secret_env = "ONCALL_SECRET"
format = "slack"
"""


def test_both_services_take_the_same_file(tmp_path: Path) -> None:
    """The selector takes the rest of it, the health-monitor the part about alerts, and neither minds the other's."""
    file = tmp_path / "policy.toml"
    file.write_text(WHOLE)
    found = load_alert_policy(file)
    assert (found.alerts.repeat_seconds, found.rules[0].above, found.webhooks[0].format) == (60.0, 100, "slack")
    assert read_policy(WHOLE, "p").settle_seconds == 2.0


def test_no_decision_changes_with_alerts() -> None:
    """The digest that stands in every decision is that of the policy without them."""
    assert read_policy(WHOLE, "p").digest == Policy(settle_seconds=2.0).digest


def test_without_a_file_the_defaults_count() -> None:
    """Built-in rules and no webhook."""
    assert load_alert_policy(None) == AlertPolicy()


RULE = {"name": "r", "metric": "queue_depth", "above": 1}
HOOK = {"name": "w", "url": "https://example.org/hook"}


@pytest.mark.parametrize(
    ("tables", "words"),
    [
        ({"alerts": {"repeat": 5}}, "p: alerts.repeat: Extra inputs"),
        ({"alerts": {"escalate_seconds": {"grave": 5}}}, "alerts.escalate_seconds.grave"),
        ({"alerts": {"disabled": ["mine"]}}, "alerts.disabled.0"),
        ({"alert_rule": [{**RULE, "name": "incident"}]}, "alert_rule.0: .*built-in"),
        ({"alert_rule": [{"name": "r", "above": 1}]}, "one of metric, gauge and status"),
        ({"alert_rule": [{**RULE, "below": 1}]}, "above and below"),
        ({"alert_rule": [{"name": "r", "status": "poor", "above": 1}]}, "a status neither"),
        ({"alert_rule": [{"name": "r", "status": "retired"}]}, "alert_rule.0.status"),
        ({"alert_rule": [RULE, RULE]}, "same name"),
        ({"webhook": [HOOK, HOOK]}, "same name"),
        ({"webhook": [{"name": "w"}]}, "one of url and url_env"),
        ({"webhook": [{**HOOK, "url_env": "X"}]}, "one of url and url_env"),
        ({"webhook": [{**HOOK, "url": "ftp://example.org"}]}, "https://host/path"),
        ({"webhook": [{**HOOK, "secret_env": "MENDBUS_SECRET"}]}, "begin with MENDBUS_"),
        ({"webhook": {}}, "webhook: "),
    ],
)
def test_what_is_wrong_is_named_by_both(tables: dict[str, Any], words: str) -> None:
    """With the table as it stands in the file."""
    with pytest.raises(SettingsError, match=words):
        split(tables, "p")


def test_everything_wrong_in_a_file_is_named_at_once() -> None:
    """What is wrong with alerts, and what is wrong with the rest."""
    with pytest.raises(SettingsError) as error:
        read_policy('nonsense = 1\n[alerts]\nrepeat = 1\n[[webhook]]\nname = "w"\n', "p")
    assert len(error.value.problems) == 3


def test_a_file_that_cannot_be_read_says_so(tmp_path: Path) -> None:
    """Absent, or no TOML."""
    with pytest.raises(SettingsError, match="cannot be read"):
        load_alert_policy(tmp_path / "absent.toml")
    broken = tmp_path / "broken.toml"
    broken.write_text("= 5")
    with pytest.raises(SettingsError, match="not TOML"):
        load_alert_policy(broken)


@pytest.mark.parametrize(
    "url", ["", "nothing", "https://", "https://kim:word@example.org/", "http://h:0/", "http://h /"]
)
def test_an_address_must_be_one(url: str) -> None:
    """And one with a password does not belong into a file; the text of the error does not repeat it."""
    with pytest.raises(ValueError, match=r"\w") as error:
        check_url(url)
    assert "word@" not in str(error.value)


def test_the_guide_shows_every_setting_with_its_default() -> None:
    """The TOML in the guide is taken as it stands, and names each setting of each table."""
    guide = Path(__file__).parents[3] / "services/health-monitor/ALERTS.md"
    text = guide.read_text("utf-8").partition("```toml\n")[2].partition("```")[0]
    found, rest = split(tomllib.loads(text), "guide")
    assert rest == {}
    assert found.alerts == AlertTimes()
    for table, model in (("alerts", AlertTimes), ("alert_rule", AlertRule), ("webhook", Webhook)):
        part = text.partition(f"[{table}]")[2]
        assert [name for name in model.model_fields if name not in part] == []
