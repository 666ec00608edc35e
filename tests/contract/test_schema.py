"""formats/ticket-v1.schema.json says what the parser does, and formats/ticket-v1.md what the families have."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import jsonschema
import pytest

from ticketkit.arch import FAMILIES
from ticketkit.arch.spec import PRUNABLE, Kind, Role
from ticketkit.bundle.schema import document_schema
from ticketkit.document import canonical, content_id, parse_document
from ticketkit.errors import BundleError

FORMATS = Path(__file__).parents[2] / "formats"
VALID = sorted(path.stem for path in (FORMATS / "vectors").glob("*.json"))
Document = dict[str, Any]


@pytest.fixture(scope="module")
def validator() -> jsonschema.Draft202012Validator:
    return jsonschema.Draft202012Validator(document_schema())


def golden(name: str = "resnet8-w1") -> Document:
    document: Document = json.loads((FORMATS / "vectors" / f"{name}.json").read_text(encoding="utf-8"))["document"]
    return document


def parsed(document: Document) -> None:
    """Read the document as a file would hold it: canonical, and with the right id unless it is what is tested."""
    if isinstance(document.get("id"), str) and len(document["id"]) == len("sha256:") + 64 and document["id"].islower():
        document = {**document, "id": content_id(document)}
    parse_document(canonical(document).decode())


def test_committed_schema_is_the_generated_one() -> None:
    committed = json.loads((FORMATS / "ticket-v1.schema.json").read_text(encoding="utf-8"))
    assert committed == document_schema(), "run python -m ticketkit.bundle.schema > formats/ticket-v1.schema.json"


def test_module_prints_the_committed_file() -> None:
    command = [sys.executable, "-W", "error", "-m", "ticketkit.bundle.schema"]
    printed = subprocess.run(command, capture_output=True, check=True, text=True, encoding="utf-8").stdout
    assert printed == (FORMATS / "ticket-v1.schema.json").read_text(encoding="utf-8")


def test_schema_is_one() -> None:
    schema = document_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert schema["$id"] == "urn:ticketkit:ticket-v1"


def test_schema_says_no_default_and_what_most_fields_mean() -> None:
    for name, definition in document_schema()["$defs"].items():
        assert definition["description"], name
        assert "additionalProperties" not in definition, "unknown fields are allowed"
        for field, content in definition["properties"].items():
            assert "default" not in content, (name, field)
            assert name in {"Format", "Tool"} or content["description"], (name, field)


@pytest.mark.parametrize("name", VALID)
def test_golden_documents_validate(validator: jsonschema.Draft202012Validator, name: str) -> None:
    validator.validate(golden(name))


def conv(document: Document) -> Document:
    entry: Document = document["layers"][0]["tensors"]["weight"]
    return entry


def bias(document: Document) -> Document:
    entry: Document = document["layers"][1]["tensors"]["bias"]
    return entry


BREAKS: dict[str, Callable[[Document], object]] = {
    **{f"no {field}": lambda d, field=field: d.pop(field) for field in ("format", "id", "architecture", "layers")},
    **{f"no {field}": lambda d, field=field: d.pop(field) for field in ("weights", "provenance")},
    **{
        f"no architecture.{field}": lambda d, field=field: d["architecture"].pop(field)
        for field in ("family", "depth", "width", "num_classes", "in_channels", "variant")
    },
    **{
        f"no layers[0].{field}": lambda d, field=field: d["layers"][0].pop(field)
        for field in ("index", "name", "kind", "role", "tensors")
    },
    **{
        f"no {field} of a tensor": lambda d, field=field: bias(d).pop(field) for field in ("shape", "dtype", "encoding")
    },
    "no sha256 of a tensor": lambda d: bias(d).pop("sha256"),
    "no kept of a bitmask": lambda d: conv(d).pop("kept"),
    "kept null of a bitmask": lambda d: conv(d).update(kept=None),
    "kept of a dense tensor": lambda d: bias(d).update(kept=1),
    "no method": lambda d: d["provenance"].pop("method"),
    "no tool": lambda d: d["provenance"].pop("tool"),
    "no tool name": lambda d: d["provenance"]["tool"].pop("name"),
    "no transformations": lambda d: d["provenance"].pop("transformations"),
    "no levels": lambda d: d["results"].pop("levels"),
    "no accuracy": lambda d: d["results"]["levels"][0].pop("accuracy"),
    "no fingerprint": lambda d: d["provenance"]["dataset"].pop("fingerprint"),
    "format name": lambda d: d["format"].update(name="other"),
    "no format version": lambda d: d["format"].pop("version"),
    "version 2": lambda d: d["format"].update(version="2.0"),
    "version 1.01": lambda d: d["format"].update(version="1.01"),
    "version with line break": lambda d: d["format"].update(version="1.0\n"),
    "id upper case": lambda d: d.update(id=d["id"].upper()),
    "id short": lambda d: d.update(id="sha256:00"),
    "family number": lambda d: d["architecture"].update(family=1),
    "depth 0": lambda d: d["architecture"].update(depth=0),
    "depth large": lambda d: d["architecture"].update(depth=10_001),
    "width large": lambda d: d["architecture"].update(width=100_001),
    "depth true": lambda d: d["architecture"].update(depth=True),
    "depth string": lambda d: d["architecture"].update(depth="8"),
    "depth fraction": lambda d: d["architecture"].update(depth=8.5),
    "layers object": lambda d: d.update(layers={}),
    "layer list": lambda d: d["layers"].__setitem__(0, []),
    "index negative": lambda d: d["layers"][0].update(index=-1),
    "stage string": lambda d: d["layers"][0].update(stage="0"),
    "unit negative": lambda d: d["layers"][2].update(unit=-1),
    "name empty": lambda d: d["layers"][0].update(name=""),
    "name long": lambda d: d["layers"][0].update(name="é" * 201),
    "tensor name empty": lambda d: d["layers"][0]["tensors"].update({"": conv(d)}),
    "tensors list": lambda d: d["layers"][0].update(tensors=[]),
    "shape negative": lambda d: conv(d).update(shape=[-1]),
    "shape of nine": lambda d: conv(d).update(shape=[1] * 9),
    "shape string": lambda d: conv(d).update(shape="1"),
    "dtype": lambda d: conv(d).update(dtype="BF16"),
    "encoding": lambda d: conv(d).update(encoding="csr"),
    "sha256 upper case": lambda d: conv(d).update(sha256="A" * 64),
    "sha256 long": lambda d: conv(d).update(sha256="a" * 65),
    "sha256 with line break": lambda d: conv(d).update(sha256="a" * 64 + "\n"),
    "kept fraction": lambda d: conv(d).update(kept=1.5),
    "weights role": lambda d: d["weights"].update(role="late"),
    "rewind without step": lambda d: d["weights"].pop("step"),
    "rewind with null step": lambda d: d["weights"].update(step=None),
    "init with step": lambda d: d["weights"].update(role="init", step=3),
    "step negative": lambda d: d["weights"].update(step=-1),
    "method empty": lambda d: d["provenance"].update(method=""),
    "rate": lambda d: d["provenance"].update(rate=1.1),
    "rate negative": lambda d: d["provenance"].update(rate=-0.1),
    "seed string": lambda d: d["provenance"].update(seed="0"),
    "parent": lambda d: d["provenance"].update(parent="none"),
    "recipe list": lambda d: d["provenance"].update(recipe=[]),
    "environment string": lambda d: d["provenance"].update(environment="cpu"),
    "created number": lambda d: d["provenance"].update(created=0),
    "train negative": lambda d: d["provenance"]["dataset"].update(train=-1),
    "transformation empty": lambda d: d["provenance"].update(transformations=[{}]),
    "accuracy": lambda d: d["results"]["levels"][0].update(accuracy=1.01),
    "tolerance": lambda d: d["results"].update(tolerance=2),
    "winning level": lambda d: d["results"].update(winning_level=-1),
}


@pytest.mark.parametrize("broken", BREAKS)
def test_what_breaks_the_schema_is_refused_by_both(validator: jsonschema.Draft202012Validator, broken: str) -> None:
    document = golden()
    parsed(document)
    BREAKS[broken](document)
    assert not validator.is_valid(document)
    with pytest.raises(BundleError):
        parsed(document)


ALLOWED: dict[str, Callable[[Document], object]] = {
    "unknown field": lambda d: d.update(later={"any": ["thing"]}),
    "unknown field of a layer": lambda d: d["layers"][0].update(later=1),
    "unknown field of a tensor": lambda d: conv(d).update(later=1),
    "null for no results": lambda d: d.update(results=None),
    "null for no stage": lambda d: d["layers"][0].update(stage=None),
    "null for no count": lambda d: bias(d).update(kept=None),
    "no results": lambda d: d.pop("results"),
    "a later minor version": lambda d: d["format"].update(version="1.9999"),
    "init without step": lambda d: d.update(weights={"role": "init"}),
    "init of step 0": lambda d: d.update(weights={"role": "init", "step": 0}),
    "final with step": lambda d: d.update(weights={"role": "final", "step": 100}),
    "negative seed": lambda d: d["provenance"].update(seed=-(2**53) + 1),
    "a whole number for a fraction": lambda d: d["provenance"].update(rate=1),
    "a name of 200 characters": lambda d: d["provenance"].update(method="😀" * 200),
}


@pytest.mark.parametrize("allowed", ALLOWED)
def test_what_the_schema_allows_is_read(validator: jsonschema.Draft202012Validator, allowed: str) -> None:
    document = golden()
    ALLOWED[allowed](document)
    validator.validate(document)
    parsed(document)


def specified(header: str) -> dict[str, str]:
    """The specification's table under this header: the first cell of each row, which is code, to the second."""
    text = (FORMATS / "ticket-v1.md").read_text(encoding="utf-8")
    (table,) = re.findall(rf"^{re.escape(header)}\n\|[-|]+\|\n((?:\|.*\n)+)", text, flags=re.MULTILINE)
    return dict(re.findall(r"^\| `([^`]+)` \| (.*?) \|", table, flags=re.MULTILINE))


def test_specification_lists_the_kinds_and_roles_there_are() -> None:
    assert tuple(specified("| kind | tensors |")) == get_args(Kind)
    assert tuple(specified("| role | meaning |")) == get_args(Role)
    assert specified("| kind | tensor that a mask may cover |") == {k: f"`{name}`" for k, name in PRUNABLE.items()}


def test_specification_has_every_family_with_its_usual_width_and_an_appendix() -> None:
    text = (FORMATS / "ticket-v1.md").read_text(encoding="utf-8")
    widths = specified("| family | usual width | appendix |")
    assert set(widths) == set(FAMILIES), "a family's layers are part of the format: write an appendix"
    assert all(FAMILIES[family].default_width == int(width) for family, width in widths.items() if width.isdigit())
    assert all(re.search(rf"^## Appendix [A-Z]: the family {family}\b", text, re.MULTILINE) for family in widths)
