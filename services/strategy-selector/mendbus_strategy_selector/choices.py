"""Which learned model decides, which is in trial, and what each expects of an error; who wins is written to the store.

While nobody has decided otherwise the policy decides, and the model that comes with the package is in trial beside it.
A model that shows lift is promoted; what it replaced goes on in trial, and turns it back once it is the better one. No
trial ends because what is in trial has not been better: what was never done first cannot have lost.
"""

import logging
from collections.abc import Callable, Iterable

from mendbus.contracts.vocabulary import Strategy
from mendbus.lift import Trial
from mendbus.modellife import Following
from mendbus.modelstore import PACKAGED, ModelStore, State, moment
from mendbus_strategy_selector import choice_model
from mendbus_strategy_selector.choice_model import Model
from mendbus_strategy_selector.choosing import POLICY, Learned, said
from mendbus_strategy_selector.experience import Seen, estimates
from mendbus_strategy_selector.lessons import Lessons
from mendbus_strategy_selector.lots import lot_of

log = logging.getLogger("mendbus")


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
        seed, among = lot_of(f"{incident_id} {attempt}"), tuple(strategies)
        if self.used is not None:
            rival = self.tried and self._said(self.tried, seed, seen, among, acts=False)
            return self._said(self.used, seed, seen, among, acts=True), rival
        return self.tried and self._said(self.tried, seed, seen, among, acts=False), None

    def _said(self, model: Model, seed: int, seen: Seen, among: tuple[Strategy, ...], *, acts: bool) -> Learned:
        here = self.lessons.experiences[model.name]
        return said(model.name, seed, estimates((model.prior, here), seen, among), acts=acts)


def _name(model: Model | None) -> str:
    return model.name if model else POLICY


class Life(Following):
    """What is promoted in the store is used from the next decision on; lift is written there."""

    def __init__(
        self,
        store: ModelStore,
        choices: Choices,
        now: Callable[[], int],
        opened: Callable[[bytes | None], Model] = choice_model.load,
    ) -> None:
        """`opened`: loads a packed model, or that of the package. `now`: nanoseconds since 1970."""
        super().__init__(store, -1)
        self._choices = choices
        self._now = now
        self._opened = opened

    async def _judge(self, state: State) -> State | None:
        pair = self._choices.pair
        trial = self._choices.lessons.trials.get(pair)
        verdict = trial.verdict if trial else None
        if trial is None or verdict is None:
            return None
        counts = f"trial: {trial.better} to {trial.worse} of {trial.asked}"
        if verdict == "loss":
            log.info("%s was not seen to be better than %s, and is counted anew: %s", pair[1], pair[0], counts)
            self._choices.lessons.end(pair)
            return None
        shadow = state.shadow or PACKAGED if state.changes else pair[1]
        # Otherwise what decides is not what the store asks for: it was refused.
        if (self._named(pair[0]), self._named(pair[1])) != (state.active, self._named(shadow)):
            return None
        if not state.changes:
            _ = await self._store.put(choice_model.included())
        decided = await self._store.promote(self._named(pair[1]), moment(self._now()), counts, state)
        log.info("%s decides now instead of %s: %s", pair[1], pair[0], counts)
        # The verdict stays with what was learned: where the key is lost, an owner comes to the same.
        return decided

    async def _load(self, state: State) -> None:
        if not state.changes:
            self._choices.put(None, self._opened(None))
        else:
            known = {model.name: model for model in (self._choices.used, self._choices.tried) if model}
            self._choices.put(await self._get(state.active, known), await self._get(state.shadow, known))
            self._forget_overruled()
        log.info("strategies are chosen by %s, beside it in trial: %s", *self._choices.pair)

    def _forget_overruled(self) -> None:
        """Forgets verdicts against what the store has put in use since, by another verdict or by a person."""
        lessons, current = self._choices.lessons, self._choices.pair
        used, tried = current
        for pair, trial in list(lessons.trials.items()):
            if (pair == current and trial.verdict == "lift") or pair[0] == used == tried:
                lessons.end(pair)

    async def _get(self, name: str | None, known: dict[str, Model]) -> Model | None:
        if name is None or name == PACKAGED:
            return None
        return known.get(name) or self._opened(await self._store.content(name))

    @staticmethod
    def _named(name: str) -> str:
        return PACKAGED if name == POLICY else name
