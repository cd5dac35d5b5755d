"""Serves the dashboard: who is admitted, what goes where, and what errors look like."""

import asyncio
import importlib.metadata
import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Final

from mendbus import http
from mendbus.asking.board import PASSED
from mendbus.asking.errors import Declined, NotFound, Unanswered
from mendbus.asking.health import ORDER
from mendbus.contracts.errors import BusError, BusTimeout, Forbidden, MendbusError
from mendbus.contracts.vocabulary import ALERT_SEVERITIES, CATEGORIES, METRICS, SEVERITIES, STRATEGIES
from mendbus.http import Request, Response, Unfit
from mendbus.redaction import DEFAULT, Redaction
from mendbus.runtime import Runtime
from mendbus_health_monitor.agents import Agents
from mendbus_health_monitor.dashboard.actions import act
from mendbus_health_monitor.dashboard.breathing import breathing
from mendbus_health_monitor.dashboard.files import file
from mendbus_health_monitor.dashboard.guard import HEADERS, Guard
from mendbus_health_monitor.dashboard.live import Live
from mendbus_health_monitor.dashboard.questions import answer
from mendbus_health_monitor.signals import Signals

log = logging.getLogger("mendbus")

MAX_BODY: Final = 8192
AT_ONCE: Final = 256
"""Connections, the pages that follow among them."""
_RETRY_SECONDS: Final = 5.0
_ANSWER_SECONDS: Final = 30.0
_READING: Final = 4
"""Questions that are answered at a time: some read whole streams, and the service has other things to do."""
_STATUS: Final[tuple[tuple[type[Exception], int], ...]] = (
    (NotFound, 404),
    (Declined, 409),
    (Unanswered, 503),
    (Forbidden, 403),
    (BusTimeout, 504),
    (BusError, 503),
    (MendbusError, 502),
)


class Dashboard:
    """The running server."""

    def __init__(self, runtime: Runtime, live: Live, redaction: Callable[[], Redaction] = lambda: DEFAULT) -> None:
        """`redaction`: what is taken out of dead letters, which hold what was sent."""
        settings = runtime.settings
        self._runtime = replace(runtime, bus=breathing(runtime.bus))
        self._live = live
        self._redaction = redaction
        self._guard = Guard(settings.dashboard_host, settings.dashboard_names, settings.dashboard_token)
        self._reading = asyncio.Semaphore(_READING)

    async def handle(self, request: Request) -> Response:
        """Answers a request."""
        try:
            self._guard.admit(request.headers)
            response = await self._routed(request)
        except Unfit as unfit:
            allowed = {"WWW-Authenticate": "Bearer"} if unfit.status == 401 else {}
            response = http.as_json({"error": unfit.reason}, unfit.status, allowed)
        except TimeoutError:
            response = http.as_json({"error": f"this took longer than {_ANSWER_SECONDS:g} s: ask for less"}, 504)
        except MendbusError as error:
            status = next(status for kind, status in _STATUS if isinstance(error, kind))
            response = http.as_json({"error": str(error)}, status)
        return replace(response, headers={**HEADERS, **response.headers})

    async def _routed(self, request: Request) -> Response:
        path = request.path
        if path.startswith("/api/actions/"):
            if request.method != "POST":
                raise Unfit(405, f"{path} takes POST")
            self._guard.may_order(request.headers)
            return _json(await act(self._runtime, request))
        if request.method == "POST":
            raise Unfit(405, f"{path[:200]} takes GET")
        if path == "/api/meta":
            return _json(self._meta(request.headers))
        if not path.startswith("/api/"):
            return file(request)
        self._guard.may_read(request.headers)
        if path == "/api/events":
            return await self._events(request)
        async with asyncio.timeout(_ANSWER_SECONDS), self._reading:
            if path == "/api/snapshot":
                return _json(await self._live.snapshot())
            return _json(await answer(self._runtime, request, self._redaction))

    async def _events(self, request: Request) -> Response:
        after = request.headers.get("last-event-id") or request.query.get("after", "")
        stream = await self._live.follow(after[:64], request.query.get("watch", "")[:140])
        return Response(200, "text/event-stream; charset=utf-8", stream=stream)

    def _meta(self, headers: Mapping[str, str]) -> dict[str, Any]:
        guard, settings = self._guard, self._runtime.settings
        reading_needs_token = not guard.loopback
        known = guard.knows(headers)
        told: dict[str, Any] = {
            "version": importlib.metadata.version("mendbus"),
            "actions": not guard.why_off,
            "reading_needs_token": reading_needs_token,
            "token_ok": known,
            "now_unix_nano": self._runtime.now(),
            "statuses": ORDER,
            "stages": PASSED,
            "metrics": METRICS,
            "strategies": STRATEGIES,
            "categories": CATEGORIES,
            "severities": SEVERITIES,
            "alert_severities": ALERT_SEVERITIES,
        }
        if guard.why_off:
            told["actions_why"] = guard.why_off
        if known or not reading_needs_token:
            told |= {
                "root": settings.root,
                "instance": self._runtime.instance,
                "jaeger_url": settings.jaeger_url.rstrip("/"),
            }
        return told


def _json(value: Any) -> Response:
    return Response(body=(json.dumps(value, ensure_ascii=False, default=_plain) + "\n").encode())


def _plain(value: object) -> str:
    return value.hex() if isinstance(value, bytes) else str(value)


def offer(runtime: Runtime, agents: Agents, signals: Signals, redaction: Callable[[], Redaction]) -> None:
    """Serves the dashboard from now on, as a task of the service: as a user of its own where it has credentials."""

    def show(runtime: Runtime) -> Callable[[], None]:
        live = Live(runtime, signals.own.row, redaction)
        agents.taken.append(live.hear)
        live.start()
        _ = runtime.spawn(_serve(runtime, Dashboard(runtime, live, redaction)), "dashboard")
        return lambda: agents.taken.remove(live.hear)

    if runtime.settings.dashboard_credentials is not None:
        # Who shares the service's connection needs none of what users and keys take.
        from mendbus_health_monitor.dashboard.own import keep

        _ = runtime.spawn(keep(runtime, show), "dashboard, as itself")
        return
    if runtime.settings.nats_credentials is not None:
        log.warning("the dashboard shows no dead letters and gives no orders: set MENDBUS_DASHBOARD_CREDENTIALS")
    _ = show(runtime)


async def _serve(runtime: Runtime, dashboard: Dashboard) -> None:
    """Another replica on this host may have the port: the dashboard is no reason not to watch agents."""
    host, port = runtime.settings.dashboard_host, runtime.settings.dashboard_port
    told = ""
    while True:
        try:
            server = await http.serve(
                host, port, dashboard.handle, methods=("GET", "HEAD", "POST"), max_body=MAX_BODY, at_once=AT_ONCE
            )
        except OSError as error:
            if told != str(error):
                log.error("the dashboard cannot be served on %s:%d, it is tried again: %s", host, port, error)
            told = str(error)
            await asyncio.sleep(_RETRY_SECONDS)
            continue
        log.info("the dashboard is at http://%s:%d", f"[{host}]" if ":" in host else host, http.port_of(server))
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            server.close()
