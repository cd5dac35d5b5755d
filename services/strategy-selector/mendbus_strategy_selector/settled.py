"""What became of events: exact while ERRORS holds them, or the agent knows their sequences, by which it is counted."""

from typing import get_args

from mendbus.bus import Bus
from mendbus.contracts.messages import SettledQuery, SettledReply
from mendbus.contracts.subjects import HEADER_ID, LANES, URGENT, Subjects
from mendbus_strategy_selector.state import Lane, PartitionState


async def answer_settled(
    bus: Bus,
    subjects: Subjects,
    state: PartitionState,
    kind: str,
    agent_id: str,
    query: SettledQuery,
) -> SettledReply:
    """Answers an agent: events that are not stored are unknown, others open until their incident has an outcome."""
    waiting = {
        event_id
        for incident in state.incidents.values()
        if incident.agent.key == f"{kind}/{agent_id}"
        for event_id in incident.unsettled
    }
    stored = await _find(bus, subjects, f"{subjects.root}.errors.*.*.{kind}.{agent_id}", query)
    reply = SettledReply(settled=[], open=[], unknown=[])
    for event_id in query.event_ids:
        if event_id in waiting:
            reply.open.append(event_id)
        elif event_id not in stored:
            known = state.counted_in_a_lane(query.sequences.get(event_id, 0))
            (reply.settled if known else reply.unknown).append(event_id)
        else:
            lane, sequence = stored[event_id]
            (reply.settled if state.counted(lane, sequence) else reply.open).append(event_id)
    return reply


async def _find(bus: Bus, subjects: Subjects, subject: str, query: SettledQuery) -> dict[str, tuple[Lane, int]]:
    """Lane and stream sequence of those events that are stored, from the headers of the agent's errors."""
    wanted = set(query.event_ids)
    known = all(event_id in query.sequences for event_id in wanted)
    start = min((query.sequences[event_id] for event_id in wanted), default=1) if known else 1
    found: dict[str, tuple[Lane, int]] = {}
    async for message in bus.read(subjects.stream("ERRORS"), subject, start=max(1, start), headers_only=True):
        event_id = message.headers.get(HEADER_ID, "")
        if event_id in wanted:
            severity = subjects.stored_error(message.subject).severity
            found[event_id] = (
                get_args(Lane)[LANES.index("urgent" if severity in URGENT else "normal")],
                message.sequence,
            )
            if len(found) == len(wanted):
                break
    return found
