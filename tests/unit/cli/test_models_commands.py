"""`mendbus score`, `mendbus models` and `mendbus train`: what they print and refuse."""

import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from tests.unit.shared.test_modelstore import made
from typer.testing import CliRunner

from mendbus import streams
from mendbus.bus import Bus
from mendbus.bus.memory import MemoryServer
from mendbus.cli import app
from mendbus.cli import models as models_commands
from mendbus.settings import Settings

NOWHERE = "nats://127.0.0.1:1"
KEYS = {
    "strict",
    "lenient",
    "severity",
    "severity_within_one",
    "macro_f1",
    "per_class",
    "confusion",
    "ece",
    "coverage_at_95_precision",
}


@pytest.fixture
def runner(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> CliRunner:
    monkeypatch.setenv("MENDBUS_DATA_DIR", str(tmp_path / "data"))
    return CliRunner()


@pytest.fixture
def installation(monkeypatch: pytest.MonkeyPatch) -> MemoryServer:
    """A server that the commands on models reach."""
    server = MemoryServer()

    @asynccontextmanager
    async def connected(settings: Settings) -> AsyncGenerator[Bus]:
        bus = server.connect("cli")
        specs = [streams.objects(settings.subjects, "models"), streams.key_value(settings.subjects, "promotions")]
        await bus.ensure(specs, [])
        try:
            yield bus
        finally:
            await bus.close()

    monkeypatch.setattr(models_commands, "connected", connected)
    return server


def labelled(path: Path) -> Path:
    rows = [("disk full: no space left on device", "storage"), ("connection refused by peer", "network")]
    entries = [{"id": str(i), "message": m, "category": c, "severity": "error"} for i, (m, c) in enumerate(rows)]
    path.write_text("".join(json.dumps(entry) + "\n" for entry in entries))
    return path


def test_a_score_has_every_figure_beside_rules_and_majority(runner: CliRunner, tmp_path: Path) -> None:
    """As JSON with the promised keys, all fractions; as text with a table."""
    path = labelled(tmp_path / "e.jsonl")
    shown = runner.invoke(app.build(), ["score", "errors", str(path), "--json"])
    assert shown.exit_code == 0, shown.output
    found = json.loads(shown.stdout)
    assert set(found) >= KEYS
    assert set(found["rules_only"]) >= KEYS
    assert set(found["majority"]) >= KEYS
    assert found["strict"] == found["lenient"] == 1.0
    assert found["majority"]["strict"] == 0.5
    text = runner.invoke(app.build(), ["score", "errors", str(path)])
    assert "rules only" in text.stdout


def test_a_file_that_is_not_there_is_one_sentence(runner: CliRunner, tmp_path: Path) -> None:
    """No trace, exit status 1."""
    shown = runner.invoke(app.build(), ["score", "errors", str(tmp_path / "none")])
    assert shown.exit_code == 1
    assert "cannot read" in shown.output


@pytest.mark.usefixtures("installation")
def test_models_are_listed_tried_promoted_and_rolled_back(runner: CliRunner, tmp_path: Path) -> None:
    """The packaged model is always there; each change shows in the list."""

    def listed() -> dict[str, str]:
        shown = runner.invoke(app.build(), ["models", "list", "--json"])
        assert shown.exit_code == 0, shown.output
        return {row["name"]: row["is"] for row in json.loads(shown.stdout)["models"]}

    def told(*words: str) -> None:
        shown = runner.invoke(app.build(), ["models", *words])
        assert shown.exit_code == 0, shown.output

    assert listed() == {"packaged": "in use"}
    told("add", str(made(tmp_path, "errors-9")))
    assert listed() == {"packaged": "in use", "errors-9": "in trial"}
    told("promote", "errors-9")
    assert listed() == {"packaged": "in trial", "errors-9": "in use"}
    told("rollback")
    assert listed() == {"packaged": "in use", "errors-9": "kept"}
    told("list")
    told("compare", "packaged", "errors-9")
    refused = runner.invoke(app.build(), ["models", "promote", "none"])
    assert (refused.exit_code, "there is no model 'none' of classifier" in refused.output) == (1, True)


@pytest.mark.parametrize("words", [["list"], ["add", "DIR"], ["promote", "errors-9"], ["rollback"]])
def test_models_without_an_installation_are_one_sentence(
    runner: CliRunner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str]
) -> None:
    """No trace, exit status 1, and what could not be reached; a service that there is none of is named first."""
    monkeypatch.setenv("NATS_URL", NOWHERE)
    asked = [str(made(tmp_path, "errors-9")) if word == "DIR" else word for word in words]
    shown = runner.invoke(app.build(), ["models", *asked])
    assert (shown.exit_code, "no connection" in shown.output) == (1, True), shown.output
    other = runner.invoke(app.build(), ["models", *asked, "--service", "none"])
    assert (other.exit_code, "there is no service 'none'" in other.output) == (1, True), other.output


@pytest.mark.usefixtures("installation")
def test_the_learned_choice_of_the_package_is_listed_beside_the_policy_and_promoted(runner: CliRunner) -> None:
    """The policy is in use and the model that comes with it in trial, with what both were measured at."""

    def told(*words: str) -> str:
        shown = runner.invoke(app.build(), ["models", *words, "--service", "strategy-selector"])
        assert shown.exit_code == 0, shown.output
        return shown.stdout

    (policy, learned) = json.loads(told("list", "--json"))["models"]
    assert (policy["name"], policy["is"], learned["is"]) == ("packaged", "in use", "in trial, of the package")
    assert policy["figures"]["optimal"] < learned["figures"]["optimal"] <= 1.0
    assert learned["name"] in told("compare", "packaged", learned["name"])
    told("promote", learned["name"])
    roles = {row["name"]: row["is"] for row in json.loads(told("list", "--json"))["models"]}
    assert roles == {"packaged": "in trial", learned["name"]: "in use"}
    told("rollback")


def test_training_without_an_installation_is_one_sentence(runner: CliRunner, tmp_path: Path) -> None:
    """No trace, exit status 1, and no model."""
    words = ["train", "selector", "--name", "choice-2", "--output", str(tmp_path / "m"), "--nats-url", NOWHERE]
    shown = runner.invoke(app.build(), words)
    assert shown.exit_code == 1
    assert "no connection" in shown.output
    assert not (tmp_path / "m").exists()


def test_too_few_samples_train_nothing(runner: CliRunner, tmp_path: Path) -> None:
    """A model of two errors would be none."""
    path = labelled(tmp_path / "e.jsonl")
    words = ["train", "errors", str(path), "--name", "errors-3", "--output", str(tmp_path / "m")]
    shown = runner.invoke(app.build(), words)
    assert shown.exit_code == 1
    assert "too few" in shown.output
    assert not (tmp_path / "m").exists()
