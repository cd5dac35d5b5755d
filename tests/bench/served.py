"""An agent as users write one, for the bench to restart and to roll back.

`python -m tests.bench.served KIND/ID`: holds 1 MiB of state, of which its probe knows whether it is whole, and serves
until it is ended. With `--told` it obeys standard input, until that ends: `checkpoint` takes two and tells their ids,
`spoil` makes it sick until the state is restored.
"""

import asyncio
import json
import sys

from mendbus import Agent

SIZE = 1 << 20
_SPOILT = b"\0" * SIZE
_SECONDS = 30.0


class Served:
    """The agent and its state."""

    def __init__(self, name: str) -> None:
        self._content = self._good = bytes(range(256)) * (SIZE // 256)
        self.agent: Agent = Agent(*name.split("/"))
        self.agent.state(snapshot=lambda: self._content, restore=self._restore)
        _ = self.agent.probe()(lambda: self._content == self._good)

    def _restore(self, content: bytes, _: str | None) -> None:
        self._content = content

    async def obey(self, order: str) -> dict[str, object]:
        """Does what it is told; the answer."""
        if order == "spoil":
            self._content = _SPOILT
            return {"spoilt": True}
        ids = [self.agent.checkpoint("v1"), self.agent.checkpoint("v2")]
        return {"checkpoints": ids, "kept": await asyncio.to_thread(self.agent.flush, _SECONDS)}


async def main(name: str, *, told: bool) -> None:
    """Serves; `told`: until standard input ends."""
    served = Served(name)
    async with served.agent as agent:
        if not told:
            _ = await asyncio.Event().wait()
        print(json.dumps({"ready": await asyncio.to_thread(agent.wait_ready, _SECONDS)}), flush=True)
        while line := await asyncio.to_thread(sys.stdin.readline):
            print(json.dumps(await served.obey(json.loads(line)["do"])), flush=True)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], told="--told" in sys.argv))
