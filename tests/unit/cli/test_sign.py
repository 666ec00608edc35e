"""``ticketkit keygen`` and ``ticketkit sign``, and how a passphrase reaches them."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from ticketkit.bundle import save_ticket
from ticketkit.cli import passphrase
from ticketkit.cli.app import application
from ticketkit.cli.commands import sign
from ticketkit.errors import BundleError, SignatureError
from ticketkit.signing import load_private_key, load_public_keys, read_signature, verify_signature
from ticketkit.ticket import Ticket

MakeTicket = Callable[..., Ticket]

DOCS = Path(__file__).parents[3] / "docs" / "signing.md"


def _run(*arguments: object, **options: object) -> Result:
    return CliRunner().invoke(application, [*map(str, arguments)], catch_exceptions=False, **options)  # type: ignore[arg-type]


@pytest.fixture(autouse=True)
def folder(make_ticket: MakeTicket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with two tickets and Alice's key, in which the commands run."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(passphrase.VARIABLE, raising=False)
    save_ticket(make_ticket(), "a.st")
    save_ticket(make_ticket(seed=1), "b.st")
    assert _run("keygen", "alice").exit_code == 0
    return tmp_path


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_keygen_writes_two_files_and_says_whose_key_it_is(folder: Path) -> None:
    done = _run("keygen", "bob")
    (key,) = load_public_keys(Path("bob.pub"))
    assert done.stdout == (
        f"private  bob.key (whoever reads it can sign in your name)\npublic   bob.pub\nkey      {key.fingerprint}\n"
    )
    assert done.stderr == ""
    assert Path("bob.key").stat().st_mode & 0o777 == 0o600
    assert Path("bob.key").read_bytes() != Path("alice.key").read_bytes()
    assert names(folder) == ["a.st", "alice.key", "alice.pub", "b.st", "bob.key", "bob.pub"]


@pytest.mark.parametrize("name", [".", "/"])
def test_a_folder_is_no_name_and_no_ticket(name: str, folder: Path) -> None:
    assert _run("keygen", name).exit_code == 2
    with pytest.raises(BundleError, match="must be a regular file"):
        _run("sign", name, "--key", "alice.key")
    assert names(folder) == ["a.st", "alice.key", "alice.pub", "b.st"]


def test_keygen_never_replaces_a_key(folder: Path) -> None:
    before = Path("alice.key").read_bytes()
    with pytest.raises(SignatureError, match="must never be overwritten"):
        _run("keygen", "alice")
    assert Path("alice.key").read_bytes() == before


def test_a_ticket_is_signed_beside_it(folder: Path, make_ticket: MakeTicket) -> None:
    done = _run("sign", "a.st", "--key", "alice.key")
    (key,) = load_public_keys(Path("alice.pub"))
    ticket = make_ticket()
    assert done.exit_code == 0
    assert done.stdout.splitlines() == [
        f"ticket   a.st: {ticket.arch.name}, {100 * ticket.sparsity:.2f} % sparse",
        f"id       {ticket.id}",
        f"signer   {key.fingerprint}",
        "wrote    a.st.sig",
    ]
    assert done.stderr == ""
    assert verify_signature("a.st", [key]).signed_by == (key,)


def test_a_second_signer_stands_beside_the_first(folder: Path) -> None:
    _run("keygen", "bob")
    _run("sign", "a.st", "--key", "alice.key")
    lines = _run("sign", "a.st", "--key", "bob.key").stdout.splitlines()
    alice, bob = (load_public_keys(Path(f"{name}.pub"))[0].fingerprint for name in ("alice", "bob"))
    assert lines[2:] == [f"signer   {bob}", f"beside   {alice}", "wrote    a.st.sig"]
    assert _run("sign", "a.st", "--key", "bob.key").stdout.splitlines()[2:] == [*lines[2:4], "is in    a.st.sig"]


def test_several_tickets_are_signed_and_json_says_which(folder: Path, make_ticket: MakeTicket) -> None:
    _run("sign", "b.st", "--key", "alice.key")
    done = json.loads(_run("sign", "a.st", "b.st", "--key", "alice.key", "--json").stdout)
    (key,) = load_public_keys(Path("alice.pub"))
    assert done == {
        "format": {"name": "ticketkit-sign", "version": "1.0"},
        "signer": key.fingerprint,
        "public_key": key.openssh,
        "files": [
            {
                "path": name,
                "id": make_ticket(seed=seed).id,
                "signature": f"{name}.sig",
                "signers": [key.fingerprint],
                "written": name == "a.st",
            }
            for seed, name in enumerate(("a.st", "b.st"))
        ],
    }
    assert sign.__doc__ is not None
    documented = re.findall(r"``([a-z_]+)``", sign.__doc__)
    assert {*done, *done["files"][0]} <= set(documented)
    assert len(_run("sign", "a.st", "b.st", "--key", "alice.key").stdout.split("\n\n")) == 2


def test_a_signature_goes_where_it_is_told(folder: Path) -> None:
    _run("sign", "a.st", "--key", "alice.key", "-o", "elsewhere.sig")
    (key,) = load_public_keys(Path("alice.pub"))
    assert verify_signature("a.st", [key], signature="elsewhere.sig").signed_by == (key,)
    assert "a.st.sig" not in names(folder)
    done = _run("sign", "a.st", "b.st", "--key", "alice.key", "-o", "elsewhere.sig")
    assert (done.exit_code, "-o names one" in done.stderr) == (2, True)


def test_what_is_there_is_replaced_only_with_force(folder: Path) -> None:
    Path("a.st.sig").write_text("notes")
    with pytest.raises(SignatureError, match="must not be overwritten unasked"):
        _run("sign", "a.st", "--key", "alice.key")
    assert Path("a.st.sig").read_text() == "notes"
    assert _run("sign", "a.st", "--key", "alice.key", "--force").exit_code == 0
    assert len(read_signature(Path("a.st.sig")).signatures) == 1


@pytest.mark.parametrize("way", ["file", "environment"])
def test_a_passphrase_comes_from_a_file_or_the_environment(
    way: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("pass.txt").write_bytes("Geheim 1é\r\nand a second line\n".encode())
    if way == "file":
        monkeypatch.setenv(passphrase.VARIABLE, "something else: the file goes first")
        options = ["--passphrase-file", "pass.txt"]
    else:
        monkeypatch.setenv(passphrase.VARIABLE, "Geheim 1é")
        options = []
    done = _run("keygen", "bob", *(options or ["--encrypt"]))
    assert "bob.key (encrypted)" in done.stdout
    assert "Geheim" not in done.output
    assert load_private_key(Path("bob.key"), passphrase="Geheim 1é".encode)
    assert _run("sign", "a.st", "--key", "bob.key", *options).exit_code == 0
    monkeypatch.setenv(passphrase.VARIABLE, "wrong")
    with pytest.raises(SignatureError, match="the passphrase must be the key's"):
        _run("sign", "a.st", "--key", "bob.key")


def test_a_passphrase_is_asked_for_on_a_terminal_alone(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SignatureError, match="TICKETKIT_PASSPHRASE or a terminal"):
        _run("keygen", "bob", "--encrypt")
    assert not Path("bob.key").exists()
    asked: list[tuple[str, dict[str, object]]] = []

    def prompt(text: str, **options: object) -> str:
        asked.append((text, options))
        return "secret"

    monkeypatch.setattr(passphrase, "_is_terminal", lambda: True)
    monkeypatch.setattr(click, "prompt", prompt)
    _run("keygen", "bob", "--encrypt")
    _run("sign", "a.st", "--key", "bob.key")
    _run("sign", "b.st", "--key", "alice.key")
    hidden = {"hide_input": True, "err": True}
    assert asked == [
        ("Passphrase of bob.key", hidden | {"confirmation_prompt": True}),
        ("Passphrase of bob.key", hidden | {"confirmation_prompt": False}),
    ]


def test_a_passphrase_that_is_none_is_one_line(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("long").write_bytes(b"x" * 4097)
    Path("empty").write_bytes(b"\nsecond line")
    for name, message in {
        "none": "must be in a readable file (No such file or directory): none",
        ".": "must be in a readable file (Is a directory): .",
        "long": "must be of at most 4,096 bytes (its line has more): long",
        "empty": "must not be empty (got no character): empty",
    }.items():
        with pytest.raises(SignatureError, match=rf"^a passphrase {re.escape(message)}$"):
            _run("keygen", "bob", "--passphrase-file", name)
    monkeypatch.setenv(passphrase.VARIABLE, "")
    with pytest.raises(SignatureError, match=rf"must not be empty \(got no character\): {passphrase.VARIABLE}"):
        _run("keygen", "bob", "--encrypt")
    assert "bob.key" not in names(folder)


def test_a_private_key_that_others_may_read_is_remarked(folder: Path) -> None:
    Path("alice.key").chmod(0o644)
    done = _run("sign", "a.st", "--key", "alice.key")
    assert done.exit_code == 0
    assert done.stderr == "note: others may read alice.key (mode 644); chmod 600 mends it\n"


def test_a_key_may_come_through_a_pipe(folder: Path) -> None:
    read, write = os.pipe()
    try:
        os.write(write, Path("alice.key").read_bytes())
        os.close(write)
        done = _run("sign", "a.st", "--key", f"/dev/fd/{read}")
    finally:
        os.close(read)
    assert (done.exit_code, done.stderr) == (0, "")


def test_the_real_commands_end_in_one_line_and_1(folder: Path) -> None:
    for arguments in (
        ["keygen", "alice"],
        ["sign", "a.st", "--key", "alice.pub"],
        ["sign", "none.st", "--key", "alice.key"],
    ):
        done = subprocess.run(
            [sys.executable, "-m", "ticketkit", *arguments], capture_output=True, text=True, check=False
        )
        assert (done.returncode, done.stdout) == (1, "")
        assert len(done.stderr.splitlines()) == 1
        assert done.stderr.startswith("ticketkit: ")


@pytest.mark.parametrize("command", ["sign", "keygen"])
def test_help_imports_nothing_heavy(command: str) -> None:
    code = (
        f"import sys, ticketkit.cli.commands.{command}\n"
        "print(*[name for name in ('numpy', 'torch', 'rich', 'cryptography') if name in sys.modules], 'nothing else')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "nothing else"


def test_sign_imports_no_torch(folder: Path) -> None:
    code = (
        "import sys; from ticketkit.cli.app import application\n"
        "application(['sign', 'a.st', '--key', 'alice.key'], standalone_mode=False)\n"
        "print(*[name for name in ('torch', 'rich', 'safetensors') if name in sys.modules], 'nothing else')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "nothing else"


LINES = re.findall(r"^\$ ticketkit (.*)$", DOCS.read_text(encoding="utf-8"), flags=re.M)


def test_the_commands_of_the_documentation_exist_with_their_options() -> None:
    assert {line.split()[0] for line in LINES} == {"sign", "keygen", "check"}
    for line in LINES:
        name, *arguments = shlex.split(line)
        command = application.get_command(click.Context(application), name)
        assert command is not None
        command.make_context(name, arguments)


def test_the_python_of_the_documentation_runs(folder: Path) -> None:
    Path("resnet20.st").write_bytes(Path("a.st").read_bytes())
    (code,) = re.findall(r"^```python\n(.*?)^```$", DOCS.read_text(encoding="utf-8"), flags=re.M | re.S)
    found: dict[str, object] = {}
    exec(code, found)
    assert isinstance(found["ticket"], Ticket)
