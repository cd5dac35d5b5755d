"""What `mendbus report --wait` hears."""

import asyncio

from tests.unit.cli.samples import AGENT, outcome

from mendbus import codec
from mendbus.bus import Message
from mendbus.cli.reporting import Ear
from mendbus.contracts.messages import Settlement


def _told(**changes: object) -> Message:
    return Message("outcome", codec.encode(outcome(**changes)), {})


def _settled(event: str, incident: str | None) -> Message:
    told = Settlement(agent=AGENT, event_ids=[event], outcome="recovered", incident_id=incident)
    return Message("settlement", codec.encode(told), {})


async def test_the_outcome_that_names_the_event_is_heard() -> None:
    """Outcomes of other incidents of the agent are not taken for it."""
    ear = Ear("event-2")
    await ear.hear_outcome(_told(incident_id="other", event_ids=["event-9"]))
    assert ear.outcome() is None
    waiting = asyncio.create_task(ear.wait(5.0))
    await asyncio.sleep(0)
    await ear.hear_outcome(_told())
    told = await waiting
    assert told == outcome()


async def test_a_settlement_leads_to_the_outcome_of_its_incident() -> None:
    """Beyond the first hundred events of an incident the settlement says which one it is."""
    ear = Ear("event-200")
    await ear.hear_settlement(_settled("another", "elsewhere"))
    await ear.hear_settlement(_settled("event-200", outcome().incident_id))
    await ear.hear_outcome(_told())
    assert await ear.wait(5.0) == outcome()


async def test_a_settlement_alone_is_better_than_nothing() -> None:
    """When the outcome is lost on its way, the settlement is told after a moment."""
    ear = Ear("event-2")
    await ear.hear_settlement(_settled("event-2", None))
    told = await ear.wait(0.05)
    assert isinstance(told, Settlement)


async def test_silence_ends_after_the_time_that_was_given() -> None:
    """Nothing heard is told as nothing."""
    assert await Ear("event-2").wait(0.01) is None
