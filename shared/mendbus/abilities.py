"""What can be done to agents that others recover in their place: read from the executor's table of actuators.

The executor refuses a wrong table; here it is only looked at, by who decides what to have done.
"""

import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, cast

from mendbus.contracts.errors import SettingsError
from mendbus.contracts.vocabulary import STRATEGIES, Strategy

WORKLOAD_STRATEGIES: Final[tuple[Strategy, ...]] = ("restart", "scale_down")
"""What the Kubernetes actuator does to a workload."""
POD_STRATEGIES: Final[tuple[Strategy, ...]] = ("isolate", "failover")
"""What it does to a pod as well, where the table says which pod is an agent's."""


def abilities(file: Path | None) -> Mapping[str, Sequence[Strategy]]:
    """The strategies for each kind that the table gives to programs or to Kubernetes; empty where no file is named.

    Raises `SettingsError` when the file cannot be read.
    """
    if file is None:
        return {}
    try:
        table = tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise SettingsError([f"{file}: {error}"]) from None
    kinds = _map(table.get("kinds"))
    return {name: _of(kind) for name, kind in kinds.items() if _map(kind).get("actuator") in ("command", "kubernetes")}


def _of(kind: object) -> list[Strategy]:
    entry = _map(kind)
    if entry["actuator"] == "command":
        commands = _map(entry.get("commands"))
        return [strategy for strategy in STRATEGIES if strategy in commands]
    return [*WORKLOAD_STRATEGIES, *(POD_STRATEGIES if entry.get("pod") else ())]


def _map(value: object) -> Mapping[str, Any]:
    return cast("Mapping[str, Any]", value) if isinstance(value, dict) else {}
