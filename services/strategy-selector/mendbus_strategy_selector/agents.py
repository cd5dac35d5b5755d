"""What the agents said of themselves: the last hello of each, kept current from the `agents` bucket."""

import logging
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from mendbus import codec
from mendbus.bus import Bus, Message, StoredMessage, Subscription
from mendbus.contracts.errors import Refused
from mendbus.contracts.messages import AgentGoodbye, AgentHello
from mendbus.contracts.subjects import Subjects
from mendbus.contracts.vocabulary import SILENT_AGENT_STRATEGIES, Strategy

log = logging.getLogger("mendbus")


class Said(NamedTuple):
    """What is kept of a hello: as a whole each would be hundreds of objects."""

    strategies: tuple[Strategy, ...]
    depends_on: tuple[str, ...]
    instance: str | None


class Agents:
    """The directory of agents, by key (`kind/id`). `actuated`: what can be done to kinds that others recover."""

    def __init__(self, actuated: Mapping[str, Sequence[Strategy]] | None = None) -> None:
        self._actuated = actuated or {}
        self._said: dict[str, Said] = {}
        self._left: set[str] = set()

    async def follow(self, bus: Bus, subjects: Subjects) -> Subscription:
        """Keeps the directory current until stopped."""
        return await bus.follow(
            subjects.bucket_stream("agents"), subjects.key("agents", ">"), self._hear, last_per_subject=True
        )

    async def goodbye(self, goodbye: AgentGoodbye, _: Message) -> None:
        """Notes that an agent left on purpose."""
        self._left.add(goodbye.agent.key)

    async def _hear(self, message: StoredMessage) -> None:
        if not message.body:
            return
        try:
            hello = codec.decode(AgentHello, message.body)
        except Refused as refused:
            log.warning("the stored hello %s is not one: %s", message.subject, refused)
            return
        self.introduce(hello)

    def introduce(self, hello: AgentHello) -> None:
        """Takes in what an agent said of itself."""
        self._said[hello.agent.key] = Said(tuple(hello.strategies), tuple(hello.depends_on), hello.agent.instance)
        self._left.discard(hello.agent.key)

    def known(self) -> set[str]:
        """Agents that introduced themselves and have not left."""
        return self._said.keys() - self._left

    def depends_on(self, key: str) -> list[str]:
        """What an agent needs, as it said: kinds, or `kind/id`."""
        said = self._said.get(key)
        return [] if said is None else list(said.depends_on)

    def left(self, key: str) -> bool:
        """Whether the agent said goodbye and has not come back."""
        return key in self._left

    def supported(self, key: str) -> list[Strategy]:
        """The strategies that can be carried out; an agent that never said hello is taken to support retry and restart.

        Where others recover agents of the kind, what they can do counts, and not what the agent says of itself.
        """
        actuated = self._actuated.get(key.partition("/")[0])
        if actuated is not None:
            return list(actuated)
        said = self._said.get(key)
        return list(SILENT_AGENT_STRATEGIES) if said is None else list(said.strategies)

    def instance(self, key: str) -> str | None:
        """The boot id of the agent's process, where it is known."""
        said = self._said.get(key)
        return None if said is None else said.instance
