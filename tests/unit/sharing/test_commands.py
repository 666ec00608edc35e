"""References in the commands: every one that reads a ticket takes a ticket elsewhere."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import sys
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from ticket_server import Behaviour

from ticketkit.bundle import load_ticket, read_header, save_ticket
from ticketkit.cli.app import application
from ticketkit.cli.references import TicketArgument, names_ticket
from ticketkit.errors import TicketkitError
from ticketkit.sharing import RemoteError
from ticketkit.stretch import stretch_ticket
from ticketkit.ticket import Ticket


def run(*arguments: object) -> Result:
    return CliRunner().invoke(application, list(map(str, arguments)), catch_exceptions=False)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path / "here"


def test_inspect_reads_the_header_alone(url: str, served: Behaviour, file: Path, ticket: Ticket, cache: Path) -> None:
    text, local = run("inspect", url).stdout, run("inspect", file).stdout
    header = read_header(file)
    assert served.sent == header.header_bytes
    assert not cache.exists()
    assert text.splitlines()[0] == url
    assert f"the header alone was read, {header.header_bytes:,} of {header.file_bytes:,} bytes; no hash" in text
    assert "dead: not known" in text
    # All else is the same: the sparsity overall, by stage and by layer, and the sizes.
    assert text.partition("sparsity ")[2].partition("layer")[0] == local.partition("sparsity ")[2].partition("layer")[0]
    assert text.partition("bytes   ")[2] == local.partition("bytes   ")[2]
    assert all(len(line) <= 80 for line in text.splitlines())


def test_inspect_in_json_says_null_of_what_was_not_read(url: str, file: Path) -> None:
    remote, local = (json.loads(run("inspect", place, "--json").stdout) for place in (url + "?token=x", file))
    assert remote.pop("path") == url + "?…"
    assert (remote.pop("hashes_checked"), local.pop("hashes_checked")) == (False, True)
    assert {layer.pop(f"dead_{end}") for layer in remote["layers"] for end in ("filters", "inputs")} == {None}
    for layer in local["layers"]:
        del layer["dead_filters"], layer["dead_inputs"]
    local.pop("path")
    assert remote == local


def test_inspect_fetches_what_it_compares(url: str, served: Behaviour, file: Path) -> None:
    text = run("inspect", file, "--compare", url).stdout
    assert url in text
    assert text == run("inspect", file, "--compare", url).stdout
    assert served.sent == len(served.content)
    assert "every hash checked" in run("inspect", url, "--compare", file).stdout


def test_inspect_of_a_kept_ticket_needs_no_server(url: str, served: Behaviour, ticket: Ticket) -> None:
    run("check", url)
    asked = len(served.requests)
    assert ticket.id in run("inspect", f"{url}#sha256={ticket.id[7:]}").stdout
    assert len(served.requests) == asked


def test_check_takes_references_beside_paths(url: str, file: Path, ticket: Ticket) -> None:
    done = run("check", file, url, f"{url}#sha256={'0' * 64}", "https://nowhere.invalid/t.st")
    good, remote, other, away = done.stdout.splitlines()
    assert good.startswith(f"good  {file}: ")
    assert remote.startswith(f"good  {url}: cifar-resnet14-w8, ")
    assert other.startswith("bad   the ticket must have the id that its reference names")
    assert away.startswith("bad   a server must be reached (nowhere.invalid is not known here")
    assert done.exit_code == 1


def test_check_of_a_signature_wants_its_file(url: str, file: Path) -> None:
    done = run("check", url, "--signer", "alice.pub")
    assert (done.exit_code, "goes with --signature" in done.stderr) == (2, True)


def test_diff_stretch_squeeze_and_export(url: str, file: Path, ticket: Ticket, here: Path) -> None:
    assert json.loads(run("diff", url, file, "--json").stdout)["first"] == {"path": url, "id": ticket.id}
    done = json.loads(run("stretch", url, "--to", "20", "--json").stdout)
    assert (done["source"]["path"], done["target"]["path"]) == (url, "t-to-resnet20-w8.st")
    assert load_ticket("t-to-resnet20-w8.st").id == stretch_ticket(ticket, "20").id
    run("export", "sparse-bitmask", url, "t.safetensors")
    assert Path("t.safetensors").exists()


def test_a_pinned_path_is_compared(file: Path, ticket: Ticket, here: Path) -> None:
    pinned = f"{file}#sha256={ticket.id[7:]}"
    assert run("inspect", pinned).stdout.splitlines()[0] == str(file)
    run("stretch", pinned, "--to", "20")
    assert Path("t-to-resnet20-w8.st").exists()
    with pytest.raises(RemoteError, match="must have the id that its reference names"):
        run("stretch", f"{file}#sha256={'0' * 64}", "--to", "20", "--force")


def test_verify_and_connect_take_references(
    serve: Callable[..., str], make_ticket: Callable[..., Ticket], tmp_path: Path, here: Path
) -> None:
    ticket = make_ticket("resnet8-w2", in_channels=1)
    save_ticket(ticket, tmp_path / "t.st")
    url = serve(Behaviour(content=(tmp_path / "t.st").read_bytes())) + "/t.st"
    training = (
        "--dataset",
        "digits",
        "--limit",
        70,
        "--recipe",
        "quick",
        "--set",
        "epochs=1",
        "--set",
        "warmup=0",
        "--runs",
        "runs",
        "--seeds",
        1,
    )
    done = run("verify", url, "--against", f"{url}#sha256={ticket.id[7:]},random", "--start", "0", *training, "--json")
    report = json.loads(done.stdout)
    assert ticket.id in done.stdout
    assert [arm["name"] for arm in report["arms"]] == ["ticket", "random", "t"]
    lines = run("connect", url, "--start", "0", "--points", 3, *training[:-4]).stdout
    assert lines.startswith("ticket   t: cifar-resnet8-w2")


def test_a_malformed_reference_is_wrong_usage(here: Path) -> None:
    done = run("inspect", "ftp://host/t.st")
    assert done.exit_code == 2
    assert "must be a path, https:// or hf:// (got ftp://)" in done.stderr


def test_the_real_command_ends_in_one_line(url: str, served: Behaviour) -> None:
    served.content = b"<!DOCTYPE html>"
    for name in ("inspect", "check", "diff"):
        command = [sys.executable, "-m", "ticketkit", name, url, *([url] if name == "diff" else [])]
        done = subprocess.run(command, capture_output=True, text=True, check=False, encoding="utf-8")
        line = done.stdout if name == "check" else done.stderr
        assert done.returncode == 1
        assert len(line.splitlines()) == 1
        assert line.rstrip().endswith(f": {url}")


def test_a_path_imports_nothing_of_the_network(file: Path) -> None:
    code = (
        "import sys\nfrom ticketkit.cli.app import application\n"
        f"application(['inspect', {str(file)!r}], standalone_mode=False)\n"
        "names = ('ticketkit.sharing', 'http.client', 'ssl', 'torch', 'huggingface_hub')\n"
        "print(*[name for name in names if name in sys.modules], 'nothing else')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, encoding="utf-8")
    assert done.stdout.splitlines()[-1] == "nothing else"


def test_a_reference_imports_neither_torch_nor_rich(url: str) -> None:
    code = (
        "import sys\nfrom ticketkit.cli.app import application\n"
        f"application(['check', {url!r}], standalone_mode=False)\n"
        "print(*[name for name in ('torch', 'rich', 'huggingface_hub') if name in sys.modules], 'nothing else')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, encoding="utf-8")
    assert done.stdout.splitlines()[-1] == "nothing else"


def test_a_terminal_shows_how_far_it_is(url: str, served: Behaviour) -> None:
    def answer(request: BaseHTTPRequestHandler) -> bool:
        request.send_response(200)
        request.send_header("Content-Length", str(len(served.content)))
        request.end_headers()
        for start in range(0, len(served.content), 20_000):
            request.wfile.write(served.content[start : start + 20_000])
            time.sleep(0.15)
        return True

    served.answer = answer
    ours, theirs = pty.openpty()
    try:
        command = [sys.executable, "-m", "ticketkit", "check", url]
        environment = os.environ | {"TERM": "xterm", "COLUMNS": "80"}
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=theirs, check=True, env=environment)
        shown = os.read(ours, 100_000).decode()
    finally:
        os.close(ours)
        os.close(theirs)
    assert done.stdout.startswith(b"good  ")
    assert "t.st" in shown
    assert re.search(r"\d+\.\d/\d+\.\d kB", shown)
    assert re.search(r"\d:\d\d:\d\d", shown)


def test_words_that_name_tickets() -> None:
    assert [word for word in ("imp", "t.st", "hf://a/b/c", "x#sha256=0", "https://h/t") if names_ticket(word)] == [
        "t.st", "hf://a/b/c", "x#sha256=0", "https://h/t",
    ]  # fmt: skip
    with pytest.raises(TicketkitError):
        TicketArgument("x#sha256=0")
