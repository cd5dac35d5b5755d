"""Settings of a process, from the environment: prefix `MENDBUS_`, and the usual `NATS_URL` and `OTEL_*`."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from mendbus.contracts.errors import SettingsError
from mendbus.contracts.subjects import DEFAULT_ROOT, Subjects

LEAST_TOKEN: Final = 16
"""Characters below which the dashboard's token could be guessed."""


class Settings(BaseModel):
    """What differs from one installation to the next; what a recovery looks like stands in the policy."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    nats_url: str = "nats://127.0.0.1:4222"
    """Server addresses, comma separated."""
    nats_credentials: Path | None = None
    """Credentials for the NATS server: this process's own file, or the folder that has one for each user; none: the
    server must be open."""
    nats_ca: Path | None = None
    """Certificate of the authority that the NATS server's own is checked against; then only TLS is spoken."""
    trusted_keys: Path | None = None
    """File with the public keys that may sign commands and orders; none: unsigned ones are accepted."""
    root: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*$")] = DEFAULT_ROOT
    """First tokens of every subject, so that two installations can share an account."""
    data_dir: Path = Path(".mendbus")
    """Where `mendbus up` keeps the server's streams, and local traces go."""
    monitor_url: str = ""
    """Monitoring address of the NATS server, to check that it syncs; empty: cannot be seen, which is warned about."""
    http_host: str = "127.0.0.1"
    """Address on which `/livez`, `/readyz` and `/metrics` are served."""
    http_port: Annotated[int, Field(ge=-1, le=65535)] = -1
    """Port for `/livez`, `/readyz` and `/metrics`; 0: any free one, -1: not served."""
    trace_dir: Path | None = None
    """Where spans go when no OTLP endpoint is set; none: `traces` below `data_dir`."""
    otlp_endpoint: str = ""
    """`OTEL_EXPORTER_OTLP_ENDPOINT`: where spans go, such as http://127.0.0.1:4318."""
    metrics_seconds: Annotated[float, Field(ge=0, le=3600)] = 15.0
    """How often metrics go to the OTLP endpoint, where one is set; 0: never. They are at `/metrics` all the same."""
    trace: bool = True
    """Whether spans are recorded at all."""
    policy_file: Path | None = None
    """TOML file with the recovery policy; none: the defaults."""
    executor_file: Path | None = None
    """TOML file that says which actuator recovers which kind of agent; none: the agent itself, always. Read by the
    executor, and by the strategy-selector, which decides among what can be done."""
    rehearsal: bool = False
    """Whether an agent lets operators bring faults into it (`mendbus inject`)."""
    canary_seconds: Annotated[float, Field(ge=0, le=3600)] = 10.0
    """How often the health-monitor sends an error of its own through the whole pipeline, in seconds; 0: never."""
    log_level: Annotated[str, Field(pattern="^(DEBUG|INFO|WARNING|ERROR)$")] = "INFO"
    """Least level that is logged."""
    log_format: Annotated[str, Field(pattern="^(text|json)$")] = "text"
    """`text` for people, `json` for collectors."""
    drain_seconds: Annotated[float, Field(gt=0, le=300)] = 25.0
    """How long handlers may take to finish after SIGTERM."""
    stream_max_bytes: Annotated[int, Field(ge=1 << 20)] = 1 << 30
    """Largest size of ERRORS and of JOURNAL, each."""
    stream_replicas: Annotated[int, Field(ge=1, le=5)] = 1
    """On how many servers of a NATS cluster each stream is kept, best 3; 1: what is on the server stays as it is."""
    sustainable_recoveries: Annotated[float, Field(gt=0)] = 278.0
    """Recoveries a second that this machine sustains, as `make bench` finds it; capacity is reckoned against it."""
    dashboard_host: str = "127.0.0.1"
    """Address on which the health-monitor serves the dashboard; beyond loopback it is shown to those with the token
    alone, and should stand behind TLS."""
    dashboard_port: Annotated[int, Field(ge=-1, le=65535)] = -1
    """Port of the dashboard; 0: any free one, -1: not served."""
    dashboard_token: Annotated[str, Field(repr=False)] = ""
    """What must be sent to acknowledge, approve, pause and so on in the dashboard, 16 characters at least; empty: no
    such action is taken there."""
    dashboard_credentials: Path | None = None
    """Credentials with which the dashboard reads and orders, those of an operator `operator/dashboard`; none: it uses
    the health-monitor's, which may give no orders where users have rights."""
    dashboard_names: str = ""
    """Names, comma separated, by which the dashboard may be addressed beside its host, `localhost` and IP addresses."""
    jaeger_url: str = ""
    """Address of Jaeger's pages, to which the dashboard links traces; empty: no links."""

    @field_validator("dashboard_token")
    @classmethod
    def _long_enough(cls, token: str) -> str:
        if token and len(token) < LEAST_TOKEN:
            msg = f"it has {len(token)} characters, and {LEAST_TOKEN} are the least"
            raise ValueError(msg)
        return token

    @property
    def subjects(self) -> Subjects:
        """The subject builder for this installation."""
        return Subjects(self.root)

    @property
    def traces(self) -> Path:
        """Folder of the local trace store."""
        return self.trace_dir or self.data_dir / "traces"


_UNPREFIXED = {"NATS_URL": "nats_url", "OTEL_EXPORTER_OTLP_ENDPOINT": "otlp_endpoint"}


def from_environment(environment: Mapping[str, str] | None = None, **overrides: Any) -> Settings:
    """Settings from the environment, overridden by arguments that are not None.

    Raises `SettingsError` with every problem at once, unknown `MENDBUS_` names included.
    """
    source = os.environ if environment is None else environment
    values: dict[str, Any] = {}
    problems: list[str] = []
    for name, text in source.items():
        if name in _UNPREFIXED:
            values.setdefault(_UNPREFIXED[name], text)
        elif name.startswith("MENDBUS_"):
            key = name.removeprefix("MENDBUS_").lower()
            if key in Settings.model_fields:
                values[key] = text
            elif key not in _INTERNAL:
                problems.append(f"{name}: there is no such setting")
    values.update({key: value for key, value in overrides.items() if value is not None})
    if source.get("OTEL_SDK_DISABLED", "").lower() == "true":
        values["trace"] = False
    try:
        settings = Settings.model_validate(values)
    except ValidationError as error:
        for item in error.errors(include_url=False):
            field = Settings.model_fields.get(str(item["loc"][0])) if item["loc"] else None
            # What is shown nowhere else is not shown here either.
            got = "" if field is not None and not field.repr else f", got {item['input']!r}"
            problems.append(f"MENDBUS_{'_'.join(str(step) for step in item['loc']).upper()}: {item['msg']}{got}")
        raise SettingsError(problems) from None
    if problems:
        raise SettingsError(problems)
    return settings


_INTERNAL = frozenset(("ready_fd", "heartbeat_fd", "heartbeat_ms"))
"""Names that a parent process sets for its children."""
