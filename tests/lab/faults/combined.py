"""Faults that spread, come and go, or do not come alone."""

import asyncio
import os
import signal
from contextlib import suppress

from tests.lab.faults import Case, Fault, background
from tests.lab.faults.security import READ_AT_EVERY_REQUEST, show_token
from tests.lab.links import Weather
from tests.lab.world import Member

_DEPENDENTS = {
    "versioning": ("shader_pipeline", "orchestrator"),
    "build_pipeline": ("orchestrator",),
    "runtime": ("developer_tools", "orchestrator"),
}
"""Whose users notice that a kind does not answer."""
_FLAPS_SECONDS = 60.0
_OTHER = "runtime"


async def _stop_worker(member: Member, how: int = signal.SIGSTOP) -> None:
    os.kill(await member.worker(), how)


# -- from an upstream agent


async def _cascade(case: Case) -> None:
    await _stop_worker(case.member, signal.SIGSTOP if case.parameters["upstream"] == "hangs" else signal.SIGKILL)


# -- that comes and goes


async def _flap_link(case: Case) -> None:
    async def flap() -> None:
        links = [link for (site, _), link in case.member.links.items() if site == "a"]
        try:
            async with asyncio.timeout(_FLAPS_SECONDS):
                while True:
                    for weather in (Weather(refuse=True), Weather()):
                        for link in links:
                            await link.set(weather)
                        await asyncio.sleep(case.number("period"))
        finally:
            for link in links:
                await link.set(Weather())

    background.keep(case, flap())


async def _flap_worker(case: Case) -> None:
    pid = await case.member.worker()

    async def flap() -> None:
        # The process may be replaced, and with it the fault is gone.
        with suppress(ProcessLookupError):
            try:
                async with asyncio.timeout(_FLAPS_SECONDS):
                    while True:
                        for how in (signal.SIGSTOP, signal.SIGCONT):
                            os.kill(pid, how)
                            await asyncio.sleep(case.number("period"))
            finally:
                os.kill(pid, signal.SIGCONT)

    background.keep(case, flap())


# -- two at once


async def _kill_and_cut_short(case: Case) -> None:
    file = case.member.folder / "a" / "state" / READ_AT_EVERY_REQUEST[case.member.kind]
    content = file.read_bytes()
    _ = file.write_bytes(content[: len(content) // 2])
    await _stop_worker(case.member, signal.SIGKILL)


async def _hang_and_expire(case: Case) -> None:
    show_token(case, 0.0)
    await case.member.take_up()
    await _stop_worker(case.member)


async def _two_agents(case: Case) -> None:
    show_token(case, 0.0)
    await case.member.take_up()
    await _stop_worker(case.world.members[_OTHER])


async def _renew_other(case: Case) -> None:
    await case.world.renew(_OTHER)


COMBINED = (
    *(
        Fault(
            f"cascade_from_{kind}",
            "The worker of an agent that others depend on hangs (SIGSTOP) or dies (SIGKILL), and they fail with it.",
            "runtime",
            (kind,),
            _cascade,
            {"upstream": ("hangs", "dies")},
            feels=dependents,
            notices_seconds=8.0,
        )
        for kind, dependents in _DEPENDENTS.items()
    ),
    Fault(
        "flapping_link",
        "On the first site, what the agent depends on refuses connections for a while, answers for a while, and so on.",
        "network",
        ("shader_pipeline", "developer_tools"),
        _flap_link,
        {"period": (1.0, 2.0)},
        end=background.end,
        notices_seconds=8.0,
    ),
    Fault(
        "flapping_worker",
        "The worker process is stopped for a while, goes on for a while, and so on.",
        "runtime",
        ("versioning", "build_pipeline", "runtime", "shader_pipeline", "developer_tools"),
        _flap_worker,
        {"period": (1.0, 2.0)},
        end=background.end,
        notices_seconds=8.0,
    ),
    Fault(
        "killed_and_cut_short",
        "Two at once: the file that the agent reads at every request is cut short, and its worker is killed.",
        "storage",
        ("versioning", "build_pipeline"),
        _kill_and_cut_short,
    ),
    Fault(
        "hung_and_expired",
        "Two at once: the token that the agent shows on its first site expires, and its worker hangs (SIGSTOP).",
        "security",
        ("shader_pipeline", "developer_tools", "orchestrator"),
        _hang_and_expire,
        notices_seconds=8.0,
    ),
    Fault(
        "two_agents",
        "Two agents at once: the agent's token on its first site expires, and the worker of the runtime hangs.",
        "security",
        ("shader_pipeline",),
        _two_agents,
        feels=("shader_pipeline", "developer_tools"),
        end=_renew_other,
        notices_seconds=8.0,
    ),
)
