"""What `mendbus doctor` finds wrong, and what it says to do."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import pytest

from mendbus.bus import Bus, Message
from mendbus.cli import checks
from mendbus.contracts.errors import BusError, NoResponders
from mendbus.contracts.patterns import covers, overlap
from mendbus.contracts.subjects import Subjects
from mendbus.otlp_sink import OtlpSink
from mendbus.security.credentials import Identity, write
from mendbus.security.keys import KeyPair
from mendbus.security.rights import rights_of
from mendbus.settings import Settings


class _Bus:
    """Answers requests with JSON; what it does not know, nobody answers."""

    def __init__(self, answers: dict[str, Any]) -> None:
        self.answers = answers

    async def request(self, subject: str, body: bytes, *, timeout: float) -> Message:
        if subject not in self.answers:
            raise NoResponders(subject)
        return Message(subject, json.dumps(self.answers[subject]).encode(), {})


def _bus(**answers: Any) -> Bus:
    return cast("Bus", _Bus({f"$JS.API.{name.replace('__', '.')}": answer for name, answer in answers.items()}))


def test_python_must_be_new_enough() -> None:
    """3.11 is enough, 3.10 is not."""
    assert checks.python((3, 11, 0)).state == "ok"
    assert checks.python((3, 10, 9)) == checks.Check("python", "problem", "3.10.9", "install Python 3.11 or newer")


def test_a_missing_libgomp_is_named_with_its_packages() -> None:
    """Without the library the remedy names the package of each family of systems."""
    found = checks.libgomp("libno-such-thing.so.9")
    assert found.state == "problem"
    assert "apt-get install libgomp1" in found.remedy


def test_libgomp_is_not_needed_without_lightgbm(monkeypatch: pytest.MonkeyPatch) -> None:
    """The command line in a container of its own loads no learned model."""
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    assert checks.libgomp("libno-such-thing.so.9").found == "not needed here"


def test_a_full_disk_is_a_problem(tmp_path: Path) -> None:
    """Too little room is a problem, also where the data folder does not exist yet."""
    assert checks.disk(tmp_path / "a" / "b", needed=1).state == "ok"
    assert checks.disk(tmp_path / "a" / "b", needed=1 << 62).state == "problem"


@pytest.mark.parametrize(
    ("answers", "state"),
    [({"INFO": {"api": {"level": 2}}}, "ok"), ({"INFO": {"api": {"level": 1}}}, "problem"), ({}, "problem")],
)
async def test_an_old_server_is_a_problem(answers: dict[str, Any], state: str) -> None:
    """A server before 2.12, or one without JetStream, is not enough."""
    assert (await checks.level(_bus(**answers))).state == state


def test_a_server_that_asks_nobody_who_he_is_is_told_unless_it_is_on_loopback(tmp_path: Path) -> None:
    """Open beyond this machine is a warning, as is half of it; credentials missing or unreadable are a problem."""
    assert checks.rights(Settings()).state == "ok"
    assert checks.rights(Settings(nats_url="nats://127.0.0.1:1,nats://elsewhere:4222")).state == "warning"
    file = tmp_path / "admin.nk"
    assert checks.rights(Settings(nats_ca=file)).state == "problem"
    assert checks.rights(Settings(nats_credentials=file)).state == "problem"
    write(file, Identity("operator/admin", KeyPair.generate()))
    assert "without TLS" in checks.rights(Settings(nats_credentials=file)).found
    half = Settings(nats_credentials=file, nats_ca=file)
    assert "without signatures" in checks.rights(half).found
    assert checks.rights(half.model_copy(update={"trusted_keys": file})).state == "ok"


async def test_sync_that_cannot_be_seen_is_a_warning() -> None:
    """Without a monitoring address nobody can tell; that is said, not hidden."""
    assert (await checks.syncs("")).state == "warning"
    assert (await checks.syncs("http://127.0.0.1:1")).state == "warning"


@pytest.mark.parametrize(("synced", "state"), [(True, "ok"), (False, "problem")])
async def test_sync_is_judged_as_seen(monkeypatch: pytest.MonkeyPatch, synced: bool, state: str) -> None:
    """A server that does not sync every write is a problem."""

    async def seen(_url: str, *, timeout: float) -> bool:
        return synced

    monkeypatch.setattr("mendbus.cli.checks.syncs_always", seen)
    assert (await checks.syncs("http://127.0.0.1:1")).state == state


@pytest.mark.parametrize(("off", "state"), [(0.0, "ok"), (5.0, "problem"), (-5.0, "problem"), (None, "warning")])
def test_clocks_must_agree(off: float | None, state: str) -> None:
    """A clock that is seconds away from the server's, either way, is a problem."""
    now = datetime.now(UTC)
    told = None if off is None else (now + timedelta(seconds=off)).isoformat()
    assert checks.clock(told, now.timestamp() - 0.1, now.timestamp() + 0.1).state == state


SUBJECTS = Subjects()
_ALL = {"allow": [">"], "deny": None}


@pytest.mark.parametrize(
    ("limits", "state", "said"),
    [
        (None, "ok", "without limits"),
        ({"publish": _ALL, "subscribe": _ALL}, "ok", "rights of its own"),
        ({"publish": _ALL, "subscribe": {"allow": ["_INBOX.>"]}}, "problem", "may not hear mendbus.v1.outcome.>"),
        ({"publish": {"allow": ["$JS.API.>", "$SRV.>"]}}, "problem", "may not publish mendbus.v1.control.status"),
        ({"publish": {"deny": ["mendbus.v1.control.pause"]}}, "problem", "may not publish mendbus.v1.control.pause"),
        (rights_of("operator/looks", SUBJECTS, "viewer").permissions(), "ok", "order nothing, as a viewer"),
        (rights_of("operator/orders", SUBJECTS, "operator").permissions(), "ok", "rights of its own"),
        (rights_of("agent/runtime/r1", SUBJECTS).permissions(), "problem", "may not publish mendbus.v1.control.status"),
        ({"subscribe": {"allow": [">"], "deny": ["*.v1.status.runtime.*"]}}, "problem", "may not hear"),
    ],
)
async def test_a_user_without_the_rights_is_told_which(limits: dict[str, Any] | None, state: str, said: str) -> None:
    """What commands publish and hear is held against what the server says that the user may."""
    told = {"server": {"time": datetime.now(UTC).isoformat()}, "data": {"user": "u", "permissions": limits}}
    permissions, clock = await checks.user(cast("Bus", _Bus({"$SYS.REQ.USER.INFO": told})), SUBJECTS)
    assert (permissions.state, clock.state) == (state, "ok")
    assert said in permissions.found
    assert bool(permissions.remedy) == (state != "ok")


async def test_a_server_that_does_not_tell_rights_is_a_warning() -> None:
    """Neither silence nor nonsense is taken for good news."""
    for bus in (_bus(), cast("Bus", _Bus({"$SYS.REQ.USER.INFO": []}))):
        assert [check.state for check in await checks.user(bus, SUBJECTS)] == ["warning", "warning"]


def test_patterns_overlap_where_a_subject_fits_both() -> None:
    """A right that is denied in part is not there."""
    assert overlap("*.v1.status.runtime.*", "a.v1.>")
    assert overlap("a.*", "*.b")
    assert not overlap("a.*", "b.>")
    assert not overlap("a.b", "a.b.c")


@pytest.mark.parametrize(
    ("pattern", "wanted", "covered"),
    [
        (">", "a.b", True), ("a.>", "a", False), ("a.>", "a.b.>", True), ("a.*", "a.b", True), ("a.*", "a.>", False),
        ("a.b", "a.*", False), ("a.*", "a.*", True), ("a.b", "a.b.c", False), ("a.b.c", "a.b", False),
    ],
)  # fmt: skip
def test_a_pattern_covers_what_it_lets_through(pattern: str, wanted: str, covered: bool) -> None:
    """A pattern covers another where everything that fits that one fits it, too."""
    assert covers(pattern, wanted) == covered


@pytest.mark.parametrize(
    ("stored", "account", "state"),
    [(10, {}, "ok"), (95, {}, "problem"), (10, {"storage": 95, "limits": {"max_storage": 100}}, "problem")],
)
async def test_streams_that_are_nearly_full_are_a_problem(stored: int, account: dict[str, Any], state: str) -> None:
    """It is said before the server refuses errors, with what it means for agents."""
    one = {"state": {"bytes": stored << 20}, "config": {"max_bytes": 100 << 20}}
    names = {f"$JS.API.STREAM.INFO.{SUBJECTS.stream(name)}": one for name in ("ERRORS", "JOURNAL")}
    found = await checks.room(cast("Bus", _Bus({**names, "$JS.API.INFO": account})), Settings())
    assert found.state == state
    assert ("outboxes" in found.remedy) == (state != "ok")


async def test_a_refused_agent_is_a_problem() -> None:
    """While the server limits what an agent stores it is said where the agent is named."""
    one = {"state": {"bytes": 1}, "config": {"max_bytes": 100 << 20, "max_msgs_per_subject": 300}}
    names = {f"$JS.API.STREAM.INFO.{SUBJECTS.stream(name)}": one for name in ("ERRORS",)}
    names[f"$JS.API.STREAM.INFO.{SUBJECTS.stream('JOURNAL')}"] = {}
    found = await checks.room(cast("Bus", _Bus({**names, "$JS.API.INFO": {}})), Settings())
    assert found.state == "problem"
    assert "more than 300 errors" in found.found
    assert "mendbus.agents.refused" in found.found


async def test_a_collector_that_is_not_there_is_a_problem(tmp_path: Path) -> None:
    """Spans that nobody takes are said to be lost; kept ones, none at all and a collector that answers are fine."""
    assert (await checks.tracing(Settings(trace=False))).state == "ok"
    assert str(tmp_path) in (await checks.tracing(Settings(trace_dir=tmp_path))).found
    for wrong in ("http://127.0.0.1:1", "127.0.0.1"):
        found = await checks.tracing(Settings(otlp_endpoint=wrong))
        assert found.state == "problem"
        assert "start Jaeger" in found.remedy
    async with OtlpSink() as sink:
        assert (await checks.tracing(Settings(otlp_endpoint=sink.endpoint))).state == "ok"
        found = await checks.tracing(Settings(otlp_endpoint=f"{sink.endpoint}/elsewhere"))
        assert (found.state, "4318" in found.remedy) == ("problem", True)


def test_a_server_that_refuses_us_is_told_apart_from_none() -> None:
    """Wrong credentials have another remedy than a server that is not there."""
    refused = checks.unreached(BusError("no connection (nats: 'Authorization Violation')"))
    assert "credentials" in refused.remedy
    assert "mendbus up" in checks.unreached(BusError("no connection (refused)")).remedy


async def test_a_silent_service_is_a_problem() -> None:
    """A service that does not answer, or answers nonsense, is named with how to start it."""
    found = await checks.answers(_bus(), "executor")
    assert found.state == "problem"
    assert "mendbus run executor" in found.remedy
    nonsense = cast("Bus", _Bus({"$SRV.PING.executor": {}}))
    assert (await checks.answers(nonsense, "executor")).state == "problem"


async def test_an_installation_that_does_not_answer_is_a_problem(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A `mendbus up` whose state file is there must answer; one that is not there is not missed."""
    settings = Settings(data_dir=tmp_path)
    assert await checks.supervised(settings) == []
    monkeypatch.setattr("mendbus.cli.checks.running", lambda _folder: {"http_port": 1, "pid": 7})
    found = await checks.supervised(settings)
    assert [check.state for check in found] == ["problem"]


async def test_a_service_that_is_not_ready_is_told_with_its_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What `mendbus up` says of a service that is not ready is passed on."""

    async def told(_host: str, _port: int) -> dict[str, Any]:
        unmet = {"bus": {"ok": False, "detail": "out of reach"}, "started": {"ok": True, "detail": ""}}
        return {"services": {"executor": {"ready": False, "conditions": unmet}, "predictor": {"ready": True}}}

    monkeypatch.setattr("mendbus.cli.checks.running", lambda _folder: {"http_port": 1, "pid": 7})
    monkeypatch.setattr("mendbus.supervisor.readiness", told)
    found = await checks.supervised(Settings(data_dir=tmp_path))
    assert found == [checks.Check("mendbus up", "problem", "executor bus: out of reach", "look at its log")]
