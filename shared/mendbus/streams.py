"""Every stream, bucket and durable consumer, as data; created or updated by `ensure`, never elsewhere."""

from dataclasses import replace

from mendbus.bus import Bus, ConsumerSpec, StreamSpec
from mendbus.contracts.subjects import LANES, MAX_BODY, PARTITIONS, Subjects
from mendbus.contracts.vocabulary import SEVERITIES

_HOUR = 3600.0
_DAY = 24 * _HOUR
_MIB = 1 << 20

ERRORS_SECONDS = 24 * 3600
"""How long an error is kept."""
MAX_ERROR_BYTES = MAX_BODY + 4096
"""Most bytes that the server takes of one error: the largest body, and its headers."""
DUPLICATE_WINDOW = 600.0
"""Seconds for which a repeated event id is recognised by the server."""
ACK_WAIT = 1.0
"""Seconds after which an unacknowledged error is delivered again."""
MAX_ACK_PENDING = 500
"""Errors of one lane that may be under way without acknowledgement."""
LEASE_SECONDS = 1.0
"""How long a strategy-selector counts as alive after its last sign."""


def streams(subjects: Subjects, max_bytes: int, replicas: int = 1) -> list[StreamSpec]:
    """All streams below the root; `max_bytes` bounds ERRORS and JOURNAL, each.

    With more than one replica none persists asynchronously: the server does that for a single one alone.
    """
    specs = _streams(subjects, max_bytes)
    return specs if replicas == 1 else [replace(spec, replicas=replicas, persist_async=False) for spec in specs]


def _streams(subjects: Subjects, max_bytes: int) -> list[StreamSpec]:
    root = subjects.root
    return [
        StreamSpec(
            name=subjects.stream("ERRORS"),
            # Only the severities there are: whoever misspells one hears at once that nobody stores it.
            subjects=tuple(f"{root}.error.{severity}.*.*" for severity in ("unknown", *SEVERITIES)),
            max_age=float(ERRORS_SECONDS),
            max_bytes=max_bytes,
            max_msg_size=MAX_ERROR_BYTES,
            # Set while an agent fills it (`errors_stream`): whoever starts meanwhile leaves it as it is.
            max_msgs_per_subject=None,
            discard="new",
            duplicate_window=DUPLICATE_WINDOW,
            allow_atomic=True,
            transform=(
                f"{root}.error.*.*.*",
                f"{root}.errors.{{{{partition({PARTITIONS},2,3)}}}}.{{{{wildcard(1)}}}}.{{{{wildcard(2)}}}}.{{{{wildcard(3)}}}}",
            ),
        ),
        StreamSpec(
            name=subjects.stream("JOURNAL"), subjects=(f"{root}.journal.*",), max_age=30 * _DAY, max_bytes=max_bytes
        ),
        StreamSpec(
            name=subjects.stream("RECOVERIES"),
            subjects=(f"{root}.outcome.>",),
            max_age=30 * _DAY,
            max_bytes=max_bytes,
            duplicate_window=DUPLICATE_WINDOW,
            persist_async=True,
        ),
        StreamSpec(
            name=subjects.stream("ALERTS"),
            subjects=(f"{root}.alert.>",),
            max_age=30 * _DAY,
            max_bytes=256 * _MIB,
            persist_async=True,
        ),
        StreamSpec(
            name=subjects.stream("HEALTH"),
            subjects=(f"{root}.history.minute.*.*", f"{root}.history.second.*"),
            max_age=_DAY,
            max_bytes=max_bytes,
            duplicate_window=DUPLICATE_WINDOW,
            allow_ttl=True,
            persist_async=True,
        ),
        StreamSpec(name=subjects.stream("DEAD"), subjects=(f"{root}.dead.>",), max_age=7 * _DAY, max_bytes=256 * _MIB),
        key_value(subjects, "leases", memory=True),
        key_value(subjects, "agents"),
        key_value(subjects, "heads", history=64),
        key_value(subjects, "alerting"),
        key_value(subjects, "promotions"),
        objects(subjects, "checkpoints"),
        objects(subjects, "snapshots"),
        objects(subjects, "models", max_bytes=256 * _MIB),
    ]


def errors_stream(subjects: Subjects, max_bytes: int, replicas: int, most_of_a_subject: int) -> StreamSpec:
    """ERRORS while no subject of it (one agent's errors of one severity) may hold more than that many; 0: no limit."""
    name = subjects.stream("ERRORS")
    spec = next(spec for spec in streams(subjects, max_bytes, replicas) if spec.name == name)
    full = "new" if most_of_a_subject else "old"
    return replace(spec, max_msgs_per_subject=most_of_a_subject or -1, full_subject=full)


def key_value(subjects: Subjects, bucket: str, *, memory: bool = False, history: int = 1) -> StreamSpec:
    """The stream behind a key-value bucket, as the usual tools expect it; `history`: values kept of each key."""
    return StreamSpec(
        name=subjects.bucket_stream(bucket),
        subjects=(subjects.key(bucket, ">"),),
        max_msgs_per_subject=history,
        max_bytes=(1 if memory or history > 1 else 64) * _MIB,
        discard="new",
        storage="memory" if memory else "file",
        allow_rollup=True,
        allow_ttl=memory,
    )


def objects(subjects: Subjects, bucket: str, *, max_bytes: int = 1024 * _MIB) -> StreamSpec:
    """The stream behind an object bucket, as the usual tools expect it."""
    name = subjects.bucket(bucket)
    return StreamSpec(
        name=f"OBJ_{name}",
        subjects=(f"$O.{name}.C.>", f"$O.{name}.M.>"),
        max_bytes=max_bytes,
        discard="new",
        allow_rollup=True,
    )


def lane_consumer(subjects: Subjects, partition: int, lane: str) -> ConsumerSpec:
    """The durable consumer from which the owner of a partition pulls one lane."""
    severities = ("critical", "fatal") if lane == LANES[0] else ("warning", "error", "unknown")
    return ConsumerSpec(
        stream=subjects.stream("ERRORS"),
        name=subjects.consumer(partition, lane),
        filters=tuple(subjects.stored_errors(partition, severity) for severity in severities),
        ack_wait=ACK_WAIT,
        max_ack_pending=MAX_ACK_PENDING,
    )


async def missing(bus: Bus, subjects: Subjects) -> list[str]:
    """Names of the streams above that are not on the server."""
    return await bus.missing(streams(subjects, -1))


async def ensure(bus: Bus, subjects: Subjects, max_bytes: int, replicas: int = 1) -> list[str]:
    """Creates or updates all of the above; returns what is there with other settings, in words."""
    consumers = [lane_consumer(subjects, partition, lane) for partition in range(PARTITIONS) for lane in LANES]
    return await bus.ensure(streams(subjects, max_bytes, replicas), consumers)
