"""What a cluster is hit with: from a seed, all of it in every round, one thing at a time."""

from itertools import islice
from typing import get_args

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.cluster.plan import KILLS, KINDS, NODES, SMALL_NODE, Blow, NodeBlow, ServiceBlow, blows

from mendbus.contracts.vocabulary import SERVICES

SERVICE_BLOWS = get_args(ServiceBlow)
ROUND = len(KINDS) - len(SERVICE_BLOWS) + len(SERVICE_BLOWS) * len(SERVICES)


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 2**32))
def test_a_seed_gives_the_same_blows_again(seed: int) -> None:
    """Two plans of one seed are equal, blow by blow."""
    assert list(islice(blows(seed), 3 * ROUND)) == list(islice(blows(seed), 3 * ROUND))


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 2**32), st.integers(0, 3))
def test_every_round_has_everything(seed: int, number: int) -> None:
    """In each round every kind of blow comes once, and each service is killed and paused once."""
    one = list(islice(blows(seed), number * ROUND, (number + 1) * ROUND))
    assert {blow.kind for blow in one} == set(KINDS)
    for kind in SERVICE_BLOWS:
        assert sorted(blow.service for blow in one if blow.kind == kind) == sorted(SERVICES)
    assert sum(blow.node >= 0 for blow in one) == len(get_args(NodeBlow))


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 2**32))
def test_blows_hit_what_is_there_and_end(seed: int) -> None:
    """Nodes are among those there are, only the small disk is filled, and nothing is held longer than five seconds."""
    for blow in islice(blows(seed), 2 * ROUND):
        assert -1 <= blow.node < NODES
        assert blow.kind != "fill" or blow.node == SMALL_NODE
        assert 0.0 <= blow.seconds <= 5.0
        assert blow.rest > 0.0


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 2**32))
def test_some_kinds_alone_come_as_they_would_among_all(seed: int) -> None:
    """A plan of kills alone has the same kills as the whole one, in the same order."""
    whole = [blow for blow in islice(blows(seed), 3 * ROUND) if blow.kind in KILLS]
    assert list(islice(blows(seed, KILLS), len(whole))) == whole


def test_a_blow_says_what_it_is() -> None:
    """In words: what, whom, how long."""
    assert str(Blow("pause", 1, "", 2.0, 1.0)) == "pause n2 2.0 s"
    assert str(Blow("kill replica", -1, "executor", 0.0, 1.0)) == "kill replica executor"
    assert str(Blow("move leaders", -1, "", 0.0, 1.0)) == "move leaders"
