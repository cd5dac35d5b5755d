"""Writes what of `k8s/` follows from elsewhere.

The tables of `k8s/README.md`, the executor's ClusterRole, the admission policies that hold it to less, what KEDA scales
by and in which account, and the Prometheus operator's form of the rules.

`.venv/bin/python k8s/reference.py` rewrites them in place.
"""

import ast
import inspect
import json
import re
import sys
import textwrap
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

import yaml

if __package__ in (None, ""):
    sys.path.insert(0, str(Path(__file__).parents[1]))
from k8s import admission

from mendbus import streams
from mendbus.bus import ConsumerSpec
from mendbus.contracts.subjects import DEFAULT_ROOT, LANES, PARTITIONS, Subjects
from mendbus.security.accounts import CORE
from mendbus.settings import Settings
from mendbus_executor.kubernetes_api import RULES

README: Final = Path(__file__).with_name("README.md")

ROLE: Final = Path(__file__).parent / "components/kubernetes-actuator/role.yaml"

ADMISSION: Final = ROLE.with_name("admission.yaml")

SCALING: Final = ROLE.parents[1] / "keda/scaled-objects.yaml"

ACCOUNT: Final = ROLE.parents[1] / "tls/account.yaml"

RULES_FILE: Final = Path(__file__).with_name("monitoring") / "rules.yaml"

OPERATOR_RULES: Final = ROLE.parents[1] / "servicemonitor/rules.yaml"

_SCALED: Final = {"strategy-selector": PARTITIONS, "classifier": 4, "predictor": 4}
"""Most replicas of each service that is scaled: no more owners than partitions, and never the executor, whose parallel
attempts are limited on purpose."""

_LAG: Final = streams.MAX_ACK_PENDING // 2
"""Errors that wait in one lane of a partition for each replica: half of what its owner takes at once."""

_UNPREFIXED: Final = {"nats_url": "NATS_URL", "otlp_endpoint": "OTEL_EXPORTER_OTLP_ENDPOINT"}


def settings_table() -> str:
    """Every setting with its variable, its default and its own words, as a Markdown table."""
    words = _words(Settings)
    rows = [
        (
            f"`{_UNPREFIXED.get(name, f'MENDBUS_{name.upper()}')}`",
            f"`{field.default}`" if str(field.default or "") else "none",
            words[name].replace("|", "\\|"),
        )
        for name, field in Settings.model_fields.items()
    ]
    return _table(("variable", "default", "what it does"), rows)


def streams_table() -> str:
    """Every stream with what bounds it, as a Markdown table."""
    max_bytes: int = Settings.model_fields["stream_max_bytes"].default
    specs = streams.streams(Subjects(DEFAULT_ROOT), max_bytes)
    rows = [
        (
            f"`{spec.name}`",
            _age(spec.max_age),
            f"{spec.max_bytes / (1 << 20):g} MiB",
            "refuses the new" if spec.discard == "new" else "drops the oldest",
            "memory" if spec.storage == "memory" else "disk, may lag" if spec.persist_async else "disk, synced",
        )
        for spec in specs
    ]
    return _table(("stream", "kept for", "at most", "when full", "where"), rows)


def role() -> str:
    """All that the Kubernetes actuator has to be allowed, as a ClusterRole."""
    rules = "".join(
        "  - " + "\n    ".join(f"{key}: {json.dumps(values)}" for key, values in rule.items()) + "\n" for rule in RULES
    )
    return f"""\
# Written by k8s/reference.py from what the executor asks of the API server. It allows nothing until a RoleBinding
# gives it to the executor's account in a namespace of agents.
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata:
  name: mendbus-executor
rules:
{rules}"""


def admission_policies() -> str:
    """The admission policies of the executor, and who they bind."""
    head = "# Written by k8s/reference.py out of k8s/admission.py: whatever the role allows, this is what may change.\n"
    return head + _documents(admission.policies())


def scaling() -> str:
    """What KEDA scales, and by which consumers of ERRORS."""
    subjects = Subjects(DEFAULT_ROOT)
    triggers = [
        {
            "type": "nats-jetstream",
            "metadata": {
                "natsServerMonitoringEndpoint": "nats.mendbus.svc.cluster.local:8222",
                "account": "$G",
                "stream": consumer.stream,
                "consumer": consumer.name,
                "lagThreshold": str(_LAG),
            },
        }
        for consumer in _waiting(subjects)
    ]
    scaled = [
        {
            "apiVersion": "keda.sh/v1alpha1",
            "kind": "ScaledObject",
            "metadata": {"name": service},
            "spec": {
                "scaleTargetRef": {"name": service},
                "minReplicaCount": 2,
                "maxReplicaCount": most,
                "pollingInterval": 5,
                "cooldownPeriod": 300,
                "triggers": triggers,
            },
        }
        for service, most in _SCALED.items()
    ]
    head = "# Written by k8s/reference.py: the consumers are the code's. Set the address of NATS's monitoring port.\n"
    return head + _documents(scaled)


def account() -> str:
    """What makes KEDA look into the account in which the streams are where the server has users."""
    changes = [
        {"op": "replace", "path": f"/spec/triggers/{number}/metadata/account", "value": CORE}
        for number in range(len(_waiting(Subjects(DEFAULT_ROOT))))
    ]
    return "# Written by k8s/reference.py.\n" + yaml.dump(changes, Dumper=_Plain, sort_keys=False, width=1000)


def _waiting(subjects: Subjects) -> list[ConsumerSpec]:
    """Consumers in which errors wait."""
    return [streams.lane_consumer(subjects, p, lane) for p in range(PARTITIONS) for lane in LANES]


def operator_rules() -> str:
    """The rules as the Prometheus operator takes them."""
    rules = yaml.safe_load(RULES_FILE.read_text(encoding="utf-8"))
    manifest = {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        "metadata": {"name": "mendbus"},
        "spec": rules,
    }
    return "# Written by k8s/reference.py out of k8s/monitoring/rules.yaml.\n" + _documents([manifest])


def rules_table() -> str:
    """Every rule with what it means and what to do, as a Markdown table."""
    groups = yaml.safe_load(RULES_FILE.read_text(encoding="utf-8"))["groups"]
    rows = [
        (
            f"`{rule['alert']}`",
            rule["labels"]["severity"],
            _LABEL.sub(r"*\1*", rule["annotations"]["summary"]).replace("{{ $value }}", "*n*"),
            rule["annotations"]["action"],
        )
        for group in groups
        for rule in group["rules"]
    ]
    return _table(("alert", "severity", "what it means", "what to do"), rows)


_LABEL: Final = re.compile(r"\{\{ \$labels\.(\w+) \}\}")


class _Plain(yaml.SafeDumper):
    """Writes everything out: no anchors."""

    def ignore_aliases(self, data: object) -> bool:
        return True


def _documents(manifests: Sequence[object]) -> str:
    return yaml.dump_all(manifests, Dumper=_Plain, sort_keys=False, width=1000)


def render(text: str) -> str:
    """The page with its generated tables as they should be."""
    tables = (("settings", settings_table()), ("streams", streams_table()), ("alerts", rules_table()))
    for name, table in tables:
        mark = re.compile(rf"(<!-- {name}: .*? -->\n).*?(<!-- end -->)", re.DOTALL)
        text, count = mark.subn(lambda match, table=table: f"{match[1]}{table}{match[2]}", text)
        if count != 1:
            msg = f"{README}: {count} places are marked for the table of {name}, there must be one"
            raise ValueError(msg)
    return text


def _words(model: type) -> dict[str, str]:
    """The text below each field, as the first paragraph of it in one line."""
    body = ast.parse(textwrap.dedent(inspect.getsource(model))).body[0]
    assert isinstance(body, ast.ClassDef)
    found: dict[str, str] = {}
    for field, text in zip(body.body, body.body[1:], strict=False):
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name) and isinstance(text, ast.Expr):
            assert isinstance(text.value, ast.Constant)
            found[field.target.id] = " ".join(str(text.value.value).split())
    return found


def _age(seconds: float) -> str:
    if not seconds:
        return "no limit"
    return f"{seconds / 86400:g} d" if seconds > 86400 else f"{seconds / 3600:g} h"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def files() -> dict[Path, str]:
    """Every manifest that is written here, with what should be in it."""
    return {
        ROLE: role(),
        ADMISSION: admission_policies(),
        SCALING: scaling(),
        ACCOUNT: account(),
        OPERATOR_RULES: operator_rules(),
    }


def main() -> int:
    """Writes page and manifests; returns the exit status."""
    README.write_text(render(README.read_text(encoding="utf-8")), encoding="utf-8")
    for path, text in files().items():
        path.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
