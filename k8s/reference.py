"""Writes what of `k8s/` follows from the code: the tables of `k8s/README.md`, and the executor's ClusterRole.

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

from mendbus import streams
from mendbus.contracts.subjects import DEFAULT_ROOT, Subjects
from mendbus.settings import Settings
from mendbus_executor.kubernetes_api import RULES

README: Final = Path(__file__).with_name("README.md")

ROLE: Final = Path(__file__).parent / "components/kubernetes-actuator/role.yaml"

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


def render(text: str) -> str:
    """The page with its generated tables as they should be."""
    for name, table in (("settings", settings_table()), ("streams", streams_table())):
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


def main() -> int:
    """Writes page and role; returns the exit status."""
    README.write_text(render(README.read_text(encoding="utf-8")), encoding="utf-8")
    ROLE.write_text(role(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
