"""What an analysis comes to: rows with their counts and intervals. `mendbus.analytics` says what the words mean."""

from typing import Any, NamedTuple, cast

from mendbus.contracts.vocabulary import AlertSeverity, Category, Outcome, Strategy
from mendbus.measures import Share, Spread


class CategoryRow(NamedTuple):
    """One category, as people relabelled it where they did; `time`: from first error to healthy probe."""

    category: Category
    incidents: int
    errors: int
    success: Share
    time: Spread


class AgentRow(NamedTuple):
    """One agent, by the number of its incidents."""

    agent: str
    incidents: int
    errors: int
    success: Share
    needed_person: int


class StrategyRow(NamedTuple):
    """Attempts of one strategy (in one category, or all: None); `time`: of attempts that helped, until verified."""

    strategy: Strategy
    category: Category | None
    attempts: int
    success: Share
    time: Spread


class Recurring(NamedTuple):
    """A fingerprint with more than one incident; `helped`: what ended it most often; times in ns since 1970."""

    fingerprint: str
    incidents: int
    errors: int
    agents: int
    category: Category
    error: str
    first_unix_nano: int
    last_unix_nano: int
    helped: Strategy | None
    success: Share
    hint: str


class Report(NamedTuple):
    """Everything, for a range of time (ns since 1970; from `since` on, before `until`)."""

    since_unix_nano: int
    until_unix_nano: int
    incidents: int
    errors: int
    outcomes: dict[Outcome, int]
    success: Share
    needed_person: Share
    mttr: Spread
    most_common_category: Category | None
    most_failing_agent: str | None
    categories: list[CategoryRow]
    agents: list[AgentRow]
    strategies: list[StrategyRow]
    by_category: list[StrategyRow]
    recurring: list[Recurring]
    alerts_raised: int
    alerts: dict[AlertSeverity, int]
    relabelled: int
    rejected: int
    notes: list[str]
    """What is not exact, in words."""


def facts(value: Any) -> Any:
    """A report, or a part of one, as plain values: maps, lists, text and numbers."""
    if hasattr(value, "_asdict"):
        return {name: facts(inner) for name, inner in value._asdict().items()}
    if isinstance(value, list):
        return [facts(inner) for inner in cast("list[Any]", value)]
    return value
