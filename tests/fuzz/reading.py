"""Everything that reads text or bytes of others, called directly: it returns, or refuses in words."""

import tempfile
from pathlib import Path
from typing import Final

from tests.contract.vectors import golden, invalid, tolerated
from tests.fuzz import mutating
from tests.fuzz.finding import Going, Tally, equal

from mendbus import alert_policy, codec
from mendbus.contracts.errors import Refused, SettingsError
from mendbus.contracts.messages import ErrorReported
from mendbus.fingerprint import fingerprint
from mendbus.proto_schemas import models
from mendbus.redacted import redact_error
from mendbus.settings import from_environment
from mendbus_executor.table import read_table
from mendbus_strategy_selector.policy import read_policy

_POLICY: Final = (
    "enable_automatic_recovery = true", "dry_run = false", 'require_approval = ["restart"]', "settle_seconds = 0.5",
    "max_recovery_attempts = 3", "min_confidence = 0.8", 'grave = "critical"', 'at_once = {memory = "restart"}',
    'ladders = {network = ["retry", "fallback"]}', 'parameters = {retry = {max_tries = 3}}', "restarts_in_all = 30",
    "cool_down_seconds = {failover = 30.0}", "sick_share = 0.5", "[alerts]", 'group_by = ["rule"]', "[[alert_rule]]",
    'name = "hot"', 'metric = "cpu_percent"', "above = 90", "for_seconds = 10", "[[webhook]]",
    'url = "https://x.example/h"',
    'format = "slack"', 'secret_env = "SECRET"', "[redaction]", 'names = ["tenant"]', "emails = true", "# a", "",
    "[preventive]", "least_probability = 0.5", "holdout_share = 0.1", 'strategies = {runtime = ["restart"]}',
)  # fmt: skip
_EXECUTOR: Final = (
    "[kinds.build_pipeline]", 'actuator = "command"', 'actuator = "agent"', 'actuator = "kubernetes"', "wall_ms = 100",
    'commands = {restart = ["systemctl", "restart", "{id}"]}', 'probe = ["true"]', 'environment = {A = "b"}',
    "limits = {memory_bytes = 1000000}", 'namespace = "shop"', 'deployment = "{id}"', "[kinds.runtime]", "",
)  # fmt: skip
_SETTINGS: Final = (
    "NATS_URL", "MENDBUS_ROOT", "MENDBUS_HTTP_PORT", "MENDBUS_LOG_LEVEL", "MENDBUS_CANARY_SECONDS", "MENDBUS_TRACE",
    "MENDBUS_POLICY_FILE", "MENDBUS_DRAIN_SECONDS", "MENDBUS_STREAM_MAX_BYTES", "OTEL_EXPORTER_OTLP_ENDPOINT",
    "MENDBUS_", "MENDBUS_NO_SUCH", "OTEL_SDK_DISABLED", "MENDBUS_REHEARSAL", "MENDBUS_DATA_DIR",
)  # fmt: skip


def bytes_of_messages(tally: Tally, going: Going) -> None:
    """Each message of the contract: what is read is written again so that it reads the same; an error can be used."""
    kinds = sorted(models().items())
    vectors = [*golden(), *tolerated(), *invalid()]
    number = 0
    while going(number):
        choose = tally.chooser(number)
        name, (model, limit) = choose.choice(kinds)
        data = mutating.body(choose, vectors, name)

        def read(data: bytes = data, model: type = model, limit: int = limit) -> str:
            message = codec.decode(model, data, limit)
            again = codec.encode(message)
            if not equal(codec.decode(model, again, max(limit, len(again))), message):
                raise AssertionError("it reads otherwise when it is written again")
            if isinstance(message, ErrorReported):
                clean = redact_error(message)
                if not fingerprint(clean) or not equal(redact_error(clean), clean):
                    raise AssertionError("redacted twice it is another")
                codec.decode(ErrorReported, codec.encode(clean), limit + 65536)
            return "read"

        tally.attempt(number, data.hex(), read, Refused)
        number += 1


def policy_files(tally: Tally, going: Going) -> None:
    """The policy file with its alerts, and the executor's: taken whole, or refused whole with everything named."""
    with tempfile.TemporaryDirectory(prefix="mendbus-fuzz-") as folder:
        file = Path(folder) / "file.toml"
        number = 0
        while going(number):
            choose = tally.chooser(number)
            executor = choose.random() < 0.3
            given = mutating.text(choose, _EXECUTOR if executor else _POLICY)
            file.write_bytes(given.encode("utf-8", "surrogatepass"))

            def read(given: str = given, executor: bool = executor) -> str:
                if executor:
                    read_table(file)
                else:
                    policy = read_policy(given, "file.toml")
                    alert_policy.load_alert_policy(file)
                    if len(policy.digest) != 12:
                        raise AssertionError("the policy has no digest")
                return "taken"

            tally.attempt(number, given, read, SettingsError)
            number += 1


def environments(tally: Tally, going: Going) -> None:
    """Settings of a process, from any environment: made, or refused with every problem."""
    values = ("", "0", "-1", "1e9", "nan", "true", "x" * 5000, "nats://", "a.b", "\udce9", "é", "/dev/null", "70000")
    number = 0
    while going(number):
        choose = tally.chooser(number)
        given = {choose.choice(_SETTINGS): choose.choice(values) for _ in range(choose.randrange(1, 5))}

        def read(given: dict[str, str] = given) -> str:
            settings = from_environment(given)
            settings.subjects.stream("ERRORS")
            return "made"

        tally.attempt(number, given, read, SettingsError)
        number += 1
