"""A process that holds a fault from outside and takes it back: when its time is up, or when whoever started it is gone.

`python -m mendbus.faults.holder '{"fault": ..., "pid": ..., "seconds": ..., "values": {...}}'`: writes `begun` to
standard output once it is in force, and keeps it up until standard input ends, which is at the latest when the process
on its other side is killed.
"""

import contextlib
import json
import select
import sys

import psutil

from mendbus.faults import FaultError, OutsideFault
from mendbus.faults.catalogue import fault_named


def hold(name: str, pid: int, seconds: float, values: dict[str, float]) -> None:
    """Brings it about, waits, and takes it back. Raises `FaultError`."""
    fault = fault_named(name)
    if not isinstance(fault, OutsideFault):
        raise FaultError(f"{name} cannot be brought about from outside")
    try:
        take_back = fault.bring(pid, fault.values(values), seconds)
    except (OSError, psutil.Error, ValueError) as error:
        raise FaultError(f"{name} cannot be brought to process {pid}: {error}") from error
    try:
        _ = sys.stdout.write("begun\n")
        _ = sys.stdout.flush()
        if fault.lasts:
            _ = select.select([sys.stdin], (), (), seconds)
    finally:
        # Where the process is gone there is nothing to take back.
        with contextlib.suppress(OSError, psutil.Error):
            take_back()


def main() -> int:
    """The program; its exit status."""
    order = json.loads(sys.argv[1])
    try:
        hold(str(order["fault"]), int(order["pid"]), float(order["seconds"]), dict(order["values"]))
    except FaultError as error:
        _ = sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
