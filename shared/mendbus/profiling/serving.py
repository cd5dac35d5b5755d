"""`control.profile`: a service is asked to look at itself, and answers with what it saw."""

import asyncio
import logging
import os
from typing import TYPE_CHECKING, Any, Final, cast

from mendbus import codec
from mendbus.bus import Bus, Message
from mendbus.contracts.errors import BusError, BusTimeout, Refused, ServiceFailed
from mendbus.contracts.ids import new_id
from mendbus.contracts.messages import Control, ControlResult
from mendbus.contracts.subjects import (
    CONTENT_TYPE,
    HEADER_CONTENT_TYPE,
    HEADER_SERVICE_ERROR,
    MAX_SERVICE_BODY,
    Subjects,
)
from mendbus.runtime import Runtime

if TYPE_CHECKING:
    from mendbus.profiling.sampling import Profile, Stack

log = logging.getLogger("mendbus")

VERB: Final = "profile"
MAX_SECONDS: Final = 30.0
_ANSWER_SECONDS: Final = 5.0
_STACK_BYTES: Final = MAX_SERVICE_BODY // 4
"""Room for the stacks of each of the two kinds of samples in an answer."""
_BUSY = asyncio.Lock()


async def offer(runtime: Runtime) -> None:
    """Has a running service answer `control.profile` when it is meant: by its name, and by its instance if one is said.

    One profile at a time in a process; it ends when the service does.
    """
    asked: asyncio.Queue[tuple[Control, Message]] = asyncio.Queue(1)

    async def receive(control: Control, message: Message) -> None:
        arguments = control.arguments
        if arguments.get("service") != runtime.service or arguments.get("instance", runtime.instance) != (
            runtime.instance
        ):
            return
        try:
            asked.put_nowait((control, message))
        except asyncio.QueueFull:
            await runtime.reply_error(message, 429, "a profile is being taken, ask again when it is done")

    async def answer() -> None:
        while True:
            control, message = await asked.get()
            log.info("a profile is taken for %s", control.by)
            try:
                await runtime.reply(message, await _answer(runtime, control))
            except Exception as error:
                # A profile that fails must not end the service that it was to be of.
                log.exception("no profile was taken")
                await runtime.reply_error(message, 500, repr(error))

    await runtime.listen(runtime.subjects.control(VERB), Control, receive, dead=False)
    runtime.spawn(answer(), "profile")


async def _answer(runtime: Runtime, control: Control) -> ControlResult:
    # Loaded when it is needed: most processes are never asked.
    from mendbus.profiling import sampling

    seconds = control.arguments.get("seconds", 5.0)
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 < seconds <= MAX_SECONDS:
        return runtime.result(ok=False, detail=f"seconds must be above 0 and at most {MAX_SECONDS:g}")
    if _BUSY.locked():
        return runtime.result(ok=False, detail="another service in this process is being profiled")
    async with _BUSY:
        seen = await sampling.profile(float(seconds))
    data = {
        "pid": os.getpid(),
        "wall_seconds": seen.wall_seconds,
        "cpu_seconds": seen.cpu_seconds,
        "lag": seen.lag._asdict(),
        "cpu": _packed(seen.cpu),
        "wall": _packed(seen.wall),
    }
    return runtime.result(data=data)


def _packed(stacks: "dict[Stack, int]") -> dict[str, Any]:
    """Names once, stacks as their numbers; the rarest stacks are left out, and counted, where there is no room."""
    names: dict[str, int] = {}
    rows: list[list[int]] = []
    left, room = 0, _STACK_BYTES
    for stack, count in sorted(stacks.items(), key=lambda item: -item[1]):
        room -= sum(3 if name in names else len(name.encode()) + 6 for name in stack) + 8
        if room < 0:
            left += count
        else:
            rows.append([count, *(names.setdefault(name[:512], len(names)) for name in stack)])
    return {"names": list(names), "stacks": rows, "left_out": left}


def _unpacked(value: Any) -> "dict[Stack, int]":
    packed = cast("dict[str, Any]", value)
    names = cast("list[str]", packed["names"])
    stacks = {tuple(names[at] for at in at_all): count for count, *at_all in cast("list[list[int]]", packed["stacks"])}
    if packed["left_out"]:
        stacks[("(rare stacks)",)] = packed["left_out"]
    return stacks


async def ask(
    bus: Bus, subjects: Subjects, service: str, seconds: float, by: str, now: int, instance: str | None = None
) -> "tuple[ControlResult, Profile]":
    """Asks a service (one of its instances: the first that answers) for its profile.

    Raises `BusError` when it does not run or does not want to.
    """
    from mendbus.profiling.sampling import Lag, Profile

    arguments: dict[str, Any] = {"service": service, "seconds": seconds}
    if instance is not None:
        arguments["instance"] = instance
    control = Control(id=new_id(now), time_unix_nano=now, verb=VERB, by=by, arguments=arguments)
    subject = subjects.control(VERB)
    headers = {HEADER_CONTENT_TYPE: CONTENT_TYPE}
    try:
        reply = await bus.request(subject, codec.encode(control), headers, timeout=seconds + _ANSWER_SECONDS)
    except BusTimeout:
        raise BusError(f"{service} gave no profile within {seconds + _ANSWER_SECONDS:g} s") from None
    if HEADER_SERVICE_ERROR in reply.headers:
        raise ServiceFailed(subject, 429, reply.headers[HEADER_SERVICE_ERROR])
    result = codec.decode(ControlResult, reply.body, MAX_SERVICE_BODY)
    if not result.ok:
        raise BusError(f"{service} was not profiled: {result.detail}")
    data = result.data
    try:
        lag = Lag(**data["lag"])
        seen = Profile(data["wall_seconds"], data["cpu_seconds"], lag, _unpacked(data["cpu"]), _unpacked(data["wall"]))
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise Refused("invalid", f"not a profile: {error!r}") from None
    return result, seen
