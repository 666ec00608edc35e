"""What mutation starts from: the format's vectors, sound and broken, and every input that once broke a contract."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

HERE = Path(__file__).parent
VECTORS = HERE.parents[1] / "formats" / "vectors"
REGRESSIONS = HERE / "regressions"
_LARGE = 2**15
"""From this size on, in bytes, a file is started from once only."""
MAPPINGS: Sequence[str] = (
    *("0:0", "0:0;1:1,3;2:2,4", "0:0;1:1,2;2:3,4|0:0;1:1,2;2:3,4|0:0;1:1,2;2:3,4", "0:0;1:1|0:0;1:1|0:0;1:1"),
    *("0:0;2:1", "0:0,1,2,3", "0:0;1:1,2,3,4,5,6,7,8", " 0 : 0 ; 1 : 1 , 2 ", "", "0:0;1:2", "0:1", "10000:0"),
)


def sound_bundles() -> list[bytes]:
    """The sound files among the format's vectors, the small ones first."""
    return sorted((path.read_bytes() for path in VECTORS.glob("*.st")), key=lambda data: (len(data), data))


def bundles(folder: Path | None = None) -> list[bytes]:
    """Files to start from: sound ones two times out of three, and of those mostly small ones, which are read soon.

    Args:
        folder: More of them.
    """
    found = [*broken_bundles(), *(path.read_bytes() for path in sorted(REGRESSIONS.glob("*.st")))]
    if folder is not None and folder.is_dir():
        found += [path.read_bytes() for path in sorted(folder.iterdir()) if path.is_file()]
    sound = [data for data in sound_bundles() for _ in range(max(round((_LARGE / len(data)) ** 1.5), 1))]
    return sound * round(2 * len(found) / len(sound)) + found


def broken_bundles() -> list[bytes]:
    """The files among the format's vectors that are refused."""
    vectors = json.loads((VECTORS / "invalid" / "expected.json").read_text(encoding="utf-8"))
    found = []
    for vector in vectors.values():
        content = (VECTORS / f"{vector['base']}.st").read_bytes()
        for edit in reversed(vector["edits"]):
            new = edit["text"].encode() if "text" in edit else bytes.fromhex(edit["hex"])
            content = content[: edit["at"]] + new + content[edit["at"] + edit["cut"] :]
        found.append(content)
    return found


def mappings(folder: Path | None = None) -> list[str]:
    """Mappings to start from."""
    kept = json.loads((REGRESSIONS / "mappings.json").read_text(encoding="utf-8"))
    found = (
        [] if folder is None else [decoded(path.read_bytes()) for path in sorted(folder.iterdir()) if path.is_file()]
    )
    return [*MAPPINGS, *(text for texts in kept.values() for text in texts), *found]


def decoded(data: bytes) -> str:
    """Any bytes as a text; what is not UTF-8 becomes lone surrogates, as in a command line."""
    return data.decode("utf-8", "surrogateescape")


def encoded(text: str) -> bytes:
    """The bytes of a text that mutation made; the inverse of :func:`decoded` where there is one."""
    return text.encode("utf-8", "surrogatepass")
