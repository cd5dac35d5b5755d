"""All faults of the lab."""

from tests.lab.faults import Fault
from tests.lab.faults.code import CODE
from tests.lab.faults.combined import COMBINED
from tests.lab.faults.concurrency import CONCURRENCY
from tests.lab.faults.controls import CONTROLS
from tests.lab.faults.load import LOAD
from tests.lab.faults.network import NETWORK
from tests.lab.faults.process import PROCESS
from tests.lab.faults.security import SECURITY
from tests.lab.faults.storage import STORAGE

_ALL = (*PROCESS, *STORAGE, *CONCURRENCY, *CODE, *NETWORK, *SECURITY, *LOAD, *COMBINED, *CONTROLS)
FAULTS: dict[str, Fault] = {fault.name: fault for fault in _ALL}
