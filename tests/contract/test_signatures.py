"""The golden signatures of `proto/vectors/signatures.json`: what must be made, what must be refused."""

import json
from typing import Any

import pytest
from tests.contract.vectors import PROTO

from mendbus import codec
from mendbus.security import keys
from mendbus.security.keys import KeyPair
from mendbus.security.signing import id_of, payload

FOUND: dict[str, Any] = json.loads((PROTO / "vectors" / "signatures.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("entry", FOUND["signed"], ids=lambda entry: entry["name"])
def test_a_golden_signature_is_the_one_we_make(entry: dict[str, Any]) -> None:
    """From the seed follow the signing key, its name, the bytes that are signed, and the signature."""
    pair = keys.from_seed(FOUND["seed"]).for_signatures()
    body = bytes.fromhex(entry["hex"])
    assert pair.raw.hex() == FOUND["signing_seed"]
    assert (keys.to_base64(pair.public), pair.kid) == (FOUND["public"], FOUND["kid"])
    assert id_of(codec.unpack(body)) == entry["id"]
    assert payload(entry["subject"], entry["id"], body).hex() == entry["signed_hex"]
    assert keys.to_base64(pair.sign(bytes.fromhex(entry["signed_hex"]))) == entry["signature"]


@pytest.mark.parametrize("entry", FOUND["refused"], ids=lambda entry: entry["name"])
def test_a_signature_that_does_not_fit_is_refused(entry: dict[str, Any]) -> None:
    """Another subject, another body, or another signature than the golden one."""
    body = bytes.fromhex(entry["hex"])
    signed = payload(entry["subject"], id_of(codec.unpack(body)), body)
    public = keys.from_base64(FOUND["public"])
    assert not keys.verify(public, signed, keys.from_base64(entry["signature"]))
    assert KeyPair(bytes(32)).public != public
