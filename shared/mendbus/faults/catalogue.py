"""All faults that can be rehearsed, by name."""

from typing import Final

from mendbus.faults import Fault, FaultError
from mendbus.faults.code import CODE
from mendbus.faults.inside import INSIDE
from mendbus.faults.network import NETWORK
from mendbus.faults.outside import OUTSIDE
from mendbus.faults.resources import RESOURCES

FAULTS: Final[dict[str, Fault]] = {fault.name: fault for fault in (*NETWORK, *RESOURCES, *CODE, *INSIDE, *OUTSIDE)}


def fault_named(name: str) -> Fault:
    """The fault of that name. Raises `FaultError`."""
    fault = FAULTS.get(name)
    if fault is None:
        raise FaultError(f"there is no fault {name!r}: see `mendbus inject --list`")
    return fault
