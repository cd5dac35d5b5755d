"""Brings a fault into one agent, and follows what becomes of it."""

import asyncio
import contextlib
import json
import os
import sys
import time
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import psutil
import typer

from mendbus import codec
from mendbus.asking.orders import Order, ask, control_of, user
from mendbus.cli.connect import connected
from mendbus.cli.following import Recovery
from mendbus.cli.output import clean, document, say, table
from mendbus.contracts.errors import BusTimeout, MendbusError, NoResponders
from mendbus.contracts.ids import new_id
from mendbus.contracts.messages import AgentRef, Rehearse, RehearseResult
from mendbus.contracts.subjects import CONTENT_TYPE, HEADER_CONTENT_TYPE
from mendbus.contracts.vocabulary import RehearseAction
from mendbus.faults import Fault, FaultError, OperationFault, OutsideFault, ProcessFault
from mendbus.faults.catalogue import FAULTS, fault_named
from mendbus.faults.outside import process_space
from mendbus.settings import Settings

if TYPE_CHECKING:
    from mendbus.bus import Bus

_ASK_SECONDS: Final = 3.0
_HOLDER_SECONDS: Final = 10.0
_REASON_CHARACTERS: Final = 250


@dataclass(frozen=True, slots=True)
class Wish:
    """What somebody wants. `pid`: the agent's process, as they say."""

    fault: Fault
    agent: tuple[str, str]
    operation: str | None
    seconds: float
    calls: int | None
    values: Mapping[str, float]
    pid: int | None
    by: str | None
    reason: str | None

    @property
    def key(self) -> str:
        """`kind/id`."""
        return "/".join(self.agent)


@dataclass(frozen=True, slots=True)
class Plan:
    """What will be done to whom. `instance`: the boot id that the agent has told; `pid` 0 where it does not matter."""

    wish: Wish
    instance: str | None
    pid: int


# -- what there is


def show_faults(*, as_json: bool) -> None:
    """Prints all faults."""
    if as_json:
        document([_facts(fault) for fault in FAULTS.values()])
        return
    rows = [(fault.name, _place(fault), _parameters(fault), fault.description) for fault in FAULTS.values()]
    table(("fault", "in", "parameters", "what happens"), rows)


def _facts(fault: Fault) -> dict[str, Any]:
    names = ("name", "default", "least", "most", "description")
    parameters = [{name: getattr(one, name) for name in names} for one in fault.parameters]
    return {
        "name": fault.name,
        "in": _place(fault),
        "description": fault.description,
        "parameters": parameters,
    }


def _place(fault: Fault) -> str:
    match fault:
        case OperationFault():
            return "operation"
        case ProcessFault():
            return "process"
        case _:
            return "outside"


def _parameters(fault: Fault) -> str:
    return ", ".join(f"{one.name}={one.default:g} ({one.least:g} to {one.most:g})" for one in fault.parameters)


def known(name: str) -> Fault:
    """The fault of that name. Raises `typer.BadParameter`."""
    try:
        return fault_named(name)
    except FaultError as error:
        raise typer.BadParameter(str(error)) from None


def values_of(texts: Iterable[str]) -> dict[str, float]:
    """Parameters from `key=value`. Raises `typer.BadParameter`."""
    values: dict[str, float] = {}
    for text in texts:
        name, _, value = text.partition("=")
        try:
            values[name.strip()] = float(value)
        except ValueError:
            raise typer.BadParameter(f"{text!r} is no parameter: KEY=NUMBER is expected", param_hint="-p") from None
    return values


# -- whom


async def plan(settings: Settings, wish: Wish) -> Plan:
    """Finds the one process that is meant, doing nothing to it yet.

    Raises `typer.BadParameter` for what makes no sense, and `MendbusError` when there is no such agent here.
    """
    try:
        wish = replace(wish, values=wish.fault.values(wish.values))
    except FaultError as error:
        raise typer.BadParameter(str(error), param_hint="-p") from None
    outside = isinstance(wish.fault, OutsideFault)
    if not isinstance(wish.fault, OperationFault) and (wish.operation or wish.calls):
        raise typer.BadParameter(f"{wish.fault.name} is a fault of a process: it takes no --operation and no --calls")
    if not outside and wish.pid is not None:
        raise typer.BadParameter(f"{wish.fault.name} is brought about by the agent itself: it takes no --pid")
    if outside and wish.pid is not None:
        return Plan(wish, None, _own(wish.pid))
    async with connected(settings) as bus:
        found = await _request(bus, settings, Plan(wish, None, 0), "look", new_id())
    if not outside:
        return Plan(wish, found.instance, found.pid)
    if found.host != process_space():
        raise MendbusError(f"{wish.key} runs on another host or in another container: run this command there")
    return Plan(wish, found.instance, _own(found.pid))


def _own(pid: int) -> int:
    if pid in (os.getpid(), os.getppid()):
        raise MendbusError(f"process {pid} is this command or what started it")
    if not psutil.pid_exists(pid):
        raise MendbusError(f"there is no process {pid} on this host")
    return pid


def sentence(plan: Plan) -> str:
    """What will happen, for whoever has to agree."""
    wish = plan.wish
    named = "".join(f" {name}={value:g}" for name, value in wish.values.items())
    where = f" in operation {wish.operation}" if wish.operation else ""
    calls = f" or {wish.calls} calls" if wish.calls else ""
    length = f" for {wish.seconds:g} s{calls}" if not isinstance(wish.fault, OutsideFault) or wish.fault.lasts else ""
    process = f" (process {plan.pid}: {_command_line(plan.pid)})" if isinstance(wish.fault, OutsideFault) else ""
    return f"{wish.fault.name}{named}{where} of {wish.key}{process}{length}"


def _command_line(pid: int) -> str:
    try:
        return clean(" ".join(psutil.Process(pid).cmdline()), 60)
    except psutil.Error:
        return "?"


# -- doing it


async def rehearse(settings: Settings, plan: Plan, timeout: float, *, as_json: bool) -> bool:
    """Brings it about and follows the recovery, for `timeout` seconds after its end; whether it recovered.

    However this ends, the fault has ended with it. Raises `MendbusError` when it could not be brought about.
    """
    wish = plan.wish
    tell: Callable[[str], None] = _silent if as_json else say
    async with connected(settings) as bus:
        recovery = Recovery(wish.agent, tell)
        await recovery.listen(bus, settings.subjects)
        audited = await _audit(bus, settings, plan)
        tell(audited or "noted in the audit trail")
        begun = asyncio.get_running_loop().time()
        began_unix_nano = time.time_ns()
        async with _held(bus, settings, plan) as detail:
            tell(f"begun: {detail}")
            if timeout > 0:
                lasting = wish.seconds if not isinstance(wish.fault, OutsideFault) or wish.fault.lasts else 0.0
                await recovery.follow(0.0 if wish.calls else begun + lasting, begun + lasting + timeout)
            elif isinstance(wish.fault, OutsideFault) and wish.fault.lasts:
                await asyncio.sleep(wish.seconds)
    if as_json:
        document(
            {
                "fault": wish.fault.name,
                "in": _place(wish.fault),
                "agent": wish.key,
                "operation": wish.operation,
                "parameters": wish.values,
                "seconds": wish.seconds,
                "calls": wish.calls,
                "pid": plan.pid or None,
                "audited": audited is None,
                "detail": detail,
                "began_unix_nano": began_unix_nano,
                **recovery.facts(),
            }
        )
    elif timeout > 0:
        for line in recovery.summary():
            say(line)
    return timeout == 0 or recovery.verdict == "recovered"


def _silent(_: str) -> None:
    return


async def _audit(bus: "Bus", settings: Settings, plan: Plan) -> str | None:
    """Has it written to the journal; why that was not possible, else None.

    What must be rehearsed too is a strategy-selector that is not there, so nothing is refused for that.
    """
    wish = plan.wish
    said = sentence(plan) + (f": {wish.reason}" if wish.reason else "")
    order = Order("rehearse", wish.agent, clean(said, _REASON_CHARACTERS), wish.by)
    try:
        result = await ask(bus, settings.subjects, control_of(order), _ASK_SECONDS)
    except MendbusError as error:
        return f"not in the audit trail: {error}"
    return None if result.ok else f"not in the audit trail: {clean(result.detail or 'refused')}"


@contextlib.asynccontextmanager
async def _held(bus: "Bus", settings: Settings, plan: Plan) -> AsyncGenerator[str]:
    """The fault, for the length of a block at most; gives what was done, in words."""
    if isinstance(plan.wish.fault, OutsideFault):
        async with _from_outside(plan) as detail:
            yield detail
        return
    rehearsal = new_id()
    try:
        result = await _request(bus, settings, plan, "begin", rehearsal)
        operation = f" in operation {result.operation}" if result.operation else ""
        yield clean(f"{plan.wish.fault.name}{operation} of {plan.wish.key}, {result.detail or ''}")
    finally:
        # Also when no answer came: the request may have arrived all the same. The process may be gone by now.
        with contextlib.suppress(MendbusError):
            _ = await _request(bus, settings, plan, "end", rehearsal)


async def _request(
    bus: "Bus", settings: Settings, plan: Plan, action: RehearseAction, rehearsal: str
) -> RehearseResult:
    """Asks the agent. Raises `MendbusError` when it does not listen, does not answer, or refuses."""
    wish, begin = plan.wish, action == "begin"
    request = Rehearse(
        id=rehearsal,
        time_unix_nano=time.time_ns(),
        agent=AgentRef(kind=wish.agent[0], id=wish.agent[1], instance=plan.instance),
        action=action,
        by=wish.by or user(),
        fault=wish.fault.name if begin else None,
        operation=wish.operation if begin else None,
        seconds=wish.seconds if begin else None,
        calls=wish.calls if begin else None,
        parameters=dict(wish.values) if begin else {},
    )
    try:
        reply = await bus.request(
            settings.subjects.rehearse(*wish.agent),
            codec.encode(request),
            {HEADER_CONTENT_TYPE: CONTENT_TYPE},
            timeout=_ASK_SECONDS,
        )
    except NoResponders:
        raise MendbusError(
            f"{wish.key} does not listen for faults: it is not running, or has not opted in with "
            "Agent(..., rehearsal=True) or MENDBUS_REHEARSAL=1"
        ) from None
    except BusTimeout:
        raise MendbusError(f"{wish.key} did not answer within {_ASK_SECONDS:g} s") from None
    result = codec.decode(RehearseResult, reply.body)
    if result.status == "refused":
        raise MendbusError(f"{wish.key} refuses: {clean(result.detail or 'no reason was given')}")
    return result


@contextlib.asynccontextmanager
async def _from_outside(plan: Plan) -> AsyncGenerator[str]:
    """The fault, held by a process of its own that takes it back even when this one is killed."""
    wish = plan.wish
    order = {
        "fault": wish.fault.name,
        "pid": plan.pid,
        "seconds": wish.seconds,
        "values": dict(wish.values),
    }
    holder = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "mendbus.faults.holder", json.dumps(order)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,
    )
    assert holder.stdin is not None
    assert holder.stdout is not None
    assert holder.stderr is not None
    try:
        try:
            async with asyncio.timeout(_HOLDER_SECONDS):
                first = await holder.stdout.readline()
                if first.strip() != b"begun":
                    told = (await holder.stderr.read()).decode(errors="replace").strip().splitlines()
                    raise MendbusError(told[-1] if told else f"{wish.fault.name} could not be brought about")
        except TimeoutError:
            raise MendbusError(f"{wish.fault.name} was not brought about within {_HOLDER_SECONDS:g} s") from None
        yield sentence(plan)
    finally:
        holder.stdin.close()
        _ = await holder.wait()
