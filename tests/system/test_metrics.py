"""Metrics of a real installation: at `/metrics` of each service, and over OTLP; the canary counts in its own alone."""

import json
import urllib.request
from pathlib import Path

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from tests.harness import installation, make_agents
from tests.unit.shared.test_metrics import read

from mendbus.contracts.vocabulary import SERVICES
from mendbus.instruments import TABLE
from mendbus.metrics import prometheus_name
from mendbus.otlp_sink import OtlpSink
from mendbus.testing import eventually


def get(port: int, path: str) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5.0) as answer:
        assert answer.headers["Content-Type"].startswith("text/plain" if path == "/metrics" else "application/json")
        return answer.read().decode()


async def test_metrics_are_served_and_sent_and_the_canary_is_not_among_the_errors(tmp_path: Path) -> None:
    """One error of an agent and several canaries: one error received, one outcome, canaries in their own metrics."""
    async with OtlpSink() as sink:
        environment = {
            "MENDBUS_HTTP_PORT": "0",
            "MENDBUS_CANARY_SECONDS": "0.5",
            "OTEL_EXPORTER_OTLP_ENDPOINT": sink.endpoint,
            "MENDBUS_METRICS_SECONDS": "0.5",
        }
        async with installation(tmp_path, environment=environment) as system:
            bus = await system.connect()
            [agent] = await make_agents(bus, system.subjects, 1)
            event_id = await agent.report("Flaky", count=3)
            await eventually(lambda: agent.settled[event_id], 20.0)
            ports = {service.name: service.http_port for service in system.services}

            def page(service: str) -> dict[str, float]:
                found: dict[str, float] = {}
                for (name, labels), value in read(get(ports[service], "/metrics")).items():
                    told = dict(labels)
                    assert told.pop("service_name") == service
                    found[" ".join((name, *filter(None, told.values())))] = value
                return found

            await eventually(lambda: page("health-monitor").get("mendbus_canary_duration_seconds_count", 0) >= 2, 20.0)
            selector = page("strategy-selector")
            assert selector["mendbus_errors_total error runtime"] == 3
            assert selector["mendbus_errors_deduplicated_total error runtime"] == 2
            assert selector["mendbus_outcomes_total recovered retry"] == 1
            assert selector["mendbus_recovery_duration_seconds_count retry runtime"] == 1
            assert selector["mendbus_attempts_total retry true"] == 1
            assert selector["mendbus_stage_duration_seconds_count recovery"] == 1
            assert selector["mendbus_incidents_open"] == 0
            assert page("classifier")["messaging_process_duration_seconds_count mendbus.v1.classifier.classify"] == 1
            assert sum(value for key, value in page("health-monitor").items() if key.startswith("mendbus_agents ")) == 1
            known = {prometheus_name(one) for one in TABLE}
            for service in SERVICES:
                found = page(service)
                assert found["mendbus_ready"] == 1
                bare = {key.split(" ")[0] for key in found}
                ended = {name.removesuffix(end) for name in bare for end in ("_bucket", "_sum", "_count", "")}
                assert bare <= known | {name + end for name in known for end in ("_bucket", "_sum", "_count")}
                assert ended & known
            assert json.loads(get(ports["health-monitor"], "/readyz"))["services"]["health-monitor"]["ready"]

            def sent() -> set[str]:
                return {
                    attribute.value.string_value
                    for body in sink.metrics
                    for resource in ExportMetricsServiceRequest.FromString(body).resource_metrics
                    for attribute in resource.resource.attributes
                    if attribute.key == "service.name" and resource.scope_metrics[0].metrics
                }

            await eventually(lambda: sent() == set(SERVICES), 10.0)
            await bus.close()
