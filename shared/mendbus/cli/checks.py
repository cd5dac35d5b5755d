"""What `mendbus doctor` looks at. Each check changes nothing and ends under a deadline."""

import asyncio
import ctypes
import importlib.util
import json
import shutil
import sys
import time
from collections.abc import Iterable, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, cast
from urllib.parse import urlsplit

from mendbus import streams
from mendbus.bus import ConsumerSpec, StreamSpec
from mendbus.cli import permissions
from mendbus.cli.connect import connected, running
from mendbus.contracts.errors import BusError, CredentialsError
from mendbus.contracts.subjects import LANES, PARTITIONS, Subjects
from mendbus.contracts.vocabulary import SERVICES
from mendbus.server import syncs_always
from mendbus.settings import Settings

if TYPE_CHECKING:
    from mendbus.bus import Bus

ASK_SECONDS = 2.0
_API_LEVEL = 2
_NANO = 1_000_000_000
_CLOCK_SECONDS = 1.0
_FREE_BYTES = 1 << 30
_FREE_ELSEWHERE = 16 << 20
"""Where the streams are on another machine."""
_LOOPBACK = frozenset(("localhost", "127.0.0.1", "::1"))
_NEARLY_FULL = 0.8
_RESTART = "restart a service, or `mendbus up`: it creates what is missing and updates what differs"

State = Literal["ok", "warning", "problem"]


class Check(NamedTuple):
    """One thing that was looked at; `remedy` says what to do unless all is well."""

    name: str
    state: State
    found: str
    remedy: str = ""


async def examine(settings: Settings) -> list[Check]:
    """All checks. Those that need a server are left out when there is none."""
    found = [
        python(sys.version_info[:3]),
        libgomp(),
        disk(settings.data_dir, _FREE_BYTES if near(settings) else _FREE_ELSEWHERE),
        rights(settings),
        await tracing(settings),
    ]
    try:
        async with connected(settings) as bus:
            found.append(Check("server", "ok", f"reachable at {_shown(settings.nats_url)}"))
            found += await user(bus, settings.subjects)
            found.append(await level(bus))
            able = found[-1].state == "ok"
            found.append(await syncs(settings.monitor_url))
            if able:
                found += await stores(bus, settings)
                found.append(await room(bus, settings))
            # Together: where nobody may answer each waits for its whole time.
            found += await asyncio.gather(*(answers(bus, service) for service in SERVICES))
    except BusError as error:
        found.append(unreached(error))
    return found + await supervised(settings)


def unreached(error: BusError) -> Check:
    """What keeps us from the server: it does not know us, or it is not there."""
    if any(word in str(error).lower() for word in ("authorization", "authentication", "credentials")):
        remedy = "ask for credentials of an operator on this server: those in NATS_URL are missing, wrong or expired"
        return Check("server", "problem", f"it refuses us: {error}", remedy)
    return Check("server", "problem", str(error), "run `mendbus up`, or name a server with --nats-url")


def _shown(addresses: str) -> str:
    """Addresses of servers without the passwords in them."""
    return ", ".join(one.strip().rpartition("@")[2] or one for one in addresses.split(","))


def python(version: Sequence[int]) -> Check:
    """Whether Python is new enough."""
    text = ".".join(str(number) for number in version)
    if tuple(version) >= (3, 11):
        return Check("python", "ok", text)
    return Check("python", "problem", text, "install Python 3.11 or newer")


def libgomp(library: str = "libgomp.so.1") -> Check:
    """Whether the system library is there that LightGBM needs on Linux, if that is installed."""
    if sys.platform != "linux" or importlib.util.find_spec("lightgbm") is None:
        return Check("libgomp", "ok", "not needed here")
    try:
        ctypes.CDLL(library)
    except OSError:
        remedy = "apt-get install libgomp1  |  dnf install libgomp  |  apk add libgomp"
        return Check("libgomp", "problem", f"{library} is missing: learned models cannot be loaded", remedy)
    return Check("libgomp", "ok", library)


def disk(data_dir: Path, needed: int) -> Check:
    """Whether there is room where `mendbus up` keeps its streams, and everybody else keys and traces."""
    existing = next(folder for folder in (data_dir.absolute(), *data_dir.absolute().parents) if folder.is_dir())
    free = shutil.disk_usage(existing).free
    text = f"{free / (1 << 30):.1f} GiB free for {data_dir}"
    if free >= needed:
        return Check("disk", "ok", text)
    return Check("disk", "problem", text, f"free at least {needed / (1 << 20):.0f} MiB, or choose another --data-dir")


def near(settings: Settings) -> bool:
    """Whether the server is on this machine."""
    hosts = [urlsplit(server.strip()).hostname or "" for server in settings.nats_url.split(",")]
    return all(host in _LOOPBACK for host in hosts)


def rights(settings: Settings) -> Check:
    """Whether the server asks who somebody is, and commands must be signed."""
    from mendbus.security import credentials

    init = "make users with `mendbus nats-config init`, and see SECURITY.md"
    try:
        found = credentials.of(settings, credentials.ADMIN)
    except CredentialsError as error:
        return Check("users", "problem", str(error), init)
    if found is None:
        if near(settings):
            return Check("users", "ok", "none: whoever is on this machine may do everything")
        return Check("users", "warning", "none: whoever reaches the server may do everything", init)
    if found.ca is None or found.trust is None:
        missing = "TLS (MENDBUS_NATS_CA)" if found.ca is None else "signatures (MENDBUS_TRUSTED_KEYS)"
        return Check("users", "warning", f"connects as {found.user}, without {missing}", init)
    return Check("users", "ok", f"connects as {found.user}, over TLS, with signatures")


async def level(bus: "Bus") -> Check:
    """Whether the server is new enough and has JetStream."""
    try:
        api = (await _ask(bus, "INFO")).get("api", {}).get("level", 0)
    except BusError as error:
        remedy = "start nats-server with a jetstream block, and let this user reach $JS.API.>"
        return Check("server version", "problem", f"no JetStream: {error}", remedy)
    if api >= _API_LEVEL:
        return Check("server version", "ok", f"2.12 or newer (JetStream API level {api})")
    return Check("server version", "problem", f"older than 2.12 (JetStream API level {api})", "upgrade nats-server")


async def syncs(monitor_url: str) -> Check:
    """Whether the server syncs every write before it answers."""
    synced = await syncs_always(monitor_url, timeout=ASK_SECONDS) if monitor_url else None
    if synced is None:
        remedy = "set MENDBUS_MONITOR_URL to the server's monitoring address, such as http://127.0.0.1:8222"
        return Check("sync", "warning", "cannot be seen", remedy)
    if synced:
        return Check("sync", "ok", "every write is on disk before it is acknowledged")
    remedy = "set jetstream { sync_interval: always } in the server's configuration"
    return Check("sync", "problem", "power loss may lose acknowledged errors", remedy)


async def user(bus: "Bus", subjects: Subjects) -> list[Check]:
    """Which user of the server we are, whether that user may do what is needed, and whether the clocks agree."""
    before = time.time()
    try:
        reply = await bus.request("$SYS.REQ.USER.INFO", b"", timeout=ASK_SECONDS)
        told = cast("dict[str, Any]", json.loads(reply.body))
        rights = permissions.read(told)
    except (BusError, ValueError, AttributeError) as error:
        remedy = "let this user publish $SYS.REQ.USER.INFO and subscribe below its inbox"
        return [Check(name, "warning", f"cannot be seen: {error}", remedy) for name in ("permissions", "clock")]
    return [permitted(rights, subjects), clock(told.get("server", {}).get("time"), before, time.time())]


def permitted(rights: permissions.Rights, subjects: Subjects) -> Check:
    """Whether the user may do what commands do."""
    lacking = permissions.lacking(rights, subjects)
    name = rights.user or "(without a name)"
    if not lacking:
        limits = "without limits" if rights.publish is None and rights.subscribe is None else "with rights of its own"
        if permissions.only_looks(rights, subjects):
            limits = "who may look and order nothing, as a viewer"
        return Check("permissions", "ok", f"user {name}, {limits}")
    more = f"; and {len(lacking) - 4} more" if len(lacking) > 4 else ""
    remedy = "connect as an operator, or give this user these subjects in the server's configuration"
    return Check("permissions", "problem", f"user {name} {'; '.join(lacking[:4])}{more}", remedy)


def clock(told: object, before: float, after: float) -> Check:
    """Whether this machine's clock and the server's agree. Times in seconds since 1970, around the question."""
    try:
        server = datetime.fromisoformat(str(told)).timestamp()
    except ValueError:
        return Check("clock", "warning", "cannot be seen: the server does not tell its time", "upgrade nats-server")
    off = max(before - server, server - after, 0.0)
    if off <= _CLOCK_SECONDS:
        return Check("clock", "ok", f"within {max(off, after - before):.3f} s of the server's")
    return Check("clock", "problem", f"{off:.1f} s away from the server's", "let NTP or chrony set both clocks")


async def stores(bus: "Bus", settings: Settings) -> list[Check]:
    """Whether streams and consumers are there, and are as needed."""
    subjects = settings.subjects
    wanted = streams.streams(subjects, settings.stream_max_bytes, settings.stream_replicas)
    differ = [line for spec in wanted for line in await _stream(bus, spec)]
    found = [_summary("streams", len(wanted), differ)]
    consumers = [_lane(subjects, partition, lane) for partition in range(PARTITIONS) for lane in LANES]
    differ = [line for spec in consumers for line in await _consumer(bus, spec)]
    return [*found, _summary("consumers", len(consumers), differ)]


async def room(bus: "Bus", settings: Settings) -> Check:
    """Whether the streams that may not lose anything have room left: a full one takes no more errors."""
    full: list[str] = []
    for name in ("ERRORS", "JOURNAL"):
        answer = await _ask(bus, f"STREAM.INFO.{settings.subjects.stream(name)}")
        used = cast("dict[str, Any]", answer.get("state") or {}).get("bytes", 0)
        most = cast("dict[str, Any]", answer.get("config") or {}).get("max_bytes", -1)
        refuses = cast("dict[str, Any]", answer.get("config") or {}).get("max_msgs_per_subject", -1)
        if refuses > 0:
            full.append(
                f"{name} refuses an agent that fills it (more than {refuses} errors of one severity); the log of the "
                "strategy-selector and the metric mendbus.agents.refused name it"
            )
        if most > 0 and used > most * _NEARLY_FULL:
            full.append(f"{name} holds {used / (1 << 20):.0f} of {most / (1 << 20):.0f} MiB")
    account = await _ask(bus, "INFO")
    limit, stored = account.get("limits", {}).get("max_storage", -1), account.get("storage", 0)
    if limit > 0 and stored > limit * _NEARLY_FULL:
        full.append(f"the account holds {stored / (1 << 20):.0f} of {limit / (1 << 20):.0f} MiB")
    if not full:
        return Check("room", "ok", "streams have room left")
    remedy = (
        "give the server more disk and raise MENDBUS_STREAM_MAX_BYTES; until then agents keep new errors in their "
        "outboxes once there is no room"
    )
    return Check("room", "problem", "; ".join(full), remedy)


async def tracing(settings: Settings) -> Check:
    """Whether spans can go where they are to go: an empty request changes nothing at a collector."""
    if not settings.trace:
        return Check("tracing", "ok", "switched off")
    if not settings.otlp_endpoint:
        return Check("tracing", "ok", f"spans are kept in {settings.traces}")
    from http.client import HTTPException

    from mendbus.otlp import CollectorRefused

    where = settings.otlp_endpoint
    try:
        await asyncio.to_thread(_knock, where)
    except CollectorRefused as refused:
        remedy = "OTEL_EXPORTER_OTLP_ENDPOINT must be an OTLP receiver for HTTP: of Jaeger that is port 4318"
        return Check("tracing", "problem", f"{where}: {refused}", remedy)
    except (OSError, HTTPException, ValueError) as error:
        remedy = "start Jaeger or a collector there, or set OTEL_EXPORTER_OTLP_ENDPOINT; until then spans are lost"
        return Check("tracing", "problem", f"nobody takes spans at {where}: {error or type(error).__name__}", remedy)
    return Check("tracing", "ok", f"spans are taken at {where}")


def _knock(endpoint: str) -> None:
    from mendbus.otlp import Sender

    sender = Sender(endpoint, {})
    # Without this it would go on trying for as long as spans are worth.
    sender.hurry()
    try:
        sender.send(b"")
    finally:
        sender.close()


def _lane(subjects: Subjects, partition: int, lane: str) -> ConsumerSpec:
    return streams.lane_consumer(subjects, partition, lane)


def _summary(name: str, count: int, differ: Sequence[str]) -> Check:
    if not differ:
        return Check(name, "ok", f"{count} as needed")
    more = f"; and {len(differ) - 4} more" if len(differ) > 4 else ""
    return Check(name, "problem", "; ".join(differ[:4]) + more, _RESTART)


async def _stream(bus: "Bus", spec: StreamSpec) -> list[str]:
    answer = await _ask(bus, f"STREAM.INFO.{spec.name}")
    there = cast("dict[str, Any] | None", answer.get("config"))
    if there is None:
        return [f"stream {spec.name} is missing"]
    transform = cast("dict[str, Any]", there.get("subject_transform") or {})
    pairs: Iterable[tuple[str, object, object]] = (
        ("subjects", sorted(there.get("subjects") or []), sorted(spec.subjects)),
        ("storage", there.get("storage"), spec.storage),
        ("discard", there.get("discard"), spec.discard),
        ("max_age", (there.get("max_age") or 0) / _NANO, spec.max_age),
        ("max_bytes", there.get("max_bytes"), spec.max_bytes),
        ("max_msg_size", there.get("max_msg_size", -1), spec.max_msg_size),
        ("allow_atomic", there.get("allow_atomic") or False, spec.allow_atomic),
        ("replicas", there.get("num_replicas", 1) if spec.replicas > 1 else 1, spec.replicas),
        ("transform", (transform.get("src"), transform.get("dest")), spec.transform or (None, None)),
    )
    return [f"stream {spec.name}: {key} is {a!r}, needed {b!r}" for key, a, b in pairs if a != b]


async def _consumer(bus: "Bus", spec: ConsumerSpec) -> list[str]:
    answer = await _ask(bus, f"CONSUMER.INFO.{spec.stream}.{spec.name}")
    there = cast("dict[str, Any] | None", answer.get("config"))
    if there is None:
        return [f"consumer {spec.name} is missing"]
    filters = cast("list[str]", there.get("filter_subjects") or [there.get("filter_subject")])
    pairs: Iterable[tuple[str, object, object]] = (
        ("filters", sorted(filters), sorted(spec.filters)),
        ("ack_wait", (there.get("ack_wait") or 0) / _NANO, spec.ack_wait),
        ("max_ack_pending", there.get("max_ack_pending"), spec.max_ack_pending),
    )
    return [f"consumer {spec.name}: {key} is {a!r}, needed {b!r}" for key, a, b in pairs if a != b]


async def answers(bus: "Bus", service: str) -> Check:
    """Whether a service answers on the services API."""
    try:
        reply = await bus.request(f"$SRV.PING.{service}", b"", timeout=ASK_SECONDS)
        told = json.loads(reply.body)
        return Check(service, "ok", f"instance {told['id']} answers, version {told['version']}")
    except (BusError, ValueError, KeyError, TypeError) as error:
        return Check(service, "problem", f"does not answer: {error}", f"run `mendbus run {service}`, or `mendbus up`")


async def supervised(settings: Settings) -> list[Check]:
    """What a running `mendbus up` with this data folder says about its services."""
    from mendbus.supervisor import readiness

    state = running(settings.data_dir)
    if state is None:
        return []
    try:
        told = await readiness(settings.http_host, int(state["http_port"]))
        services = cast("dict[str, dict[str, Any]]", told["services"])
    except (OSError, ValueError, KeyError) as error:
        return [Check("mendbus up", "problem", f"does not answer: {error}", f"look at process {state['pid']}")]
    unready = [f"{name} {one.get('detail') or _unmet(one)}" for name, one in services.items() if not one["ready"]]
    if unready:
        return [Check("mendbus up", "problem", "; ".join(unready), "look at its log")]
    return [Check("mendbus up", "ok", f"process {state['pid']}, all services are ready")]


def _unmet(told: dict[str, Any]) -> str:
    return ", ".join(f"{name}: {one['detail']}" for name, one in told["conditions"].items() if not one["ok"])


async def _ask(bus: "Bus", what: str) -> dict[str, Any]:
    """An answer of the JetStream API, errors included. Raises `BusError`."""
    reply = await bus.request(f"$JS.API.{what}", b"", timeout=ASK_SECONDS)
    return cast("dict[str, Any]", json.loads(reply.body))
