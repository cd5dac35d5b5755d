"""What an agent is made of, and how failures get into its outbox: all of this may be used from any thread."""

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import FrameType
from typing import TYPE_CHECKING, Any

from mendbus.contracts.messages import AgentRef
from mendbus.contracts.subjects import Subjects
from mendbus.contracts.vocabulary import SEVERITIES, Severity
from mendbus.redaction import DEFAULT, Redaction
from mendbus.sdk.checkpoints import Checkpoints
from mendbus.sdk.health import Sampler
from mendbus.sdk.loop import Caller
from mendbus.sdk.operations import Operations
from mendbus.sdk.outbox import Outbox
from mendbus.sdk.peers import Peers
from mendbus.sdk.probes import Probes
from mendbus.sdk.reports import Words, capture, key_of, known
from mendbus.sdk.stacks import innermost
from mendbus.sdk.standby import Standby
from mendbus.sdk.strategies import Strategies
from mendbus.sdk.texts import message_of, type_name

if TYPE_CHECKING:
    from mendbus.sdk.rehearsal import Rehearsal


log = logging.getLogger("mendbus.sdk")

Judge = Callable[[BaseException], Severity | None]
"""Says how grave an exception is; None where it cannot tell."""


@dataclass(frozen=True, slots=True)
class Identity:
    """What an agent says of itself, beside what is registered."""

    ref: AgentRef
    subjects: Subjects
    interval_ms: int
    depends_on: Sequence[str]
    limits: Mapping[str, float]
    redaction: Redaction = DEFAULT
    """What is taken out of errors before they leave the process."""


class Core:
    """One agent, but for what happens on its loop. `now`: nanoseconds since 1970."""

    def __init__(self, identity: Identity, outbox: Outbox, now: Callable[[], int]) -> None:
        self.identity = identity
        self.outbox = outbox
        self.now = now
        self.caller = Caller()
        self.connected = threading.Event()
        self.greeted = threading.Event()
        self.judge: Judge | None = None
        self.on_change: Callable[[], None] = lambda: None
        """Called when the hello says something else than before."""
        subjects, ref = identity.subjects, identity.ref
        self.operations = Operations(self.report_failed, self.changed)
        self.checkpoints = Checkpoints(subjects.bucket("checkpoints"), ref.kind, ref.id, self.caller, now)
        self.strategies = Strategies(self.operations, self.checkpoints, self.caller, self.changed)
        self.peers = Peers()
        self.standby: Standby | None = None
        self.rehearsal: Rehearsal | None = None
        """What takes faults in; None, so that nothing even listens for them, unless the agent has opted in."""
        self.probes = Probes(self.operations, self.caller, now)
        self.sampler = Sampler(
            ref,
            identity.interval_ms,
            identity.limits,
            self.operations,
            self.caller,
            lambda: outbox.counts.reported,
            lambda: outbox.waiting + outbox.unsettled,
            now,
        )

    def stand_by(
        self,
        of: str,
        activate: Callable[[], Any] | None,
        deactivate: Callable[[], Any] | None,
        lease_seconds: float,
    ) -> Standby:
        """Makes this agent one of those of which one acts. Raises `RuntimeError` when it is one already."""
        if self.standby is not None:
            msg = f"this agent stands by for {self.standby.of} already"
            raise RuntimeError(msg)
        standby = self.standby = Standby(
            of,
            self.identity.ref,
            self.identity.subjects,
            self.caller,
            self.probes,
            lambda: self.sampler.latest.get("cpu_percent", 0.0),
            lambda holder: self._took_over(of, holder),
            self.now,
            activate=activate,
            deactivate=deactivate,
            lease_seconds=lease_seconds,
        )
        self.operations.turn = standby.refusal
        self.probes.elsewhere = standby.elsewhere
        self.strategies.failover = standby.handle
        self.changed()
        return standby

    def _took_over(self, of: str, holder: str) -> None:
        text = f"took over as {of} from {holder}, which had stopped renewing its lease"
        _ = self.report(None, Words(severity="warning"), type_="TookOver", message=text)

    def changed(self) -> None:
        """The hello says something else than before."""
        self.on_change()

    def report(
        self,
        error: BaseException | None,
        words: Words,
        frame: FrameType | None = None,
        *,
        type_: str | None = None,
        message: str | None = None,
    ) -> str:
        """Takes a failure into the outbox; its event id. `frame`: where it is reported."""
        if words.severity is None and error is not None and self.judge is not None:
            words = words._replace(severity=self._judged(error, self.judge))
        now = self.now()
        kind = type_ or (type_name(type(error)) if error is not None else "Error")
        text = message if message is not None else (message_of(error) if error is not None else "")
        key = key_of(kind, text, words, innermost(error, frame))
        return self.outbox.count_repeat(key, now) or self.outbox.add(key, capture(kind, text, error, frame, words), now)

    def _judged(self, error: BaseException, judge: Judge) -> Severity | None:
        try:
            return known(judge(error), SEVERITIES)
        except Exception:
            # A report must come about whatever the program's own function does.
            log.exception("the severity of a %s could not be judged", type_name(type(error)))
            return None

    def report_failed(self, error: Exception, words: Words) -> str:
        """Takes a failure of an operation or a watched block."""
        return self.report(error, words)
