"""In which order cases are met: by the pipeline, and by the oracle that judges it, which so measures the same ones."""

import random
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tests.lab.faults import Fault
from tests.lab.kinds import ORDER

SEED = 1


def deal(faults: Sequence[Fault], seed: int = SEED) -> Iterator[tuple[Fault, str, Mapping[str, Any]]]:
    """Every fault, kind and parameters once: each fault first once, then in turn, the agents evenly."""
    met = dict.fromkeys(ORDER, 0)
    decks = {fault.name: _deck(fault, seed) for fault in faults}
    while any(decks.values()):
        for fault in faults:
            deck = decks[fault.name]
            if not deck:
                continue
            # The next values of the fault's own deck, but of its kinds the one that has met least so far.
            kind, parameters = min(deck, key=lambda card: (met[card[0]], deck.index(card)))
            deck.remove((kind, parameters))
            met[kind] += 1
            yield fault, kind, parameters


def _deck(fault: Fault, seed: int) -> list[tuple[str, dict[str, Any]]]:
    deck = [(kind, parameters) for kind in fault.kinds for parameters in fault.cases()]
    random.Random(f"{seed}:{fault.name}").shuffle(deck)
    return deck
