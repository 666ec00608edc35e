"""The JSON Schema of the metadata document, made from the dataclasses that read it.

``python -m ticketkit.bundle.schema`` prints what ``formats/ticket-v1.schema.json`` holds.
"""

from __future__ import annotations

import inspect
import json
import re
from typing import Any

import click
import msgspec

from ticketkit.arch.spec import LIMITS, MAX_NAME
from ticketkit.document import Document

SAFE_INTEGER = 2**53 - 1
"""The largest whole number that every JSON reader holds exactly."""


def document_schema() -> dict[str, Any]:
    """The schema of the document of format version 1, as plain JSON values (JSON Schema, 2020-12).

    It says all that can be said without knowing a family and without reading a tensor. Fields that it does not know
    are allowed: a later 1.x may add some.
    """
    schema: dict[str, Any] = msgspec.json.schema(Document)
    definitions: dict[str, dict[str, Any]] = schema.pop("$defs")
    for definition in definitions.values():
        _finish(definition)
    for name, limit in LIMITS.items():
        definitions["ArchSpec"]["properties"][name] |= {"minimum": 1, "maximum": limit}
    for name in ("family", "variant"):
        definitions["ArchSpec"]["properties"][name]["maxLength"] = MAX_NAME
    # What the dataclasses check in __post_init__, where msgspec cannot see it.
    definitions["TensorEntry"] |= {
        "if": {"properties": {"encoding": {"const": "bitmask"}}},
        "then": {"required": ["kept"], "properties": {"kept": {"type": "integer"}}},
        "else": {"properties": {"kept": {"type": "null"}}},
    }
    definitions["Weights"]["allOf"] = [
        {
            "if": {"properties": {"role": {"const": "rewind"}}},
            "then": {"required": ["step"], "properties": {"step": {"type": "integer"}}},
        },
        {"if": {"properties": {"role": {"const": "init"}}}, "then": {"properties": {"step": {"enum": [0, None]}}}},
    ]
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "urn:ticketkit:ticket-v1",
        "title": "ticketkit ticket, format version 1",
        "description": "The metadata document of a lottery-ticket bundle; formats/ticket-v1.md, section 3.",
        **schema,
        "$defs": definitions,
    }


def _finish(definition: dict[str, Any]) -> None:
    """Say what msgspec cannot know: which fields a file always has, what they mean, how large a number may be."""
    summary, meanings = _read_docstring(definition["description"])
    definition["description"] = summary
    definition["required"] = [name for name, field in definition["properties"].items() if not _takes_null(field)]
    for name, field in definition["properties"].items():
        field.pop("default", None)  # defaults are for who makes a ticket; in a file an absent field is no value
        if name in meanings:
            field["description"] = meanings[name]
        for choice in (field, *field.get("anyOf", ())):
            if choice.get("type") == "integer":
                choice.setdefault("minimum", -SAFE_INTEGER)
                choice.setdefault("maximum", SAFE_INTEGER)


def _takes_null(field: dict[str, Any]) -> bool:
    return {"type": "null"} in field.get("anyOf", [])


def _read_docstring(text: str) -> tuple[str, dict[str, str]]:
    """The first sentence of a Google docstring, and what it says of each attribute."""
    sections = re.split(r"\n\n(?=\w+:\n)", inspect.cleandoc(text).replace("``", "`"))
    attributes = next((section for section in sections if section.startswith("Attributes:\n")), "")
    found = re.findall(r"^    (\w+): (.*(?:\n {8}.*)*)", attributes, flags=re.MULTILINE)
    return " ".join(sections[0].split()), {name: " ".join(meaning.split()) for name, meaning in found}


@click.command()
def main() -> None:
    """Print the JSON Schema of a ticket's metadata document."""
    click.echo(json.dumps(document_schema(), indent=2, ensure_ascii=False))


if __name__ == "__main__":
    main()
