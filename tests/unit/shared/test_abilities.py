"""What can be done to agents that others recover: what the selector reads is what the actuators do."""

from pathlib import Path

import pytest

from mendbus.abilities import abilities
from mendbus.contracts.errors import SettingsError
from mendbus_executor.table import CommandKind, KubernetesKind, read_table
from mendbus_strategy_selector.agents import Agents

TABLE = """
[kinds.runtime]
actuator = "agent"
[kinds.batch]
actuator = "command"
commands = { scale_down = ["x", "{action}"], restart = ["x"] }
[kinds.web]
actuator = "kubernetes"
namespace = "shop"
workload = "deployment/{id}"
[kinds.pod]
actuator = "kubernetes"
namespace = "shop"
workload = "deployment/web"
pod = "{id}"
"""


def test_the_table_says_what_can_be_done(tmp_path: Path) -> None:
    """Programs by strategy, workloads, pods; kinds that are left to their agents are not among them."""
    file = tmp_path / "executor.toml"
    file.write_text(TABLE)
    assert abilities(file) == {
        "batch": ["restart", "scale_down"],
        "web": ["restart", "scale_down"],
        "pod": ["restart", "scale_down", "isolate", "failover"],
    }
    kinds = read_table(file).kinds
    assert {name for name, kind in kinds.items() if isinstance(kind, CommandKind | KubernetesKind)} == {
        *abilities(file)
    }


def test_it_counts_for_agents_whatever_they_say(tmp_path: Path) -> None:
    """An agent of such a kind is recovered by what the table can do; others by what they support."""
    file = tmp_path / "executor.toml"
    file.write_text(TABLE)
    agents = Agents(abilities(file))
    assert agents.supported("batch/b1") == ["restart", "scale_down"]
    assert agents.supported("runtime/r1") == ["retry", "restart"]


def test_without_a_file_there_is_none(tmp_path: Path) -> None:
    """No file, no abilities; a file that cannot be read is an error that names it; nonsense in it is the executor's."""
    assert abilities(None) == {}
    file = tmp_path / "executor.toml"
    with pytest.raises(SettingsError, match="executor"):
        abilities(file)
    file.write_text("kinds = 3")
    assert abilities(file) == {}
    file.write_text("[kinds")
    with pytest.raises(SettingsError, match="executor"):
        abilities(file)
    file.write_text("[kinds.a]\nactuator = 'command'\ncommands = 3\n[kinds.b]\nactuator = 4\n")
    assert abilities(file) == {"a": []}
