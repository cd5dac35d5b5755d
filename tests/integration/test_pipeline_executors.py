"""Executors that do not answer: what they would have found out about an agent is not known, and not taken for bad."""

from pathlib import Path
from unittest.mock import patch

from tests.integration.test_pipeline import pipeline

from mendbus.bus.memory import MemoryServer, Packet
from mendbus.contracts.subjects import Subjects
from mendbus.testing import eventually
from mendbus_strategy_selector import aftercare, asks, steps

_EXECUTE = Subjects().execute
_PROBE = Subjects().probe("runtime", "a1")


class _Unheard(MemoryServer):
    """Loses what is sent to one subject, when it should; at first to executors."""

    subject = _EXECUTE
    losing = False
    lost = 0

    def publish(self, packet: Packet) -> None:
        if self.losing and packet.subject == self.subject:
            self.lost += 1
        else:
            super().publish(packet)


async def test_no_answer_at_the_end_of_a_settle_window_is_asked_for_again(tmp_path: Path) -> None:
    """An agent is not ill because no executor answers: its recovery settles when one does, and nothing is undone."""
    server = _Unheard()
    with (
        patch.object(asks, "_EXECUTOR_ASKS", 1),
        patch.object(steps, "_PROBE_MS", 50),
        patch.object(aftercare, "_AGAIN_SECONDS", 0.01),
    ):
        async with pipeline(tmp_path, 'settle_seconds = 0.5\nfirst = "fallback"\n', server) as run:
            agent = await run.agent(strategies=("fallback", "restart"))
            await agent.report("Remote")
            first = await run.outcome(lambda o: o.outcome == "recovered")
            server.losing = True
            await eventually(lambda: server.lost >= 3)
            server.losing = False
            told = await run.outcome(lambda o: o.settled is True)
            assert (told.outcome, told.sequence, told.undone) == ("recovered", 1, False)
            assert told.attempts == first.attempts
            assert list(agent.effects) == [(first.incident_id, 1, "apply")]


async def test_an_agent_that_is_not_heard_for_a_moment_has_not_relapsed(tmp_path: Path) -> None:
    """While the way to it is cut nothing is known of an agent: its recovery settles when it answers again."""
    server = _Unheard()
    server.subject = _PROBE
    with patch.object(steps, "_PROBE_MS", 50), patch.object(aftercare, "_AGAIN_SECONDS", 0.01):
        async with pipeline(tmp_path, "settle_seconds = 1.0\n", server) as run:
            agent = await run.agent()
            await agent.report("Remote")
            first = await run.outcome(lambda o: o.outcome == "recovered")
            server.losing = True
            await eventually(lambda: server.lost >= 3)
            server.losing = False
            told = await run.outcome(lambda o: o.settled is True)
            assert (told.outcome, told.sequence, told.attempts) == ("recovered", 1, first.attempts)
            assert list(agent.effects) == [(first.incident_id, 1, "apply")]


async def test_an_agent_that_stays_unheard_takes_the_next_rung(tmp_path: Path) -> None:
    """One that hangs after its recovery did not recover."""
    with patch.object(steps, "_PROBE_MS", 50), patch.object(aftercare, "_AGAIN_SECONDS", 0.01):
        async with pipeline(tmp_path, "settle_seconds = 0.1\nrecovery_timeout_ms = 900\n") as run:
            agent = await run.agent()
            await agent.report("Hanging")
            await run.outcome(lambda o: o.outcome == "recovered")
            agent.answers = False
            told = await run.outcome(lambda o: o.outcome != "recovered")
            assert [attempt.strategy for attempt in told.attempts][:2] == ["retry", "restart"]


async def test_waiting_for_an_executor_is_no_time_of_attempts(tmp_path: Path) -> None:
    """Two attempts that no executor answered take none of the time that attempts may take: the third one recovers."""
    server = _Unheard()
    with patch.object(asks, "_EXECUTOR_ASKS", 1):
        async with pipeline(tmp_path, "recovery_timeout_ms = 600\n", server) as run:
            agent = await run.agent(strategies=("retry", "restart", "rollback"))
            server.losing = True
            await agent.report("Remote")
            await eventually(lambda: server.lost >= 2, every=0.001)
            server.losing = False
            told = await run.outcome(lambda o: o.outcome != "suppressed")
            assert told.outcome == "recovered", told.reason
            assert [attempt.verified for attempt in told.attempts] == [False, False, True]
            assert [a.ended_unix_nano - a.started_unix_nano for a in told.attempts[:2]] == [0, 0]
