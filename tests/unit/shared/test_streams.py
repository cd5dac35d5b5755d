"""Streams as data, for one server and for a cluster."""

from mendbus.contracts.subjects import Subjects
from mendbus.streams import streams


def test_replicated_streams_are_all_synced() -> None:
    """On three servers every stream is kept three times, and none is acknowledged before it is written."""
    alone, kept = streams(Subjects(), 1 << 20), streams(Subjects(), 1 << 20, 3)
    assert {spec.replicas for spec in alone} == {1}
    assert any(spec.persist_async for spec in alone)
    assert {spec.replicas for spec in kept} == {3}
    assert not any(spec.persist_async for spec in kept)
    assert [spec.name for spec in kept] == [spec.name for spec in alone]
