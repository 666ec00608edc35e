from __future__ import annotations

import dataclasses
import hashlib
import json
import re
from collections.abc import Callable
from typing import Any

import pytest
import rfc8785

from ticketkit.document import canonical, content_id, parse_document, storage_key
from ticketkit.errors import BundleError, BundleVersionError
from ticketkit.provenance import LevelResult, Provenance, Results, Tool, Transformation, Weights
from ticketkit.ticket import Ticket

MakeTicket = Callable[..., Ticket]


@pytest.fixture
def raw(make_ticket: MakeTicket) -> dict[str, Any]:
    """A document that a test may spoil."""
    document: dict[str, Any] = json.loads(canonical(make_ticket().document))
    return document


def text(document: dict[str, Any]) -> str:
    """The document as a file would hold it, with the right id."""
    return canonical({**document, "id": content_id(document)}).decode()


def test_what_is_described_is_parsed_back(make_ticket: MakeTicket) -> None:
    results = Results(levels=(LevelResult(level=0, kept=9, total=9, accuracy=1),), tolerance=0.01, winning_level=0)
    transformation = Transformation(
        kind="stretch",
        parent="sha256:" + "a" * 64,
        source="cifar-resnet8",
        target="cifar-resnet14",
        order="append",
        mapping="0:0",
        sparsity_before=0.7,
        sparsity_after=0.6,
    )
    ticket = make_ticket(results=results)
    ticket = dataclasses.replace(
        ticket,
        provenance=dataclasses.replace(
            ticket.provenance, parent=transformation.parent, transformations=(transformation,), environment={"a": [1]}
        ),
    )
    document, raw = parse_document(canonical(ticket.document).decode())
    assert document.architecture == ticket.arch
    assert document.weights == ticket.weights
    assert document.provenance == ticket.provenance
    assert document.results == results
    assert document.id == ticket.id
    assert raw == dict(ticket.document)
    for entry, layer in zip(document.layers, ticket.arch.layers(), strict=True):
        assert (entry.index, entry.name, entry.kind) == (layer.index, layer.name, layer.kind)
        assert (entry.role, entry.stage, entry.unit) == (layer.role, layer.stage, layer.unit)
        for tensor in layer.tensors:
            stored = ticket.stored[layer.tensor_name(tensor)]
            assert entry.tensors[tensor.name].sha256 == stored.sha256
            assert entry.tensors[tensor.name].shape == stored.shape


def test_id_is_the_hash_of_the_canonical_document_without_it(raw: dict[str, Any]) -> None:
    content = {key: value for key, value in raw.items() if key != "id"}
    expected = json.dumps(content, sort_keys=True, separators=(",", ":")).encode()
    assert raw["id"] == "sha256:" + hashlib.sha256(expected).hexdigest()


def test_absent_values_are_left_out(raw: dict[str, Any]) -> None:
    assert "parent" not in raw["provenance"]
    assert "results" not in raw
    assert "stage" not in raw["layers"][0]
    assert raw["layers"][2]["stage"] == 0
    assert "null" not in text(raw)


def test_null_is_read_as_absent(raw: dict[str, Any]) -> None:
    raw["results"] = raw["provenance"]["parent"] = raw["layers"][0]["stage"] = None
    document, _ = parse_document(text(raw))
    assert document.results is document.provenance.parent is document.layers[0].stage is None


def test_unknown_fields_are_kept_and_ignored(raw: dict[str, Any]) -> None:
    raw["format"]["version"] = "1.7"
    raw["new"] = raw["layers"][0]["new"] = raw["provenance"]["tool"]["new"] = {"a": [None]}
    document, found = parse_document(text(raw))
    assert document.format.version == "1.7"
    assert found["new"] == {"a": [None]}
    assert found["id"] == document.id == content_id(raw)


@pytest.mark.parametrize("version", ["2.0", "0.9", "10.1", "2.11"])
def test_other_versions_are_refused_by_name_whatever_else_they_hold(version: str) -> None:
    with pytest.raises(BundleVersionError, match=re.escape(f"knows format version 1.x (got {version})")):
        parse_document(f'{{ "format": {{"version": "{version}", "name": "ticketkit"}} }}')


@pytest.mark.parametrize(
    "version", ["1", "1.", "1.0.0", "v1.0", "1.00", "1.01", " 1.0", "1.0\n", "1.99999", "", None, 1]
)
def test_malformed_versions_are_refused(raw: dict[str, Any], version: object) -> None:
    raw["format"]["version"] = version
    with pytest.raises(BundleError, match="must follow the schema"):
        parse_document(text(raw))


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ("", "the document must be JSON"),
        ("{", "the document must be JSON"),
        ("1" * 5000, "the document must be JSON"),
        ("[" * 100_000 + "]" * 100_000, "the document must be JSON"),
        ("null", r"must be a JSON object \(got None\)"),
        ('"text"', r"must be a JSON object \(got 'text'\)"),
        ("{}", r"format must be named 'ticketkit' \(got None\)"),
        ('{"format":"ticketkit"}', r"format must be named 'ticketkit' \(got 'ticketkit'\)"),
        ('{"format":{"name":"ticketkit","version":"1.0"},"a":Infinity}', "safe numbers"),
        ('{"format":{"name":"ticketkit","version":"1.0"},"a":-1e999}', "safe numbers"),
        ('{"format":{"name":"ticketkit","version":"1.0"},"a":1.0}', "canonical form"),
        ('{"format":{"name":"ticketkit","version":"1.0"},"a":-0}', "canonical form"),
        ('{"format":{"name":"ticketkit","version":"1.0"},"a":1e2}', "canonical form"),
        ('{"format":{"name":"ticketkit","version":"1.0"},"a":9007199254740993}', "canonical form"),
        ('{"format":{"name":"ticketkit","version":"1.0"},"a":"\\u0041"}', "canonical form"),
        ('{"format":{"name":"ticketkit","version":"1.0"},"\\ud800":1}', "canonical form"),
        ('{"format":{"name":"ticketkit","version":"1.0"},"a":1,"a":1}', "canonical form"),
        ('{"format":{"version":"1.0","name":"ticketkit"}}', "canonical form"),
        ('{"format":{"name":"ticketkit","version":"1.0"}}\n', "canonical form"),
        ('{"format":{"name":"ticketkit","version":"1.0"}}', "missing required field `id`"),
    ],
)
def test_what_is_not_a_canonical_document_is_refused(document: str, message: str) -> None:
    with pytest.raises(BundleError, match=message):
        parse_document(document)


def test_a_wrong_id_is_refused(raw: dict[str, Any]) -> None:
    raw["id"] = "sha256:" + "0" * 64
    with pytest.raises(BundleError, match=r"the id must be that of the document, sha256:.* \(got sha256:0000"):
        parse_document(canonical(raw).decode())


@pytest.mark.parametrize("field", ["num_classes", "in_channels", "variant"])
def test_defaults_of_a_program_are_not_defaults_of_a_file(raw: dict[str, Any], field: str) -> None:
    raw["architecture"].pop(field)
    with pytest.raises(BundleError, match=f"missing required field `{field}` - at `\\$.architecture`"):
        parse_document(text(raw))


def test_a_ticket_without_its_tool_is_refused_not_given_ours(raw: dict[str, Any]) -> None:
    raw["provenance"]["tool"].pop("version")
    with pytest.raises(BundleError, match=r"missing required field `version` - at `\$\.provenance\.tool`"):
        parse_document(text(raw))


def test_a_required_field_of_an_item_is_named_by_its_place(raw: dict[str, Any]) -> None:
    raw["results"] = {}
    with pytest.raises(BundleError, match=r"missing required field `levels` - at `\$\.results`"):
        parse_document(text(raw))


def test_errors_are_one_printable_line_of_bounded_length(raw: dict[str, Any]) -> None:
    raw["architecture"]["family"] = "\x1b[31m\n" + "x" * 100_000
    raw["architecture"]["depth"] = -1
    with pytest.raises(BundleError) as caught:
        parse_document(text(raw))
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 600


@pytest.mark.parametrize("number", [1e20, 2.0**53, -1e20, 1e21, 1e-7, 5e-324, 1.7976931348623157e308])
def test_every_finite_number_survives(make_ticket: MakeTicket, number: float) -> None:
    ticket = make_ticket(provenance=Provenance(method="imp", recipe={"number": number}))
    document, raw = parse_document(canonical(ticket.document).decode())
    assert document.provenance.recipe == {"number": number}
    assert content_id(raw) == ticket.id


@pytest.mark.parametrize("number", [float("nan"), float("inf"), 2**53, -(2**53)])
def test_numbers_that_json_cannot_carry_are_not_written(make_ticket: MakeTicket, number: float) -> None:
    ticket = make_ticket(provenance=Provenance(method="imp", recipe={"number": number}))
    with pytest.raises(BundleError, match="plain JSON with safe numbers"):
        _ = ticket.id


@pytest.mark.parametrize(
    ("provenance", "message"),
    [
        (Provenance(method=""), r"`str` of length >= 1 - at `\$\.provenance\.method` \(got ''\)"),
        (Provenance(method="imp", rate=1.5), r"<= 1.0 - at `\$\.provenance\.rate` \(got 1.5\)"),
        (Provenance(method="imp", level=-1), r">= 0 - at `\$\.provenance\.level` \(got -1\)"),
        (Provenance(method="imp", parent="abc"), r"at `\$\.provenance\.parent` \(got 'abc'\)"),
        (Provenance(method="imp", tool=Tool(version="")), r"at `\$\.provenance\.tool\.version`"),
    ],
)
def test_what_a_reader_refuses_is_not_written(make_ticket: MakeTicket, provenance: Provenance, message: str) -> None:
    ticket = make_ticket(provenance=provenance)
    with pytest.raises(BundleError, match=message):
        _ = ticket.id


def test_weights_must_say_their_step() -> None:
    assert Weights(role="init", step=0).step == 0
    assert Weights(role="final").step is None
    with pytest.raises(ValueError, match=r"'rewind' must say their step \(got none\)"):
        Weights(role="rewind")
    with pytest.raises(ValueError, match=r"'init' must be of step 0 \(got 3\)"):
        Weights(role="init", step=3)


def test_storage_keys_have_four_digits_or_more() -> None:
    assert storage_key(7, "weight") == "layers.0007.weight"
    assert storage_key(12_345, "bias") == "layers.12345.bias"


@pytest.mark.parametrize(
    "value",
    [
        0,
        -1,
        999_999_999_999_999,
        2**53 - 1,
        1.0,
        1e-7,
        1e16,
        1e21,
        0.1,
        -0.0,
        5e-324,
        "",
        ",1.5",
        "\x7f",
        '\x01\n\t"\\/',
        "é\u2028😀",
        True,
        None,
        [],
        {},
        {"b": 1, "a": [{"d": 2, "c": -3}], "B": "x"},
        {"\ue000": 1, "😀": 2},
    ],
)
def test_layers_are_in_the_canonical_form_of_rfc_8785(value: Any) -> None:
    layers = [{"index": 0, "shape": [3, 3], "sha256": "0" * 64, "odd": value}]
    assert canonical({"layers": layers}) == b'{"layers":' + rfc8785.dumps(layers) + b"}"


@pytest.mark.parametrize("value", [2**53, -(2**53), float("nan"), float("inf"), "\ud800"])
def test_layers_that_have_no_canonical_form_are_refused(value: Any) -> None:
    with pytest.raises((BundleError, UnicodeEncodeError)):
        canonical({"layers": [{"odd": value}]})


@pytest.mark.parametrize("parent", [None, "sha256:" + "b" * 64])
def test_the_parent_is_that_of_the_last_transformation(make_ticket: MakeTicket, parent: str | None) -> None:
    done = Transformation(
        kind="stretch",
        parent="sha256:" + "a" * 64,
        source="cifar-resnet8",
        target="cifar-resnet14",
        order="append",
        mapping="0:0",
        sparsity_before=0.7,
        sparsity_after=0.6,
    )
    ticket = make_ticket()
    provenance = dataclasses.replace(ticket.provenance, parent=parent, transformations=(done,))
    line = f"parent must be that of the last transformation, {done.parent} (got {parent})"
    with pytest.raises(BundleError, match=re.escape(line)):
        _ = dataclasses.replace(ticket, provenance=provenance).id
    document = {**ticket.document, "provenance": {"method": "imp", "tool": {"name": "a", "version": "1"}}}
    document["provenance"]["transformations"] = [dataclasses.asdict(done) | {"settings": {}}]
    if parent is not None:
        document["provenance"]["parent"] = parent
    with pytest.raises(BundleError, match=re.escape(line)):
        parse_document(text(document))


@pytest.mark.parametrize("field", ["family", "variant"])
def test_long_names_are_refused_before_a_family_reads_them(raw: dict[str, Any], field: str) -> None:
    raw["architecture"][field] = "1-" * 500_000
    with pytest.raises(BundleError, match=rf"of length <= 200 - at `\$\.architecture\.{field}` \(got '1-1-.*…"):
        parse_document(text(raw))


@pytest.mark.parametrize("digits", ["9" * 23, "-" + "9" * 400, "9" * 4301, "-" + "9" * 100_000])
def test_numbers_of_many_digits_are_not_computed(digits: str) -> None:
    with pytest.raises(BundleError, match=r"must be JSON \(it has a number of too many digits\)"):
        parse_document(f'{{"format":{{"name":"ticketkit","version":"1.0"}},"a":{digits}}}')
