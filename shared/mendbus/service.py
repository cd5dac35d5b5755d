"""A service's life: settings, telemetry, bus, streams, ready; then stop pulling, finish, flush, close.

`python -m mendbus.service NAME` runs one service as a process; `mendbus run NAME` does the same.
"""

import asyncio
import gc
import importlib.metadata
import itertools
import logging
import os
import signal
import sys
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from typing import Any, cast

import mendbus.bus.nats as nats_bus
from mendbus import http, instruments, metrics, micro, streams
from mendbus.bus import Bus
from mendbus.contracts.errors import BusError, Forbidden, MendbusError, SettingsError
from mendbus.contracts.ids import new_id
from mendbus.contracts.subjects import Subjects
from mendbus.contracts.vocabulary import SERVICES
from mendbus.logs import configure_logging
from mendbus.metrics import Meter
from mendbus.profiling import serving as profiling
from mendbus.runtime import Drain, Readiness, Runtime, Service
from mendbus.security.access import access
from mendbus.server import syncs_always
from mendbus.settings import Settings, from_environment
from mendbus.telemetry import open_tracer

log = logging.getLogger("mendbus")

ENTRY_POINTS = "mendbus.services"
_CONNECT_SECONDS = 5.0
_CONNECT_PAUSE_SECONDS = 1.0
_CLOSE_SECONDS = 5.0
_WATCH_SECONDS = 0.5
_STREAMS_EVERY = 4
"""In so many looks at the connection one at the streams."""


class Died(MendbusError):
    """The connection to the bus is deaf or closed for good; the process must end so that it can be started anew."""


def find_service(name: str) -> Service:
    """The service that an installed package offers under this name. Raises `SettingsError` when there is none."""
    for entry in importlib.metadata.entry_points(group=ENTRY_POINTS, name=name):
        build: Callable[[], Service] = entry.load()
        return build()
    raise SettingsError([f"there is no service {name!r}; there are: {', '.join(SERVICES)}"])


async def run_services(
    services: Sequence[Service],
    settings: Settings,
    *,
    stop: asyncio.Event,
    on_ready: Callable[[int], None] = lambda port: None,
) -> None:
    """Runs services on one connection each until `stop`; calls `on_ready` with the HTTP port (0: none) once all are.

    Raises `Died` when a connection is lost for good, and whatever a service's own task raised.
    """
    readinesses = {service.name: Readiness() for service in services}
    meters = {service.name: Meter(service.name) for service in services}
    # What the process takes is told once, whoever lives in it.
    metrics.of_process(next(iter(meters.values()), Meter()))
    alive = asyncio.get_running_loop().time
    server = await _serve_health(settings, readinesses, list(meters.values()), alive)
    try:
        async with asyncio.TaskGroup() as group:
            ready = [asyncio.Event() for _ in services]
            for service, event in zip(services, ready, strict=True):
                group.create_task(
                    _run_one(service, settings, readinesses[service.name], meters[service.name], stop, event),
                    name=f"service {service.name}",
                )
            started = group.create_task(_all_ready(ready), name="all ready")
            stopped = group.create_task(_wait(stop), name="stop")
            await asyncio.wait((started, stopped), return_when=asyncio.FIRST_COMPLETED)
            if started.done() and not stop.is_set():
                on_ready(http.port_of(server) if server else 0)
            started.cancel()
    except* Died as died:
        raise _first(died) from None
    finally:
        if server:
            server.close()


async def _run_one(
    service: Service,
    settings: Settings,
    readiness: Readiness,
    meter: Meter,
    stop: asyncio.Event,
    ready: asyncio.Event,
) -> None:
    instance = new_id()[-12:]
    tracer = open_tracer(service.name, settings, instance=instance)
    died: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    def on_dead(reason: str) -> None:
        if not died.done() and not stop.is_set():
            died.set_result(reason)

    bus: Bus | None = None
    try:
        readiness.set("bus", False, "connecting")
        bus = await _connect(service.name, instance, settings, stop, on_dead)
        if bus is None:
            return
        readiness.set("bus", True)
        if await _prepare(bus, settings, readiness, stop):
            async with asyncio.TaskGroup() as tasks:
                runtime = Runtime(
                    service=service.name,
                    instance=instance,
                    settings=settings,
                    subjects=settings.subjects,
                    bus=bus,
                    tracer=tracer,
                    tasks=tasks,
                    readiness=readiness,
                    micro=micro.Micro(service.name, instance, _version(), service.description, {"protocol": "1"}),
                    meter=meter,
                )
                await _live(service, runtime, stop, ready, died)
    finally:
        if bus is not None:
            with suppress(TimeoutError, BusError):
                async with asyncio.timeout(_CLOSE_SECONDS):
                    await bus.close()
        await tracer.close()


async def _live(
    service: Service, runtime: Runtime, stop: asyncio.Event, ready: asyncio.Event, died: asyncio.Future[str]
) -> None:
    """From the start to the end in order. Raises `Died` when the connection dies first."""
    readiness = runtime.readiness
    _measure(runtime)
    readiness.set("started", False, "starting")
    drain = await service.start(runtime)
    await profiling.offer(runtime)
    runtime.subscriptions += await micro.announce(runtime.bus, runtime.micro)
    await runtime.bus.barrier()
    readiness.set("started", True)
    watching = _watch(runtime.bus, runtime.subjects, readiness, runtime.meter)
    watch = runtime.tasks.create_task(watching, name="watch")
    _settle_memory()
    ready.set()
    log.info("%s %s is ready", service.name, runtime.instance)
    stopping = asyncio.ensure_future(stop.wait())
    try:
        await asyncio.wait((stopping, died), return_when=asyncio.FIRST_COMPLETED)
    finally:
        stopping.cancel()
    readiness.conditions["started"] = False, "stopping"  # as asked for: nothing to log
    watch.cancel()
    if died.done():
        raise Died(f"{service.name}: {died.result()}")
    await _finish(runtime, drain)


def _measure(runtime: Runtime) -> None:
    """What is told of every service; sent to a collector where there is one."""
    meter, settings = runtime.meter, runtime.settings
    meter.observe(instruments.READY, lambda: int(runtime.readiness.ready))
    meter.observe(instruments.RECONNECTS, lambda: runtime.bus.reconnects)
    meter.observe(instruments.DROPPED_SPANS, lambda: runtime.tracer.dropped)
    if settings.otlp_endpoint and settings.metrics_seconds:
        # Only who sends needs the HTTP client.
        from mendbus.otlp_metrics import send_for_ever

        sending = send_for_ever(meter, settings.otlp_endpoint, runtime.instance, settings.metrics_seconds)
        runtime.spawn(sending, "send metrics")


async def _finish(runtime: Runtime, drain: Drain) -> None:
    """Takes no more, ends what is under way, within the time there is for it."""
    for subscription in runtime.subscriptions:
        await subscription.stop()
    try:
        async with asyncio.timeout(runtime.settings.drain_seconds):
            await runtime.bus.barrier()
            await drain()
    except (TimeoutError, BusError) as error:
        log.warning("%s did not finish cleanly: %r", runtime.service, error)
    for task in runtime.spawned:
        task.cancel()


def _first(group: BaseExceptionGroup[Died]) -> Died:
    for error in group.exceptions:
        return _first(error) if isinstance(error, BaseExceptionGroup) else error
    raise AssertionError(group)


def _settle_memory() -> None:
    # What start-up made lives as long as the process: leaving it out of collections keeps pauses short. Messages are
    # freed by reference counts; looking for cycles every few hundred objects is time spent for nothing.
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 20, 50)


async def _connect(
    name: str, instance: str, settings: Settings, stop: asyncio.Event, on_dead: Callable[[str], None]
) -> Bus | None:
    while not stop.is_set():
        try:
            return await nats_bus.connect(
                settings.nats_url,
                name=f"{name}/{instance}",
                prefix_inbox=f"_INBOX_{name}",
                on_dead=on_dead,
                connect_timeout=_CONNECT_SECONDS,
                access=access(settings, f"service/{name}"),
            )
        except BusError as error:
            log.warning("%s cannot reach NATS yet: %s", name, error)
            with suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), _CONNECT_PAUSE_SECONDS)
    return None


async def _prepare(bus: Bus, settings: Settings, readiness: Readiness, stop: asyncio.Event) -> bool:
    """Sees to the streams; whether they are there, and not the end of the process came first."""
    drifts = await _ensured(bus, settings, readiness, stop)
    if drifts is None:
        return False
    for drift in drifts:
        log.warning("the server differs from what is needed: %s", drift)
    synced = await syncs_always(settings.monitor_url) if settings.monitor_url else None
    if synced is None:
        log.warning("cannot see whether NATS syncs every write (set MENDBUS_MONITOR_URL): power loss may lose errors")
    elif not synced:
        reason = "NATS does not sync every write: set jetstream { sync_interval: always }"
        log.error("not ready: %s; power loss may lose errors that were acknowledged", reason)
        readiness.set("sync", False, reason)
    return True


async def _ensured(bus: Bus, settings: Settings, readiness: Readiness, stop: asyncio.Event) -> list[str] | None:
    while not stop.is_set():
        try:
            drifts = await streams.ensure(bus, settings.subjects, settings.stream_max_bytes, settings.stream_replicas)
        except Forbidden as error:
            # Only the strategy-selector may create them where users have rights.
            log.warning("waiting for the strategy-selector to create the streams: %s", error)
            readiness.set("streams", False, "waiting for the strategy-selector to create them")
            with suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), _CONNECT_PAUSE_SECONDS)
        else:
            readiness.set("streams", True)
            return drifts
    return None


async def _watch(bus: Bus, subjects: Subjects, readiness: Readiness, meter: Meter) -> None:
    clock = asyncio.get_running_loop().time
    for turn in itertools.count(1):
        due = clock() + _WATCH_SECONDS
        await asyncio.sleep(_WATCH_SECONDS)
        meter.record(instruments.LOOP_DELAY, clock() - due)
        readiness.set("bus", bus.connected, "" if bus.connected else "NATS is out of reach; reconnecting")
        if bus.connected and turn % _STREAMS_EVERY == 0:
            with suppress(BusError):  # whatever keeps the answer from us, the condition above tells
                await _look_at_streams(bus, subjects, readiness)


async def _look_at_streams(bus: Bus, subjects: Subjects, readiness: Readiness) -> None:
    """A server may come back with another volume. Nothing is created here: the right one may still be found."""
    missing = await streams.missing(bus, subjects)
    reason = (
        f"NATS has lost {len(missing)} streams ({', '.join(missing[:3])}{', ...' if missing[3:] else ''}): give it its "
        "volume back, or restart a service, which creates them, empty"
    )
    readiness.set("streams", not missing, reason if missing else "")


async def _wait(event: asyncio.Event) -> None:
    await event.wait()


async def _all_ready(events: Sequence[asyncio.Event]) -> None:
    for event in events:
        await event.wait()


async def _serve_health(
    settings: Settings, readinesses: dict[str, Readiness], meters: Sequence[Meter], clock: Callable[[], float]
) -> asyncio.Server | None:
    if settings.http_port < 0:
        return None
    started = clock()

    def livez() -> http.Answer:
        return True, {"live": True, "uptime_seconds": round(clock() - started, 3)}

    def readyz() -> http.Answer:
        reports = {name: readiness.report() for name, readiness in readinesses.items()}
        return all(readiness.ready for readiness in readinesses.values()), {"services": reports}

    def numbers() -> http.Answer:
        return True, http.Page(metrics.CONTENT_TYPE, metrics.prometheus(meters))

    routes = {"/livez": livez, "/readyz": readyz, "/metrics": numbers}
    return await http.serve_health(settings.http_host, settings.http_port, routes)


def _version() -> str:
    return importlib.metadata.version("mendbus")


def notify_parent(port: int) -> None:
    """Tells the process that started this one (pipe in MENDBUS_READY_FD) that it is ready, and its HTTP port."""
    descriptor = os.environ.pop("MENDBUS_READY_FD", "")
    if descriptor.isdigit():
        with suppress(OSError):
            os.write(int(descriptor), f"ready {port}\n".encode())
            os.close(int(descriptor))


async def until_stopped(services: Sequence[Service], settings: Settings) -> None:
    """Runs services until SIGTERM or SIGINT."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    await run_services(services, settings, stop=stop, on_ready=notify_parent)


def run_loop(main: Coroutine[Any, Any, None]) -> None:
    """Runs a coroutine on the fastest event loop there is."""
    try:
        import uvloop
    except ImportError:
        asyncio.run(main)
    else:
        uvloop.run(main)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the named service; returns the exit status (2: wrong settings, 1: died)."""
    names = sys.argv[1:] if arguments is None else list(arguments)
    try:
        settings = from_environment()
        configure_logging(settings, names[0] if names else "mendbus")
        if len(names) != 1:
            raise SettingsError([f"name one service of: {', '.join(SERVICES)}"])
        service = find_service(names[0])
    except SettingsError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    try:
        run_loop(until_stopped([service], settings))
    except (MendbusError, BaseExceptionGroup) as failure:
        return exit_status(failure, log.error)
    return 0


def exit_status(failure: BaseException, say: Callable[[str], None]) -> int:
    """Says each of the project's own errors in a failure; 2 for wrong settings, else 1. Raises what is none of them."""
    errors = _leaves(failure)
    if not all(isinstance(error, MendbusError) for error in errors):
        raise failure
    for error in errors:
        say(str(error))
    return 2 if any(isinstance(error, SettingsError) for error in errors) else 1


def _leaves(error: BaseException) -> list[BaseException]:
    if not isinstance(error, BaseExceptionGroup):
        return [error]
    group = cast("BaseExceptionGroup[BaseException]", error)
    return [leaf for inner in group.exceptions for leaf in _leaves(inner)]


if __name__ == "__main__":
    sys.exit(main())
