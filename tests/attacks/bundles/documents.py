"""Bundles whose document is not canonical, of another version, or breaks the schema (section 3)."""

from __future__ import annotations

import hashlib
import json

import rfc8785

from bundles.sound import (
    BASE,
    HEADER_TEXT,
    OTHER_ID,
    STRETCHED,
    TEXT,
    Content,
    Document,
    document,
    make,
    raw,
    recipe,
    text,
    words,
)


def texts() -> dict[str, Content]:
    """Documents that are no canonical JSON object of this format and version."""
    return {
        "document-empty": lambda: text(""),
        "document-null": lambda: text("null"),
        "document-a-list": lambda: text(f"[{TEXT}]"),
        "document-a-text": lambda: text(json.dumps(TEXT)),
        "document-cut-short": lambda: text(TEXT[:-1]),
        "document-twice-in-one": lambda: text(TEXT + TEXT),
        "document-with-a-line-break-behind": lambda: text(TEXT + "\n"),
        "document-after-a-space": lambda: text(" " + TEXT),
        "document-with-a-byte-order-mark": lambda: text("\ufeff" + TEXT),
        "document-with-nul": lambda: text(TEXT[:-1] + "\x00}"),
        "document-with-a-comment": lambda: text("{/**/" + TEXT[1:]),
        "document-unsorted": lambda: words('"depth":8,"family":"cifar-resnet"', '"family":"cifar-resnet","depth":8'),
        "document-sorted-by-code-points": lambda: recipe('{"\ue000":1,"\U0001f600":2}'),
        "member-twice": lambda: words('"depth":8', '"depth":8,"depth":8'),
        "member-twice-in-a-layer": lambda: words('"index":3,', '"index":3,"index":3,'),
        "escape-needless": lambda: words('"imp"', '"\\u0069mp"'),
        "escape-of-a-slash": lambda: recipe('{"a":"\\/"}'),
        "escape-in-capitals": lambda: recipe('{"a":"\\u001F"}'),
        "lone-surrogate": lambda: words('"imp"', '"\\ud800"'),
        "lone-surrogate-as-a-name": lambda: recipe('{"\\udfff":1}'),
        "lone-surrogate-of-the-header": lambda: raw(HEADER_TEXT.replace(r"\"imp\"", r"\"\ud800\"").encode()),
        "number-minus-zero": lambda: words('"seed":0', '"seed":-0'),
        "number-1.0": lambda: words('"level":5', '"level":5.0'),
        "number-1e2": lambda: words('"level":5', '"level":1e2'),
        "number-with-a-zero-in-front": lambda: words('"level":5', '"level":05'),
        "number-with-a-plus": lambda: words('"level":5', '"level":+5'),
        "number-hexadecimal": lambda: words('"level":5', '"level":0x5'),
        "number-with-a-zero-behind": lambda: words('"rate":0.2', '"rate":0.20'),
        "number-without-a-zero": lambda: words('"rate":0.2', '"rate":.2'),
        "number-subnormal-too-exact": lambda: words('"rate":0.2', '"rate":4.9406564584124654e-324'),
        "number-below-all-others": lambda: words('"rate":0.2', '"rate":1e-400'),
        "number-nan": lambda: words('"rate":0.2', '"rate":NaN'),
        "number-infinity": lambda: words('"rate":0.2', '"rate":-Infinity'),
        "number-1e400": lambda: words('"rate":0.2', '"rate":1e400'),
        "number-2^53+1": lambda: words('"seed":0', '"seed":9007199254740993'),
        "number-of-30-digits": lambda: words('"seed":0', f'"seed":{"7" * 30}'),
        "number-of-5000-digits": lambda: words('"seed":0', f'"seed":{"7" * 5000}'),
        "number-in-arabic-digits": lambda: words('"level":5', '"level":\u0665'),
        "format-missing": lambda: document(lambda d: d.pop("format")),
        "format-a-text": lambda: document(lambda d: d.update(format="ticketkit")),
        "format-of-another-name": lambda: document(lambda d: d["format"].update(name="lottery")),
        "format-of-a-long-name": lambda: document(lambda d: d["format"].update(name="\x1b[2J" * 10**5)),
        "version-2.0": lambda: document(lambda d: d["format"].update(version="2.0")),
        "version-2.0-of-another-form": lambda: text(
            '{ "format": {"version": "2.0", "name": "ticketkit"}, "a": [1.0] }'
        ),
        "version-11.0": lambda: document(lambda d: d["format"].update(version="11.0")),
        "version-0.9": lambda: document(lambda d: d["format"].update(version="0.9")),
        "version-1.01": lambda: document(lambda d: d["format"].update(version="1.01")),
        "version-1.10000": lambda: document(lambda d: d["format"].update(version="1.10000")),
        "version-with-a-line-break": lambda: document(lambda d: d["format"].update(version="1.0\n")),
        "version-a-number": lambda: document(lambda d: d["format"].update(version=1)),
        "version-in-full-width-digits": lambda: document(lambda d: d["format"].update(version="\uff11.0")),
    }


def members() -> dict[str, Content]:
    """Documents whose members are not those of the format, or whose id is not theirs."""

    def provenance(**changed: object) -> bytes:
        return document(lambda d: d["provenance"].update(changed))

    def done(**changed: object) -> bytes:
        return document(lambda d: d["provenance"]["transformations"][0].update(changed), STRETCHED)

    def only_nested_id(found: Document) -> str:
        content = {key: value for key, value in found.items() if key != "id"} | {"x_more": {"id": OTHER_ID}}
        return text(rfc8785.dumps(content).decode())

    return {
        "id-missing": lambda: text(TEXT.replace(f'"id":"{make.document_of(BASE)["id"]}",', "")),
        "id-nested-alone": lambda: only_nested_id(make.document_of(BASE)),
        "id-wrong": lambda: words(make.document_of(BASE)["id"], OTHER_ID),
        "id-in-capitals": lambda: words(make.document_of(BASE)["id"], make.document_of(BASE)["id"].upper()),
        "id-too-long": lambda: words(make.document_of(BASE)["id"], make.document_of(BASE)["id"] + "0"),
        "id-a-number": lambda: words(f'"{make.document_of(BASE)["id"]}"', "5"),
        "id-of-the-document-with-an-id": id_with_itself,
        "content-changed-under-its-id": lambda: words('"level":5', '"level":6'),
        "unknown-member-added-under-its-id": lambda: text(TEXT[:-1] + ',"x_note":1}'),
        "method-missing": lambda: document(lambda d: d["provenance"].pop("method")),
        "method-null": lambda: provenance(method=None),
        "method-empty": lambda: provenance(method=""),
        "method-of-201-characters": lambda: provenance(method="m" * 201),
        "level-true": lambda: provenance(level=True),
        "level-negative": lambda: provenance(level=-1),
        "level-2^53": lambda: provenance(level=float(2**53)),
        "level-a-text": lambda: provenance(level="5"),
        "rate-above-one": lambda: provenance(rate=1.5),
        "rate-true": lambda: provenance(rate=True),
        "seed-fractional": lambda: provenance(seed=0.5),
        "seed-1e21": lambda: provenance(seed=1e21),
        "recipe-a-list": lambda: provenance(recipe=[{}]),
        "environment-a-text": lambda: provenance(environment="python"),
        "flops-negative": lambda: provenance(flops={"sparse": -1, "dense": 1}),
        "flops-1e31": lambda: provenance(flops={"sparse": 1, "dense": 1e31}),
        "dataset-of-negative-size": lambda: provenance(
            dataset={"name": "digits", "fingerprint": OTHER_ID, "train": -1, "test": 0}
        ),
        "created-of-201-characters": lambda: provenance(created="2" * 201),
        "tool-null": lambda: provenance(tool=None),
        "tool-with-control-characters": lambda: provenance(tool={"name": "\x1b[31m\n" * 30, "version": ""}),
        "weights-of-an-unknown-role": lambda: document(lambda d: d["weights"].update(role="\x1b[31mlate")),
        "weights-rewound-to-no-step": lambda: document(lambda d: d["weights"].pop("step")),
        "weights-initial-of-step-14": lambda: document(lambda d: d["weights"].update(role="init")),
        "weights-step-negative": lambda: document(lambda d: d["weights"].update(step=-14)),
        "results-accuracy-above-one": lambda: document(
            lambda d: d.update(results={"levels": [{"level": 0, "kept": 1, "total": 1, "accuracy": 1.01}]})
        ),
        "results-a-list": lambda: document(lambda d: d.update(results=[])),
        "results-without-levels": lambda: document(lambda d: d.update(results={"tolerance": 0.1})),
        "parent-a-path": lambda: provenance(parent="../../parent.st"),
        "parent-with-a-line-break": lambda: provenance(parent=OTHER_ID + "\n"),
        "parent-itself": parent_itself,
        "parent-cycle": lambda: parent_cycle()[1],
        "parent-not-the-last-transformations": lambda: document(
            lambda d: d["provenance"].update(parent=OTHER_ID), STRETCHED
        ),
        "parent-missing-under-a-transformation": lambda: document(lambda d: d["provenance"].pop("parent"), STRETCHED),
        "transformations-null": lambda: provenance(transformations=None),
        "transformations-of-numbers": lambda: provenance(transformations=[5]),
        "transformation-without-mapping": lambda: document(
            lambda d: d["provenance"]["transformations"][0].pop("mapping"), STRETCHED
        ),
        "transformation-mapping-a-list": lambda: done(mapping=[0]),
        "transformation-mapping-of-1000001-bytes": lambda: done(mapping="0:0;" * 250_000 + "0"),
        "transformation-mapping-of-1000001-characters": lambda: done(mapping="0" * 1_000_001),
        "transformation-settings-a-text": lambda: done(settings="rescale"),
        "transformation-sparsity-negative": lambda: done(sparsity_after=-0.5),
        "transformation-target-of-201-characters": lambda: done(target="r" * 201),
    }


def id_with_itself() -> bytes:
    """A document whose id is the hash of all of it, with an id of zeros in it."""
    zeros = TEXT.replace(make.document_of(BASE)["id"], "sha256:" + "0" * 64)
    return text(zeros.replace("sha256:" + "0" * 64, "sha256:" + hashlib.sha256(zeros.encode()).hexdigest()))


def parent_itself() -> bytes:
    """A ticket that names itself as its parent; the id that it claims cannot be its own, which follows from it."""
    claimed = make.document_of(BASE)["id"]
    return words(',"rate":', f',"parent":"{claimed}","rate":')


def parent_cycle() -> tuple[bytes, bytes]:
    """Two tickets, each the other's parent.

    The first is sound: a parent is any id. The second claims the id that the first names. It cannot be its own, since
    its own follows from the first one's.
    """
    first = document(lambda d: d["provenance"].update(parent=OTHER_ID))
    second = make.document_of(document(lambda d: d["provenance"].update(parent=make.document_of(first)["id"], level=6)))
    second["id"] = OTHER_ID
    return first, text(rfc8785.dumps(second).decode())
