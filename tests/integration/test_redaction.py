"""A secret in an error, whoever sent it, is neither in what services keep nor in what they trace."""

from contextlib import AsyncExitStack
from pathlib import Path

from tests.harness import ProtocolAgent
from tests.support import memory_runtime
from tests.unit.shared.leaks import LEAKS

import mendbus_classifier
import mendbus_executor
import mendbus_health_monitor
import mendbus_predictor
import mendbus_strategy_selector
from mendbus import codec
from mendbus.bus import Message
from mendbus.bus.memory import MemoryServer
from mendbus.contracts.ids import new_id
from mendbus.contracts.messages import ErrorReported, ExceptionInfo, ProbeResult, RecoveryOutcome
from mendbus.contracts.subjects import MAX_SERVICE_BODY, Subjects
from mendbus.settings import Settings
from mendbus.testing import eventually

SERVICES = (
    mendbus_classifier,
    mendbus_predictor,
    mendbus_strategy_selector,
    mendbus_executor,
    mendbus_health_monitor,
)
SUBJECTS = Subjects()
OWN = "tenant=4711-blue"


async def test_what_leaks_into_an_error_is_kept_nowhere(tmp_path: Path) -> None:
    """Journal, outcomes, alerts, history, statuses and traces of errors hold no secret, nor one that the policy names.

    The agent is one that redacts nothing itself, and its probe lets a secret out, too.
    """
    server = MemoryServer()
    policy = tmp_path / "policy.toml"
    policy.write_text('settle_seconds = 0.05\n[redaction]\nnames = ["tenant"]\n')
    settings = Settings(trace=True, trace_dir=tmp_path / "traces", canary_seconds=0, policy_file=policy)
    done: set[str] = set()
    statuses: list[bytes] = []

    async def hear(message: Message) -> None:
        outcome = codec.decode(RecoveryOutcome, message.body, MAX_SERVICE_BODY)
        done.update(outcome.event_ids)

    async def hear_status(message: Message) -> None:
        statuses.append(message.body)

    async with AsyncExitStack() as stack:
        for package in SERVICES:
            await stack.enter_async_context(memory_runtime(package.build(), server, settings=settings))
        bus = server.connect("test")
        stack.push_async_callback(bus.close)
        agent = Leaky(bus, SUBJECTS, "runtime", "a1")
        await agent.start()
        await bus.subscribe(SUBJECTS.outcome("runtime", "a1"), hear)
        await bus.subscribe(SUBJECTS.status("runtime", "a1"), hear_status)
        sent = [await agent.leak(leak.text, "error") for leak in LEAKS]
        sent.append(await agent.leak(LEAKS[0].text, "fatal"))
        await eventually(lambda: done.issuperset(sent), 50.0)
        await eventually(lambda: b"550 5.1.1" in traces(tmp_path), 20.0)
        kept = b"".join(statuses)
        assert b"it died" in kept
        for name in ("JOURNAL", "RECOVERIES", "ALERTS", "HEALTH", "DEAD"):
            async for stored in bus.read(SUBJECTS.stream(name), f"{SUBJECTS.root}.>"):
                kept += stored.body
    traced = traces(tmp_path)
    assert b"is not known" in kept
    for leak in LEAKS:
        for secret in (*leak.secrets, OWN):
            assert secret.encode() not in kept
            assert secret.encode() not in traced


def traces(folder: Path) -> bytes:
    return b"".join(file.read_bytes() for file in (folder / "traces").rglob("*") if file.is_file())


class Leaky(ProtocolAgent):
    """An agent in another language, which sends what it has."""

    async def leak(self, text: str, severity: str) -> str:
        said = ExceptionInfo(type=f"E{len(self.reported)}", message=f"{OWN} {text}", stacktrace=f"in f\n{text}")
        error = ErrorReported(
            id=new_id(),
            time_unix_nano=1,
            agent=self.ref,
            exception=said,
            severity=severity,  # type: ignore[arg-type]
            attributes={"said": text, "token": "t0p-secret"},
        )
        await self.bus.store(self.subjects.error(severity, self.kind, self.id), codec.encode(error), id=error.id)
        self.reported[error.id] = 1
        return error.id

    async def _probe(self, message: Message) -> None:
        healthy = ProbeResult(healthy=True, detail=f"the probe said {LEAKS[0].text} {OWN}", checked_unix_nano=1)
        await self.bus.publish(message.reply, codec.encode(healthy))
