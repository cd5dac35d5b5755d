"""The breaker: calls to an isolated peer are cut until it is restored."""

import asyncio

import pytest

from mendbus import Agent, PeerIsolated, codec
from mendbus.bus import Message
from mendbus.contracts.ids import new_id
from mendbus.contracts.messages import AgentRef, PeerNotice
from mendbus.contracts.vocabulary import NoticeEvent
from mendbus.sdk.peers import Breaker, Peers


def notice(event: NoticeEvent, time: int, to: str | None = None) -> PeerNotice:
    """A notice about `runtime/r1`."""
    return PeerNotice(id=new_id(), time_unix_nano=time, agent=AgentRef(kind="runtime", id="r1"), event=event, to=to)


async def test_calls_are_cut_until_the_peer_is_restored() -> None:
    """As context manager and as decorator, for both kinds of functions; other peers stay reachable."""
    peers = Peers()
    breaker, other = Breaker(peers, "runtime/r1"), Breaker(peers, "runtime/r2")
    called: list[str] = []

    @breaker
    def call() -> str:
        called.append("call")
        return "answer"

    @breaker
    async def call_later() -> str:
        await asyncio.sleep(0)
        return "later"

    assert (call(), await call_later()) == ("answer", "later")
    await peers.notice(Message("notice.runtime.r1", codec.encode(notice("isolated", 1)), {}))
    with pytest.raises(PeerIsolated, match="runtime/r1 is isolated"), breaker:
        called.append("inside")
    for function in (call, call_later):
        with pytest.raises(PeerIsolated):
            await asyncio.ensure_future(function())  # type: ignore[arg-type]
    with other:
        called.append("other")
    peers.hear(notice("restored", 2))
    with breaker:
        called.append("again")
    assert called == ["call", "other", "again"]


async def test_a_failed_over_peer_names_its_successor() -> None:
    """Who catches the error knows whom to call."""
    peers = Peers()
    peers.hear(notice("failed_over", 1, "runtime/r2"))
    with pytest.raises(PeerIsolated) as cut:
        peers.check("runtime/r1")
    assert (cut.value.peer, cut.value.to) == ("runtime/r1", "runtime/r2")


async def test_an_older_notice_changes_nothing() -> None:
    """Notices that overtake each other are put in order by their times; bytes that are none are ignored."""
    peers = Peers()
    peers.hear(notice("isolated", 5))
    peers.hear(notice("restored", 4))
    await peers.notice(Message("notice.runtime.r1", b"junk", {}))
    with pytest.raises(PeerIsolated):
        peers.check("runtime/r1")
    peers.forget()
    peers.check("runtime/r1")


def test_a_breaker_is_for_one_agent() -> None:
    """A kind alone is refused."""
    agent = Agent("build_pipeline", "b1")
    with pytest.raises(ValueError, match="kind/id"):
        agent.breaker("runtime")
    with agent.breaker("runtime/r1"):
        pass
    agent.level("workers", lambda: 1, lambda _: None)
    assert agent._core.strategies.supported() == ["scale_down"]
