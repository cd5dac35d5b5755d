"""Which learned model decides, which is in trial, and what each expects of an error; who wins is written to the store.

While nobody has decided otherwise the policy decides, and the model that comes with the package is in trial beside it.
A model that shows lift is promoted; what it replaced goes on in trial, and turns it back once it is the better one. No
trial ends because what is in trial has not been better: what was never done first cannot have lost.
"""

import asyncio
import logging
import zlib
from collections.abc import Callable, Iterable
from pathlib import Path

from mendbus.contracts.errors import MendbusError
from mendbus.contracts.vocabulary import Strategy
from mendbus.lift import Trial
from mendbus.modelstore import LOOK_SECONDS, PACKAGED, ModelStore, moment
from mendbus_strategy_selector import choice_model
from mendbus_strategy_selector.choice_model import Model
from mendbus_strategy_selector.choosing import POLICY, Learned, said
from mendbus_strategy_selector.experience import Seen, estimates
from mendbus_strategy_selector.lessons import Lessons

log = logging.getLogger("mendbus")

"""Time between two looks at what is to be used."""


class Choices:
    """The model in use (None: the policy alone decides), the one in trial, and what both learn from."""

    def __init__(self, lessons: Lessons | None = None, used: Model | None = None, tried: Model | None = None) -> None:
        self.lessons = lessons or Lessons()
        self.put(used, tried)

    def put(self, used: Model | None, tried: Model | None) -> None:
        """Uses one model from now on, and tries another."""
        self.used, self.tried = used, tried
        self.lessons.follow(dict.fromkeys(model.name for model in (used, tried) if model))

    @property
    def pair(self) -> tuple[str, str]:
        """Names of what decides and of what is in trial beside it."""
        return _name(self.used), _name(self.tried)

    def standing(self) -> dict[str, str | int]:
        """Who decides, what is in trial, and how that stands, for people."""
        decides, tried = self.pair
        trial = self.lessons.trials.get(self.pair, Trial())
        counts = {"asked": trial.asked, "better": trial.better, "worse": trial.worse}
        return {"decides": decides, "in_trial": "" if tried == decides else tried, **counts}

    def expect(
        self, incident_id: str, attempt: int, seen: Seen, strategies: Iterable[Strategy]
    ) -> tuple[Learned | None, Learned | None]:
        """What the model in use expects, and the one in trial beside it; without one in use, the one in trial."""
        seed, among = zlib.crc32(f"{incident_id} {attempt}".encode()), tuple(strategies)
        if self.used is not None:
            rival = self.tried and self._said(self.tried, seed, seen, among, acts=False)
            return self._said(self.used, seed, seen, among, acts=True), rival
        return self.tried and self._said(self.tried, seed, seen, among, acts=False), None

    def _said(self, model: Model, seed: int, seen: Seen, among: tuple[Strategy, ...], *, acts: bool) -> Learned:
        here = self.lessons.experiences[model.name]
        return said(model.name, seed, estimates((model.prior, here), seen, among), acts=acts)


def _name(model: Model | None) -> str:
    return model.name if model else POLICY


class Life:
    """Follows the store: what is promoted there is used from the next decision on; lift is written there."""

    def __init__(
        self,
        store: ModelStore,
        choices: Choices,
        now: Callable[[], int],
        opened: Callable[[Path | None], Model] = choice_model.load,
    ) -> None:
        """`now`: nanoseconds since 1970."""
        self._store = store
        self._choices = choices
        self._now = now
        self._opened = opened
        self._stamp = -1

    def begin(self) -> None:
        """Loads what the store asks for; a model that is refused is logged, and the policy decides alone."""
        self.look()

    async def follow(self) -> None:
        """Looks every `LOOK_SECONDS`, until it is cancelled."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            self.look()

    def look(self) -> None:
        """Acts on the verdict of a trial, then loads what the store asks for; what is refused changes nothing."""
        try:
            self._judge()
            stamp = self._store.stamp()
            if stamp != self._stamp:
                self._stamp = stamp
                self._load()
        except (MendbusError, OSError) as error:
            log.error("models: %s", error)

    def _judge(self) -> None:
        pair = self._choices.pair
        trial = self._choices.lessons.trials.get(pair)
        verdict = trial.verdict if trial else None
        if trial is None or verdict is None:
            return
        counts = f"trial: {trial.better} to {trial.worse} of {trial.asked}"
        if verdict == "loss":
            log.info("%s was not seen to be better than %s, and is counted anew: %s", pair[1], pair[0], counts)
            self._choices.lessons.end(pair)
            return
        untouched = not self._store.stamp()
        state = self._store.state()
        shadow = pair[1] if untouched else state.shadow or PACKAGED
        # Otherwise another replica beside this one has seen the same, and acted on it.
        if (self._named(pair[0]), self._named(pair[1])) == (state.active, shadow):
            # It is there already where state.json was removed to start anew.
            if untouched and pair[1] not in self._store.names():
                self._store.add(choice_model.included(), self._at(), counts)
            self._store.promote(self._named(pair[1]), self._at(), counts)
            log.info("%s decides now instead of %s: %s", pair[1], pair[0], counts)
            # The verdict stays with what was learned: an owner whose store is new, or was lost, comes to the same.

    def _load(self) -> None:
        if not self._stamp:
            self._choices.put(None, self._opened(None))
        else:
            state = self._store.state()
            known = {model.name: model for model in (self._choices.used, self._choices.tried) if model}
            self._choices.put(self._get(state.active, known), self._get(state.shadow, known))
            self._forget_overruled()
        log.info("strategies are chosen by %s, beside it in trial: %s", *self._choices.pair)

    def _forget_overruled(self) -> None:
        """Forgets verdicts against what the store has put in use since, by another verdict or by a person."""
        lessons, current = self._choices.lessons, self._choices.pair
        used, tried = current
        for pair, trial in list(lessons.trials.items()):
            if (pair == current and trial.verdict == "lift") or pair[0] == used == tried:
                lessons.end(pair)

    def _get(self, name: str | None, known: dict[str, Model]) -> Model | None:
        if name is None or name == PACKAGED:
            return None
        return known.get(name) or self._opened(self._store.folder(name))

    @staticmethod
    def _named(name: str) -> str:
        return PACKAGED if name == POLICY else name

    def _at(self) -> str:
        return moment(self._now())
