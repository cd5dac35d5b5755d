"""What tests of decisions need beside the pipeline: orders of an operator, and agents that need one another."""

import time
from typing import Any

from tests.harness import ProtocolAgent
from tests.integration.test_pipeline import Pipeline
from tests.support import ask

from mendbus import codec
from mendbus.contracts.messages import AgentHello, AgentRef, Control, ControlResult
from mendbus.contracts.vocabulary import Strategy

ALL: dict[str, Any] = {"arguments": {"all": True}}


def until(seconds: float) -> int:
    """So many seconds from now, in nanoseconds since 1970."""
    return time.time_ns() + int(seconds * 1e9)


async def order(run: Pipeline, verb: str, **named: Any) -> ControlResult:
    """An order of an operator, and the answer."""
    control = Control(id="o1", time_unix_nano=1, verb=verb, by="kim", reason=f"to {verb}", **named)
    return await ask(run.bus, run.subjects.control(verb), control, ControlResult)


async def pause(run: Pipeline, seconds: float = 60.0, **named: Any) -> None:
    """Pauses what is named (`agent`, `kind`; everything if neither) from now on."""
    everything = {} if named else {"all": True}
    answer = await order(run, "pause", arguments={"until_unix_nano": until(seconds), **everything}, **named)
    assert answer.ok, answer.detail


async def introduce(
    run: Pipeline, name: str, *, kind: str = "runtime", needs: list[str], strategies: tuple[Strategy, ...] = ("retry",)
) -> ProtocolAgent:
    """An agent that depends on others, its hello stored."""
    agent = ProtocolAgent(run.bus, run.subjects, kind, name)
    await agent.start()
    hello = AgentHello(agent=agent.ref, strategies=list(strategies), depends_on=needs, interval_ms=500)
    await run.bus.store(run.subjects.key("agents", kind, name), codec.encode(hello))
    await run.bus.barrier()
    return agent


def ref(name: str, kind: str = "runtime") -> AgentRef:
    """An agent by name."""
    return AgentRef(kind=kind, id=name)
