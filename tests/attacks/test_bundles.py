"""Hostile bundles are refused in the one line that ``bundles.json`` has for each, in a moment, and in little memory.

Memory is what tracemalloc counts: Python's own objects, the strings and containers of its JSON reader, msgspec's, and
numpy's arrays, which is all that reading makes. It does not see what a C library would take for itself. So the largest
files are read by a process that may not have more, as the system counts it.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from bundles import ATTACKS, Attack, cuts
from bundles.documents import parent_cycle
from bundles.sound import BASE, MOST, VECTORS, document

from ticketkit.arch import FAMILIES, parse_arch, spec
from ticketkit.bundle import container, load_tensors, load_ticket, read_header, save_ticket
from ticketkit.errors import BundleError
from ticketkit.ticket import Ticket, same_values

LINES: dict[str, dict[str, str]] = json.loads(Path(__file__).with_name("bundles.json").read_text("utf-8"))
"""Each attack's line, by what sees it: reading the header, or only reading the tensors.

What is behind a final ``…`` is in the words of Python, a library or a family.
"""

LARGEST = (
    "header-of-open-lists",
    "header-of-quotation-marks",
    "header-of-astral-characters",
    "header-of-as-many-tensors-as-may-be",
    "document-of-too-many-empty-objects",
    "document-of-as-many-names-as-may-be",
    "document-of-as-many-fractions-as-may-be",
    "document-of-fractions-in-every-layer",
    "document-of-astral-characters",
    "document-of-escaped-line-breaks",
    "document-of-transformations",
    "document-of-as-many-layers-as-may-be",
    "document-of-as-many-layers-as-its-depth",
    "document-of-a-deep-network-damaged-at-its-end",
)
"""Attacks that are read under a limit of the system in place of tracemalloc, which takes seconds over them."""

LONGEST_LINE = 600
SLOWEST = 1.0
"""Seconds of the processor's time that refusing any file may take; by the clock of a busy machine, a few times that."""

BUSY = 5

HEADER_FACTOR, ALLOWANCE = 16, 32 * 2**20
"""Bytes that reading may take for each byte of the header, and beside; the latter is what the largest network's list of
layers takes. What the tensors take comes on top, once the header is found to be sound."""


def line_of(name: str) -> str:
    return (LINES["header"] | LINES["tensors"])[name]


def error_of(read: Callable[[Path], object], path: Path) -> BundleError:
    with pytest.raises(BundleError) as caught:
        read(path)
    return caught.value


def check_line(error: BundleError, line: str, path: Path) -> None:
    text = str(error)
    assert text.isprintable()
    assert len(text) - len(str(path)) < LONGEST_LINE
    if line.endswith("…"):
        assert text.startswith(line[:-1])
        assert text.endswith(f": {path}")
    else:
        assert text == f"{line}: {path}"
    assert error.__cause__ is None
    assert error.__suppress_context__ or error.__context__ is None


def timed(read: Callable[[Path], object], path: Path) -> tuple[BundleError, float, float]:
    """The error, and the seconds until it came: of this process, and of the clock, which other processes slow down."""
    spec._layers.cache_clear()  # so that the list of the network's layers is counted
    clock, own = time.perf_counter(), time.process_time()
    error = error_of(read, path)
    return error, time.process_time() - own, time.perf_counter() - clock


def metered(read: Callable[[Path], object], path: Path) -> tuple[BundleError, int]:
    """The error, and the most bytes that were held at once until it came."""
    spec._layers.cache_clear()
    tracemalloc.start()
    try:
        return error_of(read, path), tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def most_memory(path: Path) -> int:
    """What reading a file may take."""
    if not path.is_file():
        return ALLOWANCE
    with path.open("rb") as file:
        header = int.from_bytes(file.read(8), "little")
    return ALLOWANCE + HEADER_FACTOR * min(header, MOST, path.stat().st_size)


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    path = tmp_path / "a.st"
    path.write_bytes(BASE)
    return path


def test_every_attack_has_its_line() -> None:
    names = [attack.name for attack in ATTACKS]
    assert len(set(names)) == len(names)
    assert set(names) == LINES["header"].keys() | LINES["tensors"].keys()
    assert not LINES["header"].keys() & LINES["tensors"].keys()
    assert len(names) > 300


def test_the_ticket_that_attacks_are_made_from_is_sound(bundle: Path) -> None:
    assert load_ticket(bundle).id == read_header(bundle).id == document_id(BASE)


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.name)
def test_attack_is_refused_in_its_line_in_a_moment_and_in_little_memory(attack: Attack, tmp_path: Path) -> None:
    path = tmp_path / f"{attack.name}.st"
    attack.put(path)
    first = read_header if attack.name in LINES["header"] else load_ticket
    if first is load_ticket:
        assert read_header(path).path == path
    error, own, clock = timed(first, path)
    check_line(error, line_of(attack.name), path)
    assert own < SLOWEST
    assert clock < BUSY * SLOWEST
    if attack.name not in LARGEST:
        error, most = metered(load_ticket, path)
        check_line(error, line_of(attack.name), path)
        assert most < most_memory(path)


def test_a_ticket_cut_short_anywhere_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "cut.st"
    lines = set()
    for content in cuts():
        path.write_bytes(content)
        for read in (read_header, load_ticket):
            error = str(error_of(read, path))
            lines.add(error.partition(" must ")[0])
            assert error.endswith(f": {path}")
            assert "cut short" in error
    assert lines == {"a safetensors header", "a file"}  # it was cut inside the header, and behind it


def test_the_other_ticket_of_a_parent_cycle_is_sound(tmp_path: Path) -> None:
    path = tmp_path / "first.st"
    first, second = parent_cycle()
    path.write_bytes(first)
    assert load_ticket(path).provenance.parent == document_id(second)
    path.write_bytes(second)
    assert "the id must be that of the document" in str(error_of(load_ticket, path))


def document_id(content: bytes) -> str:
    """The id that a bundle claims."""
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    claimed: str = json.loads(header["__metadata__"]["ticketkit"])["id"]
    return claimed


@pytest.mark.parametrize(
    "change",
    [
        lambda found: found["provenance"].update(method="\x1b[31m\n\u202e\U000e0001"),
        lambda found: found.update(x_note={"\x00": [None, True, -1.5e-300, "\ud7ff\U0010ffff"]}),
        lambda found: found["provenance"].update(recipe={"": [[[]] * 9] * 9}),
        lambda found: found["format"].update(version="1.9999"),
        lambda found: found["provenance"].update(parent=document_id(BASE)),
        lambda found: found["provenance"].update(created="\u0661" * 200),
    ],
)
def test_what_is_strange_and_allowed_is_read(tmp_path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    path = tmp_path / "strange.st"
    path.write_bytes(document(change))
    assert load_ticket(path).id == document_id(path.read_bytes())
    assert same_values(load_ticket(path), load_ticket(VECTORS / "resnet8-w1-pad.st"))


# What the bound on ``depth`` in front of a network's list rests on.
@pytest.mark.parametrize("name", [name for family in FAMILIES.values() for name in family.examples])
def test_no_network_has_fewer_layers_than_its_depth(name: str) -> None:
    assert len(parse_arch(name).layers()) >= parse_arch(name).depth


# --- files that change while they are read ---------------------------------------------------------------------------


@pytest.fixture
def large(make_ticket: Callable[..., Ticket], tmp_path: Path) -> Path:
    """A ticket of which more is on the disk than one reading brings."""
    path = tmp_path / "large.st"
    save_ticket(make_ticket("resnet8-w16"), path)
    return path


def after_the_header(monkeypatch: pytest.MonkeyPatch, change: Callable[[], object]) -> None:
    """Change something between the reading of a file's header and of its tensors."""
    read = container._parse

    def parse_and_change(header: bytes, limits: Any) -> dict[str, Any]:
        found = read(header, limits)
        monkeypatch.undo()
        change()
        return found

    monkeypatch.setattr(container, "_parse", parse_and_change)


def test_a_file_that_shrinks_is_refused(large: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    length = large.stat().st_size
    after_the_header(monkeypatch, lambda: os.truncate(large, length - 1))
    line = f"a file must stay as it is while it is read (it had {length:,} bytes and has less)"
    check_line(error_of(load_ticket, large), line, large)


def test_a_file_that_shrinks_before_its_header_is_read_is_refused(
    bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    look = os.fstat

    def look_and_cut(descriptor: int) -> os.stat_result:
        found = look(descriptor)
        os.truncate(bundle, 5000)
        return found

    monkeypatch.setattr(os, "fstat", look_and_cut)
    error = error_of(load_ticket, bundle)
    monkeypatch.undo()
    check_line(error, "a safetensors header must be a JSON object and spaces after it (got something else)", bundle)


def test_a_file_that_grows_is_read_as_it_was(large: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = large.read_bytes()
    after_the_header(monkeypatch, lambda: large.write_bytes(content * 2))
    assert load_ticket(large).id == document_id(content)
    assert "something was added to it" in str(error_of(load_ticket, large))


def test_a_file_that_is_written_into_is_refused(large: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = large.read_bytes()
    after_the_header(monkeypatch, lambda: large.write_bytes(content[:-1] + b"\x00"))
    assert re.search("kept count of .* must equal its mask's", str(error_of(load_ticket, large)))


def test_a_file_that_is_replaced_is_read_as_it_was(large: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content, other = large.read_bytes(), large.with_name("other.st")
    other.write_bytes(b"another file")
    after_the_header(monkeypatch, lambda: other.replace(large))
    assert load_ticket(large).id == document_id(content)
    assert large.read_bytes() == b"another file"


@pytest.mark.parametrize(
    "attack", [attack for attack in ATTACKS if attack.name in ("pipe", "folder", "link-to-itself")]
)
def test_a_file_that_is_replaced_between_two_openings_is_refused(bundle: Path, attack: Attack) -> None:
    header = read_header(bundle)
    bundle.unlink()
    attack.put(bundle)
    check_line(error_of(lambda _: load_tensors(header), bundle), line_of(attack.name), bundle)


def test_a_pipe_that_takes_a_files_place_is_not_waited_for(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is found to be a file, is replaced, and is opened then."""
    look = Path.stat

    def look_and_replace(path: Path) -> os.stat_result:
        found = look(path)
        monkeypatch.undo()
        bundle.unlink()
        os.mkfifo(bundle)
        return found

    monkeypatch.setattr(Path, "stat", look_and_replace)
    started = time.perf_counter()
    check_line(error_of(load_ticket, bundle), line_of("pipe"), bundle)
    assert time.perf_counter() - started < BUSY * SLOWEST


# --- names -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["\x1b[2J\x1b]0;owned\x07.st", "line\nbreak.st", "\u202ets.txt", "\udcff\udcfe.st"])
def test_a_files_own_name_cannot_steer_a_terminal(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"")
    error = str(error_of(load_ticket, tmp_path / name))
    assert error.isprintable()
    error.encode()
    assert error.endswith(name[-3:])


@pytest.mark.parametrize("name", ["nul\0.st", "n" * 300 + ".st", "a.st/b.st"])
def test_a_name_that_no_file_has_is_refused(bundle: Path, name: str) -> None:
    error = str(error_of(load_ticket, bundle.parent / name))
    assert error.startswith(("a ticket must be a readable file (", "a ticket's name must be without NUL characters"))
    assert error.isprintable()


# --- in processes of their own ---------------------------------------------------------------------------------------


def python(script: str, *arguments: str | Path, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONIOENCODING": "utf-8"}
    environment["PYTHONPATH"] = str(Path(__file__).parents[2])
    command = [sys.executable, "-c", script, *map(str, arguments)]
    return subprocess.run(
        command, capture_output=True, text=True, encoding="utf-8", check=False, timeout=60, env=environment, cwd=cwd
    )


def test_the_largest_files_are_refused_within_a_limit_of_the_system(tmp_path: Path) -> None:
    paths = []
    for attack in ATTACKS:
        if attack.name in LARGEST:
            paths.append(tmp_path / f"{attack.name}.st")
            attack.put(paths[-1])
    assert len(paths) == len(LARGEST)
    script = """
import resource, sys
from pathlib import Path
from ticketkit.bundle import load_ticket
from ticketkit.errors import BundleError
load_ticket(sys.argv[1])
pages = int(Path("/proc/self/statm").read_text().split()[0])
limit = pages * resource.getpagesize() + int(sys.argv[2])
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
for path in sys.argv[3:]:
    try:
        load_ticket(path)
    except BundleError as error:
        print(error)
"""
    found = python(script, VECTORS / "resnet8-w1-pad.st", ALLOWANCE + HEADER_FACTOR * MOST, *paths)
    assert (found.returncode, found.stderr) == (0, "")
    assert found.stdout.splitlines() == [f"{line_of(path.stem)}: {path}" for path in paths]


def test_a_file_that_the_memory_does_not_hold_is_refused(tmp_path: Path) -> None:
    """A sound header whose tensors take two gigabytes; the file is a hole, and takes no room."""
    size, width = 500_000_000, 5_000
    path = tmp_path / "large.st"

    def describe(found: dict[str, Any]) -> None:
        found["architecture"] |= {"family": "mlp", "depth": 2, "width": width, "variant": "", "in_channels": 100_000}
        found["architecture"]["num_classes"] = 1
        weight = {"dtype": "F32", "encoding": "bitmask", "sha256": "0" * 64, "shape": [width, 100_000], "kept": size}
        bias = {"dtype": "F32", "encoding": "dense", "sha256": "0" * 64, "shape": [width]}
        hidden = {"index": 0, "kind": "linear", "name": "fc_layers.0", "role": "entry", "stage": 0, "unit": 0}
        head = {"index": 1, "kind": "linear", "name": "fc", "role": "head"}
        small = {"weight": bias | {"shape": [1, width]}, "bias": bias | {"shape": [1]}}
        found["layers"] = [hidden | {"tensors": {"weight": weight, "bias": bias}}, head | {"tensors": small}]

    content = document(describe)
    text = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])["__metadata__"]["ticketkit"]
    table: dict[str, Any] = {"__metadata__": {"ticketkit": text}}
    end = 0
    for key, dtype, shape, length in (
        ("0000.weight.values", "F32", [size], 4 * size),
        ("0000.bias", "F32", [width], 4 * width),
        ("0001.weight", "F32", [1, width], 4 * width),
        ("0001.bias", "F32", [1], 4),
        ("0000.weight.mask", "U8", [size // 8], size // 8),
    ):
        table[f"layers.{key}"] = {"dtype": dtype, "shape": shape, "data_offsets": [end, end + length]}
        end += length
    header = json.dumps(table).encode()
    path.write_bytes(len(header).to_bytes(8, "little") + header)
    os.truncate(path, 8 + len(header) + end)
    assert read_header(path).file_bytes > 4 * size
    script = """
import resource, sys
from ticketkit.bundle import load_ticket
from ticketkit.errors import BundleError
resource.setrlimit(resource.RLIMIT_AS, (2**30, 2**30))
try:
    load_ticket(sys.argv[1])
except BundleError as error:
    print(error)
"""
    found = python(script, path)
    assert (found.returncode, found.stderr) == (0, "")
    assert found.stdout == f"a ticket must fit the memory there is (it does not): {path}\n"


def test_a_file_that_may_not_be_read_is_refused(tmp_path: Path) -> None:
    """Modes do not bind the superuser, who becomes another user for it."""
    (tmp_path / "secret.st").write_bytes(BASE)
    (tmp_path / "secret.st").chmod(0)
    tmp_path.chmod(0o755)
    script = """
import os
from ticketkit.bundle import load_ticket
from ticketkit.errors import BundleError
if os.getuid() == 0:
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
try:
    load_ticket("secret.st")
except BundleError as error:
    print(error)
"""
    found = python(script, cwd=tmp_path)
    assert (found.returncode, found.stderr) == (0, "")
    assert found.stdout == "a ticket must be a readable file (Permission denied): secret.st\n"


def test_check_names_every_bad_file_and_goes_on(tmp_path: Path) -> None:
    (tmp_path / "good.st").write_bytes(BASE)
    for attack in ATTACKS:
        attack.put(tmp_path / f"{attack.name}.st")
    names = [attack.name for attack in ATTACKS]
    script = """
import sys
from ticketkit.cli import main
try:
    main()
finally:
    print(*sorted({"torch", "torchvision"} & sys.modules.keys()), file=sys.stderr)
"""
    found = python(script, "check", *(f"{name}.st" for name in names), "good.st", cwd=tmp_path)
    assert (found.returncode, found.stderr) == (1, "\n")
    *bad, good = found.stdout.splitlines()
    assert good.startswith("good  good.st: ")
    assert len(bad) == len(names)
    for name, line in zip(names, bad, strict=True):
        words = " ".join(line_of(name).split())
        assert line.startswith(f"bad   {words.removesuffix('…')}")
        assert line.endswith(f": {name}.st")
