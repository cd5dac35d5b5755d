"""Which actuator recovers which kind of agent: the file in `MENDBUS_EXECUTOR_FILE`, read whole or refused whole."""

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from mendbus.contracts.errors import SettingsError
from mendbus.contracts.fields import Token
from mendbus.contracts.vocabulary import Strategy
from mendbus_executor.sandbox import Limits

PLACEHOLDERS: Final = frozenset(
    ("kind", "id", "action", "strategy", "operation", "command_id", "incident_id", "attempt", "to", "factor")
)
_PLACEHOLDER: Final = re.compile(r"\{(\w*)\}")

Template = Annotated[list[str], Field(min_length=1, max_length=256)]
"""A program and its arguments, with placeholders such as `{id}`; each becomes one argument, whatever is in it."""


class AgentKind(BaseModel):
    """Commands go to the agent itself, over NATS. This is what holds for a kind that the file does not name."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    actuator: Literal["agent"]


class CommandKind(BaseModel):
    """Commands are carried out by programs of the user's own.

    A program whose template holds `{action}` is also run for `undo` and `restore`. Without `probe` the agent is asked.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    actuator: Literal["command"]
    commands: dict[Strategy, Template]
    probe: Template | None = None
    environment: dict[str, str] = {}
    """All that the programs find in theirs, beside PATH, LANG, HOME and TMPDIR."""
    wall_ms: Annotated[int, Field(ge=1, le=3_600_000)] = 5000
    limits: Limits = Limits()

    @model_validator(mode="after")
    def _known(self) -> Self:
        templates = [*self.commands.values(), *([self.probe] if self.probe else [])]
        for text in (text for template in templates for text in template):
            for name in _PLACEHOLDER.findall(text):
                if name not in PLACEHOLDERS:
                    raise ValueError(f"{text!r}: there is no {{{name}}}, there are {', '.join(sorted(PLACEHOLDERS))}")
        if "escalate" in self.commands:
            raise ValueError("escalate is for a person, not for a program")
        return self


class KubernetesKind(BaseModel):
    """Commands change a workload in Kubernetes: restart, scale_down, and with `pod` isolate and failover (evict).

    `dry_run`: the API server checks each change and makes none. `ask_agent`: the agent is probed after the rollout.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    actuator: Literal["kubernetes"]
    namespace: Annotated[str, Field(pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$", max_length=63)]
    workload: Annotated[str, Field(pattern=r"^(deployment|statefulset|daemonset)/([-a-z0-9.]|\{id\}|\{kind\})+$")]
    """As `deployment/{id}`."""
    pod: Annotated[str, Field(pattern=r"^([-a-z0-9.]|\{id\}|\{kind\})+$")] | None = None
    """The pod of an agent, as `{id}`, where agents are named after their pods."""
    traffic_label: str = "mendbus.dev/traffic"
    """Set to `off` on an isolated pod; the Service selects `on`."""
    mode: Literal["act", "dry_run"] = "act"
    ask_agent: bool = True


class Cluster(BaseModel):
    """The API server; by default the one of the cluster that the executor runs in, with its service account."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    api: Annotated[str, Field(pattern=r"^https?://")] | None = None
    token_file: Path | None = None
    ca_file: Path | None = None


class Table(BaseModel):
    """The whole file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kubernetes: Cluster = Cluster()
    kinds: dict[Token, Annotated[AgentKind | CommandKind | KubernetesKind, Field(discriminator="actuator")]] = {}


def read_table(file: Path | None) -> Table:
    """The table of a file; an empty one where none is named. Raises `SettingsError` with everything that is wrong."""
    if file is None:
        return Table()
    try:
        return Table.model_validate(tomllib.loads(file.read_text(encoding="utf-8")))
    except ValidationError as error:
        problems = [
            f"{file}: {'.'.join(str(step) for step in item['loc'])}: {item['msg']}"
            for item in error.errors(include_url=False)
        ]
    except (OSError, ValueError) as error:
        problems = [f"{file}: {error}"]
    raise SettingsError(problems)


def fill(template: list[str], values: Mapping[str, str]) -> list[str]:
    """The template with its placeholders filled in.

    Raises `ValueError` for a value that a program would take for an option, or that no argument can hold.
    """
    filled = [_PLACEHOLDER.sub(lambda found: values.get(found[1], ""), text) for text in template]
    for text, made in zip(template, filled, strict=True):
        if "\0" in made:
            raise ValueError(f"{made!r} holds a NUL")
        if made.startswith("-") and not text.startswith("-"):
            raise ValueError(f"{made!r} in place of {text!r} would be taken for an option")
    return filled
