"""`mendbus doctor` and `mendbus conformance`: what is missing is named."""

import asyncio
import json

import pytest
from tests.system.commands import MAX_BYTES, in_json, keep, mendbus, streams_of, with_bus

from mendbus.bus import Bus
from mendbus.bus.nats import connect
from mendbus.conformance import Check
from mendbus.contracts.vocabulary import SERVICES
from mendbus.micro import Micro, announce
from mendbus.settings import Settings


def test_a_server_without_streams_and_services_is_not_well(settings: Settings) -> None:
    """What is missing is named, each with its remedy, and nothing is created."""
    shown = mendbus("doctor")
    assert shown.exit_code == 1
    states = {line.split()[0]: line for line in shown.stdout.splitlines()[1:] if line}
    assert "is missing" in states["streams"]
    assert "16" not in states["consumers"]
    assert all("does not answer" in states[service] for service in SERVICES)
    assert "-> run `mendbus run executor`" in shown.stdout

    async def look() -> list[str]:
        bus = await connect(settings.nats_url, name="test")
        try:
            return await streams_of(bus, settings)
        finally:
            await bus.close()

    assert asyncio.run(look()) == []


async def test_an_installation_that_has_everything_is_well(settings: Settings) -> None:
    """With streams, consumers and five answering services all checks pass, and JSON says so."""
    from mendbus.cli.checks import examine

    async def serve(bus: Bus) -> None:
        for service in SERVICES:
            await announce(bus, Micro(service, "i1", "0.1.0", "", {}))
        await bus.barrier()
        found = await examine(settings)
        assert [check for check in found if check.state != "ok"] == []
        assert {check.name for check in found} >= {"server", "sync", "clock", "streams", "consumers", *SERVICES}

    await with_bus(settings, serve)


def test_a_stream_with_other_settings_is_named(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stream that differs from what is needed is named with both values."""

    keep(settings)
    monkeypatch.setenv("MENDBUS_STREAM_MAX_BYTES", str(MAX_BYTES * 2))
    shown = mendbus("doctor", "--json")
    found = {one["name"]: one for one in json.loads(shown.stdout)}
    assert f"max_bytes is {MAX_BYTES}, needed {MAX_BYTES * 2}" in found["streams"]["found"]
    assert found["consumers"]["state"] == "ok"


def test_an_agent_that_is_not_there_keeps_no_duty(settings: Settings) -> None:
    """`conformance` names each duty that is broken, and ends with status 1."""
    shown = mendbus("conformance", "--agent", "runtime/nobody", "--timeout", "0.1")
    assert shown.exit_code == 1
    assert "nobody listens" in shown.stdout
    assert "0 kept" in shown.stdout


def test_an_agent_that_keeps_its_duties_is_told_so(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """When no duty is broken the status is 0, also where some could not be checked."""

    async def conform(*_: object, **how: float) -> list[Check]:
        assert how == {"timeout": 5.0, "error_wait": 2.0}
        return [Check("hello", "says hello", "pass", "heard"), Check("error", "reports", "skip", "none came")]

    monkeypatch.setattr("mendbus.conformance.conform", conform)
    shown = mendbus("conformance", "--agent", "runtime/r1", "--error-wait", "2")
    assert shown.exit_code == 0
    assert "1 kept, 0 broken, 1 not checked" in shown.stdout
    assert [one["verdict"] for one in in_json("conformance", "--agent", "runtime/r1", "--error-wait", "2")] == [
        "pass",
        "skip",
    ]
