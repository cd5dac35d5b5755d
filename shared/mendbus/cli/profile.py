"""`mendbus profile SERVICE|INCIDENT`: where the time goes."""

import getpass
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mendbus.cli.connect import connected, run
from mendbus.cli.options import AsJson, with_settings
from mendbus.cli.output import document, say, table
from mendbus.contracts.errors import MendbusError
from mendbus.contracts.vocabulary import SERVICES

if TYPE_CHECKING:
    from mendbus.bus import Bus
    from mendbus.contracts.messages import RecoveryOutcome
    from mendbus.contracts.subjects import Subjects
    from mendbus.profiling.sampling import Profile
    from mendbus.settings import Settings

_MAX_SECONDS = 30.0
_SHOWN = 25
_JSON_FUNCTIONS = 500


@with_settings
def profile(
    settings: "Settings",
    target: Annotated[str, typer.Argument(metavar="SERVICE|INCIDENT", help="A service's name, or an incident's id.")],
    seconds: Annotated[
        float, typer.Option(min=0.1, max=_MAX_SECONDS, help="How long a service looks at itself.")
    ] = 5.0,
    instance: Annotated[str | None, typer.Option(metavar="ID", help="This replica of the service.")] = None,
    svg: Annotated[Path | None, typer.Option(metavar="FILE", help="Write a flame graph.")] = None,
    stacks: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the stacks, one a line, as flame graph tools read them.")
    ] = None,
    wall: Annotated[bool, typer.Option("--wall", help="Flame graph and stacks of wall time, not of CPU.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show where the time goes, in a service or in one recovery.

    A live service samples itself: CPU and wall time by function, and how late its event loop is. Of an incident: how
    long each stage took, with the wait in the queue, and each span of its trace.
    """
    if target in SERVICES:
        facts, picture = run(_service(settings, target, seconds, instance, wall=wall))
        title = f"{target}: {'wall' if wall else 'CPU'} time"
    else:
        facts, picture = run(_incident(settings, target))
        title = f"incident {facts['incident_id']}"
    _draw(picture, title, svg, stacks)
    if as_json:
        document(facts)
    elif target in SERVICES:
        _show_service(facts)
    else:
        _show_incident(facts, settings)
    for file in (svg, stacks):
        if file is not None and not as_json:
            say(f"written: {file}")


def _draw(picture: "dict[tuple[str, ...], float]", title: str, svg: Path | None, stacks: Path | None) -> None:
    from mendbus.profiling import flame

    texts = ((svg, lambda: flame.svg(picture, title, "us")), (stacks, lambda: flame.collapsed(picture)))
    for file, text in texts:
        if file is not None:
            try:
                file.write_text(text(), "utf-8")
            except OSError as error:
                raise MendbusError(f"cannot write to {file}: {error}") from None


async def _service(
    settings: "Settings", service: str, seconds: float, instance: str | None, *, wall: bool
) -> "tuple[dict[str, Any], dict[tuple[str, ...], float]]":
    from mendbus.profiling.sampling import functions
    from mendbus.profiling.serving import ask

    async with connected(settings) as bus:
        await _running(bus, service)
        by = getpass.getuser()
        result, seen = await ask(bus, settings.subjects, service, seconds, by, time.time_ns(), instance)
    facts: dict[str, Any] = {
        "service": service,
        "instance": result.instance,
        "pid": result.data.get("pid"),
        "wall_seconds": seen.wall_seconds,
        "cpu_seconds": seen.cpu_seconds,
        "lag": seen.lag._asdict(),
        "samples": {"cpu": sum(seen.cpu.values()), "wall": sum(seen.wall.values())},
        "functions": [one._asdict() for one in functions(seen)[:_JSON_FUNCTIONS]],
    }
    return facts, _microseconds(seen, wall=wall)


def _microseconds(seen: "Profile", *, wall: bool) -> "dict[tuple[str, ...], float]":
    samples, whole = (seen.wall, seen.wall_seconds) if wall else (seen.cpu, seen.cpu_seconds)
    each = whole * 1e6 / max(1, sum(samples.values()))
    return {stack: count * each for stack, count in samples.items()}


async def _running(bus: "Bus", service: str) -> None:
    from mendbus.contracts.errors import BusError

    try:
        await bus.request(f"$SRV.PING.{service}", b"", timeout=2.0)
    except BusError as error:
        raise BusError(f"{service} does not run here: {error}") from None


async def _incident(settings: "Settings", prefix: str) -> "tuple[dict[str, Any], dict[tuple[str, ...], float]]":
    from mendbus.asking.incidents import find_outcomes
    from mendbus.profiling import incidents
    from mendbus.traces import durations, read_trace

    async with connected(settings) as bus:
        outcomes = await find_outcomes(bus, settings.subjects, prefix)
        if not outcomes:
            named = ", ".join(SERVICES)
            raise MendbusError(f"{prefix!r} is no service ({named}), and no incident with an outcome begins so")
        outcome = outcomes[-1]
        stored = await _stored(bus, settings.subjects, outcome)
    spans = read_trace(settings.traces, outcome.trace_id) if outcome.trace_id else []
    found = incidents.stages(outcome, stored, spans)
    total = sum(stage.ms for stage in found)
    facts: dict[str, Any] = {
        "incident_id": outcome.incident_id,
        "agent": outcome.agent.key,
        "outcome": outcome.outcome,
        "trace_id": outcome.trace_id,
        "total_ms": total,
        "stages": [{**stage._asdict(), "ms": stage.ms} for stage in found],
        "attempts": [
            {
                "attempt": attempt.attempt,
                "strategy": attempt.strategy,
                "status": attempt.status,
                "verified": attempt.verified,
                "ms": (attempt.ended_unix_nano - attempt.started_unix_nano) / 1e6,
            }
            for attempt in outcome.attempts
        ],
        "spans": durations(spans),
    }
    return facts, incidents.stacks(spans)


async def _stored(bus: "Bus", subjects: "Subjects", outcome: "RecoveryOutcome") -> int | None:
    """When the server stored the incident's first error, for as long as it keeps that."""
    if outcome.error is None:
        return None
    agent = outcome.agent
    filter_ = f"{subjects.root}.errors.*.*.{agent.kind}.{agent.id}"
    # An agent's clock may be some minutes off; its errors are few.
    since = max(0, outcome.error.time_unix_nano - 600 * 10**9)
    stream = subjects.stream("ERRORS")
    async for message in bus.read(stream, filter_, since_unix_nano=since, headers_only=True):
        if message.headers.get("Nats-Msg-Id") == outcome.error.id:
            return message.time_unix_nano
    return None


def _show_service(facts: "dict[str, Any]") -> None:
    lag, wall, cpu = facts["lag"], facts["wall_seconds"], facts["cpu_seconds"]
    say(f"{facts['service']} {facts['instance']}, process {facts['pid']}")
    say(f"  wall {wall:.2f} s   CPU {cpu:.3f} s ({cpu / wall:.1%} of one core)   samples {facts['samples']}")
    say(f"  event loop late by p50 {lag['p50_ms']:.2f}  p99 {lag['p99_ms']:.2f}  max {lag['max_ms']:.2f} ms\n")
    columns = ("CPU self>", "CPU>", "wall self>", "wall>", "function")
    rows = [
        (*(f"{one[name]:.1f}" for name in ("cpu_self_ms", "cpu_ms", "wall_self_ms", "wall_ms")), one["name"])
        for one in facts["functions"][:_SHOWN]
    ]
    table(columns, rows)
    say("\nmilliseconds; CPU and wall time are sampled apart, waiting in the event loop is wall time")


def _show_incident(facts: "dict[str, Any]", settings: "Settings") -> None:
    say(f"incident {facts['incident_id']}  {facts['agent']}  {facts['outcome']}  {facts['total_ms']:.1f} ms")
    whole = facts["total_ms"] or 1.0
    rows = [
        (stage["name"], f"{stage['ms']:.2f}", f"{stage['ms'] / whole:.0%}", stage["source"])
        for stage in facts["stages"]
    ]
    table(("stage", "ms>", "share>", "known from"), rows)
    if facts["attempts"]:
        say()
        rows = [
            (
                str(one["attempt"]),
                one["strategy"],
                one["status"],
                "yes" if one["verified"] else "no",
                f"{one['ms']:.2f}",
            )
            for one in facts["attempts"]
        ]
        table(("attempt", "strategy", "status", "verified", "ms>"), rows)
    say()
    if facts["spans"]:
        table(("span", "ms>"), [(name, f"{took:.2f}") for name, took in facts["spans"].items()])
    elif settings.otlp_endpoint:
        say(f"Its spans went to {settings.otlp_endpoint}: look for trace {facts['trace_id']} there.")
    else:
        say(f"No spans of it are in {settings.traces}.")
