"""What may be written on an incident: something, on one that is named, with labels that can be learnt from."""

from typing import Any

import pytest

from mendbus.contracts.journal import Operated
from mendbus.contracts.messages import AgentRef, Control
from mendbus_strategy_selector.annotating import annotation

AGENT = AgentRef(kind="runtime", id="a1")


def control(verb: str, reason: str | None = "because", agent: AgentRef | None = AGENT, **arguments: Any) -> Control:
    return Control(
        id="o1",
        time_unix_nano=1,
        verb=verb,
        by="kim",
        agent=agent,
        reason=reason,
        arguments={"incident": "i1"} | arguments,
    )


def test_what_is_written_names_the_incident_and_who_wrote() -> None:
    """A note holds its text, a relabelling its labels; a severity need not be said; no agent is named to act upon."""
    assert annotation(control("note", " seen ")) == Operated(verb="note", by="kim", incident_id="i1", reason="seen")
    label = annotation(control("relabel", category="storage", severity="critical"))
    assert (label.category, label.severity, label.agent, label.reason) == ("storage", "critical", None, "because")
    assert annotation(control("relabel", category="storage")).severity is None


@pytest.mark.parametrize(
    ("order", "why"),
    [
        (control("note", agent=None), "names an agent and an incident"),
        (control("note", incident=None), "names an agent and an incident"),
        (control("note", incident=7), "names an agent and an incident"),
        (control("note", incident="a b"), "names an agent and an incident"),
        (control("note", None), "a note without text"),
        (control("note", "  "), "a note without text"),
        (control("relabel", "", category="build"), "needs a reason"),
        (control("relabel"), "None is no category"),
        (control("relabel", category="unknown"), "'unknown' is no category"),
        (control("relabel", category=["x"]), "no category"),
        (control("relabel", category="build", severity="dire"), "'dire' is no severity"),
    ],
)
def test_what_says_nothing_or_makes_no_sense_is_refused(order: Control, why: str) -> None:
    """The reason is one sentence."""
    with pytest.raises(ValueError, match=why) as refused:
        annotation(order)
    assert "\n" not in str(refused.value)
