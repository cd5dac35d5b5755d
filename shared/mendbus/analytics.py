"""What outcomes come to over a time: what fails, what helps, how fast, and how often a person was needed.

One pass over outcomes in constant memory. What an incident contributed is taken out again when a later outcome of it
comes, so that each counts once, as it stands. What the canary causes counts nowhere, and what was predicted, and has
not failed, is only mentioned.

- An *incident* belongs to the range in which it was opened, which its id says.
- *Acted*: recovery came to an end with it, well (`recovered`) or not (`escalated`, `failed`). *Success* is the share of
  the acted that recovered and were not undone. `no_action` had nothing to repair, `suppressed` was not allowed to, and
  `awaiting_approval` has not yet: they are counted, and in no share of success.
- *Needed a person*: was ever `escalated`, `failed` or `awaiting_approval`, of these and all that were acted upon.
- A *strategy helped* when its attempt was verified, not undone, the last of its incident, and the incident recovered.
- *MTTR*: the mean, over recovered incidents, of the time from the first error (by the agent's clock) to the first
  healthy probe (by the executor's). What people repaired is not in it, since nobody says when that was done.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from sys import intern
from typing import Final, NamedTuple, TypeVar

from mendbus.analytics_report import AgentRow, CategoryRow, Recurring, Report, StrategyRow
from mendbus.annotations import Relabel
from mendbus.contracts.canary import is_canary
from mendbus.contracts.foreseen import is_predicted
from mendbus.contracts.ids import made_at
from mendbus.contracts.messages import Alert, RecoveryOutcome
from mendbus.contracts.vocabulary import CATEGORIES, STRATEGIES, AlertSeverity, Category, Outcome, Strategy
from mendbus.measures import Durations, share
from mendbus.prevention import hint

HELD: Final = 10_000
"""Incidents of which a later outcome replaces what was counted; of older ones the last that was seen counts."""
MAX_KEYS: Final = 2_000
"""Agents, and fingerprints, that are told apart; beyond, the rarest are forgotten."""
SHOWN: Final = 20
"""Agents and fingerprints in a report."""
SEEN_AGENTS: Final = 100
"""Agents told apart for one fingerprint."""

T = TypeVar("T")

_ENDED: Final = frozenset[Outcome](("recovered", "escalated", "failed"))
_PERSON: Final = frozenset[Outcome](("escalated", "failed", "awaiting_approval"))
_TEXT: Final = 200


class _Facts(NamedTuple):
    """What one incident contributes."""

    opened: int
    agent: str
    fingerprint: str
    category: Category
    outcome: Outcome
    recovered: bool
    acted: bool
    person: bool
    errors: int
    attempts: tuple[tuple[Strategy, bool, int], ...]
    recovery_nano: int | None
    relabelled: bool
    sequence: int


@dataclass(slots=True)
class _Cell:
    """Sums of a category, an agent, a strategy or a pair of them; for strategies `incidents` are attempts."""

    incidents: int = 0
    errors: int = 0
    recovered: int = 0
    acted: int = 0
    person: int = 0
    times: Durations = field(default_factory=Durations)

    def add(self, facts: _Facts, sign: int) -> None:
        self.incidents += sign
        self.errors += sign * facts.errors
        self.recovered += sign * facts.recovered
        self.acted += sign * facts.acted
        self.person += sign * facts.person
        if facts.recovery_nano is not None:
            self.times.add(facts.recovery_nano, sign)

    def attempt(self, helped: bool, nanoseconds: int, sign: int) -> None:
        self.incidents += sign
        self.recovered += sign * helped
        if helped:
            self.times.add(nanoseconds, sign)


@dataclass(slots=True)
class _Print:
    """What is known of one fingerprint."""

    cell: _Cell = field(default_factory=_Cell)
    agents: Counter[str] = field(default_factory=Counter[str])
    categories: Counter[Category] = field(default_factory=Counter[Category])
    helped: Counter[Strategy] = field(default_factory=Counter[Strategy])
    error: str = ""
    first: int = 0
    last: int = 0


class Analysis:
    """Takes outcomes and alerts in the order in which they were stored, and tells what they come to."""

    def __init__(
        self, since: int, until: int, relabels: Mapping[str, Relabel] | None = None, *, held: int = HELD
    ) -> None:
        """`since`, `until`: nanoseconds since 1970. `relabels`: what people say incidents really were, by id."""
        self._since, self._until, self._held = since, until, held
        self._relabels = relabels or {}
        self._facts: dict[str, _Facts] = {}
        self._total = _Cell()
        self._outcomes: Counter[Outcome] = Counter()
        self._categories: defaultdict[Category, _Cell] = defaultdict(_Cell)
        self._strategies: defaultdict[tuple[Strategy, Category | None], _Cell] = defaultdict(_Cell)
        self._agents: dict[str, _Cell] = {}
        self._prints: dict[str, _Print] = {}
        self._alerts: Counter[AlertSeverity] = Counter()
        self._concerned = 0
        self._relabelled = 0
        self._rejected = 0
        self._evicted_until = 0
        self._late = 0
        self._cut = False
        self._predicted = 0

    def take(self, outcome: RecoveryOutcome, stored_unix_nano: int) -> None:
        """Takes an outcome in, as stored then."""
        if is_canary(outcome.agent):
            return
        opened = made_at(outcome.incident_id) or outcome.times.reported or stored_unix_nano
        if not self._since <= opened < self._until:
            return
        if outcome.outcome == "rejected":
            self._rejected += 1
            return
        if outcome.error is not None and is_predicted(outcome.error):
            self._predicted += outcome.sequence == 0
            return
        known = self._facts.pop(outcome.incident_id, None)
        if known is None and outcome.sequence and opened <= self._evicted_until:
            self._late += 1
            return
        if known is not None and outcome.sequence <= known.sequence:
            self._facts[outcome.incident_id] = known
            return
        facts = _facts_of(outcome, opened, self._relabels.get(outcome.incident_id), known)
        if known is not None:
            self._count(known, -1)
        self._count(facts, 1)
        self._describe(outcome, facts)
        self._facts[outcome.incident_id] = facts
        if len(self._facts) > self._held:
            oldest = self._facts.pop(next(iter(self._facts)))
            self._evicted_until = max(self._evicted_until, oldest.opened)

    def take_alert(self, alert: Alert) -> None:
        """Takes a change of an alert in; only that it was raised counts, whatever became of it afterwards."""
        if alert.agent is not None and is_canary(alert.agent):
            return
        if alert.change == "raised" and self._since <= alert.time_unix_nano < self._until:
            self._alerts[alert.severity] += 1

    def _count(self, facts: _Facts, sign: int) -> None:
        self._total.add(facts, sign)
        self._outcomes[facts.outcome] += sign
        self._concerned += sign * (facts.acted or facts.person)
        self._relabelled += sign * facts.relabelled
        self._categories[facts.category].add(facts, sign)
        for strategy, helped, nanoseconds in facts.attempts:
            for category in (None, facts.category):
                self._strategies[strategy, category].attempt(helped, nanoseconds, sign)
        self._cell_of(facts.agent).add(facts, sign)
        self._count_print(self._print_of(facts.fingerprint), facts, sign)

    def _cell_of(self, agent: str) -> _Cell:
        cell = self._agents.get(agent)
        if cell is None:
            if len(self._agents) >= MAX_KEYS:
                self._agents = _frequent(self._agents, lambda cell: cell.incidents)
                self._cut = True
            cell = self._agents[agent] = _Cell()
        return cell

    def _print_of(self, fingerprint: str) -> _Print:
        found = self._prints.get(fingerprint)
        if found is None:
            if len(self._prints) >= MAX_KEYS:
                self._prints = _frequent(self._prints, lambda found: found.cell.incidents)
                self._cut = True
            found = self._prints[fingerprint] = _Print()
        return found

    def _count_print(self, found: _Print, facts: _Facts, sign: int) -> None:
        found.cell.add(facts, sign)
        found.categories[facts.category] += sign
        if facts.agent in found.agents or len(found.agents) < SEEN_AGENTS:
            found.agents[facts.agent] += sign
        for strategy, helped, _ in facts.attempts:
            found.helped[strategy] += sign * helped

    def _describe(self, outcome: RecoveryOutcome, facts: _Facts) -> None:
        found = self._prints[facts.fingerprint]
        found.first = min(found.first or facts.opened, facts.opened)
        found.last = max(found.last, facts.opened)
        if outcome.error is not None:
            said = outcome.error.exception
            found.error = " ".join(f"{said.type}: {said.message}"[: 2 * _TEXT].split())[:_TEXT]

    def report(self) -> Report:
        """What everything taken so far comes to."""
        total, outcomes = self._total, +self._outcomes
        categories = [pair for pair in self._categories.items() if pair[1].incidents > 0]
        categories.sort(key=lambda pair: (-pair[1].incidents, CATEGORIES.index(pair[0])))
        agents = sorted(
            ((key, cell) for key, cell in self._agents.items() if cell.incidents > 0),
            key=lambda pair: (-pair[1].incidents, -pair[1].errors, pair[0]),
        )[:SHOWN]
        named: list[Category] = [c for c, _ in categories if c != "unknown"]
        return Report(
            since_unix_nano=self._since,
            until_unix_nano=self._until,
            incidents=total.incidents,
            errors=total.errors,
            outcomes=dict(outcomes),
            success=share(total.recovered, total.acted),
            needed_person=share(total.person, self._concerned),
            mttr=total.times.spread(),
            most_common_category=named[0] if named else None,
            most_failing_agent=agents[0][0] if agents else None,
            categories=[
                CategoryRow(c, cell.incidents, cell.errors, share(cell.recovered, cell.acted), cell.times.spread())
                for c, cell in categories
            ],
            agents=[
                AgentRow(key, cell.incidents, cell.errors, share(cell.recovered, cell.acted), cell.person)
                for key, cell in agents
            ],
            strategies=self._strategy_rows(whole=True),
            by_category=self._strategy_rows(whole=False),
            recurring=self._recurring(),
            alerts_raised=self._alerts.total(),
            alerts=dict(self._alerts),
            relabelled=self._relabelled,
            rejected=self._rejected,
            notes=self._notes(),
        )

    def _strategy_rows(self, *, whole: bool) -> list[StrategyRow]:
        rows = [
            StrategyRow(strategy, category, cell.incidents, share(cell.recovered, cell.incidents), cell.times.spread())
            for (strategy, category), cell in self._strategies.items()
            if (category is None) == whole and cell.incidents > 0
        ]
        order = {word: place for place, word in enumerate((None, *CATEGORIES))}
        return sorted(rows, key=lambda row: (order[row.category], -row.attempts, STRATEGIES.index(row.strategy)))

    def _recurring(self) -> list[Recurring]:
        again = [(name, found) for name, found in self._prints.items() if found.cell.incidents > 1]
        again.sort(key=lambda pair: (-pair[1].cell.incidents, -pair[1].cell.errors, pair[0]))
        rows: list[Recurring] = []
        for name, found in again[:SHOWN]:
            cell, helped = found.cell, +found.helped
            category = max(CATEGORIES, key=lambda c: (found.categories[c], c != "unknown"))
            strategy = max(STRATEGIES, key=lambda s: helped[s]) if helped else None
            rows.append(
                Recurring(
                    fingerprint=name,
                    incidents=cell.incidents,
                    errors=cell.errors,
                    agents=len(+found.agents),
                    category=category,
                    error=found.error,
                    first_unix_nano=found.first,
                    last_unix_nano=found.last,
                    helped=strategy,
                    success=share(cell.recovered, cell.acted),
                    hint=hint(category, strategy),
                )
            )
        return rows

    def _notes(self) -> list[str]:
        notes: list[str] = []
        if self._late:
            notes.append(
                f"{self._late} late outcomes of incidents before the last {self._held} are left out: those incidents "
                "count as they stood before"
            )
        if self._predicted:
            notes.append(f"{self._predicted} failures that were predicted are left out: they are no errors")
        if self._cut:
            notes.append(
                f"more than {MAX_KEYS} agents or fingerprints: of the rarest some may be missing or undercounted"
            )
        return notes


def _frequent(cells: dict[str, T], count: Callable[[T], int]) -> dict[str, T]:
    kept = sorted(cells, key=lambda key: count(cells[key]), reverse=True)[: MAX_KEYS // 2]
    return {key: cells[key] for key in kept}


def _facts_of(outcome: RecoveryOutcome, opened: int, relabel: Relabel | None, known: _Facts | None) -> _Facts:
    recovered = outcome.outcome == "recovered" and not outcome.undone
    found, times = outcome.classification, outcome.times
    last = len(outcome.attempts) - 1
    taken = times.verified - times.reported if recovered and times.verified and times.reported else None
    return _Facts(
        opened=opened,
        agent=intern(outcome.agent.key),
        fingerprint=intern(outcome.fingerprint),
        category=relabel.category if relabel else found.category if found else "unknown",
        outcome=outcome.outcome,
        recovered=recovered,
        acted=outcome.outcome in _ENDED,
        person=outcome.outcome in _PERSON or (known is not None and known.person),
        errors=outcome.error_count,
        attempts=tuple(
            (
                attempt.strategy,
                recovered and place == last and attempt.verified and not attempt.undone,
                max(0, attempt.ended_unix_nano - attempt.started_unix_nano),
            )
            for place, attempt in enumerate(outcome.attempts)
        ),
        # By two clocks: where they disagree by more than it took, nothing is known.
        recovery_nano=taken if taken is not None and taken >= 0 else None,
        relabelled=relabel is not None,
        sequence=outcome.sequence,
    )
