"""Events for open pages: batches, what is missed, who is too slow."""

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from tests.support import Clock

from mendbus.asking.board import LiveIncident, Watched
from mendbus.contracts.messages import Alert
from mendbus_health_monitor.dashboard import hub as hubs
from mendbus_health_monitor.dashboard.hub import Client, Hub


def made() -> Hub:
    return Hub("e", Clock())


async def heard(client: Client, count: int = 1_000) -> list[tuple[str, str, Any]]:
    """What waits for a client: id, event, data; comments aside. Stops where it would wait."""
    found: list[tuple[str, str, Any]] = []
    chunks: AsyncIterator[bytes] = client.chunks(alive=0.001)
    async for chunk in chunks:
        if chunk.startswith(b":"):
            break
        fields = dict(line.split(": ", 1) for line in chunk.decode().strip().split("\n"))
        if "event" in fields:
            found.append((fields.get("id", ""), fields["event"], json.loads(fields["data"])))
        if len(found) == count:
            break
    return found


def kinds(batches: list[tuple[str, str, Any]]) -> list[list[str]]:
    return [[event["kind"] for event in data["events"]] for _, _, data in batches]


async def test_changes_are_told_in_batches() -> None:
    """Of several changes of the same thing in one batch the last is told; without any there is no batch."""
    hub = made()
    client = hub.join("")
    hub.flush()
    for score in (1.0, 2.0):
        hub.put("agent", "a/b", Watched("a/b", "good", score, "", 5))
    hub.put("rates", "rates", {"errors": 3})
    hub.flush()
    [(number, event, data)] = await heard(client)
    assert (number, event, hub.event) == ("e-1", "batch", "e-1")
    agent = {"key": "a/b", "status": "good", "score": 2.0, "reason": "", "changed_unix_nano": 5}
    assert data["events"] == [{"kind": "agent", "agent": agent}, {"kind": "rates", "rates": {"errors": 3}}]


async def test_every_kind_has_its_shape() -> None:
    """Incidents, alerts, orders and dead letters as the page takes them."""
    hub = made()
    client = hub.join("")
    incident = LiveIncident("i", "a/b", "E: x", 7, stage="commanded", told="retry #1", strategy="retry")
    incident.times |= {"received": 7, "acting": 9}
    alert = {"id": "1", "key": "k", "time_unix_nano": 1, "severity": "major", "state": "raised", "summary": "s"}
    hub.put("incident", "i", incident)
    hub.put("alert", "k", Alert.model_validate(alert))
    hub.put("operated", "1", {"verb": "pause", "by": "kim"})
    hub.put("dead", "1", {"service": "classifier"})
    hub.flush()
    [(_, _, data)] = await heard(client)
    first, second, third, fourth = data["events"]
    assert first["incident"]["stage"] == "acting"
    assert first["incident"]["times"] == {"received": 7, "acting": 9}
    assert first["incident"]["strategy"] == "retry"
    assert second == {"kind": "alert", "alert": alert}
    assert third == {"kind": "operated", "entry": {"verb": "pause", "by": "kim"}}
    assert fourth == {"kind": "dead", "service": "classifier"}


async def test_who_comes_back_is_told_what_was_missed() -> None:
    """From the id on that was heard last, each batch once and in order; then what comes."""
    hub = made()
    for number in range(5):
        hub.put("rates", "rates", {"errors": number})
        hub.flush()
    client = hub.join("e-3")
    hub.put("rates", "rates", {"errors": 9})
    hub.flush()
    assert [number for number, _, _ in await heard(client)] == ["e-4", "e-5", "e-6"]
    assert await heard(hub.join("e-6")) == []


async def test_who_missed_too_much_begins_anew() -> None:
    """An id of another hub, of the future, none at all, or older than what is kept: reset, and the stream ends."""
    hub = made()
    for number in range(hubs.KEPT_BATCHES + 2):
        hub.put("rates", "rates", {"errors": number})
        hub.flush()
    for after in ("other-5", f"e-{hubs.KEPT_BATCHES + 3}", "e-x", "e-1", "nonsense"):
        client = hub.join(after)
        assert [event for _, event, _ in await heard(client)] == ["reset"], after
        assert client.closed
        assert client not in hub.clients
    assert len(await heard(hub.join("e-2"))) == hubs.KEPT_BATCHES


async def test_who_is_too_slow_is_let_go() -> None:
    """What waits for one page is bounded, and so is what is kept for all; others are not touched."""
    hub = made()
    slow, quick = hub.join(""), hub.join("")
    long = "x" * 100_000
    for number in range(40):
        hub.put("rates", "rates", {long: number})
        hub.flush()
        assert len(await heard(quick, 1)) == 1
    assert slow.closed
    assert not quick.closed
    assert await heard(slow) == []
    assert [event for _, event, _ in await heard(hub.join("e-1"))] == ["reset"]


async def test_samples_go_to_who_watches_the_agent() -> None:
    """They have no number, and nobody else gets them."""
    hub = made()
    watching, other = hub.join("", "a/b"), hub.join("", "a/c")
    hub.sample("a/b", lambda: {"kind": "sample", "agent": "a/b"})
    [(number, event, data)] = await heard(watching)
    assert (number, event, data["events"]) == ("", "batch", [{"kind": "sample", "agent": "a/b"}])
    assert await heard(other) == []


async def test_who_joins_a_full_hub_begins_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many were let in before any was sent something, only so many have a queue; the rest is told to wait."""
    monkeypatch.setattr(hubs, "MAX_CLIENTS", 2)
    hub = made()
    for _ in range(2):
        assert not hub.full
        _ = hub.join("")
    assert "2 pages are open" in hub.full
    client = hub.join("")
    assert [(event, data) for _, event, data in await heard(client)] == [("reset", {"reason": hub.full})]
    assert client.closed
    assert len(hub.clients) == 2


async def test_who_joins_after_the_end_begins_anew() -> None:
    """A page that was admitted before the end and is first sent something after it follows nothing: it is told so."""
    hub = made()
    hub.put("rates", "rates", {"errors": 1})
    hub.flush()
    hub.end("gone")
    for after in ("", hub.event):
        client = hub.join(after)
        assert [(event, data) for _, event, data in await heard(client)] == [("reset", {"reason": "gone"})]
        assert client.closed
        assert client not in hub.clients


async def test_the_end_is_told() -> None:
    """Every page is told to begin anew, and its stream ends."""
    hub = made()
    client = hub.join("")
    hub.end("gone")
    assert [(event, data) for _, event, data in await heard(client)] == [("reset", {"reason": "gone"})]
    assert [chunk async for chunk in client.chunks()] == [b"retry: 1000\n\n"]
