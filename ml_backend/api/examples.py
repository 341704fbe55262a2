"""Examples of the OpenAPI document: where a field has none of its own, it is put together from what the field holds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Json = dict[str, Any]


def add_examples(document: Json) -> Json:
    """The document, in which each field of each schema has got an example; fields that have one keep it.

    An object's example is made of its fields' ones, a list's is one item; else a field's default is its example.
    """
    schemas: Json = document["components"]["schemas"]
    for schema in schemas.values():
        for field in schema.get("properties", {}).values():
            field["examples"] = [_example_of(field, schemas)]
    return document


def _example_of(schema: Json, schemas: Mapping[str, Json]) -> Any:
    if "examples" in schema:
        return schema["examples"][0]
    if "$ref" in schema:
        named = schemas[schema["$ref"].rpartition("/")[2]]
        return {name: _example_of(field, schemas) for name, field in named["properties"].items()}
    if "anyOf" in schema:
        return _example_of(schema["anyOf"][0], schemas)
    if schema.get("type") == "array":
        return [_example_of(schema["items"], schemas)]
    return schema["default"]
