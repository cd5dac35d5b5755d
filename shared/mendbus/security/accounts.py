"""Two accounts: services and operators live in one, agents in the other, and only this crosses between them.

Rights alone would not do. Whoever asks chooses the subject of the answer, and the server publishes its own answers
(that a message is stored, what a stream holds) there without asking for rights: an agent could so have it write into
the journal. Across accounts an answer goes back to where the question came from, whatever it names.
"""

from typing import Any, Final

from mendbus.contracts.catalogue import FAMILIES
from mendbus.contracts.subjects import Subjects
from mendbus.security.rights import ANSWERS_WITHIN, BATCHED, as_agents_ask, subject_of, used_by_agents

CORE: Final = "MENDBUS"
AGENTS: Final = "AGENTS"


def crossings(subjects: Subjects, *, standby: bool = False) -> dict[str, dict[str, list[dict[str, Any]]]]:
    """Exports and imports of both accounts, as the server's configuration has them; `standby`: of agents too."""
    core: dict[str, list[dict[str, Any]]] = {"exports": [], "imports": []}
    agents: dict[str, list[dict[str, Any]]] = {"exports": [], "imports": []}

    def cross(kind: str, subject: str, giver: dict[str, Any], taker: dict[str, Any], name: str, **more: str) -> None:
        giver["exports"].append({kind: subject, **more})
        local = as_agents_ask(subject)
        renamed = {} if local == subject else {"to": local.replace("*", "$1")}
        taker["imports"].append({kind: {"account": name, "subject": subject}, **renamed})

    for family in FAMILIES:
        subject = subject_of(family, subjects)
        asked = family.reply is not None or family.stream is not None
        if "agent" in family.senders:
            if asked:
                cross("service", subject, core, agents, CORE)
            else:
                cross("stream", subject, agents, core, AGENTS)
        elif "agent" in family.receivers:
            if family.reply is not None:
                # Otherwise the server forgets after two minutes where the answer is to go.
                cross("service", subject, agents, core, AGENTS, response_threshold=ANSWERS_WITHIN)
            else:
                cross("stream", subject, core, agents, CORE)
    for subject in used_by_agents(subjects, standby=standby):
        more = {"response_type": "stream"} if any(mark in subject for mark in BATCHED) else {}
        cross("service", subject, core, agents, CORE, **more)
    if standby:
        # What a passing consumer delivers is no answer: it comes as a message to the inbox of whoever made it.
        cross("stream", "_INBOX.agent.>", core, agents, CORE)
    return {CORE: core, AGENTS: agents}


def account_of(user: str) -> str:
    """The account of a user."""
    return AGENTS if user.startswith("agent/") else CORE


def configuration(users: dict[str, list[dict[str, Any]]], subjects: Subjects, *, standby: bool) -> dict[str, Any]:
    """The accounts with their users, by user name: one entry for each key."""
    crossing = crossings(subjects, standby=standby)
    found: dict[str, Any] = {CORE: {"jetstream": "enabled", "users": []}, AGENTS: {"users": []}}
    for name, entries in users.items():
        found[account_of(name)]["users"] += entries
    return {name: account | crossing[name] for name, account in found.items()}
