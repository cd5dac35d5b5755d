"""What the NATS client makes of what a server refuses."""

from pathlib import Path

import pytest
from nats.errors import AuthorizationError

from mendbus.bus import tough
from mendbus.security.credentials import Credentials

AGENT = "auth-service.a1"


@pytest.mark.parametrize(
    ("said", "ends"),
    [
        (f'Permissions Violation for Publish to "mendbus.v1.error.critical.{AGENT}"', False),
        (f'Permissions Violation for Publish with Reply of "mendbus.v1.outcome.{AGENT}"', False),
        (f'Permissions Violation for Subscription to "mendbus.v1.command.{AGENT}"', False),
        (f'Permissions Violation for Subscription to "mendbus.v1.command.{AGENT}" using queue "auth"', False),
        ("Authorization Violation", True),
        ("User Authentication Expired", True),
        ("User Authentication Revoked", True),
        ("Authentication Timeout", True),
    ],
)
async def test_only_a_user_that_is_not_accepted_ends_a_connection(
    monkeypatch: pytest.MonkeyPatch, said: str, ends: bool
) -> None:
    """A subject that contains "auth" and may not be used costs that message alone."""
    client = tough.ToughClient(Credentials(Path("r1.nk"), "agent/runtime/r1"))
    lost: list[Exception] = []
    told: list[Exception] = []

    async def lose(error: Exception) -> None:
        lost.append(error)

    async def tell(error: Exception) -> None:
        told.append(error)

    monkeypatch.setattr(client, "_process_op_err", lose)
    client._error_cb = tell
    await client._process_err(f"'{said}'")
    assert [type(error) for error in lost] == ([AuthorizationError] if ends else [])
    assert len(told) == (0 if ends else 1)
