"""Faults of what an operation calls over the network."""

import random
import socket
import struct
import threading
from typing import Final

from mendbus.faults import OperationFault, Parameter, Values

_LOOPBACK: Final = "127.0.0.1"
_UNKNOWN_HOST: Final = "upstream.invalid"
"""A name below `.invalid`, which no resolver may ever know (RFC 6761)."""
_RESET_AT_CLOSE: Final = struct.pack("ii", 1, 0)
_LONGEST_WAIT: Final = 30.0


def _refused(values: Values, over: threading.Event) -> None:
    # Bound and not listening: the port stays closed for as long as nobody else can open it.
    with socket.socket() as holder:
        holder.bind((_LOOPBACK, 0))
        with socket.create_connection(holder.getsockname(), timeout=5.0):
            pass


def _dns(values: Values, over: threading.Event) -> None:
    _ = socket.getaddrinfo(_UNKNOWN_HOST, 443)


def _time_out(values: Values, over: threading.Event) -> None:
    # It takes connections and never answers one.
    with (
        socket.create_server((_LOOPBACK, 0)) as server,
        socket.create_connection(server.getsockname(), timeout=5.0) as connection,
    ):
        connection.settimeout(values["seconds"])
        _ = connection.recv(1)


def _slow(values: Values, over: threading.Event) -> None:
    _ = over.wait(values["seconds"])


def _flaky(values: Values, over: threading.Event) -> None:
    if random.random() >= values["probability"]:
        return
    with (
        socket.create_server((_LOOPBACK, 0)) as server,
        socket.create_connection(server.getsockname(), timeout=5.0) as connection,
    ):
        accepted, _ = server.accept()
        accepted.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_AT_CLOSE)
        accepted.close()
        _ = connection.recv(1)


NETWORK: Final = (
    OperationFault(
        name="refused",
        description="Calls find the port of what they need closed: a real connection is refused.",
        meet=_refused,
    ),
    OperationFault(
        name="dns", description="Calls cannot find their host: a name below .invalid is really looked up.", meet=_dns
    ),
    OperationFault(
        name="time_out",
        description="Calls wait for an answer that never comes, until their time is up.",
        parameters=(Parameter("seconds", 1.0, 0.01, _LONGEST_WAIT, "how long each call waits"),),
        meet=_time_out,
    ),
    OperationFault(
        name="slow",
        description="Calls succeed, but take longer.",
        parameters=(Parameter("seconds", 0.5, 0.001, _LONGEST_WAIT, "how much longer each call takes"),),
        meet=_slow,
    ),
    OperationFault(
        name="flaky",
        description="Some calls have their connection reset, the others succeed.",
        parameters=(Parameter("probability", 0.3, 0.01, 1.0, "share of the calls that fail"),),
        meet=_flaky,
    ),
)
"""All of them, in the order of the catalogue."""
