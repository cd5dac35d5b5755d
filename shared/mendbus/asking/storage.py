"""What an agent keeps in Mendbus: its checkpoints."""

from typing import Any

from mendbus.bus import Bus
from mendbus.contracts.ids import made_at
from mendbus.contracts.subjects import Subjects


async def checkpoints(bus: Bus, subjects: Subjects, agent: tuple[str, str]) -> list[dict[str, Any]]:
    """The checkpoints of an agent (kind, id), the newest first; times in ns since 1970. Raises `BusError`."""
    prefix = "/".join(agent) + "/"
    found: list[dict[str, Any]] = []
    for info in await bus.list_objects(subjects.bucket("checkpoints")):
        if not info.name.startswith(prefix):
            continue
        checkpoint_id = info.name.removeprefix(prefix)
        row: dict[str, Any] = {
            "id": checkpoint_id,
            "size": info.size,
            "sha256": info.sha256,
            "good": info.metadata.get("good") == "true",
            "time_unix_nano": made_at(checkpoint_id),
        }
        found.append(row | ({"version": info.metadata["version"]} if "version" in info.metadata else {}))
    return sorted(found, key=lambda row: row["id"], reverse=True)
