"""``ticketkit inspect``: what it prints, and what it refuses to describe."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from ticketkit.bundle import load_ticket, read_header, save_ticket
from ticketkit.cli.app import application
from ticketkit.cli.commands import inspect
from ticketkit.errors import ArchError, BundleError
from ticketkit.provenance import LevelResult, Provenance, Results, Weights
from ticketkit.report.sparsity import SparsityReport
from ticketkit.stretch import stretch_ticket
from ticketkit.ticket import Ticket

MakeTicket = Callable[..., Ticket]
FORMAT = Path(__file__).parents[3] / "formats" / "inspect-v1.md"


def _inspect(*arguments: object) -> Result:
    return CliRunner().invoke(application, ["inspect", *map(str, arguments)], catch_exceptions=False)


def _process(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "ticketkit", "inspect", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, encoding="utf-8")


def _damage(path: Path, ticket: Ticket) -> None:
    """Flip the lowest bit of one bias, which only its hash can tell."""
    content = path.read_bytes()
    stored = ticket.tensors["fc.bias"].tobytes()
    assert content.count(stored) == 1
    path.write_bytes(content.replace(stored, bytes([stored[0] ^ 1]) + stored[1:]))


@pytest.fixture
def ticket(make_ticket: MakeTicket) -> Ticket:
    levels = [LevelResult(level=level, kept=1326 - level, total=1326, accuracy=0.98 - level / 100) for level in (0, 5)]
    return make_ticket("resnet8-w2", density=0.1, results=Results(levels=tuple(levels), winning_level=5))


@pytest.fixture
def path(ticket: Ticket, tmp_path: Path) -> Path:
    save_ticket(ticket, tmp_path / "t.st")
    return tmp_path / "t.st"


def test_the_text_says_where_the_ticket_comes_from(path: Path, ticket: Ticket) -> None:
    text = _inspect(path).stdout
    for line in (
        "network  cifar-resnet8-w2: 10 classes, 3 input channels",
        f"id       {ticket.id}",
        "every hash checked",
        "found by imp, level 5, rate 0.2, seed 0",
        "data     digits: 1,437 training and 360 test images",
        "weights  rewind, training step 14",
        "results  dense 98.00 % test accuracy; level 5 93.00 % test accuracy; last",
    ):
        assert line in text
    assert f"{ticket.kept:,} of {ticket.total:,} prunable weights are kept" in text
    assert f"of all {ticket.arch.parameters:,} parameters" in text


def test_every_prunable_layer_has_its_line(path: Path, ticket: Ticket) -> None:
    rows = {
        line.split()[1]: line.split() for line in _inspect(path).stdout.splitlines() if re.match(r" *\d+  \S", line)
    }
    assert list(rows) == [name.removesuffix(".weight") for name in ticket.mask]
    report = SparsityReport.of(ticket, read_header(path))
    for layer in report.layers:
        _, _, shape, kept, total, dead, density, *_ = rows[layer.name]
        assert shape == "×".join(map(str, layer.shape))
        assert (int(kept.replace(",", "")), int(total.replace(",", ""))) == (layer.kept, layer.total)
        assert dead == f"{layer.dead_filters}/{layer.dead_inputs}"
        assert float(density) == pytest.approx(100 * layer.density, abs=0.006)


def test_bars_grow_with_density(make_ticket: MakeTicket, tmp_path: Path) -> None:
    save_ticket(make_ticket("resnet8", density=0.5), tmp_path / "t.st")
    bars = [line.rsplit(" ", 1)[1] for line in _inspect(tmp_path / "t.st").stdout.splitlines() if "█" in line]
    assert len(bars) == 10
    assert max(map(len, bars)) == 12


def test_a_stretched_ticket_names_parent_and_mapping(ticket: Ticket, tmp_path: Path, make_ticket: MakeTicket) -> None:
    source = make_ticket("resnet14-w2")
    result = stretch_ticket(stretch_ticket(source, "26"), "20", mapping="0:0;1:1;2:2|0:0;1:1;3:2|0:0;1:1;2:2")
    save_ticket(result, tmp_path / "t.st")
    text = _inspect(tmp_path / "t.st").stdout
    assert f"parent   {result.provenance.parent}" in text
    assert "stretch  cifar-resnet14-w2 to cifar-resnet26-w2 (append)" in text
    assert "         every stage 0:0;1:1,2,3\n" in text
    assert "stretch  cifar-resnet26-w2 to cifar-resnet20-w2 (explicit)" in text
    assert "         stage 1 0:0;1:1;3:2\n" in text


def test_json_is_the_report_and_its_keys_are_documented(path: Path, ticket: Ticket) -> None:
    document = json.loads(_inspect(path, "--json").stdout)
    report = SparsityReport.of(ticket, read_header(path)).to_json()
    assert {key: document[key] for key in report} == json.loads(json.dumps(report))
    assert list(document) == [
        "format",
        "path",
        "id",
        "hashes_checked",
        "architecture",
        "weights",
        "provenance",
        "results",
        "sparsity",
        "groups",
        "layers",
        "bytes",
        "comparison",
    ]
    assert document["path"] == str(path)
    assert document["comparison"] is None
    assert document["sparsity"].keys() == {
        "kept",
        "total",
        "density",
        "sparsity",
        "parameters",
        "pruned_of_parameters",
    }
    assert document["groups"][0].keys() == {"name", "stage", "units", "kept", "total", "density", "sparsity"}
    assert document["layers"][0].keys() == {
        "index",
        "name",
        "kind",
        "role",
        "stage",
        "unit",
        "shape",
        "kept",
        "total",
        "density",
        "sparsity",
        "dead_filters",
        "dead_inputs",
    }
    assert document["bytes"].keys() == {
        "file",
        "header",
        "masks",
        "values",
        "dense_tensors",
        "all_dense",
        "reference",
        "mask_floor",
    }
    specification = FORMAT.read_text(encoding="utf-8")

    def check(value: object) -> None:
        if isinstance(value, list):
            for item in value:
                check(item)
        if isinstance(value, dict):
            for key, item in value.items():
                assert f"`{key}`" in specification
                if key not in {"recipe", "environment"}:
                    check(item)

    check(json.loads(_inspect(path, "--json", "--compare", path).stdout))


def test_comparing_replaces_the_tables(path: Path, ticket: Ticket, tmp_path: Path, make_ticket: MakeTicket) -> None:
    other = make_ticket("resnet8-w2", density=0.4, seed=1)
    save_ticket(other, tmp_path / "other.st")
    text = _inspect(path, "--compare", tmp_path / "other.st").stdout
    both = sum(int((ticket.mask[name] & other.mask[name]).sum()) for name in ticket.mask)
    assert f"id       {other.id}" in text
    assert f"{ticket.kept:,} kept here, {other.kept:,} there, {both:,} in both" in text
    assert f"0 of these {both:,} have equal values" in text
    assert "of dense" not in text
    document = json.loads(_inspect(path, "--compare", tmp_path / "other.st", "--json").stdout)
    assert document["comparison"]["path"] == str(tmp_path / "other.st")
    assert document["comparison"]["both"] == both
    assert len(document["layers"]) == len(document["comparison"]["layers"]) == len(ticket.mask)


def test_comparing_other_networks_is_refused(path: Path, tmp_path: Path, make_ticket: MakeTicket) -> None:
    save_ticket(make_ticket("resnet14-w2"), tmp_path / "other.st")
    with pytest.raises(ArchError, match=r"^tickets to compare must be of one network"):
        _inspect(path, "--compare", tmp_path / "other.st")


def test_a_damaged_file_is_named_not_described(path: Path, ticket: Ticket) -> None:
    _damage(path, ticket)
    done = _process(path)
    assert (done.returncode, done.stdout) == (1, "")
    assert re.fullmatch(rf"ticketkit: SHA-256 of layers\.\d+\.bias must be .*: {re.escape(str(path))}\n", done.stderr)
    for arguments in ([path, "--json"], [path, "--compare", path]):
        with pytest.raises(BundleError, match="SHA-256"):
            _inspect(*arguments)


def test_no_verify_trusts_the_bytes_and_says_so(path: Path, ticket: Ticket) -> None:
    _damage(path, ticket)
    assert "hashes not checked" in _inspect(path, "--no-verify").stdout
    assert json.loads(_inspect(path, "--no-verify", "--json").stdout)["hashes_checked"] is False


def test_a_damaged_other_file_is_named(path: Path, ticket: Ticket, tmp_path: Path) -> None:
    save_ticket(ticket, tmp_path / "other.st")
    _damage(tmp_path / "other.st", ticket)
    with pytest.raises(BundleError, match=r"other\.st$"):
        _inspect(path, "--compare", tmp_path / "other.st")


@pytest.mark.parametrize("content", [b"", b"not a ticket at all", b"\x00" * 100])
def test_what_is_no_ticket_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.st").write_bytes(content)
    with pytest.raises(BundleError, match=r"x\.st$"):
        _inspect(tmp_path / "x.st")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"readable file.*: .*nothing\.st$"):
        _inspect(tmp_path / "nothing.st")


def test_the_real_command_needs_neither_torch_nor_rich(path: Path, ticket: Ticket) -> None:
    code = (
        "import sys\nfrom ticketkit.cli.app import application\n"
        f"application(['inspect', {str(path)!r}, '--compare', {str(path)!r}], standalone_mode=False)\n"
        "print(*[name for name in ('torch', 'torchvision', 'PIL', 'rich') if name in sys.modules], 'nothing else')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, encoding="utf-8")
    assert ticket.id in done.stdout
    assert done.stdout.splitlines()[-1] == "nothing else"


@pytest.mark.parametrize("name", ["resnet8-w2", "resnet110-w2", "resnet20"])
def test_no_line_is_wider_than_80_columns(make_ticket: MakeTicket, tmp_path: Path, name: str) -> None:
    wordy = Provenance(method="m" * 200, recipe={"name": "r " * 300})
    save_ticket(make_ticket(name, density=0.9, provenance=wordy), tmp_path / "t.st")
    save_ticket(make_ticket(name, seed=1), tmp_path / "other.st")
    for arguments in ([], ["--compare", tmp_path / "other.st"]):
        lines = _inspect(tmp_path / "t.st", *arguments).stdout.splitlines()[1:]  # the first is the path
        assert len(lines) > 20
        assert [line for line in lines if len(line) > 80] == []


def test_names_give_way_in_a_network_of_large_layers(path: Path, ticket: Ticket) -> None:
    report = SparsityReport.of(ticket, read_header(path))
    large = replace(
        report.layers[0],
        name="layer4.0.downsample.0.of.a.long.name",
        shape=(2048, 2048, 3, 3),
        kept=2_359_296,
        total=37_748_736,
        dead_filters=1000,
        dead_inputs=2000,
    )
    lines = [click.unstyle(line) for line in inspect._layers(replace(report, layers=(*report.layers, large)))]
    assert max(map(len, lines)) <= 80
    assert "layer4….name  2048×2048×3×3" in lines[-2]


def test_a_mapping_of_many_units_wraps(make_ticket: MakeTicket, tmp_path: Path) -> None:
    result = stretch_ticket(make_ticket("cifar-resnet26-w2"), "242")
    save_ticket(result, tmp_path / "t.st")
    lines = _inspect(tmp_path / "t.st").stdout.splitlines()[1:]
    assert max(map(len, lines)) <= 80
    assert result.provenance.transformations[-1].mapping.split("|")[0] in "".join(line.strip() for line in lines)


def test_control_characters_of_a_file_do_not_reach_the_terminal(make_ticket: MakeTicket, tmp_path: Path) -> None:
    hostile = Provenance(method="imp\x1b[2J\nfake: line", recipe={"name": "\u202eevil"})
    save_ticket(make_ticket(provenance=hostile, weights=Weights(role="init")), tmp_path / "t.st")
    text = _inspect(tmp_path / "t.st").stdout
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert "\nfake" not in text
    assert "weights  init\n" in text


def test_a_pipe_that_knows_ascii_only_gets_ascii(path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "ticketkit", "inspect", str(path)],
        capture_output=True,
        check=True,
        env=os.environ | {"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"},
    )
    assert done.stdout.isascii()
    assert b"2x3x3x3" in done.stdout
    assert b"#" in done.stdout


def test_help_explains_every_option() -> None:
    text = _inspect("--help").stdout
    for part in ("--json", "--no-verify", "--compare OTHER.st", "ticketkit inspect resnet20.st"):
        assert part in text


def test_the_file_is_not_changed(path: Path) -> None:
    before = path.read_bytes()
    _inspect(path)
    assert path.read_bytes() == before
    assert load_ticket(path).id == read_header(path).id
