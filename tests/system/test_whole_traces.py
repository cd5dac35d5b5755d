"""One recovery is one trace wherever traces are kept: in a receiver of our own, and in a real Jaeger."""

import os
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from tests.harness import Installation, installation
from tests.system.examples import KIND, example_agent
from tests.system.jaeger import jaeger, rows
from tests.system.test_go_agent import program as go_program
from tests.system.test_node_agent import agent_folder as node_folder
from tests.system.test_span_tree import TREE, Node, tree_of

from mendbus import Agent, codec
from mendbus.contracts.ids import new_id
from mendbus.contracts.messages import AgentRef, ErrorReported, ExceptionInfo, RecoveryOutcome
from mendbus.contracts.subjects import HEADER_ID, MAX_SERVICE_BODY
from mendbus.otlp_sink import OtlpSink
from mendbus.testing import eventually
from mendbus.traces import SpanRow

pytestmark = pytest.mark.timeout(180)

PARENT = "00f067aa0ba902b7"
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
Read = Callable[[str], Awaitable[list[SpanRow]]]
Backend = tuple[str, Read]

_ = (go_program, node_folder)  # fixtures of the agents' own tests


@pytest.fixture(params=["sink", pytest.param("jaeger", marks=pytest.mark.jaeger)])
async def backend(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Backend]:
    """Where spans go, and how they are read: `/api/v3` of Jaeger, or the receiver of the other tests."""
    if request.param == "jaeger":
        program = os.environ.get("JAEGER")
        if not program:
            pytest.skip("needs a Jaeger, named in JAEGER: run `make test-jaeger`")
        async with jaeger(Path(program), tmp_path) as running:
            yield running.endpoint, running.spans
        return
    async with OtlpSink() as sink:

        async def read(trace_id: str) -> list[SpanRow]:
            return sink.spans(trace_id)

        yield sink.endpoint, read


def traced(endpoint: str) -> dict[str, str]:
    """The environment of services that send their spans there."""
    return {"MENDBUS_TRACE": "true", "OTEL_EXPORTER_OTLP_ENDPOINT": endpoint}


async def recovery(place: Installation, kind: str, agent_id: str) -> RecoveryOutcome:
    """The outcome of an agent's recovery, when it has come."""
    bus = await place.connect()
    try:
        stream, subject = place.subjects.stream("RECOVERIES"), place.subjects.outcome(kind, agent_id)
        stored = await eventually(lambda: bus.last(stream, subject), 30.0, every=0.05)
        assert stored is not None
        return codec.decode(RecoveryOutcome, stored.body, MAX_SERVICE_BODY)
    finally:
        await bus.close()


def once(node: Node) -> Node:
    """The tree without equal spans side by side: on a slow machine an ask is asked twice, and answered twice."""
    return Node(node.service, node.kind, node.name, tuple(sorted({once(child) for child in node.children})))


async def whole(read: Read, trace_id: str, tree: Node, *, beside: tuple[str, ...] = ()) -> None:
    """Waits until a trace is this tree and nothing but spans of these names beside. Raises `AssertionError`."""

    async def is_whole() -> bool:
        found = [once(node) for node in tree_of(await read(trace_id))]
        assert [node for node in found if node.name not in beside] == [tree]
        return True

    await eventually(is_whole, 15.0, every=0.1)


async def test_a_redelivered_error_makes_the_same_tree(
    backend: Backend, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An error whose first owner was killed with it in its hands is recovered by the next one in the one trace."""
    endpoint, read = backend
    for name, value in traced(endpoint).items():
        monkeypatch.setenv(name, value)
    calls: list[int] = []
    async with installation(tmp_path, policy="settle_seconds = 60.0\n", environment=traced(endpoint)) as place:
        agent = Agent("runtime", "redelivered", nats_url=place.server.url)

        @agent.operation("reload", probe=lambda: len(calls) > 1)
        def reload() -> None:
            calls.append(1)
            if len(calls) == 1:
                msg = "the module is not there yet"
                raise LookupError(msg)

        async with agent:
            await eventually(lambda: agent.stats().ready, 10.0)
            # stopped, it still gets what its open pull asked for, and acknowledges nothing
            (owner,) = place.named("strategy-selector")
            owner.send(signal.SIGSTOP)
            with pytest.raises(LookupError):
                reload()
            await eventually(lambda: agent.stats().acknowledged >= 1, 10.0)
            await owner.kill()
            await place.run("strategy-selector")
            outcome = await recovery(place, "runtime", "redelivered")
            assert outcome.outcome == "recovered"
            # An owner that was overtaken while it asked never tells its own span of that; who answered does.
            await whole(read, outcome.trace_id, TREE, beside=("classifier.classify", "predictor.assess"))


async def test_a_header_in_capitals_is_the_parent(backend: Backend, tmp_path: Path) -> None:
    """An error that comes with `Traceparent`, as HTTP libraries write it, is recovered within the sender's trace."""
    endpoint, read = backend
    async with installation(tmp_path, environment=traced(endpoint)) as place:
        bus = await place.connect()
        error = ErrorReported(
            id=new_id(),
            time_unix_nano=time.time_ns(),
            agent=AgentRef(kind=KIND, id="capital"),
            exception=ExceptionInfo(type="ValueError", message="no"),
        )
        headers = {"Traceparent": f"00-{TRACE}-{PARENT}-00", HEADER_ID: error.id}
        await bus.publish(place.subjects.error("unknown", KIND, "capital"), codec.encode(error), headers)
        await bus.close()

        async def process() -> list[SpanRow]:
            return [span for span in await read(TRACE) if span.name == "process error"]

        (span,) = await eventually(process, 15.0, every=0.1)
        assert span.parent_id == PARENT


@pytest.mark.go
async def test_an_agent_in_go_starts_the_trace(backend: Backend, go_program: Path, tmp_path: Path) -> None:
    """The recovery of the agent in Go is one trace under the span that its error names."""
    await _foreign(backend, tmp_path, (str(go_program),), go_program.parent, "go-1")


@pytest.mark.node
async def test_an_agent_in_node_starts_the_trace(backend: Backend, node_folder: Path, tmp_path: Path) -> None:
    """The recovery of the agent in Node is one trace under the span that its error names."""
    await _foreign(backend, tmp_path, ("node", "agent.mjs"), node_folder, "node-1")


async def _foreign(backend: Backend, tmp_path: Path, command: tuple[str, ...], folder: Path, agent_id: str) -> None:
    endpoint, read = backend
    environment = traced(endpoint)
    async with (
        installation(tmp_path, policy="settle_seconds = 60.0\n", environment=environment) as place,
        example_agent(place, command, folder, agent_id) as agent,
    ):
        agent.spoil()
        (reported,) = await eventually(lambda: agent.heard("reported"), 10.0)
        outcome = await recovery(place, KIND, agent_id)
        assert (outcome.outcome, outcome.trace_id) == ("recovered", reported["trace"])

        async def one_tree() -> bool:
            (tree,) = await assembled(read, outcome.trace_id)
            assert (tree.service, tree.name) == ("strategy-selector", "process error")
            steps = {"classify", "assess", "decide", "execute rollback", "outcome"}
            assert {child.name for child in tree.children} >= steps
            return True

        await eventually(one_tree, 15.0, every=0.1)


async def assembled(read: Read, trace_id: str) -> list[Node]:
    """The trees of a trace, of which there is more than one while spans are still on their way."""
    found = tree_of(await read(trace_id))
    assert len(found) == 1, found
    return found


def test_jaegers_answers_are_read() -> None:
    """An answer of `/api/v3`, with kinds as numbers or words, becomes the spans that were sent."""
    span = {
        "traceId": TRACE,
        "spanId": PARENT,
        "name": "process error",
        "kind": 5,
        "startTimeUnixNano": "1",
        "endTimeUnixNano": "2",
        "attributes": [
            {"key": "mendbus.outcome", "value": {"stringValue": "recovered"}},
            {"key": "messaging.batch.message_count", "value": {"intValue": "3"}},
        ],
        "status": {"code": 2, "message": "no"},
    }
    resource = {"attributes": [{"key": "service.name", "value": {"stringValue": "strategy-selector"}}]}
    spans = [span, {**span, "kind": "SPAN_KIND_CLIENT", "parentSpanId": PARENT, "status": {}}]
    first, second = rows({"result": {"resourceSpans": [{"resource": resource, "scopeSpans": [{"spans": spans}]}]}})
    assert (first.service, first.kind, first.parent_id, first.error) == ("strategy-selector", "consumer", "", "no")
    assert first.attributes == {"mendbus.outcome": "recovered", "messaging.batch.message_count": 3}
    assert (second.kind, second.parent_id, second.status) == ("client", PARENT, "unset")
    assert rows({}) == []
