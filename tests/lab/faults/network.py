"""Faults of the network: what an agent asks refuses, is slow, breaks off, is not found; and the way to Mendbus is bad.

Those that last a while are on every way to what an agent needs, as when that host is in trouble; those that last until
they are taken away are on the ways from the site that serves alone, as when a path or a rule of a firewall is at fault.
"""

import os
import signal
from contextlib import suppress

from tests.lab.faults import Case, Fault, Step
from tests.lab.links import Link, Weather
from tests.lab.users import AgentRefused
from tests.lab.world import free_ports

ASKING = ("build_pipeline", "shader_pipeline", "developer_tools", "orchestrator")
"""Kinds whose users wait for what others answer."""
_NATS_WEATHER = {
    "cut": Weather(refuse=True),
    "silent": Weather(silent=True),
    "lossy": Weather(drop=0.3, lose=0.1, delay=0.05),
}


async def _serving(case: Case) -> str:
    return str((await case.member.ask("status"))["site"])


async def _ways(case: Case) -> list[Link]:
    if case.parameters.get("seconds"):
        return list(case.member.links.values())
    site = await _serving(case)
    return [link for (place, _), link in case.member.links.items() if place == site]


async def _set(case: Case, weather: Weather) -> None:
    for link in await _ways(case):
        await link.set(weather, case.number("seconds"))


async def _clear(case: Case) -> None:
    for link in (case.member.nats, *case.member.links.values()):
        await link.set(Weather())


def _weather(weather: Weather) -> Step:
    async def inject(case: Case) -> None:
        await _set(case, weather)

    return inject


async def _slow(case: Case) -> None:
    await _set(case, Weather(delay=case.number("delay")))


async def _flaky(case: Case) -> None:
    await _set(case, Weather(drop=case.number("drop")))


async def _no_such_host(case: Case) -> None:
    await _configure_upstreams(case, {"host": "upstream.invalid"})


async def _badly_configured(case: Case) -> None:
    bad = {
        "port": {"port": free_ports(1)[0]},
        "timeout": {"timeout": 0},
        "type": {"port": "default"},
        "missing": None,
    }
    await _configure_upstreams(case, bad[str(case.parameters["what"])])


async def _wrong_type(case: Case) -> None:
    site = await _serving(case)
    case.member.configure(site, case.member.config(site) | {"workers": "four"})
    with suppress(AgentRefused):
        await case.member.take_up()


async def _configure_upstreams(case: Case, change: dict[str, object] | None) -> None:
    """Deploys another configuration of where the agents are that this one needs; without them for None."""
    site = await _serving(case)
    config = case.member.config(site)
    upstreams = config["upstreams"]
    config["upstreams"] = {} if change is None else {kind: where | change for kind, where in upstreams.items()}
    case.member.configure(site, config)
    with suppress(AgentRefused):
        await case.member.take_up()


async def _nats(case: Case) -> None:
    await case.member.nats.set(_NATS_WEATHER[str(case.parameters["how"])], case.number("seconds"))


async def _nats_and_killed(case: Case) -> None:
    await _nats(case)
    os.kill(await case.member.worker(), signal.SIGKILL)


NETWORK = (
    Fault(
        "refused_connection",
        "Nobody listens where an agent finds those that it needs.",
        "network",
        ASKING,
        _weather(Weather(refuse=True)),
        {"seconds": (3.0, 8.0, 0.0)},
        end=_clear,
    ),
    Fault(
        "silent_upstream",
        "Those that an agent needs take connections and never answer, as behind a firewall that swallows packets.",
        "network",
        ASKING,
        _weather(Weather(silent=True)),
        {"seconds": (5.0, 0.0)},
        end=_clear,
    ),
    Fault(
        "slow_upstream",
        "The way to those that an agent needs and the way back take so many seconds each.",
        "performance",
        ASKING,
        _slow,
        {"delay": (0.35, 0.8), "seconds": (6.0, 0.0)},
        end=_clear,
        notices_seconds=10.0,
    ),
    Fault(
        "flaky_upstream",
        "That share of the connections to those that an agent needs end as soon as they are made.",
        "network",
        ASKING,
        _flaky,
        {"drop": (0.3,), "seconds": (8.0, 0.0)},
        end=_clear,
        notices_seconds=10.0,
    ),
    Fault(
        "truncated_answers",
        "Connections to those that an agent needs end after the first bytes of each answer.",
        "network",
        ASKING,
        _weather(Weather(truncate=8)),
        {"seconds": (5.0, 0.0)},
        end=_clear,
    ),
    Fault(
        "dns_failure",
        "A deployed configuration names a host that no name server knows.",
        "network",
        ASKING,
        _no_such_host,
    ),
    Fault(
        "bad_configuration",
        "A deployed configuration has a wrong port, no time for an answer, a word for a number, or a part missing.",
        "configuration",
        ASKING,
        _badly_configured,
        {"what": ("port", "timeout", "type", "missing")},
    ),
    Fault(
        "unreadable_configuration",
        "A deployed configuration has a value of the wrong type, with which the work cannot be taken up at all.",
        "configuration",
        ("versioning", "runtime", *ASKING),
        _wrong_type,
    ),
    Fault(
        "cut_from_mendbus",
        "The agent's link to NATS is cut, silent or lossy for a while; its work goes on, so nobody may suffer.",
        "network",
        ("versioning", "runtime", *ASKING),
        _nats,
        {"how": ("cut", "silent", "lossy"), "seconds": (3.0, 8.0)},
        success="undisturbed",
        end=_clear,
    ),
    Fault(
        "killed_while_cut",
        "The worker process is killed while the agent's link to NATS is cut: its error arrives when the link is back.",
        "runtime",
        ("versioning", "runtime", *ASKING),
        _nats_and_killed,
        {"how": ("cut", "silent"), "seconds": (3.0,)},
        end=_clear,
    ),
)
