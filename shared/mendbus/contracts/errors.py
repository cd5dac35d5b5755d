"""Every error this project raises on purpose; each says what is wrong, where, and carries its numbers."""


class MendbusError(Exception):
    """Base of all errors raised by Mendbus."""


class SettingsError(MendbusError):
    """One or more settings are wrong; the text names each of them. Attribute: `problems` (list of text)."""

    def __init__(self, problems: list[str]) -> None:
        self.problems = problems
        super().__init__("settings are wrong:\n" + "\n".join(f"  - {problem}" for problem in problems))


class Refused(MendbusError):
    """A message from the wire does not fit its contract.

    Attributes: `code`, a stable token for machines; `reason`, one sentence for people.
    """

    def __init__(self, code: str, reason: str) -> None:
        self.code = code
        self.reason = reason
        super().__init__(f"{code}: {reason}")


class ModelRefused(MendbusError):
    """A model must not be used: altered, or made for other features. Attributes: `name`, `problems` (list of text)."""

    def __init__(self, name: str, problems: list[str]) -> None:
        self.name = name
        self.problems = problems
        super().__init__(f"model {name} cannot be used:\n" + "\n".join(f"  - {problem}" for problem in problems))


class BusError(MendbusError):
    """The bus could not do what was asked."""


class CredentialsError(BusError):
    """Credentials, trusted keys or certificates cannot be used; the text says which, and what to do."""


class NoResponders(BusError):
    """Nobody listens on the subject of a request, or no stream holds it. Attribute: `subject`."""

    def __init__(self, subject: str) -> None:
        self.subject = subject
        super().__init__(f"nobody answers on {subject!r}")


class Forbidden(BusError):
    """The server does not let this user do it. Attribute: `subject`."""

    def __init__(self, subject: str) -> None:
        self.subject = subject
        super().__init__(f"this user may not publish to {subject!r}: see the table of rights in SECURITY.md")


class BusTimeout(BusError):
    """No answer came in time. Attributes: `subject`, `seconds`."""

    def __init__(self, subject: str, seconds: float) -> None:
        self.subject = subject
        self.seconds = seconds
        super().__init__(f"no answer on {subject!r} within {seconds:g} s")


class BusClosed(BusError):
    """The connection to the bus is closed for good."""


class StoreRefused(BusError):
    """The server refused to store a message. Attributes: `subject`, `code` (JetStream error code), `description`."""

    def __init__(self, subject: str, code: int, description: str) -> None:
        self.subject = subject
        self.code = code
        self.description = description
        super().__init__(f"the server refused to store on {subject!r}: {description} ({code})")


class NoStream(BusError):
    """What was to be stored was taken, and answered, by somebody who is no stream. Attribute: `subject`."""

    def __init__(self, subject: str, answer: bytes) -> None:
        self.subject = subject
        super().__init__(f"what answers on {subject!r} is no stream: {answer[:80]!r}")


class WrongSequence(StoreRefused):
    """Somebody else wrote to the subject first (JetStream error 10071): the fence of the journal."""


class BatchDuplicate(StoreRefused):
    """An atomic batch holds an id that is stored already (10201); the whole batch was refused."""


class ObjectBroken(BusError):
    """A stored object is not whole, or its content does not fit its digest. Attributes: `bucket`, `name`."""

    def __init__(self, bucket: str, name: str) -> None:
        self.bucket = bucket
        self.name = name
        super().__init__(f"object {name!r} of bucket {bucket!r} is not whole or its content does not fit its digest")


class ServiceFailed(BusError):
    """A service answered a request with an error. Attributes: `subject`, `code`, `reason`."""

    def __init__(self, subject: str, code: int, reason: str) -> None:
        self.subject = subject
        self.code = code
        self.reason = reason
        super().__init__(f"{subject!r} answered with error {code}: {reason}")
