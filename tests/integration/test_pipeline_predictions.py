"""A failure that is predicted becomes an incident: left alone, or prevented where the policy says so, and no alarm."""

import asyncio
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.harness import ProtocolAgent, installation, read_ledger
from tests.integration import secured
from tests.integration.operating import order, pause
from tests.integration.test_pipeline import QUICK, Pipeline, SlowAgent, pipeline
from tests.support import memory_runtime, tell

import mendbus_executor
import mendbus_strategy_selector
from mendbus import codec
from mendbus.bus import Message
from mendbus.bus.memory import MemoryServer
from mendbus.contracts import foreseen
from mendbus.contracts.errors import Forbidden
from mendbus.contracts.ids import new_id
from mendbus.contracts.messages import (
    AgentRef,
    CommandResult,
    ErrorReported,
    ExceptionInfo,
    FailurePredicted,
    RecoveryCommand,
    RecoveryOutcome,
)
from mendbus.contracts.vocabulary import Strategy
from mendbus.settings import Settings
from mendbus.testing import eventually
from mendbus_strategy_selector.foreseen import EVERY_SECONDS, error_of, predicted_of, summary_of

ACTING = (
    QUICK
    + """
[preventive]
holdout_share = 0.0
[preventive.strategies]
runtime = ["restart", "graceful_degradation"]
"""
)
_NANO = 1_000_000_000


@dataclass
class Stubborn(ProtocolAgent):
    """One that takes nothing back."""

    async def _command(self, message: Message) -> None:
        command = codec.decode(RecoveryCommand, message.body)
        if command.action == "undo":
            refusal = CommandResult(command_id=command.command_id, status="failed", code="stubborn")
            await self.bus.publish(message.reply, codec.encode(refusal))
        else:
            await super()._command(message)


def prediction(agent: AgentRef, **changes: Any) -> FailurePredicted:
    """One that is sure enough to be acted upon."""
    values: dict[str, Any] = {
        "id": new_id(),
        "time_unix_nano": time.time_ns(),
        "agent": agent,
        "probability": 0.75,
        "confidence": 0.45,
        "strategy": "restart",
        "horizon_ms": 30_000,
        "model": "failure-7",
        "features": {"memory_bytes_slope": 12345.678, "queue_depth_z": 3.0},
    }
    return FailurePredicted.model_validate(values | changes)


async def foretell(run: Pipeline, agent: ProtocolAgent, of: AgentRef | None = None, **changes: Any) -> FailurePredicted:
    """Tells that an agent (or one that it says to be) will fail, as the predictor does."""
    told = prediction(of or agent.ref, **changes)
    await tell(run.bus, run.subjects.prediction(agent.kind, agent.id), told)
    return told


def about(told: FailurePredicted) -> Callable[[RecoveryOutcome], bool]:
    """Whether an outcome is that of a prediction."""
    return lambda outcome: told.id in outcome.event_ids


async def test_what_is_foreseen_is_prevented_verified_and_settled(tmp_path: Path) -> None:
    """From the prediction to one restart, a healthy probe and a settled outcome that names model and probability."""
    async with pipeline(tmp_path, ACTING) as run:
        agent = await run.agent()
        told = await foretell(run, agent)
        first = await run.outcome(about(told))
        assert (first.outcome, first.strategy, first.settled) == ("recovered", "restart", None)
        assert [(one.strategy, one.verified) for one in first.attempts] == [("restart", True)]
        assert first.decision is not None
        assert first.decision.rule == "preventive"
        assert first.decision.state["predicted"]["probability"] == 0.75
        assert first.prediction is not None
        assert (first.prediction.model, first.prediction.features) == ("failure-7", told.features)
        last = await run.outcome(lambda o: about(told)(o) and o.settled is True)
        assert (last.outcome, last.incident_id) == ("recovered", first.incident_id)
        assert list(agent.effects.values()) == [1]


async def test_by_default_it_is_only_written_down(tmp_path: Path) -> None:
    """Without a table in the policy the agent is not touched, and the incident says why."""
    async with pipeline(tmp_path) as run:
        agent = await run.agent()
        agent.works = False
        outcome = await run.outcome(about(await foretell(run, agent)))
        assert (outcome.outcome, outcome.attempts, outcome.strategy) == ("no_action", [], None)
        assert "nothing done before a failure" in (outcome.reason or "")
        assert not agent.effects


async def test_what_is_held_out_says_so(tmp_path: Path) -> None:
    """The decision record tells a prediction that was held out from one that nothing could be done about."""
    async with pipeline(tmp_path, ACTING.replace("holdout_share = 0.0", "holdout_share = 1.0")) as run:
        agent = await run.agent()
        outcome = await run.outcome(about(await foretell(run, agent)))
        assert (outcome.outcome, outcome.attempts) == ("no_action", [])
        assert outcome.decision is not None
        assert outcome.decision.rule == "held_out"
        assert not agent.effects


async def test_one_prediction_a_minute_counts_however_many_tell_it(tmp_path: Path) -> None:
    """The same message twice, and another predictor's a little later, count once; the next minute's counts again."""
    async with pipeline(tmp_path, ACTING) as run:
        agent = await run.agent()
        told = await foretell(run, agent)
        await tell(run.bus, run.subjects.prediction(agent.kind, agent.id), told)
        await foretell(run, agent, time_unix_nano=told.time_unix_nano + _NANO)
        later = await foretell(run, agent, time_unix_nano=told.time_unix_nano + int(EVERY_SECONDS * _NANO))
        _ = await run.outcome(about(later))
        ledger = await read_ledger(run.bus, run.subjects)
        assert set(ledger.counted) == {told.id, later.id}


async def test_a_second_prediction_takes_no_recovery_back(tmp_path: Path) -> None:
    """What is foretold once more while the first attempt settles is counted; only what is observed undoes something."""
    async with pipeline(tmp_path, ACTING.replace("settle_seconds = 0.2", "settle_seconds = 30.0")) as run:
        agent = await run.agent(strategies=("graceful_degradation", "restart"))
        told = await foretell(run, agent, strategy="graceful_degradation")
        first = await run.outcome(about(told))
        assert first.strategy == "graceful_degradation"
        again = await foretell(run, agent, time_unix_nano=told.time_unix_nano + int(EVERY_SECONDS * _NANO))
        later = await run.outcome(about(again))
        assert (later.incident_id, later.outcome, later.error_count) == (first.incident_id, "recovered", 2)
        assert [(one.strategy, one.undone) for one in later.attempts] == [("graceful_degradation", False)]
        assert list(agent.effects.values()) == [1]


async def test_two_replicas_store_it_once(tmp_path: Path) -> None:
    """Of several strategy-selectors the owner of the agent's partition takes a prediction in, and nobody twice."""
    async with pipeline(tmp_path, ACTING) as run, AsyncExitStack() as stack:
        second = mendbus_strategy_selector.build()
        await stack.enter_async_context(memory_runtime(second, run.server, settings=run.settings, instance="second"))
        agents = [await run.agent(f"a{number}") for number in range(6)]
        told = [prediction(agent.ref) for agent in agents]

        async def all_counted() -> bool:
            # While a partition changes hands nobody may hear it, and both may.
            for one in told:
                await tell(run.bus, run.subjects.prediction(one.agent.kind, one.agent.id), one)
            ledger = await read_ledger(run.bus, run.subjects)
            return set(ledger.counted) == {one.id for one in told}

        await eventually(all_counted, 8.0)
        ledger = await read_ledger(run.bus, run.subjects)
        assert set(ledger.counted.values()) == {1}


@pytest.mark.parametrize("switch", ["enable_predictive_failure_detection", "enable_automatic_recovery"])
async def test_switched_off_nothing_is_taken_in(tmp_path: Path, switch: str) -> None:
    """With either switch off a prediction leaves no trace, and errors go on being counted."""
    async with pipeline(tmp_path, f"{switch} = false\n{ACTING}") as run:
        agent = await run.agent()
        told = await foretell(run, agent)
        event_id = await agent.report("Down")
        _ = await run.outcome(lambda o: event_id in o.event_ids)
        ledger = await read_ledger(run.bus, run.subjects)
        assert set(ledger.counted) == {event_id}
        assert told.id not in ledger.counted


async def test_a_pause_lets_a_prediction_pass_for_good(tmp_path: Path) -> None:
    """What may not be done now is not done later, when the prediction is about the past."""
    async with pipeline(tmp_path, ACTING) as run:
        agent = await run.agent()
        await pause(run)
        outcome = await run.outcome(about(await foretell(run, agent)))
        assert (outcome.outcome, outcome.strategy, outcome.attempts) == ("no_action", "restart", [])
        assert "restart was chosen by preventive, but" in (outcome.reason or "")


async def test_what_did_not_prevent_it_is_taken_back_and_calls_nobody(tmp_path: Path) -> None:
    """One attempt whose probe is not healthy ends the incident: undone, and no person needed."""
    async with pipeline(tmp_path, ACTING) as run:
        agent = await run.agent(strategies=("graceful_degradation", "rollback"))
        agent.works = False
        outcome = await run.outcome(about(await foretell(run, agent)))
        assert outcome.outcome == "no_action"
        assert [(one.strategy, one.verified, one.undone) for one in outcome.attempts] == [
            ("graceful_degradation", False, True)
        ]
        assert "was tried once" in (outcome.reason or "")


async def test_an_error_reported_meanwhile_waits_for_the_attempt_under_way_and_no_longer(tmp_path: Path) -> None:
    """What really fails is dealt with as soon as the one attempt has ended, however that ended."""
    async with pipeline(tmp_path, ACTING) as run:
        agent = await run.agent(strategies=("graceful_degradation", "retry"), as_=SlowAgent)
        assert isinstance(agent, SlowAgent)
        told = await foretell(run, agent)
        await asyncio.wait_for(agent.commanded.wait(), 5.0)
        real = [await agent.report("Down", severity=severity) for severity in ("error", "critical")]

        async def opened() -> int:
            return len((await read_ledger(run.bus, run.subjects)).opened)

        while await opened() < 2:
            await asyncio.sleep(0)
        agent.works = False
        agent.held.set()
        before = await run.outcome(about(told))
        assert len(before.attempts) == 1
        found = await run.outcome(lambda o: real[0] in o.event_ids and o.error is not None)
        assert found.incident_id != before.incident_id
        assert found.times.selected is not None
        assert before.attempts[0].ended_unix_nano <= found.times.selected


async def test_a_prediction_about_an_agent_that_has_reported_changes_nothing(tmp_path: Path) -> None:
    """Once the agent itself says what is wrong, that is what is dealt with."""
    async with pipeline(tmp_path, ACTING) as run:
        agent = await run.agent(strategies=("retry", "restart"), as_=SlowAgent)
        assert isinstance(agent, SlowAgent)
        event_id = await agent.report("Down")
        await asyncio.wait_for(agent.commanded.wait(), 5.0)
        told = await foretell(run, agent)

        async def opened() -> int:
            return len((await read_ledger(run.bus, run.subjects)).opened)

        while await opened() < 2:
            await asyncio.sleep(0)
        agent.held.set()
        real = await run.outcome(lambda o: event_id in o.event_ids)
        assert (real.outcome, len(real.attempts)) == ("recovered", 1)
        outcome = await run.outcome(about(told))
        assert (outcome.outcome, outcome.attempts) == ("no_action", [])
        assert "older than what was last done to the agent" in (outcome.reason or "")


async def test_no_prediction_is_acted_upon_long_after_it_was_made(tmp_path: Path) -> None:
    """An error waits for an executor for as long as it takes; what is done before a failure does not."""
    policy = tmp_path / "policy.toml"
    policy.write_text(f"recovery_timeout_ms = 30\nmax_recovery_attempts = 1\n{ACTING}")
    server, conditions = MemoryServer(), Settings(trace=False, policy_file=policy)
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(memory_runtime(mendbus_strategy_selector.build(), server, settings=conditions))
        bus = server.connect("test")
        stack.push_async_callback(bus.close)
        run = Pipeline(server, bus, conditions, stack)
        await run.listen()
        agent = await run.agent()
        outcome = await run.outcome(about(await foretell(run, agent, horizon_ms=50)))
        assert outcome.outcome == "no_action"
        assert [(one.strategy, one.status) for one in outcome.attempts] == [("restart", "failed")]
        await stack.enter_async_context(memory_runtime(mendbus_executor.build(), server, settings=conditions))
        event_id = await agent.report("Down")
        real = await run.outcome(lambda o: event_id in o.event_ids)
        assert real.outcome == "recovered"
        assert {incident for incident, _, _ in agent.effects} == {real.incident_id}


async def test_what_could_not_be_taken_back_is_lifted_later(tmp_path: Path) -> None:
    """An agent is not left limited by what was done before a failure: nobody was called who would see to it."""
    async with pipeline(tmp_path, ACTING) as run:
        agent = await run.agent(strategies=("graceful_degradation",), as_=Stubborn)
        agent.works = False
        outcome = await run.outcome(about(await foretell(run, agent)))
        assert (outcome.outcome, outcome.attempts[0].undone) == ("no_action", False)
        agent.works = True
        key = outcome.incident_id, 1, "restore"
        await eventually(lambda: agent.effects[key] == 1, 5.0)


async def test_decisions_on_predictions_are_decided_again_alike(tmp_path: Path) -> None:
    """Under the same policy the replay finds no difference, under the default one what would have been left alone."""
    async with pipeline(tmp_path, ACTING) as run:
        agent = await run.agent()
        _ = await run.outcome(about(await foretell(run, agent)))
        same = await order(run, "replay", arguments={"policy": ACTING})
        assert (same.data["decided"], same.data["different"], same.data["unreadable"]) == (1, 0, 0)
        other = await order(run, "replay", arguments={"policy": ""})
        assert other.data["changes"] == {"restart -> preventive": 1}


async def test_on_a_real_server_a_prediction_leads_to_a_verified_restart(tmp_path: Path) -> None:
    """Services as processes of their own: the prediction is published, the agent restarted once, the outcome stored."""
    # One attempt is all there is: on a busy machine it may need longer than usual.
    patient = f"recovery_timeout_ms = 60000\n{ACTING}"
    async with installation(tmp_path, "strategy-selector", "executor", policy=patient) as system:
        bus = await system.connect()
        agent = ProtocolAgent(bus, system.subjects, "runtime", "a1")
        _ = await agent.start()
        await bus.barrier()
        told = prediction(agent.ref)
        await tell(bus, system.subjects.prediction(agent.kind, agent.id), told)

        async def settled() -> RecoveryOutcome | None:
            ledger = await read_ledger(bus, system.subjects)
            return next((one for one in ledger.told.values() if one.settled), None)

        found = await eventually(settled, 20.0)
        assert found is not None
        assert found.event_ids == [told.id]
        assert [(one.strategy, one.verified) for one in found.attempts] == [("restart", True)]
        assert list(agent.effects.values()) == [1]
        await bus.close()


async def test_a_prediction_about_a_process_that_is_gone_changes_nothing(tmp_path: Path) -> None:
    """An agent that was started anew since is not restarted for what its former process was about to do."""
    async with pipeline(tmp_path, ACTING) as run:
        agent = await run.agent()
        former = agent.ref.model_copy(update={"instance": "former"})
        outcome = await run.outcome(about(await foretell(run, agent, of=former)))
        assert (outcome.outcome, outcome.attempts) == ("no_action", [])


async def test_an_agent_predicts_for_itself_alone(tmp_path: Path) -> None:
    """An error that is marked as predicted touches the agent on whose subject it is, and is refused for another."""
    async with pipeline(tmp_path, ACTING) as run:
        mine, other = await run.agent("a1"), await run.agent("a2")
        claimed = error_of(prediction(other.ref))
        await run.bus.store(run.subjects.error("warning", mine.kind, mine.id), codec.encode(claimed), id=claimed.id)
        refused = await run.outcome(lambda o: o.outcome == "rejected")
        assert refused.agent.id == "a1"
        own = error_of(prediction(mine.ref))
        await run.bus.store(run.subjects.error("warning", mine.kind, mine.id), codec.encode(own), id=own.id)
        outcome = await run.outcome(lambda o: own.id in o.event_ids)
        assert (outcome.outcome, outcome.strategy) == ("recovered", "restart")
        assert not other.effects


async def test_where_users_are_known_only_the_strategy_selector_makes_errors_of_predictions(tmp_path: Path) -> None:
    """It hears the predictor and stores warnings, nothing graver; no other service may, and no agent for another."""
    site = await secured.start(tmp_path)
    try:
        selector, predictor = [await site.connect(f"service/{name}") for name in ("strategy-selector", "predictor")]
        subjects, told = site.subjects, prediction(AgentRef(kind="runtime", id="r1"))
        heard: asyncio.Queue[bytes] = asyncio.Queue()

        async def hear(message: Message) -> None:
            heard.put_nowait(message.body)

        _ = await selector.subscribe(subjects.everyone("prediction"), hear)
        await selector.barrier()
        await predictor.publish(subjects.prediction("runtime", "r1"), codec.encode(told))
        assert await asyncio.wait_for(heard.get(), 5.0) == codec.encode(told)
        subject, body = subjects.error("warning", "runtime", "r1"), codec.encode(error_of(told))
        stored = [await selector.store(subject, body, id=told.id) for _ in range(2)]
        assert [one.duplicate for one in stored] == [False, True]
        for user, denied in (
            ("service/predictor", subject),
            ("service/health-monitor", subject),
            ("service/strategy-selector", subjects.error("error", "runtime", "r1")),
            ("agent/runtime/r2", subject),
            ("agent/runtime/r1", subjects.prediction("runtime", "r1")),
        ):
            bus = await site.connect(user)
            with pytest.raises(Forbidden):
                _ = await bus.request(denied, body, timeout=5.0)
    finally:
        await site.stop()


@pytest.mark.parametrize(
    ("severity", "attributes"),
    [
        ("warning", {foreseen.PREDICTED: True}),
        ("warning", {**error_of(prediction(AgentRef(kind="a", id="b"))).attributes, foreseen.PROBABILITY: 7.0}),
        ("warning", {**error_of(prediction(AgentRef(kind="a", id="b"))).attributes, foreseen.HORIZON: "soon"}),
        ("critical", error_of(prediction(AgentRef(kind="a", id="b"))).attributes),
    ],
)
def test_what_is_not_told_as_a_prediction_is_none(severity: Any, attributes: dict[str, Any]) -> None:
    """An error that is marked, and has not all of it or is graver, is an error like any other."""
    error = ErrorReported(
        id="e1",
        time_unix_nano=1,
        agent=AgentRef(kind="runtime", id="a1"),
        exception=ExceptionInfo(type=foreseen.EXCEPTION, message="soon"),
        severity=severity,
        attributes=attributes,
    )
    assert summary_of(error) is None
    assert predicted_of(error, 2) is None


@pytest.mark.parametrize("strategy", [None, "restart"])
def test_the_error_says_in_words_and_in_fields_what_was_predicted(strategy: Strategy | None) -> None:
    """Probability, horizon, features and strategy are there to be read, and come back as they were."""
    told = prediction(AgentRef(kind="runtime", id="a1"), strategy=strategy, time_unix_nano=5 * _NANO)
    error = error_of(told)
    (cause,) = error.exception.causes
    assert error.exception.message == "likely to fail within 30 s: probability 0.75"
    assert cause.message.startswith("memory_bytes_slope 1.235e+04, queue_depth_z 3 spoke for it; ")
    advice = "no strategy is recommended" if strategy is None else "restart is recommended with confidence 0.45"
    assert cause.message.endswith(advice)
    summary = summary_of(codec.decode(ErrorReported, codec.encode(error)))
    assert summary is not None
    assert (summary.strategy, summary.features, summary.model) == (strategy, told.features, told.model)
    found = predicted_of(error, 6 * _NANO)
    assert found is not None
    assert (found.age_ms, found.horizon_ms, found.kind) == (1000, 30_000, "runtime")
