"""What a process needs to be somebody on the bus: its credentials, and what signs and checks signatures."""

from dataclasses import dataclass

from mendbus.security.credentials import Credentials, of
from mendbus.security.signing import Guard, Signer, Trust
from mendbus.settings import Settings


@dataclass(frozen=True, slots=True)
class Access:
    """One user's. `guard`: none where no trusted keys are configured, and unsigned messages are accepted."""

    credentials: Credentials
    signer: Signer
    guard: Guard | None = None


def access(settings: Settings, user: str) -> Access | None:
    """A user's access by the settings; None where none is configured. Raises `CredentialsError`."""
    credentials = of(settings, user)
    if credentials is None:
        return None
    trust = None if credentials.trust is None else Trust(credentials.trust)
    subjects = settings.subjects
    return Access(credentials, Signer(credentials, subjects), None if trust is None else Guard(trust, subjects))
