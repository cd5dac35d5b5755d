"""Drives a live agent through its duties of the wire contract, and says which of them it keeps.

Safe on an agent at work: what is sent must be refused, or asks for nothing (`retry` of an operation that does not
exist, `graceful_degradation` of no feature). Fences are those of the agent's journal: later commands are not stale.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final, Literal

from mendbus import codec
from mendbus.bus import Bus
from mendbus.conformance_drive import NOWHERE, Broken, Drive, Unseen
from mendbus.contracts.errors import BusError, Refused, ServiceFailed
from mendbus.contracts.messages import AgentHello, ErrorReported, HealthSample
from mendbus.contracts.subjects import HEADER_ID, Subjects

Verdict = Literal["pass", "fail", "skip"]

SAMPLES: Final = 4
"""Health samples that are listened to."""
_LATE_MS: Final = 50
"""What a busy machine may add to the time between samples."""
_BATCH: Final = "Nats-Batch-Id"
"""Marks a message of an atomic batch, of which only the last is acknowledged."""
_SILENCE_SECONDS: Final = 0.3
_TRACEPARENT: Final = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
_GARBAGE: Final = (
    b"",
    b"\xc1",
    b"no map",
    codec.pack({"deadline_unix_nano": 1}) + b"\x00",
)
_NO_COMMANDS: Final = (codec.pack({"command_id": 7, "strategy": "retry"}), codec.pack({"command_id": NOWHERE}))


@dataclass(frozen=True, slots=True)
class Check:
    """One duty: a stable name, the contract's sentence, whether the agent keeps it, and what was seen."""

    name: str
    rule: str
    verdict: Verdict
    detail: str


async def conform(
    bus: Bus,
    subjects: Subjects,
    kind: str,
    agent_id: str,
    *,
    now: Callable[[], int] = time.time_ns,
    timeout: float = 5.0,
    error_wait: float = 0.0,
) -> list[Check]:
    """Every check in order. `timeout`: seconds for each answer or sample; `error_wait`: seconds for an error to come.

    Raises `BusError` when the bus itself fails, `ValueError` when kind or id is no token.
    """
    drive = Drive(bus, subjects, kind, agent_id, now, timeout, error_wait)
    checks: list[Check] = []
    for name, rule, check in _CHECKS:
        try:
            verdict, detail = "pass", await check(drive)
        except Broken as broken:
            verdict, detail = "fail", str(broken)
        except Unseen as unseen:
            verdict, detail = "skip", str(unseen)
        checks.append(Check(name, rule, verdict, detail))
    return checks


async def _hello(drive: Drive) -> str:
    bus, subjects = drive.bus, drive.subjects
    try:
        stored = await bus.last(subjects.bucket_stream("agents"), subjects.key("agents", drive.kind, drive.id))
    except BusError:
        stored = None  # no bucket: the agent runs without the services
    body, where = (stored.body, "stored") if stored else (b"", "stored")
    if not body:
        seconds = 2 * drive.timeout  # the pauses between hellos grow
        heard = await drive.heard(subjects.hello(drive.kind, drive.id), 1, seconds)
        if not heard:
            raise Broken(f"no hello is stored, and none came within {seconds:g} s")
        body, where = heard[0][1].body, "heard"
    try:
        drive.hello = hello = codec.decode(AgentHello, body)
        codec.check_agent(hello.agent, drive.kind, drive.id)
    except Refused as refused:
        raise Broken(f"the hello is refused: {refused}") from None
    names = ", ".join(hello.strategies) or "no strategy"
    return f"{where}: supports {names}; instance {hello.agent.instance or 'not told'}"


async def _samples(drive: Drive) -> str:
    stated = drive.hello.interval_ms if drive.hello else 500
    budget = drive.timeout + SAMPLES * stated / 1000
    if stated / 1000 > drive.timeout:
        raise Unseen(f"{stated} ms between samples is more than the {drive.timeout:g} s that are waited")
    heard = await drive.heard(drive.subjects.health(drive.kind, drive.id), SAMPLES, budget)
    if len(heard) < SAMPLES:
        raise Broken(f"{len(heard)} samples within {budget:g} s, {SAMPLES} were expected")
    try:
        samples = [codec.decode(HealthSample, message.body) for _, message in heard]
        for sample, (_, message) in zip(samples, heard, strict=True):
            codec.check_content_type(message.headers)
            codec.check_agent(sample.agent, drive.kind, drive.id)
    except Refused as refused:
        raise Broken(f"a sample is refused: {refused}") from None
    sequences = [sample.sequence for sample in samples]
    if sequences != list(range(sequences[0], sequences[0] + SAMPLES)):
        raise Broken(f"the sequences are {sequences}: each must be one more than the one before")
    if any(sample.interval_ms != stated for sample in samples):
        raise Broken(f"interval_ms is {samples[0].interval_ms} in the samples, {stated} in the hello")
    mean = (heard[-1][0] - heard[0][0]) / (SAMPLES - 1) * 1000
    if not stated / 2 <= mean <= stated * 2 + _LATE_MS:
        raise Broken(f"{mean:.0f} ms pass between samples, {stated} are stated")
    return f"every {mean:.0f} ms, {stated} are stated; {len(samples[-1].metrics)} of the twelve metrics"


async def _probe(drive: Drive) -> str:
    started = drive.now()
    result = await drive.probe()
    took = (drive.now() - started) / 1e6
    return f"{'healthy' if result.healthy else 'not healthy'} after {took:.1f} ms"


async def _probe_unknown(drive: Drive) -> str:
    result = await drive.probe({"operation": NOWHERE, "incident_id": NOWHERE})
    return f"healthy is {result.healthy}: {result.detail or 'no detail'}"


async def _unknown_keys(drive: Drive) -> str:
    await drive.probe({"a_later_key": {"list": [1, 2.5, "x"], "bin": b"\x00"}, "another": None})
    _, result = await drive.command("escalate", a_later_key={"list": [1]}, another=b"\x00")
    return f"probe and command answered, the command with {result.status}"


async def _trace(drive: Drive) -> str:
    for name in ("traceparent", "Traceparent"):
        await drive.probe(headers={name: _TRACEPARENT, "tracestate": "vendor=1"})
        await drive.send(await drive.build("escalate"), {name: _TRACEPARENT})
    await drive.probe(headers={"traceparent": "no trace context"})
    return "answered with it, with a capital letter, and with nonsense in it"


async def _answered(drive: Drive) -> str:
    strategy = drive.gentle()
    command, result = await drive.command(strategy)
    drive.first = command, result
    if result.status not in ("done", "failed", "accepted"):
        raise Broken(f"{strategy} is supported, but was answered {result.status}: {result.detail}")
    return f"{strategy}: {result.status} ({result.code or result.detail or 'no detail'})"


async def _once(drive: Drive) -> str:
    if drive.first is None:
        raise Unseen("no command was answered before")
    command, first = drive.first
    # Whoever remembers the id does not look at the strategy; whoever does not cannot do this one.
    again = await drive.send(command | {"strategy": "escalate"})
    if again != first and not (first.status == "accepted" and again.status in ("done", "failed")):
        raise Broken(f"the first answer was {first.status}, the answer to the repeat {again.status}: {again.detail}")
    return "the repeat was answered with the stored result"


async def _expect(drive: Drive, wanted: str, strategy: str, **changes: Any) -> str:
    _, result = await drive.command(strategy, **changes)
    if result.status != wanted:
        raise Broken(f"answered {result.status}, expected {wanted}: {result.detail}")
    return f"{wanted}: {result.detail or 'no detail'}"


async def _other_agent(drive: Drive) -> str:
    return await _expect(drive, "misaddressed", "escalate", agent={"kind": drive.kind, "id": NOWHERE})


async def _other_instance(drive: Drive) -> str:
    if drive.hello is None or drive.hello.agent.instance is None:
        raise Unseen("the agent tells no boot id")
    return await _expect(drive, "misaddressed", "escalate", instance=NOWHERE)


async def _stale(drive: Drive) -> str:
    strategy = drive.gentle()
    command, result = await drive.command(strategy)
    if result.status == "stale":
        raise Broken("the agent has seen a higher fence than its journal holds: restart it")
    return await _expect(drive, "stale", strategy, fence=command["fence"] - 1)


def _past(drive: Drive) -> dict[str, Any]:
    """A deadline half a minute ago, to this process of the agent: of an older one a signature would hold no more."""
    found: dict[str, Any] = {"deadline_unix_nano": drive.now() - 30_000_000_000}
    instance = drive.hello.agent.instance if drive.hello else None
    return found | ({"instance": instance} if instance else {})


async def _expired(drive: Drive) -> str:
    return await _expect(drive, "expired", drive.gentle(), timeout_ms=0, **_past(drive))


async def _wrong_clock(drive: Drive) -> str:
    _, result = await drive.command(drive.gentle(), **_past(drive))
    if result.status == "expired":
        raise Broken("answered expired at once, though its timeout_ms had not passed")
    return f"{result.status}, not expired"


async def _unsupported(drive: Drive) -> str:
    return await _expect(drive, "unsupported", "escalate")


async def _unknown_strategy(drive: Drive) -> str:
    return await _expect(drive, "unsupported", "a_later_strategy")


async def _garbage(drive: Drive) -> str:
    command, probe = drive.subjects.command(drive.kind, drive.id), drive.subjects.probe(drive.kind, drive.id)
    asked = [(command, body) for body in (*_GARBAGE, *_NO_COMMANDS)] + [(probe, body) for body in _GARBAGE]
    answers = await asyncio.gather(*(_answer_to(drive, subject, body) for subject, body in asked))
    for (subject, body), answer in zip(asked, answers, strict=True):
        if answer.get("status") in ("done", "accepted") or answer.get("healthy") is True:
            raise Broken(f"{body[:20]!r} on {subject} was answered with {answer}")
    await drive.probe()
    await drive.command("escalate")
    return "the next probe and the next command are answered"


async def _answer_to(drive: Drive, subject: str, body: bytes) -> dict[str, Any]:
    try:
        return codec.unpack(await drive.ask(subject, body, seconds=min(_SILENCE_SECONDS, drive.timeout)))
    except (Broken, ServiceFailed, Refused):
        return {}  # refused or passed over: both are right


async def _error(drive: Drive) -> str:
    if drive.error_wait <= 0:
        raise Unseen("not waited for")
    pattern = f"{drive.subjects.root}.error.*.{drive.kind}.{drive.id}"
    heard = await drive.heard(pattern, 1, drive.error_wait)
    if not heard:
        raise Unseen(f"none came within {drive.error_wait:g} s")
    message = heard[0][1]
    try:
        codec.check_content_type(message.headers)
        error = codec.decode(ErrorReported, message.body)
        codec.check_agent(error.agent, drive.kind, drive.id)
        codec.check_severity(error.severity, message.subject.split(".")[-3])
    except Refused as refused:
        raise Broken(f"the error is refused: {refused}") from None
    if message.headers.get(HEADER_ID) != error.id:
        raise Broken(f"{HEADER_ID} is {message.headers.get(HEADER_ID)!r}, the id {error.id!r}")
    if not message.reply and _BATCH not in message.headers:
        raise Broken("it was published without a reply subject: nobody can acknowledge it")
    return f"{error.exception.type} as {error.id}"


_CHECKS: Final[tuple[tuple[str, str, Callable[[Drive], Awaitable[str]]], ...]] = (
    ("hello", "An agent says hello, again and again until it is stored.", _hello),
    ("health_samples", "A sample comes each interval_ms, with a sequence that grows by one.", _samples),
    ("probe", "A probe is answered before its deadline.", _probe),
    (
        "probe_unknown_operation",
        "A probe of an operation that is not known is answered for the whole agent.",
        _probe_unknown,
    ),
    ("unknown_keys", "Keys that a reader does not know are passed over.", _unknown_keys),
    ("trace_context", "Commands and probes may carry a trace context, in any letter case.", _trace),
    ("command", "A command is answered with a CommandResult of the same command_id.", _answered),
    ("command_once", "A command_id that is known is answered with the stored result, and not done again.", _once),
    ("misaddressed_agent", "A command for another agent is answered misaddressed.", _other_agent),
    ("misaddressed_instance", "A command for another boot id is answered misaddressed.", _other_instance),
    ("stale", "A command with a lower fence than one begun before is answered stale.", _stale),
    ("expired", "A command whose deadline and timeout_ms have passed is answered expired.", _expired),
    ("wrong_clock", "A deadline that passed by the agent's clock alone does not expire a command.", _wrong_clock),
    ("unsupported", "A strategy that the agent does not have is answered unsupported.", _unsupported),
    ("unknown_strategy", "A strategy that this version does not know is answered unsupported.", _unknown_strategy),
    ("undecodable", "What is no valid message changes nothing: the next one is answered as ever.", _garbage),
    ("error", "An error fits its subject, carries its id as Nats-Msg-Id, and can be acknowledged.", _error),
)
