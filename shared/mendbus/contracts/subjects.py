"""Every subject, stream, consumer, bucket and queue group: one builder, one home for each name."""

from dataclasses import dataclass
from typing import Final, NamedTuple

from mendbus.contracts.errors import Refused
from mendbus.contracts.ids import is_token

DEFAULT_ROOT: Final = "mendbus.v1"
PARTITIONS: Final = 8
LANES: Final[tuple[str, ...]] = ("urgent", "normal")
"""`urgent` carries `critical` and `fatal`, and is pulled first."""
BUNDLES: Final = 32
"""Messages into which the one-second points of all agents are gathered."""
URGENT: Final = frozenset(("critical", "fatal"))
CONTENT_TYPE: Final = "application/vnd.msgpack"

HEADER_CONTENT_TYPE: Final = "Content-Type"
HEADER_ID: Final = "Nats-Msg-Id"
HEADER_REASON: Final = "Mendbus-Reason"
HEADER_CODE: Final = "Mendbus-Code"
HEADER_SUBJECT: Final = "Mendbus-Subject"
HEADER_SIZE: Final = "Mendbus-Size"
HEADER_SIGNATURE: Final = "Mendbus-Signature"
HEADER_KEY: Final = "Mendbus-Key"
HEADER_SERVICE_ERROR: Final = "Nats-Service-Error"
HEADER_SERVICE_ERROR_CODE: Final = "Nats-Service-Error-Code"

MAX_BODY: Final = 64 * 1024
"""Largest body an agent may send, in bytes."""
MAX_SERVICE_BODY: Final = 512 * 1024
"""Largest body a service may write, in bytes."""


def partition_of(kind: str, agent: str, partitions: int = PARTITIONS) -> int:
    """The partition of an agent, as the server's `{{partition(n,kind,agent)}}` has it: FNV-1a, 32 bits, modulo n."""
    digest = 0x811C9DC5
    for byte in (kind + agent).encode():
        digest = (digest ^ byte) * 0x01000193 & 0xFFFFFFFF
    return digest % partitions


def bundle_of(kind: str, agent: str) -> int:
    """The bundle in which an agent's one-second points travel."""
    return partition_of(kind, agent, BUNDLES)


class ErrorSubject(NamedTuple):
    """The tokens of a stored error's subject."""

    partition: int
    severity: str
    kind: str
    agent: str


@dataclass(frozen=True, slots=True)
class Subjects:
    """Builds and reads the subjects below one root, so that two installations can share an account.

    Raises `ValueError` for a token that does not fit the grammar.
    """

    root: str = DEFAULT_ROOT

    def _of(self, *tokens: str) -> str:
        for item in tokens:
            if not is_token(item):
                msg = f"{item!r} is not a subject token: 1 to 64 of A-Z a-z 0-9 _ -"
                raise ValueError(msg)
        return ".".join((self.root, *tokens))

    # agents -> strategy-selector
    def error(self, severity: str | None, kind: str, agent: str) -> str:
        """Where an agent publishes an error."""
        return self._of("error", severity or "unknown", kind, agent)

    def settled(self, kind: str, agent: str) -> str:
        """Where an agent asks what became of its events."""
        return self._of("settled", kind, agent)

    # strategy-selector ->
    def outcome(self, kind: str, agent: str) -> str:
        """Where outcomes of an agent's incidents are told."""
        return self._of("outcome", kind, agent)

    def settlement(self, kind: str, agent: str) -> str:
        """Where an agent hears which events are done with."""
        return self._of("settlement", kind, agent)

    def notice(self, kind: str, agent: str) -> str:
        """Where all agents hear of a peer."""
        return self._of("notice", kind, agent)

    # executor -> agents
    def command(self, kind: str, agent: str) -> str:
        """Where an agent takes commands."""
        return self._of("command", kind, agent)

    def probe(self, kind: str, agent: str) -> str:
        """Where an agent is asked whether it works."""
        return self._of("probe", kind, agent)

    # operators -> agents
    def rehearse(self, kind: str, agent: str) -> str:
        """Where an agent that has opted in is asked to meet a fault."""
        return self._of("rehearse", kind, agent)

    # agents -> health-monitor, predictor
    def hello(self, kind: str, agent: str) -> str:
        """Where an agent introduces itself."""
        return self._of("agent", "hello", kind, agent)

    def goodbye(self, kind: str, agent: str) -> str:
        """Where an agent takes its leave."""
        return self._of("agent", "goodbye", kind, agent)

    def health(self, kind: str, agent: str) -> str:
        """Where an agent's samples go."""
        return self._of("health", kind, agent)

    # health-monitor, predictor ->
    def status(self, kind: str, agent: str) -> str:
        """Where an agent's health status is told."""
        return self._of("status", kind, agent)

    def history_minute(self, kind: str, agent: str) -> str:
        """Where an agent's row of one minute is kept."""
        return self._of("history", "minute", kind, agent)

    def history_second(self, bundle: int) -> str:
        """Where the one-second points of the agents of a bundle are kept; see `bundle_of`."""
        return self._of("history", "second", str(bundle))

    def prediction(self, kind: str, agent: str) -> str:
        """Where a failure predicted from health alone is told."""
        return self._of("prediction", kind, agent)

    def alert(self, state: str, severity: str) -> str:
        """Where alerts are told; state is raised, acknowledged or resolved."""
        return self._of("alert", state, severity)

    # operators
    def control(self, verb: str) -> str:
        """Where an operator's order goes."""
        return self._of("control", verb)

    # services
    @property
    def classify(self) -> str:
        """Asked of the classifier."""
        return f"{self.root}.classifier.classify"

    @property
    def assess(self) -> str:
        """Asked of the predictor."""
        return f"{self.root}.predictor.assess"

    @property
    def execute(self) -> str:
        """Asked of the executor."""
        return f"{self.root}.executor.execute"

    def dead(self, service: str) -> str:
        """Where a service puts what it had to refuse."""
        return self._of("dead", service)

    def journal(self, partition: int) -> str:
        """Where the owner of a partition writes its journal."""
        return f"{self.root}.journal.{partition}"

    @property
    def journal_control(self) -> str:
        """Where the owner of partition 0 writes what operators did that names no agent."""
        return f"{self.root}.journal.control"

    def everyone(self, family: str) -> str:
        """A filter for all subjects of a family, such as `health`."""
        return f"{self.root}.{family}.>"

    def stored_errors(self, partition: int, severity: str) -> str:
        """The filter of one partition's stored errors of a severity."""
        return f"{self.root}.errors.{partition}.{severity}.>"

    # names of what is kept
    @property
    def prefix(self) -> str:
        """The root as it stands in names of streams and buckets."""
        return self.root.replace(".", "_")

    def stream(self, name: str) -> str:
        """A stream's name on the server, for `ERRORS`, `JOURNAL`, `RECOVERIES`, `ALERTS`, `HEALTH` or `DEAD`."""
        return f"{self.prefix}_{name}"

    def bucket(self, name: str) -> str:
        """A key-value or object bucket's name on the server."""
        return f"{self.prefix}_{name}"

    def key(self, bucket: str, *tokens: str) -> str:
        """The subject of a key in a key-value bucket; tokens are joined by dots."""
        return f"$KV.{self.bucket(bucket)}." + ".".join(tokens)

    def bucket_stream(self, bucket: str) -> str:
        """The stream behind a key-value bucket."""
        return f"KV_{self.bucket(bucket)}"

    def consumer(self, partition: int, lane: str) -> str:
        """The durable consumer of a partition's lane."""
        return f"owner-{partition}-{lane}"

    # reading subjects
    def agent_of(self, subject: str) -> tuple[str, str]:
        """Kind and id from the last two tokens of a subject. Raises `Refused` where there are none."""
        tokens = subject.rsplit(".", 2)
        if len(tokens) != 3 or not is_token(tokens[1]) or not is_token(tokens[2]):
            raise Refused("bad_subject", f"the subject {subject!r} does not end in a kind and an agent id")
        return tokens[1], tokens[2]

    def stored_error(self, subject: str) -> ErrorSubject:
        """The tokens of a stored error. Raises `Refused` when it is none."""
        tokens = subject.removeprefix(f"{self.root}.errors.").split(".")
        if len(tokens) != 4 or not tokens[0].isdigit() or not (is_token(tokens[2]) and is_token(tokens[3])):
            raise Refused("bad_subject", f"{subject!r} is not the subject of a stored error")
        return ErrorSubject(int(tokens[0]), tokens[1], tokens[2], tokens[3])
