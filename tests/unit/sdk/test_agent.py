"""The face of the SDK, without a server: what it takes, what it refuses, and that it never gets in the way."""

import asyncio
import inspect
import logging
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

import mendbus
from mendbus import Agent
from mendbus.contracts.errors import SettingsError
from mendbus.contracts.vocabulary import Severity
from mendbus.sdk.disk import OutboxError

NOWHERE = "nats://127.0.0.1:1"
NAMES = [f"limit {number}" for number in range(65)]


@pytest.fixture
def agent(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Agent:
    """An agent that is not started."""
    monkeypatch.setenv("MENDBUS_TRACE_DIR", str(tmp_path / "traces"))
    return Agent("build_pipeline", "b1", nats_url=NOWHERE)


def waiting(agent: Agent) -> list[tuple[str, str | None, str | None, str | None, int]]:
    """What waits in the outbox: message, severity, category, operation, count."""
    entries = [entry for pending in agent._core.outbox._pending for entry in pending.values()]
    return [
        (entry.captured.message, *entry.captured.words[:3], entry.count)
        for entry in entries
        if entry.captured is not None
    ]


def test_the_public_names_are_pinned() -> None:
    """What `mendbus` exports, and the agent's members, change only on purpose."""
    exports = ["Agent", "Done", "Isolated", "MendbusError", "PeerIsolated", "RecoveryCommand", "Redaction", "Stats"]
    assert sorted(mendbus.__all__) == exports
    assert all(getattr(mendbus, name).__name__ == name for name in mendbus.__all__)
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        _ = mendbus.Nothing
    public = sorted(name for name in dir(Agent) if not name.startswith("_"))
    assert public == [
        "breaker",
        "checkpoint",
        "fallback",
        "feature",
        "flush",
        "gauge",
        "guard",
        "handler",
        "instance",
        "level",
        "metrics",
        "operation",
        "probe",
        "report",
        "severity",
        "standby",
        "start",
        "state",
        "stats",
        "stop",
        "wait_ready",
        "watch",
    ]
    parameters = inspect.signature(Agent).parameters
    assert {name: parameters[name].default for name in ("interval_ms", "outbox_dir", "limits")} == {
        "interval_ms": 500,
        "outbox_dir": None,
        "limits": None,
    }


def test_the_codec_does_not_load_the_sdk() -> None:
    """Importing the codec loads neither the SDK nor psutil nor a NATS client."""
    code = "import sys, mendbus.codec; print([m for m in sys.modules if m in ('psutil', 'nats') or 'sdk' in m])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_wrong_settings_are_told_all_at_once() -> None:
    """Every problem of kind, id, dependencies and interval stands in one error."""
    with pytest.raises(SettingsError) as wrong:
        Agent("a b", "", depends_on=["ok", "kind/id", "a/b/c", "x y"], interval_ms=0, limits=dict.fromkeys(NAMES, 1.0))
    assert len(wrong.value.problems) == 6
    with pytest.raises(SettingsError):
        Agent("a", "b", root="no root")


def test_report_takes_an_exception_or_words(agent: Agent) -> None:
    """An exception speaks for itself, words may replace or stand for it, and repeats share an event."""
    error = ValueError("boom")
    agent.report(error, severity="critical", category="build", operation="compile")
    agent.report(type="DiskFull", message="99 %")
    agent.report(error, message="said differently")
    agent.report()
    assert waiting(agent) == [
        ("99 %", None, None, None, 1),
        ("said differently", None, None, None, 1),
        ("", None, None, None, 1),
        ("boom", "critical", "build", "compile", 1),
    ]


def test_repeats_of_one_line_share_an_event(agent: Agent) -> None:
    """The same failure reported by the same line again has the same id while it waits."""
    ids = {agent.report(ValueError("boom")) for _ in range(10)}
    assert len(ids) == 1
    assert waiting(agent) == [("boom", None, None, None, 10)]
    stats = agent.stats()
    assert (stats.reported, stats.waiting_events, stats.connected, stats.ready) == (10, 1, False, False)
    assert stats.instance == agent.instance


def test_report_never_raises(agent: Agent, caplog: pytest.LogCaptureFixture) -> None:
    """A wrong word is left out, and even nonsense costs no more than a line in the log."""
    agent.report(ValueError("boom"), severity="awful", category="strange")  # type: ignore[arg-type]
    assert waiting(agent) == [("boom", None, None, None, 1)]
    assert "is left out" in caplog.text
    assert agent.report(ValueError(), attributes=42) == ""  # type: ignore[arg-type]
    assert "could not be reported" in caplog.text


def test_the_agent_says_how_grave_an_exception_is(agent: Agent, caplog: pytest.LogCaptureFixture) -> None:
    """Its function is asked where the report says nothing; what it cannot tell, or fails at, stays unsaid."""

    @agent.severity
    def judge(error: BaseException) -> Severity | None:
        if isinstance(error, OSError):
            return "critical"
        if isinstance(error, KeyError):
            raise RuntimeError("cannot judge")
        return "awful" if isinstance(error, TypeError) else None  # type: ignore[return-value]

    assert judge(OSError()) == "critical"
    for error in (OSError("disk"), ValueError("value"), KeyError("key"), TypeError("type")):
        agent.report(error)
    agent.report(OSError("minor"), severity="warning")
    agent.report(type="Slow", message="no exception")
    said = {message: severity for message, severity, *_ in waiting(agent)}
    expected = dict.fromkeys(("value", "'key'", "type", "no exception")) | {"disk": "critical", "minor": "warning"}
    assert said == expected
    assert "could not be judged" in caplog.text


def test_watch_and_guard_report_and_raise(agent: Agent) -> None:
    """Both let the exception pass, name the operation, and stay silent when nothing fails or the process is ending."""
    with agent.watch("idle"):
        pass
    with pytest.raises(ValueError, match="watched"), agent.watch("compile", severity="critical", category="build"):
        raise ValueError("watched")
    with pytest.raises(KeyboardInterrupt), agent.watch("compile"):
        raise KeyboardInterrupt

    @agent.guard
    def plain(value: int) -> int:
        if value < 0:
            raise ValueError("guarded")
        return value

    @agent.guard(operation="named", severity="warning")
    async def later() -> None:
        raise ValueError("later")

    assert plain(3) == 3
    with pytest.raises(ValueError, match="guarded"):
        plain(-1)
    with pytest.raises(ValueError, match="later"):
        asyncio.run(later())
    assert waiting(agent) == [
        ("later", "warning", None, "named", 1),
        ("guarded", None, None, None, 1),
        ("watched", "critical", "build", "compile", 1),
    ]
    for wrong in ({"severity": "awful"}, {"category": "strange"}):
        with pytest.raises(ValueError, match="there is no"):
            agent.watch(**wrong)  # type: ignore[arg-type]


def test_declarations_reach_the_hello(agent: Agent) -> None:
    """Decorators give their functions back, and what they declare is what the agent supports."""

    @agent.operation("fetch", idempotent=True, severity="error", category="network")
    def fetch(url: str) -> str:
        raise ConnectionError(url)

    @agent.fallback("fetch", "mirror")
    def mirror(url: str) -> str:
        return f"mirror of {url}"

    @agent.probe("fetch")
    def fetch_works() -> bool:
        return False

    @agent.probe()
    def works() -> bool:
        return True

    @agent.handler("restart")
    def restart(command: mendbus.RecoveryCommand) -> None: ...

    @agent.metrics
    def numbers() -> dict[str, float]:
        return {}

    agent.feature("thumbnails", on=works, off=works)
    agent.state(snapshot=lambda: b"state", restore=lambda _content, _version: None)
    agent.gauge("queue_depth", 3)
    core = agent._core
    assert core.strategies.supported() == [
        "retry",
        "fallback",
        "rollback",
        "isolate",
        "restart",
        "graceful_degradation",
    ]
    assert [(found.name, found.fallbacks) for found in core.operations.described()] == [("fetch", ["mirror"])]
    assert core.strategies.features == ["thumbnails"]
    assert mirror("x") == "mirror of x"
    with pytest.raises(ConnectionError):
        fetch("x")
    assert waiting(agent) == [("x", "error", "network", "fetch", 1)]
    assert (fetch_works(), works(), numbers(), restart) == (False, True, {}, restart)
    event = agent.checkpoint("v1")
    assert core.checkpoints.last_good == event
    with pytest.raises(TypeError, match="restore must take"):
        agent.state(snapshot=lambda: b"", restore=lambda: None)


async def test_an_agent_without_a_server_gets_out_of_the_way(agent: Agent, caplog: pytest.LogCaptureFixture) -> None:
    """Without NATS reports wait, waiting for readiness and flushing time out, and the end comes soon."""
    async with agent:
        agent.report(ValueError("boom"))
        assert not await asyncio.to_thread(agent.wait_ready, 0.05)
        assert not await asyncio.to_thread(agent.flush, 0.05)
        with pytest.raises(RuntimeError, match="started before"):
            agent.start()
        await asyncio.to_thread(agent.stop, 0.6)
    agent.stop()
    assert "1 failure(s) that NATS never took" in caplog.text
    assert not agent._thread.alive
    assert agent.report(ValueError("after the end"))
    with pytest.raises(RuntimeError, match="started before"):
        agent.start()


def test_synchronous_use(agent: Agent) -> None:
    """`with` does the same for code without a loop, and stopping what was never started does nothing."""
    Agent("build_pipeline", "b2", nats_url=NOWHERE).stop()
    with agent:
        assert agent._core.caller.user_loop is None
        assert any(thread.name == "mendbus build_pipeline/b1" for thread in threading.enumerate())
    assert not agent._thread.alive


async def test_asynchronous_snapshots(agent: Agent) -> None:
    """An asynchronous snapshot runs on the user's loop, and is refused where it would wait for itself."""
    loops: list[Any] = []

    async def snapshot() -> bytes:
        loops.append(asyncio.get_running_loop())
        return b"state"

    agent.state(snapshot=snapshot, restore=lambda _content, _version: None)
    async with agent:
        await asyncio.to_thread(agent.checkpoint, "v1")
        assert loops == [asyncio.get_running_loop()]
        with pytest.raises(RuntimeError, match="to_thread"):
            agent.checkpoint("v2")


def test_an_outbox_that_cannot_be_opened_is_told_at_the_start(tmp_path: Path) -> None:
    """A second agent on the same file is told so by `start`, and nothing is left running."""
    first = Agent("build_pipeline", "b1", nats_url=NOWHERE, outbox_dir=tmp_path)
    second = Agent("build_pipeline", "b1", nats_url=NOWHERE, outbox_dir=tmp_path)
    with first:
        with pytest.raises(OutboxError):
            second.start()
        assert not second._thread.alive


def test_an_agent_that_fails_to_run_says_so(agent: Agent, monkeypatch: pytest.MonkeyPatch, caplog: Any) -> None:
    """A fault in the agent's own thread is logged and harms nobody else."""

    async def fault(_: object) -> None:
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr("mendbus.sdk.life.Life.run", fault)
    with caplog.at_level(logging.ERROR), agent:
        pass
    assert "a bug" in caplog.text
