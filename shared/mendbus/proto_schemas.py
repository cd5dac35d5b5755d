"""JSON Schemas of the messages, as `proto/schemas` publishes them."""

from typing import Any, cast

from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

from mendbus.contracts.catalogue import FAMILIES
from mendbus.contracts.fields import WireModel

Json = dict[str, Any]


class _WireSchema(GenerateJsonSchema):
    """Absent and nil mean the same, so a schema tells what stands there when something does."""

    def nullable_schema(self, schema: core_schema.NullableSchema) -> JsonSchemaValue:
        return self.generate_inner(schema["schema"])

    def default_schema(self, schema: core_schema.WithDefaultSchema) -> JsonSchemaValue:
        if schema.get("default") is None:
            return self.generate_inner(schema["schema"])
        return super().default_schema(schema)

    def tagged_union_schema(self, schema: core_schema.TaggedUnionSchema) -> JsonSchemaValue:
        # `discriminator` is OpenAPI's; the constants in the members tell them apart in JSON Schema and AsyncAPI.
        return {key: value for key, value in super().tagged_union_schema(schema).items() if key != "discriminator"}

    def field_is_required(
        self,
        field: core_schema.ModelField | core_schema.DataclassField | core_schema.TypedDictField,
        total: bool,
    ) -> bool:
        # The constant that tells members of a union apart has a default for writers; readers need it.
        inner = cast("Json", field["schema"])
        told_apart_by = inner["type"] == "default" and inner["schema"]["type"] == "literal"
        return told_apart_by or super().field_is_required(field, total)

    def field_title_should_be_set(self, schema: object) -> bool:
        return False  # they only repeat the names


def models() -> dict[str, tuple[type[WireModel], int]]:
    """Every message by name, with the largest body in bytes that its sender may write."""
    found: dict[str, tuple[type[WireModel], int]] = {}
    for family in FAMILIES:
        if family.body is not None:
            found[family.body.__name__] = (family.body, family.limit)
        if family.reply is not None:
            found[family.reply.__name__] = (family.reply, family.reply_limit)
    return found


def schema(model: type[WireModel], limit: int) -> Json:
    """The JSON Schema (2020-12) of a message's decoded value, nil keys left out."""
    generated = model.model_json_schema(schema_generator=_WireSchema)
    head: Json = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"urn:mendbus:v1:{model.__name__}",
        "title": model.__name__,
        "x-max-body-bytes": limit,
    }
    return head | {key: value for key, value in generated.items() if key != "title"}
