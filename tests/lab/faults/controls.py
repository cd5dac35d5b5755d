"""What looks like a fault and is none: there is nothing to recover, and users of no agent may suffer."""

import asyncio
import os
import signal
from contextlib import suppress

from tests.lab.faults import Case, Fault, background
from tests.lab.faults.load import requests_of
from tests.lab.kinds import ORDER
from tests.lab.links import Weather

_BUSY_SECONDS = 6.0
_BLIP_SECONDS = 0.3


async def _busy(case: Case) -> None:
    await background.ask(
        case, *requests_of(case), clients=int(case.number("clients")), seconds=_BUSY_SECONDS, pause=0.1
    )


async def _users_own_fault(case: Case) -> None:
    name = str(case.parameters["asked_for"])
    request = ("get", name) if case.member.kind == "versioning" else ("call", name, 7)
    await background.ask(case, request, clients=2, seconds=_BUSY_SECONDS, pause=0.2)


async def _deploy(case: Case) -> None:
    await case.world.deploy(case.member.kind)


async def _hiccup(case: Case) -> None:
    pid = await case.member.worker()
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGSTOP)
        await asyncio.sleep(case.number("milliseconds") / 1000)
        os.kill(pid, signal.SIGCONT)


async def _blip(case: Case) -> None:
    await case.member.nats.set(Weather(cut=True))
    await asyncio.sleep(_BLIP_SECONDS)
    await case.member.nats.set(Weather())


async def _retried(case: Case) -> None:
    config = case.member.config("a")
    for upstream in config["upstreams"].values():
        upstream["retries"] = 3
    case.member.configure("a", config)
    await case.member.take_up()
    links = [link for (site, _), link in case.member.links.items() if site == "a"]

    async def rain() -> None:
        try:
            for link in links:
                await link.set(Weather(drop=case.number("drop")))
            await asyncio.sleep(_BUSY_SECONDS)
        finally:
            for link in links:
                await link.set(Weather())

    background.keep(case, rain())


async def _large_job(case: Case) -> None:
    await case.member.inside("inside_load.hold", megabytes=int(case.number("megabytes")), seconds=_BUSY_SECONDS)


CONTROLS = (
    Fault(
        "burst_of_work",
        "Other clients make real requests one after the other, and the agent stays within its objectives.",
        "performance",
        ("versioning", "build_pipeline", "runtime", "shader_pipeline", "developer_tools"),
        _busy,
        {"clients": (1, 2)},
        "undisturbed",
        end=background.end,
        notices_seconds=8.0,
    ),
    Fault(
        "users_own_fault",
        "Clients ask for a module that there never was, by a name that may sound worse than it is; the agent says so, "
        "and reports it as a warning.",
        "unknown",
        ("versioning", "runtime"),
        _users_own_fault,
        {"asked_for": ("no_such_module", "OutOfMemoryError_disk_full", "certificate_expired")},
        "undisturbed",
        end=background.end,
        notices_seconds=8.0,
    ),
    Fault(
        "deployment",
        "A new process takes the place of the agent's in good order: it gets ready, the old one finishes what is under "
        "way and ends, the new one takes up the work.",
        "unknown",
        ORDER,
        _deploy,
        success="undisturbed",
        notices_seconds=8.0,
    ),
    Fault(
        "hiccup",
        "The worker is stopped for a moment and goes on before anybody can act.",
        "unknown",
        ORDER,
        _hiccup,
        {"milliseconds": (80, 160)},
        "undisturbed",
    ),
    Fault(
        "bus_blip",
        "The agent's connection to NATS is cut, and can be made again a moment later; its users need no NATS.",
        "network",
        ORDER,
        _blip,
        success="undisturbed",
        notices_seconds=8.0,
    ),
    Fault(
        "retried_warning",
        "Some connections to what the agent depends on break at once; it asks again, with success, and reports a "
        "warning each time.",
        "network",
        ("shader_pipeline", "developer_tools", "orchestrator"),
        _retried,
        {"drop": (0.05, 0.2)},
        "undisturbed",
        end=background.end,
        notices_seconds=8.0,
    ),
    Fault(
        "large_job",
        "The worker's memory grows for some seconds, stays, and is given back: a large job, far from any limit.",
        "memory",
        ORDER,
        _large_job,
        {"megabytes": (40, 120)},
        "undisturbed",
        notices_seconds=8.0,
    ),
)
