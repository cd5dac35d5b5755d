"""One LightGBM model, asked one row at a time through the library's C interface.

The Python package of LightGBM imports scipy and costs tens of megabytes; the library that it ships needs neither. Its
single-row fast interface keeps the parsed configuration between calls.
"""

import ctypes
from array import array
from collections.abc import Sequence
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from mendbus.contracts.errors import ModelRefused

_FLOAT64: Final = 1
_NORMAL: Final = 0
_PARAMETERS: Final = b"num_threads=1 verbosity=-1"


@cache
def _library() -> ctypes.CDLL:
    """LightGBM's shared library, from the installed package, without importing the package."""
    spec = find_spec("lightgbm")
    places = [Path(place) for place in (spec.submodule_search_locations or ())] if spec else []
    names = ("lib_lightgbm.so", "lib_lightgbm.dylib", "lib_lightgbm.dll")
    found = next((path for place in places for name in names if (path := place / "lib" / name).exists()), None)
    if found is None:
        raise ModelRefused("lightgbm", ["the package lightgbm with its library is not installed"])
    try:
        library = ctypes.CDLL(str(found))
    except OSError as error:
        raise ModelRefused("lightgbm", [f"its library cannot be loaded: {error}"]) from None
    library.LGBM_GetLastError.restype = ctypes.c_char_p
    return library


def library_version() -> str:
    """Version of the installed LightGBM; "" where it is not installed."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("lightgbm")
    except PackageNotFoundError:
        return ""


class Booster:
    """A loaded model; `predict` is not re-entrant. It must be closed, or its memory stays with the library."""

    def __init__(self, text: str, name: str, features: int) -> None:
        """From a model's text format. Raises `ModelRefused`: no model, or not one of `features` features."""
        self._name = name
        self._library = _library()
        self._handle = ctypes.c_void_p()
        self._fast = ctypes.c_void_p()
        iterations, classes, width = ctypes.c_int(), ctypes.c_int(), ctypes.c_int()
        self._check(
            self._library.LGBM_BoosterLoadModelFromString(
                text.encode(), ctypes.byref(iterations), ctypes.byref(self._handle)
            )
        )
        self._check(self._library.LGBM_BoosterGetNumClasses(self._handle, ctypes.byref(classes)))
        self._check(self._library.LGBM_BoosterGetNumFeature(self._handle, ctypes.byref(width)))
        if width.value != features:
            self.close()
            raise ModelRefused(name, [f"it has {width.value} features, {features} are computed"])
        self.classes: Final = classes.value
        self._row = (ctypes.c_double * features)()
        self._out = (ctypes.c_double * self.classes)()
        self._length = ctypes.c_int64()
        self._check(
            self._library.LGBM_BoosterPredictForMatSingleRowFastInit(
                self._handle, _NORMAL, 0, -1, _FLOAT64, features, _PARAMETERS, ctypes.byref(self._fast)
            )
        )
        # Bound once: building the arguments would cost more than the call.
        self._call = self._library.LGBM_BoosterPredictForMatSingleRowFast
        self._arguments = self._fast, self._row, ctypes.byref(self._length), self._out
        self._view = memoryview(self._row).cast("B").cast("d")

    def predict(self, row: Sequence[float]) -> list[float]:
        """Probabilities of the classes for one row of features."""
        self._view[:] = array("d", row)
        if self._call(*self._arguments):
            self._check(-1)
        return self._out[:]

    def close(self) -> None:
        """Gives the model's memory back; the model must not be used afterwards."""
        if self._fast:
            self._library.LGBM_FastConfigFree(self._fast)
            self._fast = ctypes.c_void_p()
        if self._handle:
            self._library.LGBM_BoosterFree(self._handle)
            self._handle = ctypes.c_void_p()

    def _check(self, status: int) -> None:
        if status:
            reason = self._library.LGBM_GetLastError().decode("utf-8", "replace")
            self.close()
            raise ModelRefused(self._name, [reason])
