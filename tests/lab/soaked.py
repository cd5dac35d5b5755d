"""What a soak sees and comes to: whether the books agree, slopes of memory, whether recoveries got slower."""

import random
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from statistics import median, quantiles
from typing import Any

from tests.harness import Ledger, ProtocolAgent
from tests.lab.processes import Watch
from tests.lab.slopes import Slope, theil_sen

JUDGED_MINUTES = 10.0
"""A shorter run is no ground to judge memory by: its slopes are told, and do not count."""
WARM_SHARE = 0.25
"""Caches and windows fill first; this share of the time is left out of slopes."""
MIB = 1 << 20


@dataclass
class Diary:
    """What was seen. Times in seconds since the beginning."""

    began: float = field(default_factory=time.monotonic)
    streams: list[dict[str, Any]] = field(default_factory=list)
    consumers: list[dict[str, Any]] = field(default_factory=list)
    waiting: dict[str, float] = field(default_factory=dict)
    """Events in the outbox of each of the toolchain's agents, as it told last."""
    faults: list[dict[str, Any]] = field(default_factory=list)
    troubles: list[str] = field(default_factory=list)

    def now(self) -> float:
        """Seconds since the beginning."""
        return round(time.monotonic() - self.began, 2)


def note_streams(status: Mapping[str, Any], diary: Diary) -> None:
    """Notes sizes of streams, and how far their consumers are behind, from what the server says of itself."""
    details = [stream for account in status["account_details"] for stream in account.get("stream_detail") or ()]
    at = diary.now()
    diary.streams.append({"at": at, **{s["name"]: (s["state"]["bytes"], s["state"]["messages"]) for s in details}})
    lag: Counter[str] = Counter()
    for stream in details:
        for consumer in stream.get("consumer_detail") or ():
            lag[stream["name"]] += consumer["num_pending"] + consumer["num_ack_pending"]
    diary.consumers.append({"at": at, **lag})


def wrongs(
    ledger: Ledger, stored: Mapping[str, int], agents: Sequence[ProtocolAgent], diary: Diary | None = None
) -> list[str]:
    """What was lost, counted twice, or is not over; empty when the books agree."""
    found: list[str] = []
    missing = [event for agent in agents for event in agent.reported if event not in stored]
    uncounted = [event for event in stored if not ledger.counted[event]]
    twice = [event for event, times in ledger.counted.items() if times > 1 or len(ledger.incidents_of[event]) > 1]
    untold = [incident for incident, errors in ledger.errors.items() if _told(ledger, incident) != errors]
    commands = [str(key) for agent in agents for key, times in agent.effects.items() if times > 1]
    waiting = [f"{agent}: {events:.0f}" for agent, events in (diary.waiting if diary else {}).items() if events]
    for what, which in (
        ("errors were acknowledged and are not stored", missing),
        ("errors are stored and not counted", uncounted),
        ("errors were counted more than once", twice),
        ("incidents told another number of errors than was counted", untold),
        ("commands took effect more than once", commands),
        ("incidents have not ended", sorted(ledger.unfinished)),
        ("agents still wait for the settlement of events", waiting),
    ):
        if which:
            found.append(f"{len(which)} {what}: {', '.join(which[:3])}")
    if sum(stored.values()) != sum(ledger.errors.values()):
        found.append(f"{sum(stored.values())} errors are stored, {sum(ledger.errors.values())} counted")
    if not ledger.chain_whole:
        found.append("the journal's hash chain is broken")
    return found


def _told(ledger: Ledger, incident: str) -> int:
    outcome = ledger.told.get(incident)
    return -1 if outcome is None else outcome.error_count


def drift(points: Sequence[tuple[float, float]], seconds: float, seed: int = 1) -> dict[str, Any] | None:
    """Milliseconds in the first and the last third of the time, and what the medians' ratio is, with 95 % interval.

    `points`: when, and how long. The interval is that of 1,000 resamplings of both thirds. None for too few.
    """
    first = [took for at, took in points if at < seconds / 3]
    last = [took for at, took in points if at >= seconds * 2 / 3]
    if min(len(first), len(last)) < 10:
        return None
    chance = random.Random(seed)
    ratios = sorted(
        median(chance.choices(last, k=len(last))) / max(1e-9, median(chance.choices(first, k=len(first))))
        for _ in range(1000)
    )
    return {
        "first_p50": round(median(first), 2),
        "last_p50": round(median(last), 2),
        "first_p99": round(quantiles(first, n=100)[98], 2),
        "last_p99": round(quantiles(last, n=100)[98], 2),
        "ratio_p50": round(median(last) / max(1e-9, median(first)), 3),
        "interval": [round(ratios[24], 3), round(ratios[974], 3)],
        "points": [len(first), len(last)],
    }


def latencies(ledger: Ledger, began_unix_nano: int, kind: str) -> list[tuple[float, float]]:
    """Of agents of a kind: when each incident that was recovered began, and milliseconds from report to verified."""
    return [
        ((o.times.reported - began_unix_nano) / 1e9, (o.times.verified - o.times.reported) / 1e6)
        for o in ledger.told.values()
        if o.agent.kind == kind and o.times.reported and o.times.verified and o.outcome == "recovered"
    ]


def slopes(watch: Watch, began: float, seconds: float) -> dict[str, dict[str, Any]]:
    """By name: the slope of memory in KiB a minute with its interval, and of descriptors per minute, after warm-up."""
    found: dict[str, dict[str, Any]] = {}
    for name, uses in watch.seen.items():
        kept = [use for use in uses if use.at - began >= WARM_SHARE * seconds and use.pid == uses[-1].pid]
        if len(kept) < 4:
            continue
        times = [use.at - began for use in kept]
        memory = theil_sen(times, [use.memory / 1024 * 60 for use in kept])
        descriptors = theil_sen(times, [use.descriptors * 60.0 for use in kept])
        busy = [use.cpu for use in kept if use.cpu is not None]
        found[name] = {
            "memory_kib_per_minute": _shown(memory),
            "rises": memory.rises,
            "memory_mib": [round(use.memory / MIB, 2) for use in (uses[0], kept[0], kept[-1])],
            "descriptors_per_minute": _shown(descriptors),
            "descriptors": [uses[0].descriptors, kept[-1].descriptors],
            "cores": round(median(busy), 3) if busy else None,
            "processes": len({use.pid for use in uses}),
        }
    return found


def _shown(slope: Slope) -> dict[str, float]:
    return {name: round(value, 4) for name, value in asdict(slope).items()}


def table(found: Mapping[str, Any]) -> str:
    """For people."""
    lines = [
        f"{found['seconds']:.0f} s, {found['errors']['counted']} errors in {found['errors']['incidents']} incidents "
        f"{found['errors']['outcomes']}, {len(found['faults'])} faults",
        "process            MiB first/warm/last   KiB/min [95 %]                descriptors  cores",
    ]
    for name, use in found["processes"].items():
        slope, (first, warm, last) = use["memory_kib_per_minute"], use["memory_mib"]
        rises = "  RISES" if use["rises"] else ""
        lines.append(
            f"{name:18} {first:6.1f}/{warm:6.1f}/{last:6.1f}  {slope['slope']:8.2f} [{slope['low']:.2f}, "
            f"{slope['high']:.2f}]   {use['descriptors'][0]} -> {use['descriptors'][1]}   {use['cores']}{rises}"
        )
    lean = found["latency_ms"]["lean"]
    if lean:
        lines.append(
            f"report -> verified: p50 {lean['first_p50']} -> {lean['last_p50']} ms, p99 {lean['first_p99']} -> "
            f"{lean['last_p99']} ms, ratio of p50 {lean['ratio_p50']} {lean['interval']}"
        )
    lines.append(f"most messages waiting in a stream: {found['consumer_lag']['most']}")
    lines += [f"TROUBLE {trouble}" for trouble in found["troubles"]]
    lines += [f"LOST {lost}" for lost in found["lost"]]
    lines += [f"ENDED {name}" for name in found["services_that_ended"]]
    if found["rising"] and found["memory_judged"]:
        lines.append(f"MISSED: memory rises: {', '.join(found['rising'])}")
    if not found["memory_judged"]:
        lines.append(f"memory is not judged in less than {JUDGED_MINUTES:g} minutes")
    return "\n".join(lines)
