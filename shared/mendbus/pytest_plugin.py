"""Fixtures for who tests an agent, found by pytest wherever Mendbus is installed.

Nothing of Mendbus is loaded before a test asks for it.
"""

from collections.abc import Generator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from mendbus.miniature import Pipeline
    from mendbus.server import NatsServer


@pytest.fixture(scope="session")
def mendbus_server() -> "Generator[NatsServer]":
    """A real NATS server with JetStream and nothing on it, for the whole run."""
    from mendbus.testing import nats_server

    with nats_server() as server:
        yield server


@pytest.fixture(scope="session")
def mendbus_pipeline() -> "Generator[Pipeline]":
    """A NATS server with the five services, for the whole run: errors that agents report to it are recovered."""
    from mendbus.miniature import pipeline

    with pipeline() as running:
        yield running
