"""All faults of the lab."""

from tests.lab.faults import Fault
from tests.lab.faults.process import PROCESS

FAULTS: dict[str, Fault] = {fault.name: fault for fault in PROCESS}
