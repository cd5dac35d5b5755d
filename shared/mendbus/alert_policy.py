"""The part of the policy file that is about alerts: `[alerts]`, `[[alert_rule]]` and `[[webhook]]`.

The strategy-selector and the health-monitor read the same file: both refuse what is wrong here, one acts on it. Both
go by `[redaction]`.
"""

import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from mendbus.contracts.errors import SettingsError
from mendbus.contracts.fields import DetailText, ShortText, Token
from mendbus.contracts.vocabulary import AlertSeverity, Metric
from mendbus.redaction import Redaction

TABLES: Final[Mapping[str, str]] = {"alerts": "alerts", "alert_rule": "rules", "webhook": "webhooks"}
"""Tables of the policy file that are read here, and what they are called below."""
_WITH_REDACTION: Final = {**TABLES, "redaction": "redaction"}

BuiltIn = Literal[
    "incident",
    "latched",
    "agent_failed",
    "agent_critical",
    "recovery_latency",
    "degradation",
    "exhaustion",
    "service",
    "webhook",
]
"""Rules that need no line in a file."""
BUILT_IN: Final[frozenset[str]] = frozenset(BuiltIn.__args__)
Label = Literal["rule", "kind", "agent"]
"""By what alerts are put into one notification."""

Seconds = Annotated[float, Field(gt=0, le=7 * 24 * 3600)]
Wait = Annotated[float, Field(ge=0, le=7 * 24 * 3600)]
ESCALATE: dict[AlertSeverity, float] = {"warning": 4 * 3600.0, "minor": 3600.0, "major": 900.0}


def _environment_name(name: str) -> str:
    if name.startswith("MENDBUS_"):
        msg = "names that begin with MENDBUS_ are settings of services; take another one"
        raise ValueError(msg)
    return name


EnvironmentName = Annotated[str, Field(pattern="^[A-Za-z_][A-Za-z0-9_]{0,127}$"), AfterValidator(_environment_name)]
"""The environment variable that holds a secret, so that no file and no log does."""


class _Table(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)


class AlertTimes(_Table):
    """`[alerts]`: when alerts are raised, told, told again, and made graver. Times in seconds."""

    disabled: list[BuiltIn] = []
    """Built-in rules that raise nothing."""
    group_by: list[Label] = ["rule", "kind"]
    """Alerts that are alike in these make one notification; empty: all do."""
    group_seconds: Wait = 5.0
    """How long a first notification waits for others that belong to it; a `critical` alert waits for none."""
    group_interval_seconds: Wait = 60.0
    """Least time between two notifications of a group, unless it has become graver."""
    repeat_seconds: Seconds = 4 * 3600.0
    """After so long an alert that nobody has acknowledged is told again."""
    escalate_seconds: dict[AlertSeverity, Wait] = ESCALATE
    """After so long without an acknowledgement an alert of that severity gets the next one; 0 or absent: never."""
    flap_raises: Annotated[int, Field(ge=2, le=100)] = 3
    """Raised so often within `flap_seconds`, an alert flaps: it gets one severity graver, and stays open."""
    flap_seconds: Seconds = 600.0
    calm_seconds: Seconds = 300.0
    """A flapping alert is resolved when its condition has been over for so long without a break."""
    inhibit_hold_seconds: Wait = 30.0
    """How long alerts of dependents stay muted after that of the agent they depend on is resolved."""
    failed_seconds: Wait = 15.0
    """An agent has failed for so long, and no incident of it is open: nobody recovers it."""
    critical_seconds: Wait = 120.0
    """How long an agent may be `critical`."""
    recovery_latency_ms: Annotated[float, Field(gt=0, le=3_600_000)] = 1000.0
    """One recovery in ten of the last five minutes took longer than this."""
    service_seconds: Wait = 15.0
    """How long one of the services may be missing."""
    webhook_seconds: Wait = 120.0
    """How long notifications may wait for a webhook that does not take them."""
    incident_url: ShortText = ""
    """Link to an incident, `{incident}` in it stands for its id; empty: none."""
    trace_url: ShortText = ""
    """Link to a trace, `{trace}` in it stands for its id; empty: none."""


class AlertRule(_Table):
    """`[[alert_rule]]`: a metric or gauge above or below a level, or a status at least as bad as one, for a time."""

    name: Token
    metric: Metric | None = None
    gauge: ShortText | None = None
    status: Literal["good", "fair", "poor", "critical", "failed"] | None = None
    above: float | None = None
    below: float | None = None
    for_seconds: Wait = 60.0
    clear_seconds: Wait = 15.0
    """How long it must be over before the alert is resolved."""
    kind: Token | None = None
    agent: ShortText | None = None
    """Only this agent, as KIND/ID."""
    severity: AlertSeverity = "warning"
    hint: DetailText = ""
    """What to do; empty: a sentence that says what was found and where to look."""

    @model_validator(mode="after")
    def _one_thing(self) -> Self:
        if self.name in BUILT_IN:
            msg = f"{self.name!r} is a built-in rule: take another name"
            raise ValueError(msg)
        if sum(what is not None for what in (self.metric, self.gauge, self.status)) != 1:
            msg = "name one of metric, gauge and status"
            raise ValueError(msg)
        levels = (self.above is not None) + (self.below is not None)
        if levels != (0 if self.status else 1):
            msg = "a metric or gauge needs one of above and below, a status neither"
            raise ValueError(msg)
        return self


class Webhook(_Table):
    """`[[webhook]]`: where notifications go, which of them, and what they look like."""

    name: Token
    url: str = ""
    url_env: EnvironmentName | None = None
    """Environment variable that holds the address, where the address itself is a secret."""
    secret_env: EnvironmentName | None = None
    """Environment variable that holds the key with which bodies are signed."""
    format: Literal["generic", "slack"] = "generic"
    min_severity: AlertSeverity = "warning"
    kinds: list[Token] = []
    """Only alerts of agents of these kinds; empty: all alerts."""
    rules: list[Token] = []
    """Only alerts of these rules; empty: of all."""
    resolved: bool = True
    """Whether it is told that alerts are resolved."""
    timeout_seconds: Annotated[float, Field(gt=0, le=60)] = 5.0
    """Deadline of one request."""
    tries: Annotated[int, Field(ge=1, le=20)] = 6
    """Requests of one notification before it becomes a dead letter."""
    backoff_seconds: Annotated[float, Field(gt=0, le=600)] = 1.0
    """Longest wait before the second try; it doubles with each further one, to a minute at most."""

    @model_validator(mode="after")
    def _one_address(self) -> Self:
        if bool(self.url) == bool(self.url_env):
            msg = "name one of url and url_env"
            raise ValueError(msg)
        if self.url:
            check_url(self.url)
        return self


class AlertPolicy(_Table):
    """All of it."""

    alerts: AlertTimes = AlertTimes()
    rules: list[AlertRule] = []
    webhooks: list[Webhook] = []
    redaction: Redaction = Redaction()
    """What is taken out of the texts of statuses and alerts; `split` leaves it to the rest."""

    @model_validator(mode="after")
    def _names(self) -> Self:
        for what, found in (("alert_rule", self.rules), ("webhook", self.webhooks)):
            names = [item.name for item in found]
            if len(set(names)) != len(names):
                msg = f"two tables {what} have the same name"
                raise ValueError(msg)
        return self


def check_url(url: str) -> None:
    """Raises `ValueError` when it is no address that notifications can be sent to; the text does not repeat it."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or not url.isascii() or " " in url:
        msg = "not an address of the form https://host/path"
        raise ValueError(msg)
    if parts.username or parts.password:
        msg = "an address in a file holds no password: put the whole address into a variable (url_env)"
        raise ValueError(msg)
    if parts.port == 0:
        msg = "port 0 is no port"
        raise ValueError(msg)


def split(tables: Mapping[str, Any], name: str) -> tuple[AlertPolicy, dict[str, Any]]:
    """The alert part of a policy file, and the rest; `name` stands in errors. Raises `SettingsError`."""
    return _read(tables, TABLES, name), {key: value for key, value in tables.items() if key not in TABLES}


def _read(tables: Mapping[str, Any], wanted: Mapping[str, str], name: str) -> AlertPolicy:
    try:
        return AlertPolicy.model_validate({field: tables[table] for table, field in wanted.items() if table in tables})
    except ValidationError as error:
        names = {field: table for table, field in wanted.items()}
        problems = [f"{name}: {_place(item['loc'], names)}: {item['msg']}" for item in error.errors(include_url=False)]
        raise SettingsError(problems) from None


def _place(steps: Sequence[int | str], names: Mapping[str, str]) -> str:
    return ".".join(names.get(str(step), str(step)) if number == 0 else str(step) for number, step in enumerate(steps))


def load_alert_policy(file: Path | None) -> AlertPolicy:
    """The alert part of a policy file and its `[redaction]`, or the defaults; the rest is not looked at.

    Raises `SettingsError` that names everything wrong in it.
    """
    if file is None:
        return AlertPolicy()
    try:
        tables = tomllib.loads(file.read_text("utf-8"))
    except OSError as error:
        raise SettingsError([f"the policy file cannot be read: {error}"]) from None
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SettingsError([f"{file}: not TOML: {error}"]) from None
    return _read(tables, _WITH_REDACTION, str(file))
