"""`python -m tests.upgrade.older SERVICE`: a service that writes and reads no field that the first revision had not.

All messages go through the codec: what came later is taken out of them there, on their way out and on their way in,
as it is with a service that was built before.
"""

import sys
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel
from tests.upgrade.revision import as_known

from mendbus import codec, service


def grow_old() -> None:
    """Makes this process's codec one of the first revision."""
    validate = codec.validate

    def encode(message: BaseModel) -> bytes:
        return codec.pack(as_known(type(message).__name__, message.model_dump(exclude_none=True)))

    def validate_old(model: type[BaseModel], value: Mapping[str, Any]) -> BaseModel:
        return validate(model, as_known(model.__name__, dict(value)))

    def decode(model: type[BaseModel], body: bytes, limit: int = codec.MAX_BODY) -> BaseModel:
        return validate_old(model, codec.unpack(body, limit))

    for name, function in (("encode", encode), ("validate", validate_old), ("decode", decode)):
        setattr(codec, name, function)


if __name__ == "__main__":
    grow_old()
    sys.exit(service.main(sys.argv[1:]))
