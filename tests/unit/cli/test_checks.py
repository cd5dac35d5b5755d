"""What `mendbus doctor` finds wrong, and what it says to do."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import pytest

from mendbus.bus import Bus, Message
from mendbus.cli import checks
from mendbus.contracts.errors import NoResponders
from mendbus.security.credentials import Identity, write
from mendbus.security.keys import KeyPair
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
    """Open beyond this machine is a warning, credentials that cannot be read a problem, and half of it a warning."""
    assert checks.rights(Settings()).state == "ok"
    assert checks.rights(Settings(nats_url="nats://127.0.0.1:1,nats://elsewhere:4222")).state == "warning"
    file = tmp_path / "admin.nk"
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
async def test_clocks_must_agree(off: float | None, state: str) -> None:
    """A clock that is seconds away from the server's, either way, is a problem."""
    told = {} if off is None else {"ts": (datetime.now(UTC) + timedelta(seconds=off)).isoformat()}
    assert (await checks.clock(_bus(STREAM__INFO__S=told), "S")).state == state


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
