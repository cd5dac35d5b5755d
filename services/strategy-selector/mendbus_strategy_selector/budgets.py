"""Budgets: when automation has done enough. Pure functions of the policy and of what was counted."""

from typing import Annotated

from pydantic import Field

from mendbus.contracts.fields import Count, WireModel
from mendbus.contracts.vocabulary import Strategy
from mendbus_strategy_selector.policy import Policy

LATCHED = "latched"
"""The rule of a decision that found the last budget spent, or recovery latched off by an earlier one."""


class Spent(WireModel):
    """What has been done lately: restarts in 60 s, retries in a second, and how many agents are sick of how many.

    `seconds_since`: how long ago a strategy that has a cool-down was last begun on the agent.
    """

    restarts_agent: Count = 0
    restarts_kind: Count = 0
    restarts_all: Count = 0
    retries_agent: Count = 0
    agents_sick: Count = 0
    agents_known: Count = 0
    seconds_since: dict[Strategy, Annotated[float, Field(ge=0)]] = {}


def over_budget(policy: Policy, spent: Spent, strategy: Strategy) -> str:
    """Why a strategy must leave the decision to the next rung; empty: it need not."""
    cool_down, since = policy.cool_down_seconds.get(strategy), spent.seconds_since.get(strategy)
    if cool_down is not None and since is not None and since < cool_down:
        return f"cooling down: it was begun on the agent {since:.1f} s ago, and may be every {cool_down:g} s"
    if strategy != "restart":
        return ""
    if spent.restarts_agent >= policy.restarts_per_agent:
        return f"over budget: {spent.restarts_agent} restarts of the agent in 60 s"
    if spent.restarts_kind >= policy.restarts_per_kind:
        return f"over budget: {spent.restarts_kind} restarts of the kind in 60 s"
    return ""


def last_budget_spent(policy: Policy, spent: Spent, strategy: Strategy) -> str:
    """Why recovery must be latched off; empty: it need not."""
    if strategy != "restart" or spent.restarts_all < policy.restarts_in_all:
        return ""
    return f"{spent.restarts_all} restarts in 60 s: recovery is latched off until it is resumed"


def too_many_sick(policy: Policy, spent: Spent) -> str:
    """Why healing must stop; empty: it need not."""
    if spent.agents_sick < policy.sick_at_least or spent.agents_sick <= policy.sick_share * spent.agents_known:
        return ""
    return f"{spent.agents_sick} of {spent.agents_known} agents are sick at once: healing stops"


def must_wait(policy: Policy, spent: Spent, strategy: Strategy) -> str:
    """Why a strategy must wait a little; empty: it need not."""
    if strategy != "retry" or spent.retries_agent < policy.retries_per_second:
        return ""
    return f"{spent.retries_agent} retries of the agent in the last second"
