"""Prometheus rules and scaling: of metrics and consumers that there are."""

import json
import re
from pathlib import Path
from typing import Any

import yaml
from k8s.reference import ACCOUNT, RULES_FILE, SCALING

from mendbus.contracts.subjects import DEFAULT_ROOT, LANES, PARTITIONS, Subjects
from mendbus.contracts.vocabulary import SERVICES
from mendbus.instruments import TABLE, Instrument
from mendbus.metrics import prometheus_name
from mendbus.security.accounts import CORE
from mendbus.streams import lane_consumer

COMPOSE = Path(__file__).parents[3] / "k8s" / "compose"
RULES: list[dict[str, Any]] = [
    rule for group in yaml.safe_load(RULES_FILE.read_text(encoding="utf-8"))["groups"] for rule in group["rules"]
]
METRICS: dict[str, Instrument] = {prometheus_name(instrument): instrument for instrument in TABLE}


def series(instrument: Instrument) -> set[str]:
    """Names under which Prometheus keeps it."""
    name = prometheus_name(instrument)
    return {f"{name}_{end}" for end in ("bucket", "sum", "count")} if instrument.kind == "histogram" else {name}


def test_rules_name_metrics_labels_and_values_that_exist() -> None:
    """Every series in a rule is one of an instrument, with labels and values that this one can have."""
    known = {name: instrument for instrument in TABLE for name in series(instrument)}
    for rule in RULES:
        used = re.findall(r"\b((?:mendbus|process|messaging)_[a-z_]+)(?:\{([^}]*)\}|\b(?!=))", rule["expr"])
        names = [(name, labels) for name, labels in used if name in known]
        assert names, rule["alert"]
        for name, labels in names:
            values = {one.name.replace(".", "_"): one.values for one in known[name].attributes}
            values["service_name"] = SERVICES
            for label, wanted in re.findall(r'(\w+)=~?"([^"]*)"', labels):
                assert set(wanted.split("|")) <= set(values[label]), rule["alert"]


def test_every_word_of_a_rule_is_accounted_for() -> None:
    """What looks like a metric in a rule is one, or a label of one: nothing is misspelt."""
    labels = {attribute.name.replace(".", "_") for instrument in TABLE for attribute in instrument.attributes}
    known = {name for instrument in TABLE for name in series(instrument)} | labels
    for rule in RULES:
        assert set(re.findall(r"\b(?:mendbus|process|messaging)_[a-z_]+", rule["expr"])) <= known, rule["alert"]


def test_the_dashboard_shows_metrics_that_exist() -> None:
    """Every panel asks for series of ours, with attributes that they have, of the data source that is provisioned."""
    panels = json.loads((COMPOSE / "../monitoring/dashboard.json").read_text(encoding="utf-8"))["panels"]
    labels = {attribute.name.replace(".", "_") for instrument in TABLE for attribute in instrument.attributes}
    known = {name for instrument in TABLE for name in series(instrument)} | labels
    sources = yaml.safe_load((COMPOSE / "grafana/datasources/prometheus.yaml").read_text(encoding="utf-8"))
    uids = {source["uid"] for source in sources["datasources"]}
    for panel in panels:
        assert panel["datasource"]["uid"] in uids
        for target in panel["targets"]:
            asked = set(re.findall(r"\b(?:mendbus|process|messaging)_[a-z_]+", target["expr"] + target["legendFormat"]))
            assert asked, panel["title"]
            assert asked <= known, panel["title"]


def test_every_service_is_scraped() -> None:
    """Prometheus in compose asks each service at the port that its image listens on."""
    (job,) = yaml.safe_load((COMPOSE / "prometheus.yaml").read_text(encoding="utf-8"))["scrape_configs"]
    assert set(job["static_configs"][0]["targets"]) == {f"{service}:8080" for service in SERVICES}


def test_every_service_is_missed() -> None:
    """A service that is nowhere raises an alert, whichever it is."""
    (rule,) = (rule for rule in RULES if rule["alert"] == "MendbusServiceMissing")
    assert set(re.findall(r'absent\(mendbus_ready\{service_name="([^"]+)"', rule["expr"])) == set(SERVICES)


def test_every_rule_says_what_to_do() -> None:
    """Each alert has a severity of ours, a sentence and an action."""
    severities = {"info", "warning", "minor", "major", "critical"}
    assert all(rule["labels"]["severity"] in severities for rule in RULES)
    assert all(rule["annotations"].keys() == {"summary", "action"} for rule in RULES)
    assert len({rule["alert"] for rule in RULES}) == len(RULES)


def test_scaling_looks_at_every_consumer() -> None:
    """Each service that is scaled follows both lanes of every partition, and there are never more owners than those."""
    subjects = Subjects(DEFAULT_ROOT)
    consumers = {lane_consumer(subjects, p, lane).name for p in range(PARTITIONS) for lane in LANES}
    scaled = {one["metadata"]["name"]: one["spec"] for one in yaml.safe_load_all(SCALING.read_text(encoding="utf-8"))}
    assert "executor" not in scaled
    assert scaled["strategy-selector"]["maxReplicaCount"] <= PARTITIONS
    for spec in scaled.values():
        assert {trigger["metadata"]["consumer"] for trigger in spec["triggers"]} == consumers
        assert {trigger["metadata"]["stream"] for trigger in spec["triggers"]} == {subjects.stream("ERRORS")}


def test_with_users_scaling_looks_where_the_streams_are() -> None:
    """The component tls changes the account of every trigger, and of nothing else."""
    changes = yaml.safe_load(ACCOUNT.read_text(encoding="utf-8"))
    for scaled in yaml.safe_load_all(SCALING.read_text(encoding="utf-8")):
        paths = [f"/spec/triggers/{number}/metadata/account" for number in range(len(scaled["spec"]["triggers"]))]
        assert [(one["op"], one["path"], one["value"]) for one in changes] == [
            ("replace", path, CORE) for path in paths
        ]
