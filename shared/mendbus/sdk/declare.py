"""What a user declares of an agent: operations, alternatives, probes, handlers, state, features, numbers."""

import functools
import inspect
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar, overload

from mendbus.contracts.ids import is_token
from mendbus.contracts.vocabulary import CATEGORIES, SEVERITIES, Category, Severity, Strategy
from mendbus.sdk.checkpoints import check_restore
from mendbus.sdk.core import Core, Judge
from mendbus.sdk.levels import Level
from mendbus.sdk.operations import Watch
from mendbus.sdk.peers import Breaker
from mendbus.sdk.reports import Words
from mendbus.sdk.standby import LEASE_SECONDS, Standby
from mendbus.sdk.strategies import Feature
from mendbus.sdk.texts import SHORT, cut

P = ParamSpec("P")
R = TypeVar("R")
F = TypeVar("F", bound=Callable[..., Any])
J = TypeVar("J", bound=Judge)


class Declarations:
    """The part of `Agent` with which it is described; before or after its start, from any thread."""

    def __init__(self, core: Core) -> None:
        self._core = core

    def watch(
        self, operation: str | None = None, *, severity: Severity | None = None, category: Category | None = None
    ) -> Watch:
        """A context manager that reports an exception raised in it and lets it pass.

        One that an operation, or a watch further inside, has reported already is not reported again.
        Raises `ValueError` for a severity or category that does not exist.
        """
        return self._core.operations.watch(words_of(operation, severity, category))

    @overload
    def guard(self, function: Callable[P, R]) -> Callable[P, R]: ...
    @overload
    def guard(
        self,
        function: None = None,
        *,
        operation: str | None = None,
        severity: Severity | None = None,
        category: Category | None = None,
    ) -> Callable[[Callable[P, R]], Callable[P, R]]: ...
    def guard(
        self,
        function: Callable[..., Any] | None = None,
        *,
        operation: str | None = None,
        severity: Severity | None = None,
        category: Category | None = None,
    ) -> Any:
        """A decorator that does what `watch` does, for a synchronous or an asynchronous function."""
        words = words_of(operation, severity, category)

        def decorate(guarded: Callable[..., Any]) -> Callable[..., Any]:
            if inspect.iscoroutinefunction(guarded):

                @functools.wraps(guarded)
                async def run_async(*arguments: Any, **named: Any) -> Any:
                    with self._core.operations.watch(words):
                        return await guarded(*arguments, **named)

                return run_async

            @functools.wraps(guarded)
            def run(*arguments: Any, **named: Any) -> Any:
                with self._core.operations.watch(words):
                    return guarded(*arguments, **named)

            return run

        return decorate if function is None else decorate(function)

    def operation(
        self,
        name: str,
        *,
        probe: Callable[[], Any] | None = None,
        idempotent: bool = False,
        severity: Severity | None = None,
        category: Category | None = None,
    ) -> Callable[[Callable[P, R]], Callable[P, R]]:
        """A decorator for something the agent does that can fail.

        Its runs are timed; an exception is reported, its arguments are remembered (the last 256 failed calls, as
        they are, not copied) and it is raised to the caller all the same. `retry` makes the failed call again,
        whatever it was: let an operation fail only where that may be done. `idempotent`: a probe may do so too.
        While the agent is isolated, calls raise `Isolated` and are not made.
        Raises `ValueError` for a name used twice.
        """
        words = words_of(name, severity, category)

        def decorate(function: Callable[P, R]) -> Callable[P, R]:
            return self._core.operations.wrap(name, function, idempotent=idempotent, probe=probe, words=words)

        return decorate

    def severity(self, judge: J) -> J:
        """A decorator for a callable that is given an exception and returns its severity, or None where it cannot tell.

        It is asked where the report itself says none: an agent knows best which of its failures are those of one
        operation (`error`), and after which it cannot do its job at all or data is at risk (`critical`).
        """
        self._core.judge = judge
        return judge

    def fallback(self, operation: str, name: str, *, probe: Callable[[], Any] | None = None) -> Callable[[F], F]:
        """A decorator for an alternative of an operation, called with the same arguments while it is switched to.

        `probe` exercises the operation done this way; without one the operation's own probe does, which is right only
        if it does not insist on the primary.
        """

        def decorate(function: F) -> F:
            self._core.operations.add_fallback(operation, name, function, probe)
            return function

        return decorate

    def probe(self, operation: str | None = None) -> Callable[[F], F]:
        """A decorator for what exercises an operation, or without a name the agent as a whole.

        It takes nothing; returning False or raising means unhealthy, anything else healthy.
        """

        def decorate(function: F) -> F:
            if operation is None:
                self._core.probes.general = function
            else:
                self._core.operations.add_probe(operation, function)
            return function

        return decorate

    def handler(self, strategy: Strategy) -> Callable[[F], F]:
        """A decorator for what carries out a strategy, in place of the default if there is one.

        It takes the `RecoveryCommand` and looks at its `action`: `apply`, and where the strategy can be taken back
        `undo` and `restore`. It returns None, a word on what it did, or a `Done` with an undo token; raising means
        failed. Raises `ValueError` for a strategy that no agent carries out.
        """

        def decorate(function: F) -> F:
            self._core.strategies.add_handler(strategy, function)
            return function

        return decorate

    def state(self, *, snapshot: Callable[[], Any], restore: Callable[..., Any]) -> None:
        """Declares the state that `rollback` restores: `snapshot()` returns bytes, `restore(content, version)` sets it.

        Raises `TypeError` when `restore` cannot be called so.
        """
        check_restore(restore)
        self._core.checkpoints.register(snapshot, restore)
        self._core.changed()

    def feature(self, name: str, *, on: Callable[[], Any], off: Callable[[], Any]) -> None:
        """Declares an optional feature, which `graceful_degradation` switches off and on again."""
        self._core.strategies.add_feature(cut(name, SHORT), Feature(on, off))

    def level(self, name: str, get: Callable[[], Any], set: Callable[[int], Any]) -> None:  # noqa: A002 - reads best
        """Declares a number, such as one of workers, that `scale_down` lowers and sets back."""
        self._core.strategies.add_level(cut(name, SHORT), Level(get, set))

    def standby(
        self,
        of: str | None = None,
        *,
        activate: Callable[[], Any] | None = None,
        deactivate: Callable[[], Any] | None = None,
        lease_seconds: float = LEASE_SECONDS,
    ) -> Standby:
        """Declares that of several agents one acts: this one, or that for which it stands by, `kind/id`.

        All of them call it before their start, the one that the others stand by for without `of`. Whoever holds the
        lease acts; in all others operations raise `Isolated`. When its holder dies, hangs or is cut off, a healthy
        standby takes over within about the length of the lease, and a holder that wakes up late finds that it may not
        act any more. `failover` hands over to the standby that is healthy and has least to do, `restore` takes it
        back. `activate` and `deactivate` are called as this agent takes and loses its turn. An operation that has
        begun is not stopped: have what it writes to elsewhere refuse a lower `fence` than the last.
        Raises `ValueError` for what is no `kind/id`, and `RuntimeError` when it was called before.
        """
        ref = self._core.identity.ref
        key = ref.key if of is None else of
        if key.count("/") != 1 or not all(map(is_token, key.split("/"))) or key.partition("/")[0] != ref.kind:
            msg = f"{key!r} is no agent of the kind {ref.kind!r}: kind/id is expected"
            raise ValueError(msg)
        return self._core.stand_by(key, activate, deactivate, lease_seconds)

    def breaker(self, peer: str) -> Breaker:
        """A context manager and a decorator around calls to another agent, `kind/id`.

        While that agent is isolated, or has handed over to another, entering it raises `PeerIsolated`, and the call is
        not made. Raises `ValueError` for what is no `kind/id`.
        """
        return Breaker(self._core.peers, peer)

    def gauge(self, name: str, value: float | None) -> None:
        """Sets a number that goes with every health sample from now on; None takes it away.

        Under the name of one of the twelve metrics, such as `queue_depth`, it is that metric.
        """
        self._core.sampler.set(name, value)

    def metrics(self, provider: F) -> F:
        """A decorator for a callable that returns such numbers by name, asked at every health sample."""
        self._core.sampler.add_provider(provider)
        return provider


def words_of(operation: str | None, severity: Severity | None, category: Category | None) -> Words:
    """The words of a declaration. Raises `ValueError` for a severity or category that does not exist."""
    if severity is not None and severity not in SEVERITIES:
        msg = f"there is no severity {severity!r}, there are {', '.join(SEVERITIES)}"
        raise ValueError(msg)
    if category is not None and category not in CATEGORIES:
        msg = f"there is no category {category!r}, there are {', '.join(CATEGORIES)}"
        raise ValueError(msg)
    return Words(severity, category, operation)
