"""The program behind `mendbus supervise`; its one argument is what the command line was told, as JSON."""

import asyncio
import json
import logging
import signal
import sys
from typing import Any

from mendbus import Agent
from mendbus.sdk.ahead import build_models
from mendbus.supervise.program import Program
from mendbus.supervise.supervisor import Supervisor


async def supervise(agent: Agent, program: Program, stop: asyncio.Event) -> int:
    """Supervises until it ends; the exit status. Raises `OSError` when there is no such program."""
    supervisor = Supervisor(agent, program)
    async with agent:
        return await supervisor.run(stop)


async def main(options: dict[str, Any]) -> int:
    """Until SIGTERM or Ctrl-C, or the program ends well."""
    # The first command comes when something has died already.
    build_models()
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, stop.set)
    names = {key: options.pop(key) for key in ("kind", "id", "nats_url", "root", "depends_on")}
    for key in ("scale_down", "scale_up"):
        options[key] = signal.Signals[options[key]] if options[key] else None
    try:
        return await supervise(Agent(**names), Program(**options), stop)
    except OSError as error:
        print(f"mendbus: {options['argv'][0]} cannot be run: {error}", file=sys.stderr)  # noqa: T201
        return 1


if __name__ == "__main__":
    logging.basicConfig(format="%(asctime)s %(levelname)s %(name)s: %(message)s", level=logging.INFO, stream=sys.stderr)
    sys.exit(asyncio.run(main(json.loads(sys.argv[1]))))
