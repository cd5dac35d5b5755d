"""Alerts that are over, packed: as a model each takes five times the memory, and there are many of them."""

from collections import OrderedDict
from collections.abc import Iterator, Mapping

from mendbus import codec
from mendbus.contracts.messages import Alert
from mendbus.contracts.subjects import MAX_SERVICE_BODY


class PackedAlerts(Mapping[str, Alert]):
    """By key, the one that was put last at the end."""

    def __init__(self) -> None:
        self._packed: OrderedDict[str, bytes] = OrderedDict()

    def __getitem__(self, key: str) -> Alert:
        return codec.decode(Alert, self._packed[key], MAX_SERVICE_BODY)

    def __iter__(self) -> Iterator[str]:
        return iter(self._packed)

    def __len__(self) -> int:
        return len(self._packed)

    def newest(self) -> Iterator[Alert]:
        """The last one first."""
        return map(self.__getitem__, reversed(self._packed))

    def put(self, alert: Alert) -> None:
        """Keeps it, at the end."""
        self._packed[alert.key] = codec.encode(alert)
        self._packed.move_to_end(alert.key)

    def forget(self, key: str) -> None:
        """Lets go of it, if it is there."""
        _ = self._packed.pop(key, None)

    def forget_first(self) -> str:
        """Lets go of the first one; returns its key. Raises `KeyError` when there is none."""
        return self._packed.popitem(last=False)[0]
