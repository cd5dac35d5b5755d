"""One error in, one trace out: the span tree of a recovery is a contract."""

from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.harness import installation

from mendbus import Agent, codec
from mendbus.bus import Message
from mendbus.contracts.messages import RecoveryOutcome
from mendbus.contracts.subjects import MAX_SERVICE_BODY
from mendbus.otlp_sink import OtlpSink
from mendbus.testing import eventually
from mendbus.traces import SpanRow

pytestmark = pytest.mark.timeout(90)


@dataclass(frozen=True, order=True)
class Node:
    """A span as the contract sees it."""

    service: str
    kind: str
    name: str
    children: tuple["Node", ...] = ()


TREE = Node(
    "agent.runtime",
    "producer",
    "publish error.unknown",
    (
        Node(
            "strategy-selector",
            "consumer",
            "process error",
            (
                Node("strategy-selector", "client", "assess", (Node("predictor", "server", "predictor.assess"),)),
                Node("strategy-selector", "client", "classify", (Node("classifier", "server", "classifier.classify"),)),
                Node(
                    "strategy-selector",
                    "client",
                    "execute retry",
                    (
                        Node(
                            "executor",
                            "server",
                            "executor.execute",
                            (
                                Node("agent.runtime", "consumer", "command retry"),
                                Node("executor", "client", "verify", (Node("agent.runtime", "consumer", "probe"),)),
                            ),
                        ),
                    ),
                ),
                Node("strategy-selector", "internal", "decide"),
                Node("strategy-selector", "producer", "outcome"),
            ),
        ),
    ),
)


def tree_of(spans: list[SpanRow]) -> list[Node]:
    """The trees that spans form, children sorted."""
    known = {span.span_id for span in spans}

    def node(span: SpanRow) -> Node:
        children = tuple(sorted(node(child) for child in spans if child.parent_id == span.span_id))
        return Node(span.service, span.kind, span.name, children)

    return sorted(node(span) for span in spans if span.parent_id not in known)


async def test_one_recovery_is_one_trace_with_this_tree(tmp_path: Path) -> None:
    """From the agent's error to its verified recovery: names, kinds and parents of all spans, across six processes."""
    async with OtlpSink() as sink:
        environment = {"MENDBUS_TRACE": "true", "OTEL_EXPORTER_OTLP_ENDPOINT": sink.endpoint}
        with pytest.MonkeyPatch.context() as patch:
            for name, value in environment.items():
                patch.setenv(name, value)
            async with installation(tmp_path, policy="settle_seconds = 60.0\n", environment=environment) as system:
                bus = await system.connect()
                outcomes: list[RecoveryOutcome] = []

                async def hear(message: Message) -> None:
                    outcomes.append(codec.decode(RecoveryOutcome, message.body, MAX_SERVICE_BODY))

                await bus.subscribe(system.subjects.everyone("outcome"), hear)
                agent = Agent("runtime", "traced", nats_url=system.server.url)
                failures = iter([True])

                @agent.operation("reload", probe=lambda: True)
                def reload() -> None:
                    if next(failures, False):
                        msg = "the module is not there yet"
                        raise LookupError(msg)

                async with agent:
                    await eventually(lambda: agent.stats().ready, 10.0)
                    with pytest.raises(LookupError):
                        reload()
                    (outcome,) = await eventually(lambda: outcomes, 10.0)
                    assert outcome.outcome == "recovered"
                    spans = await eventually(
                        lambda: found if len(found := sink.spans(outcome.trace_id)) >= _size(TREE) else None, 10.0
                    )
                assert tree_of(spans) == [TREE]
                await _check_attributes(spans, outcome)
                await bus.close()


def _size(node: Node) -> int:
    return 1 + sum(_size(child) for child in node.children)


async def _check_attributes(spans: list[SpanRow], outcome: RecoveryOutcome) -> None:
    named = {span.name: span for span in spans}
    root, process, closing = named["publish error.unknown"], named["process error"], named["outcome"]
    assert root.parent_id == ""
    assert root.attributes["error.type"] == "LookupError"
    assert root.attributes["messaging.system"] == "nats"
    assert process.attributes["messaging.destination.template"] == "error.{severity}.{kind}.{agent}"
    assert process.attributes["mendbus.outcome"] == "recovered"
    for name in ("process error", "classify", "assess", "decide", "execute retry", "verify", "outcome"):
        assert named[name].attributes["mendbus.incident.id"] == outcome.incident_id, name
    assert named["execute retry"].attributes["mendbus.strategy"] == "retry"
    assert closing.attributes["mendbus.strategy"] == "retry"
    assert closing.attributes["mendbus.outcome"] == "recovered"
    assert all(span.status != "error" for span in spans)
