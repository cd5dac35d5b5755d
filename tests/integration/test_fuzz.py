"""Anything on any subject that services read: junk becomes a dead letter, and the next valid error is recovered."""

import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.fuzz.mutating import is_valid
from tests.harness import ProtocolAgent
from tests.support import memory_runtime

import mendbus_classifier
import mendbus_executor
import mendbus_health_monitor
import mendbus_predictor
import mendbus_strategy_selector
from mendbus import codec
from mendbus.bus import Bus, Handler, Message
from mendbus.bus.memory import MemoryServer
from mendbus.contracts.catalogue import FAMILIES
from mendbus.contracts.errors import BusTimeout, NoResponders, Refused, ServiceFailed
from mendbus.contracts.messages import RecoveryOutcome
from mendbus.contracts.subjects import HEADER_CODE, MAX_SERVICE_BODY, Subjects
from mendbus.settings import Settings
from mendbus.testing import eventually

SUBJECTS = Subjects()
NAMES = (
    "error",
    "outcome",
    "settled",
    "hello",
    "goodbye",
    "health",
    "prediction",
    "control",
    "classify",
    "assess",
    "execute",
)
READ = [family for family in FAMILIES if family.name in NAMES]
TOKENS = {"severity": "error", "kind": "runtime", "agent": "a1", "verb": "agents"}
SERVICES = (
    mendbus_classifier,
    mendbus_predictor,
    mendbus_executor,
    mendbus_health_monitor,
    # Ends first: what it has begun, it ends with the help of the others.
    mendbus_strategy_selector,
)


@dataclass
class Live:
    """A bus of the test's own, an agent on it, and the events of which it heard that they are recovered."""

    bus: Bus
    agent: ProtocolAgent
    recovered: set[str] = field(default_factory=set[str])

    async def hear(self, message: Message) -> None:
        outcome = codec.decode(RecoveryOutcome, message.body, MAX_SERVICE_BODY)
        if outcome.outcome == "recovered":
            self.recovered.update(outcome.event_ids)


@pytest.fixture
async def live(tmp_path: Path) -> AsyncIterator[Live]:
    """All five services in one process, with an agent that works."""
    server = MemoryServer()
    policy = tmp_path / "policy.toml"
    policy.write_text("settle_seconds = 0.05\nrecurrence_seconds = 0.001\n")
    async with AsyncExitStack() as stack:
        # The agent ends last: what is under way needs its answers.
        found = server.connect("test")
        stack.push_async_callback(found.close)
        for package in SERVICES:
            conditions = Settings(trace=False, canary_seconds=0, policy_file=policy)
            await stack.enter_async_context(memory_runtime(package.build(), server, settings=conditions))
        live = Live(found, ProtocolAgent(found, SUBJECTS, "runtime", "a1"))
        await live.agent.start()
        # The subject is fuzzed too: junk on it is not an outcome.
        await found.subscribe(SUBJECTS.outcome("runtime", "a1"), _if_valid(live))
        yield live


def _if_valid(live: Live) -> Handler:
    async def hear(message: Message) -> None:
        with suppress(Refused):
            await live.hear(message)

    return hear


_JUNK = st.one_of(
    st.binary(max_size=100),
    st.dictionaries(
        st.sampled_from(["id", "agent", "time_unix_nano", "exception", "metrics", "verb", "command", "error"]),
        st.recursive(
            st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=5),
            lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
            max_leaves=6,
        ),
        max_size=5,
    ).map(codec.pack),
)


def test_every_family_that_services_read_is_fuzzed() -> None:
    """The list above is that of the catalogue, but for what only a later reader will read."""
    unread = {"journal", "journal_control", "notice", "status", "alert", "dead"}
    # Read back from their stream by who wrote them, not as they come.
    unread |= {"minute", "second"}
    named = {family.name for family in FAMILIES if family.dead_letter is not None and family.body is not None}
    assert named - unread - set(NAMES) == set()


@pytest.mark.timeout(180)
@given(data=st.data())
@settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
async def test_junk_becomes_a_dead_letter_and_work_goes_on(live: Live, data: st.DataObject) -> None:
    """Whatever arrives on whichever subject, it is kept with a reason, and an error after it is recovered."""
    bus = live.bus
    family = data.draw(st.sampled_from(READ))
    body = data.draw(_JUNK.filter(lambda junk: not is_valid(family, junk)))
    # Of an operator's orders each service takes its own; `agents` is the health-monitor's.
    service = "health-monitor" if family.name == "control" else family.dead_letter
    assert service is not None
    target = SUBJECTS.dead(service)
    before = await bus.last(SUBJECTS.stream("DEAD"), target)
    subject = f"{SUBJECTS.root}.{family.address.format(**TOKENS)}"
    if family.stream is not None:
        await bus.store(subject, body)
    elif family.reply is not None:
        with pytest.raises((ServiceFailed, NoResponders, BusTimeout)):
            await bus.request(subject, body, timeout=0.5)
    else:
        await bus.publish(subject, body)

    async def kept() -> bool:
        dead = await bus.last(SUBJECTS.stream("DEAD"), target)
        newer = dead is not None and (before is None or dead.sequence > before.sequence)
        return newer and dead is not None and dead.body == body and bool(dead.headers[HEADER_CODE])

    await eventually(kept, 20.0)
    await _an_error_is_recovered(live)


async def _an_error_is_recovered(live: Live) -> None:
    # A failure of its own each time, in letters: numbers are taken for noise.
    event_id = await live.agent.report("Valid" + "".join(chr(ord("a") + byte % 26) for byte in os.urandom(8)))
    await eventually(lambda: event_id in live.recovered, 20.0)
