"""Faults of the code that an operation loads."""

import importlib
import threading
from typing import Final

from mendbus.faults import OperationFault, Values

_ABSENT: Final = "absent_dependency"
_BROKEN: Final = "def reload(module:\n    return module\n"


def _missing(values: Values, over: threading.Event) -> None:
    _ = importlib.import_module(_ABSENT)


def _syntax(values: Values, over: threading.Event) -> None:
    _ = compile(_BROKEN, "reloaded.py", "exec")


CODE: Final = (
    OperationFault(name="missing_module", description="Calls import a module that is not installed.", meet=_missing),
    OperationFault(
        name="syntax_error", description="Calls compile source text that is not valid Python.", meet=_syntax
    ),
)
"""All of them, in the order of the catalogue."""
