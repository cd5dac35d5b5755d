"""The truth of a trial of models is what agents say of their own errors.

Where an agent names the category, both models are asked what they would have said of its text.
"""

from collections.abc import Callable
from dataclasses import dataclass

from mendbus import modellife
from mendbus_classifier.features import Text
from mendbus_classifier.model import Guess, Model

Opened = Callable[[bytes | None], Model]


@dataclass
class Pair(modellife.Pair[Model]):
    """The model in use and the one in trial; `None` in use: the rules answer."""

    def watch(self, text: Text, truth: str | None, said: Guess) -> None:
        """Asks the model in trial, too. `truth`: the category that the agent named itself, None where it did not."""
        if self.tried is None or self.trial is None or truth is None:
            return
        new = self.tried.classify(text)
        self.trial.count(used_right=said.category == truth, new_right=new.category == truth)
