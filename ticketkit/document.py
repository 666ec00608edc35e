"""A ticket's metadata document: what the bundle's one metadata key holds (formats/ticket-v1.md, section 3).

The document describes a ticket whole: it holds the hash of every stored tensor, so the hash of the document is the
ticket's id.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass
from functools import cache
from typing import Annotated, Any, Final, Literal

import msgspec
import rfc8785
from msgspec import Meta

from ticketkit.arch import ArchSpec, LayerSpec
from ticketkit.arch.spec import MAX_NAME
from ticketkit.encoding import Bitmask, Stored, hash_together
from ticketkit.errors import BundleError, BundleVersionError, one_line
from ticketkit.provenance import Count, Name, Provenance, Results, Sha256, Weights
from ticketkit.reading import shown

FORMAT_NAME: Final = "ticketkit"
FORMAT_VERSION: Final = "1.1"
FIRST_VERSION: Final = "1.0"
"""What a document is written as that has no field of a later version, so that it stays what it was, id and all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Format:
    """The format's name and version."""

    name: Literal["ticketkit"] = FORMAT_NAME
    # The look-ahead is for Python alone, whose "$" also matches before a final line break.
    version: Annotated[str, Meta(pattern=r"^1\.(0|[1-9][0-9]{0,3})$(?!\n)")] = FORMAT_VERSION


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorEntry:
    """One tensor as the document describes it.

    Attributes:
        shape: Its dense shape.
        dtype: Its element type.
        encoding: How it is stored.
        sha256: SHA-256 of the stored bytes, in hexadecimal: of the mask and then the values for ``bitmask``.
        kept: Number of kept weights; for ``bitmask`` alone.
    """

    shape: Annotated[tuple[Count, ...], Meta(max_length=8)]
    dtype: Literal["F16", "F32", "F64", "I64"]
    encoding: Literal["dense", "bitmask"]
    sha256: Annotated[str, Meta(pattern="^[0-9a-f]{64}$", max_length=64)]
    kept: Count | None = None

    def __post_init__(self) -> None:
        if (self.kept is not None) != (self.encoding == "bitmask"):
            raise ValueError(f"'kept' must be given for encoding 'bitmask' alone (got encoding {self.encoding!r})")


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerEntry:
    """One layer as the document describes it.

    Attributes:
        index: Its position in execution order, from 0.
        name: Its module's name in the torch model ("blocks.0.conv1").
        kind: What it computes: ``conv2d``, ``linear``, ``batch_norm``, ``layer_norm``, ``attention`` or ``embedding``.
        role: Where it stands: ``stem``, ``entry``, ``unit``, ``fixed`` or ``head``.
        tensors: Its tensors by their names inside the layer ("weight").
        stage: The elastic stage it belongs to, from 0; absent outside the stages.
        unit: The unit inside that stage, from 0; absent outside the stages.
    """

    index: Count
    name: Name
    kind: Name
    role: Name
    tensors: Mapping[Name, TensorEntry]
    stage: Count | None = None
    unit: Count | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """A ticket's metadata document, format version 1.

    Attributes:
        format: The format's name and version.
        id: ``sha256:`` and the SHA-256 of the canonical document without this field.
        architecture: The network.
        layers: Its layers in execution order.
        weights: Which weights the ticket holds.
        provenance: How the ticket came to be.
        results: What was measured with it.
    """

    format: Format
    id: Sha256
    architecture: ArchSpec
    layers: tuple[LayerEntry, ...]
    weights: Weights
    provenance: Provenance
    results: Results | None = None

    def __post_init__(self) -> None:
        if done := self.provenance.transformations:
            parent, expected = self.provenance.parent, done[-1].parent
            if parent != expected:
                raise ValueError(f"parent must be that of the last transformation, {expected} (got {parent})")


def storage_key(layer_index: int, tensor: str) -> str:
    """Key of a tensor in the bundle, by its layer's index; ``bitmask`` adds ``.mask`` and ``.values``."""
    return f"layers.{layer_index:04d}.{tensor}"


def describe(
    arch: ArchSpec,
    stored: Mapping[str, Stored],
    weights: Weights,
    provenance: Provenance,
    results: Results | None,
) -> tuple[dict[str, Any], str]:
    """Build a ticket's document, with its id: as plain JSON values, and in its canonical form.

    Raises:
        BundleError: If a field of ``weights``, ``provenance`` or ``results`` has a value that no reader would take.
    """
    hash_together(stored.values())
    content = {
        "format": Format(version=FIRST_VERSION if provenance.flops is None else FORMAT_VERSION),
        "architecture": arch,
        "weights": weights,
        "provenance": provenance,
        "results": results,
    }
    document: dict[str, Any] = _without_none(msgspec.to_builtins(content))
    document["layers"] = [_describe_layer(layer, stored) for layer in arch.layers()]
    members = _canonical_members(document)
    document["id"] = _hashed(members)
    members["id"] = b'"id":"%s"' % document["id"].encode()
    # Dataclasses do not check their fields' ranges, and what readers refuse must not be written. The layers follow from
    # the network, which was checked when it was made.
    _typed(document | {"layers": []})
    return document, _object(dict(sorted(members.items()))).decode()


def _describe_layer(layer: LayerSpec, stored: Mapping[str, Stored]) -> dict[str, Any]:
    """What a :class:`LayerEntry` and its :class:`TensorEntry` are in a document; there may be thousands."""
    place = {} if layer.stage is None or layer.unit is None else {"stage": layer.stage, "unit": layer.unit}
    return {
        "index": layer.index,
        "name": layer.name,
        "kind": layer.kind,
        "role": layer.role,
        **place,
        "tensors": {tensor.name: _describe_tensor(stored[layer.tensor_name(tensor)]) for tensor in layer.tensors},
    }


def _describe_tensor(stored: Stored) -> dict[str, Any]:
    kept = {"kept": stored.kept} if isinstance(stored, Bitmask) else {}
    return {
        "shape": list(stored.shape),
        "dtype": stored.dtype,
        "encoding": stored.encoding,
        "sha256": stored.sha256,
        **kept,
    }


def _without_none(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_none(item) for key, item in value.items() if item is not None}
    if isinstance(value, list | tuple):
        return [_without_none(item) for item in value]
    return value


def canonical(document: Mapping[str, Any]) -> bytes:
    """The document's one canonical form (RFC 8785), as UTF-8.

    Raises:
        BundleError: If it holds a number that JSON cannot carry exactly, or an infinity or NaN.
    """
    return _object(_canonical_members(document))


def content_id(document: Mapping[str, Any]) -> str:
    """The ticket's id: the hash of its canonical document without the field ``id``."""
    return _hashed(_canonical_members(document))


def _canonical_members(document: Mapping[str, Any]) -> dict[str, bytes]:
    """Each member of the document in canonical form, key included, in canonical order.

    Member by member, since the whole is needed with ``id`` and without, and the package that writes RFC 8785 is slow.
    """
    try:
        ordered = sorted(document, key=lambda key: key.encode("utf-16-be"))
        return {
            key: rfc8785.dumps(key) + b":" + (_dumps_layers if key == "layers" else rfc8785.dumps)(document[key])
            for key in ordered
        }
    except rfc8785.CanonicalizationError as error:
        raise BundleError(f"the document must be plain JSON with safe numbers ({error})") from None


_DELICATE = re.compile(r"[\[:,]-?(?:[0-9]*[.eENI]|[0-9]{16})")
"""Matches JSON without white space where it holds a number that is not a whole one of at most 15 digits."""


def _dumps_layers(layers: Any) -> bytes:
    """The document's largest member in canonical form, several times as quick as the package writes it.

    Python's own JSON differs from RFC 8785 in three things: how it writes numbers other than small whole ones, in
    which order it puts keys that are not ASCII, and which characters it escapes. Layers have none of these; where a
    file's do, the package decides.
    """
    text = json.dumps(layers, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    plain = text.isascii() and "\\" not in text and _DELICATE.search(text) is None
    return text.encode("ascii") if plain else rfc8785.dumps(layers)


def _object(members: Mapping[str, bytes]) -> bytes:
    return b"{" + b",".join(members.values()) + b"}"


def _hashed(members: Mapping[str, bytes]) -> str:
    content = _object({key: member for key, member in members.items() if key != "id"})
    return "sha256:" + hashlib.sha256(content).hexdigest()


def parse_document(text: str) -> tuple[Document, dict[str, Any]]:
    """Read a document and check everything in it that needs no tensor and no knowledge of the network.

    Returns:
        The document, and the same as plain JSON values, with fields of a later 1.x that this version does not know.

    Raises:
        BundleVersionError: If it is of another major version of the format.
        BundleError: If it is not canonical JSON, breaks a rule of the schema, or does not have the id it claims.
    """
    try:
        raw = json.loads(text, parse_int=_number)
    except (ValueError, RecursionError) as error:
        raise BundleError(f"the document must be JSON ({json_problem(error)})") from None
    if not isinstance(raw, dict):
        raise BundleError(f"the document must be a JSON object (got {shown(raw, _LONGEST)})")
    _check_version(raw.get("format"))
    try:
        # Comparing with the canonical form also refuses duplicate keys, which json.loads silently merges.
        members = _canonical_members(raw)
        is_canonical = _object(members) == text.encode()
    except (RecursionError, UnicodeEncodeError) as error:
        raise BundleError(f"the document must be in canonical form, RFC 8785 ({error})") from None
    if not is_canonical:
        raise BundleError("the document must be in canonical form, RFC 8785 (it is valid JSON, but not in that form)")
    _check_words(raw.get("architecture"))
    document = _typed(raw)
    _check_written(document, raw, "$")
    if (actual := _hashed(members)) != document.id:
        raise BundleError(f"the id must be that of the document, {actual} (got {document.id})")
    return document, raw


_MOST_DIGITS = 22
"""Of a whole number in canonical form, sign included: from 1e21 on it has an exponent."""


def _number(digits: str) -> int | float:
    """A whole number; beyond 2^53 one is a float, which RFC 8785 writes without a point or exponent up to 1e21."""
    if len(digits) > _MOST_DIGITS:
        raise ValueError
    number = int(digits)
    return number if abs(number) < 2**53 else float(digits)


def json_problem(error: ValueError | RecursionError) -> str:
    """What is wrong with a JSON text, in the library's words where they speak of the text."""
    if isinstance(error, json.JSONDecodeError | UnicodeError | RecursionError):
        return str(error)
    return "it has a number of too many digits"  # Python refuses thousands of them, and advises how to take them


def _check_words(architecture: Any) -> None:
    """Refuse an absurdly long name before a family looks for its meaning."""
    for field in ("family", "variant"):
        word = architecture.get(field) if isinstance(architecture, dict) else None
        if isinstance(word, str) and len(word) > MAX_NAME:
            must = f"Expected `str` of length <= {MAX_NAME} - at `$.architecture.{field}`"
            raise BundleError(f"the document must follow the schema: {must} (got {shown(word, _LONGEST)})")


def _typed(raw: dict[str, Any]) -> Document:
    try:
        return msgspec.convert(raw, Document)
    except msgspec.ValidationError as error:
        raise BundleError(f"the document must follow the schema: {_explain(error, raw)}") from None


def _check_written(value: Any, raw: Any, place: str) -> None:
    """Refuse a field that is absent yet has a value: defaults are for who makes a ticket, a file says everything."""
    if is_dataclass(value):
        for name in _members(value.__class__):
            content = getattr(value, name)
            if name not in raw:
                if content is not None:
                    must = f"the document must follow the schema: Object missing required field `{name}`"
                    raise BundleError(f"{must} - at `{place}`")
            elif is_dataclass(content) or isinstance(content, tuple):
                _check_written(content, raw[name], f"{place}.{name}")
    elif isinstance(value, tuple):
        for position, (item, content) in enumerate(zip(value, raw, strict=True)):
            _check_written(item, content, f"{place}[{position}]")


@cache
def _members(kind: type[Any]) -> tuple[str, ...]:
    return tuple(item.name for item in fields(kind))


def _check_version(found: Any) -> None:
    if not isinstance(found, dict) or found.get("name") != FORMAT_NAME:
        raise BundleError(f"the document's format must be named {FORMAT_NAME!r} (got {shown(found, _LONGEST)})")
    version = found.get("version")
    if isinstance(version, str) and re.fullmatch(r"[0-9]{1,4}\.[0-9]{1,4}", version) and version[:2] != "1.":
        raise BundleVersionError(f"this reader knows format version 1.x (got {version}); a newer ticketkit may read it")


def _explain(error: msgspec.ValidationError, raw: Any) -> str:
    """Add what was found at the place that msgspec names; it says only what was expected."""
    message = one_line(str(error), 400)
    place = re.search(r" - at `\$(.*)`$", message)
    value = raw
    for step in re.findall(r"\.([A-Za-z_0-9]+)|\[(\d+)\]", place[1]) if place else []:
        try:
            value = value[step[0]] if step[0] else value[int(step[1])]
        except (KeyError, IndexError, TypeError):
            return message
    return message if isinstance(value, dict | list) else f"{message} (got {shown(value, _LONGEST)})"


_LONGEST = 60
"""How much of a document's values a message quotes, in characters."""
