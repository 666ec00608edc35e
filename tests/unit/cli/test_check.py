"""``ticketkit check``: one line a file, and an exit code that says whether all are sound."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ticketkit.bundle import reader, save_ticket
from ticketkit.cli.app import application
from ticketkit.encoding import Bitmask
from ticketkit.errors import SignatureError
from ticketkit.signing import PublicKey, save_keys, sign_ticket
from ticketkit.ticket import Ticket

MakeTicket = Callable[..., Ticket]

ALICE, BOB = (Ed25519PrivateKey.from_private_bytes(bytes([number]) * 32) for number in (1, 2))
FORMAT = Path(__file__).parents[3] / "formats" / "check-v1.md"


def _check(*arguments: object) -> Result:
    return CliRunner().invoke(application, ["check", *map(str, arguments)], catch_exceptions=False)


@pytest.fixture
def good(make_ticket: MakeTicket, tmp_path: Path) -> Path:
    save_ticket(make_ticket(density=0.25), tmp_path / "good.st")
    return tmp_path / "good.st"


@pytest.fixture
def bad(good: Path, tmp_path: Path) -> Path:
    """The same with its very last byte changed, which only a hash can tell."""
    content = bytearray(good.read_bytes())
    content[8 + int.from_bytes(content[:8], "little")] ^= 1
    (tmp_path / "bad.st").write_bytes(content)
    return tmp_path / "bad.st"


def test_a_good_file_is_one_line_with_its_id(good: Path, make_ticket: MakeTicket) -> None:
    done = _check(good)
    ticket = make_ticket(density=0.25)
    assert done.exit_code == 0
    shown = f"{100 * ticket.sparsity:.2f} % sparse, {ticket.id[7:19]}"
    assert done.stdout == f"good  {good}: cifar-resnet8-w2, {shown}\n"
    assert done.stderr == ""


def test_every_file_is_checked_and_one_bad_file_is_enough_to_fail(good: Path, bad: Path, tmp_path: Path) -> None:
    (tmp_path / "text.st").write_text("no ticket")
    done = _check(good, bad, tmp_path / "none.st", tmp_path / "text.st", tmp_path, good)
    assert done.exit_code == 1
    lines = done.stdout.splitlines()
    assert [line[:6] for line in lines] == ["good  ", "bad   ", "bad   ", "bad   ", "bad   ", "good  "]
    assert lines[1].startswith("bad   SHA-256 of layers.0001.num_batches_tracked must be ")
    for line, name in zip(lines[1:5], ("bad.st", "none.st", "text.st", tmp_path.name), strict=True):
        assert line.endswith(name)


def test_json_says_the_same_and_its_keys_are_documented(good: Path, bad: Path, make_ticket: MakeTicket) -> None:
    done = _check("--json", bad, good)
    document = json.loads(done.stdout)
    assert done.exit_code == 1
    assert document["format"] == {"name": "ticketkit-check", "version": "1.1"}
    assert document["good"] is False
    first, second = document["files"]
    ticket = make_ticket(density=0.25)
    assert second == {
        "path": str(good),
        "good": True,
        "error": None,
        "bytes": good.stat().st_size,
        "id": ticket.id,
        "architecture": "cifar-resnet8-w2",
        "kept": ticket.kept,
        "total": ticket.total,
        "sparsity": ticket.sparsity,
        "signed_by": None,
    }
    assert (first["path"], first["good"]) == (str(bad), False)
    assert first["error"].endswith(str(bad))
    assert {first[key] for key in ("bytes", "id", "architecture", "kept", "total", "sparsity", "signed_by")} == {None}
    specified = FORMAT.read_text(encoding="utf-8")
    assert all(f"`{key}`" in specified for key in document)
    assert all(f"`files[].{key}`" in specified or f"`.{key}`" in specified for key in second)
    assert json.loads(_check("--json", good).stdout)["good"] is True


def test_files_are_mapped_and_nothing_is_decoded(good: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    whole = reader.Container.data

    def data(container: reader.Container, *, mapped: bool) -> reader.Data:
        asked.append(mapped)
        return whole(container, mapped=mapped)

    def refuse(_: Bitmask) -> None:
        raise AssertionError

    monkeypatch.setattr(reader.Container, "data", data)
    monkeypatch.setattr(Bitmask, "decode", refuse)
    monkeypatch.setattr(Bitmask, "mask", refuse)
    assert _check(good).exit_code == 0
    assert asked == [True]


def test_a_name_cannot_steer_the_terminal(good: Path, tmp_path: Path) -> None:
    for name in ("\x1b[31mred.st", "two\nlines.st"):
        (tmp_path / name).write_bytes(good.read_bytes())
        (tmp_path / f"bad{name}").write_bytes(b"x")
        done = _check(tmp_path / name, tmp_path / f"bad{name}")
        assert len(done.stdout.splitlines()) == 2
        assert "\x1b" not in done.stdout


def test_without_a_file_it_is_wrong_usage() -> None:
    done = _check()
    assert done.exit_code == 2
    assert "TICKET..." in done.stderr


def test_the_real_command_exits_with_1(good: Path, bad: Path) -> None:
    command = [sys.executable, "-m", "ticketkit", "check"]
    done = subprocess.run([*command, str(good), str(bad)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (1, "")
    assert [line.split()[0] for line in done.stdout.splitlines()] == ["good", "bad"]
    assert subprocess.run([*command, str(good)], capture_output=True, check=False).returncode == 0


def test_its_lines_fit_a_terminal(make_ticket: MakeTicket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    save_ticket(make_ticket("resnet14-w2"), "resnet20-to-resnet56.st")
    save_keys(ALICE, Path("alice.key"), Path("alice.pub"))
    sign_ticket("resnet20-to-resnet56.st", ALICE)
    lines = _check("resnet20-to-resnet56.st", "--signer", "alice.pub").stdout.splitlines()
    assert len(lines) == 2
    assert max(map(len, lines)) <= 80


# --- signatures


@pytest.fixture
def alice(tmp_path: Path) -> Path:
    """The file of Alice's public key."""
    save_keys(ALICE, tmp_path / "alice.key", tmp_path / "alice.pub")
    return tmp_path / "alice.pub"


@pytest.fixture
def bob(tmp_path: Path) -> Path:
    """Bob's, as an SSH key."""
    (tmp_path / "bob.pub").write_text(f"{PublicKey.of(BOB).openssh} bob@home\n")
    return tmp_path / "bob.pub"


def test_a_signed_ticket_is_good_and_the_keys_stand_below_it(good: Path, alice: Path, bob: Path) -> None:
    sign_ticket(good, ALICE)
    plain = _check(good)
    done = _check(good, "--signer", alice)
    assert done.exit_code == 0
    alices, bobs = (
        f"      signed by {PublicKey.of(key).fingerprint} ({file})\n" for key, file in ((ALICE, alice), (BOB, bob))
    )
    assert done.stdout == plain.stdout + alices
    assert _check(good, "--signer", bob, "--signer", alice).stdout == done.stdout, "any of the keys suffices"
    sign_ticket(good, BOB)
    both = _check(good, "--signer", bob, "--signer", alice)
    assert both.stdout == plain.stdout + bobs + alices


def test_json_says_who_signed(good: Path, bad: Path, alice: Path, bob: Path) -> None:
    sign_ticket(good, BOB)
    document = json.loads(_check("--json", bad, good, "--signer", alice, "--signer", bob).stdout)
    assert [file["signed_by"] for file in document["files"]] == [None, [PublicKey.of(BOB).fingerprint]]
    refused = json.loads(_check("--json", good, "--signer", alice).stdout)
    (file,) = refused["files"]
    assert (refused["good"], file["good"], file["signed_by"]) == (False, False, None)
    assert PublicKey.of(ALICE).fingerprint in file["error"]
    assert PublicKey.of(BOB).fingerprint in file["error"]


def test_what_is_wrong_with_a_signature_is_one_line(
    good: Path, alice: Path, make_ticket: MakeTicket, tmp_path: Path
) -> None:
    other = tmp_path / "other.st"
    save_ticket(make_ticket(seed=1), other)
    signature = tmp_path / "good.st.sig"

    def refused() -> str:
        done = _check(good, "--signer", alice)
        assert done.exit_code == 1
        (line,) = done.stdout.splitlines()
        assert line.startswith("bad   ")
        assert line.endswith(f": {signature}")
        return line

    assert "must have a signature file (there is none)" in refused()
    sign_ticket(other, ALICE, signature=signature)
    assert f"must be of this ticket, {make_ticket(density=0.25).id} (it is of " in refused()
    sign_ticket(good, BOB, overwrite=True)
    assert f"by {PublicKey.of(ALICE).fingerprint} (it is signed by {PublicKey.of(BOB).fingerprint})" in refused()
    content = bytearray(signature.read_bytes())
    content[-20] ^= 1
    signature.write_bytes(content)
    assert "must be " in refused()
    signature.write_bytes(b"\x1b[31mred")
    assert "\x1b" not in refused()
    signature.unlink()
    signature.mkdir()
    assert "must be a regular file" in refused()


def test_an_unsound_ticket_is_bad_however_well_it_is_signed(good: Path, bad: Path, alice: Path) -> None:
    sign_ticket(good, ALICE).path.rename(bad.with_name("bad.st.sig"))
    done = _check(bad, "--signer", alice)
    assert done.exit_code == 1
    assert done.stdout.startswith("bad   SHA-256 of layers.0001")


def test_a_signature_that_lies_elsewhere(good: Path, alice: Path, tmp_path: Path) -> None:
    sign_ticket(good, ALICE, signature=tmp_path / "elsewhere.sig")
    assert _check(good, "--signer", alice).exit_code == 1
    assert _check(good, "--signer", alice, "--signature", tmp_path / "elsewhere.sig").exit_code == 0
    for arguments in (
        [good, "--signature", tmp_path / "elsewhere.sig"],
        [good, good, "--signer", alice, "--signature", tmp_path / "elsewhere.sig"],
    ):
        done = _check(*arguments)
        assert (done.exit_code, done.stdout) == (2, "")
        assert "--signature " in done.stderr


def test_a_signer_that_is_no_key_is_an_error_before_any_ticket_is_read(good: Path) -> None:
    with pytest.raises(SignatureError, match="a file of public keys must be"):
        _check(good, "--signer", good)


def test_cryptography_is_imported_only_for_a_signer(good: Path, alice: Path) -> None:
    sign_ticket(good, ALICE)
    for options in ([], ["--signer", str(alice)]):
        code = (
            "import sys; from ticketkit.cli.app import application\n"
            f"application({['check', str(good), *options]}, standalone_mode=False)\n"
            "print('cryptography' in sys.modules, 'ticketkit.signing' in sys.modules, 'torch' in sys.modules)"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        signed = bool(options)
        assert done.stdout.splitlines()[-1] == f"{signed} {signed} False"


def test_without_cryptography_a_signer_is_one_line_and_the_rest_works(good: Path, alice: Path) -> None:
    code = (
        "import sys; sys.modules['cryptography'] = None\n"
        "from ticketkit.cli import main; sys.argv = ['ticketkit', 'check', *sys.argv[1:]]; main()"
    )
    command = [sys.executable, "-c", code, str(good)]
    assert subprocess.run(command, capture_output=True, check=True).stdout.startswith(b"good  ")
    done = subprocess.run([*command, "--signer", str(alice)], capture_output=True, text=True, check=False)
    line = "ticketkit: signatures need cryptography: pip install 'ticketkit[sign]' (it is not installed)\n"
    assert (done.returncode, done.stdout, done.stderr) == (1, "", line)
