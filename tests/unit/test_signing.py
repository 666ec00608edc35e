"""Signatures and key files: what was signed verifies, whatever differs from it by a bit does not, and says so."""

from __future__ import annotations

import base64
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed448, rsa, x25519
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from ticketkit import atomic
from ticketkit.bundle import save_ticket
from ticketkit.errors import BundleError, SignatureError
from ticketkit.signing import (
    PublicKey,
    TicketSignature,
    keys,
    load_private_key,
    load_public_keys,
    parse_signature,
    read_signature,
    save_keys,
    sign_ticket,
    signature_path,
    verify_id,
    verify_signature,
)
from ticketkit.ticket import Ticket

MakeTicket = Callable[..., Ticket]

FORMATS = Path(__file__).parents[2] / "formats"
VECTORS = FORMATS / "vectors" / "signature"
ALICE, BOB = (Ed25519PrivateKey.from_private_bytes(bytes(range(start, start + 32))) for start in (0, 32))
"""The private keys of the golden files."""
ALICES, BOBS = PublicKey.of(ALICE), PublicKey.of(BOB)
BOBS_FINGERPRINT = "SHA256:ICWTIMFqIa1seHwfScxOpzmnnS/35sGRnuqEN5d9eOM"
"""As ``ssh-keygen -l -f second.pub`` prints it."""
GOLDEN = VECTORS.parent / "resnet8-w1-pad.st"


@pytest.fixture
def ticket(make_ticket: MakeTicket, tmp_path: Path) -> Path:
    save_ticket(make_ticket(), tmp_path / "a.st")
    return tmp_path / "a.st"


@pytest.fixture
def signed(ticket: Path) -> Path:
    """The signature that Alice has put beside ``ticket``."""
    return sign_ticket(ticket, ALICE).path


@pytest.fixture(scope="module")
def ticket_id() -> str:
    return (VECTORS / "one-signer.sig").read_text().splitlines()[1]


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


# --- what was signed verifies


def test_the_golden_signatures_verify_and_are_made_again_to_the_byte(tmp_path: Path) -> None:
    (first,), (second,) = load_public_keys(VECTORS / "first.pub"), load_public_keys(VECTORS / "second.pub")
    assert (first, second) == (ALICES, BOBS)
    assert second.fingerprint == BOBS_FINGERPRINT
    one, two = (VECTORS / f"{name}.sig" for name in ("one-signer", "two-signers"))
    assert verify_signature(GOLDEN, [second, first], signature=one).signed_by == (first,)
    assert verify_signature(GOLDEN, [second, first], signature=two).signed_by == (second, first)
    made = tmp_path / "made.sig"
    for key, path in ((ALICE, one), (BOB, two)):
        assert sign_ticket(GOLDEN, key, signature=made).written
        assert made.read_bytes() == path.read_bytes()
        assert parse_signature(made.read_bytes()).encode() == made.read_bytes()


def test_what_is_signed_is_the_beginning_of_the_file(ticket: Path, signed: Path) -> None:
    message = b"".join(signed.read_bytes().splitlines(keepends=True)[:2])
    found = verify_signature(ticket, [ALICES])
    assert message == f"ticketkit-signature-v1\n{found.ticket.id}\n".encode()
    ALICE.public_key().verify(found.signature.signatures[ALICES], message)


def test_the_second_signer_is_added_and_the_first_stays(ticket: Path, signed: Path) -> None:
    before = signed.read_bytes()
    done = sign_ticket(ticket, BOB)
    assert done.written
    assert done.signed_by == (BOBS,)
    assert signed.read_bytes().startswith(before)
    assert verify_signature(ticket, [ALICES]).signed_by == (ALICES,)
    assert verify_signature(ticket, [BOBS]).signed_by == (BOBS,)
    whole = signed.read_bytes()
    assert not sign_ticket(ticket, ALICE, overwrite=True).written
    assert signed.read_bytes() == whole
    assert names(ticket.parent) == ["a.st", "a.st.sig"]


def test_a_stretched_or_other_ticket_needs_a_signature_of_its_own(
    ticket: Path, signed: Path, make_ticket: MakeTicket
) -> None:
    other = ticket.with_name("other.st")
    other_id = save_ticket(make_ticket(seed=1), other)
    shutil.copy(signed, signature_path(other))
    own_id = read_signature(signed).ticket_id
    message = f"a signature must be of this ticket, {other_id} (it is of {own_id}): {signature_path(other)}"
    with pytest.raises(SignatureError, match=rf"^{re.escape(message)}$"):
        verify_signature(other, [ALICES])
    with pytest.raises(SignatureError, match=r"must not be overwritten unasked \(a signature must be of this ticket"):
        sign_ticket(other, ALICE)
    assert signature_path(other).read_bytes() == signed.read_bytes()
    sign_ticket(other, BOB, overwrite=True)
    assert list(verify_signature(other, [BOBS]).signature.signatures) == [BOBS]


def test_another_key_is_named_with_the_one_that_signed(ticket: Path, signed: Path) -> None:
    message = f"a ticket must be signed by {BOBS.fingerprint} (it is signed by {ALICES.fingerprint}): {signed}"
    with pytest.raises(SignatureError, match=rf"^{re.escape(message)}$"):
        verify_signature(ticket, [BOBS])
    carol = PublicKey.of(Ed25519PrivateKey.generate())
    with pytest.raises(SignatureError, match=rf"by one of {re.escape(f'{BOBS.fingerprint}, {carol.fingerprint} (')}"):
        verify_signature(ticket, [BOBS, carol])
    with pytest.raises(SignatureError, match=r"by a key that is trusted \(it is signed by"):
        verify_signature(ticket, [])


def test_many_signers_are_counted_and_not_listed(ticket_id: str, tmp_path: Path) -> None:
    message = f"ticketkit-signature-v1\n{ticket_id}\n".encode()
    made = [Ed25519PrivateKey.generate() for _ in range(64)]
    whole = TicketSignature(ticket_id=ticket_id, signatures={PublicKey.of(key): key.sign(message) for key in made})
    (tmp_path / "many.sig").write_bytes(whole.encode())
    with pytest.raises(SignatureError, match="and 60 more") as refused:
        verify_id(ticket_id, tmp_path / "many.sig", [ALICES])
    assert len(str(refused.value)) < 500 + len(str(tmp_path))
    assert verify_id(ticket_id, tmp_path / "many.sig", [PublicKey.of(made[-1])])[0] == whole
    shutil.copy(GOLDEN, tmp_path)
    with pytest.raises(SignatureError, match=r"^a ticket must have 1 to 64 signers \(got 65\): .*many.sig$"):
        sign_ticket(tmp_path / GOLDEN.name, ALICE, signature=tmp_path / "many.sig")


def test_a_ticket_that_is_not_sound_is_neither_signed_nor_verified(ticket: Path, signed: Path) -> None:
    content = bytearray(ticket.read_bytes())
    content[8 + int.from_bytes(content[:8], "little")] ^= 1
    ticket.write_bytes(content)
    with pytest.raises(BundleError, match="SHA-256 of"):
        verify_signature(ticket, [ALICES])
    signed.unlink()
    with pytest.raises(BundleError, match="SHA-256 of"):
        sign_ticket(ticket, ALICE)
    assert names(ticket.parent) == ["a.st"]


# --- whatever differs does not


@pytest.mark.parametrize(("name", "step"), [("one-signer", 1), ("two-signers", 7)])
def test_no_bit_of_the_file_can_be_flipped(name: str, step: int, ticket_id: str, tmp_path: Path) -> None:
    content = (VECTORS / f"{name}.sig").read_bytes()
    path = tmp_path / "a.sig"
    accepted = []
    for bit in range(0, 8 * len(content), step):
        flipped = bytearray(content)
        flipped[bit // 8] ^= 1 << bit % 8
        path.write_bytes(flipped)
        try:
            verify_id(ticket_id, path, [ALICES, BOBS])
        except SignatureError as error:
            assert str(error).endswith(f": {path}")  # noqa: PT017 - one of thousands
            assert str(error).isprintable()  # noqa: PT017
        else:
            accepted.append(bit)
    assert accepted == []


def test_no_bit_of_key_signature_or_message_can_be_flipped(ticket_id: str) -> None:
    message = f"ticketkit-signature-v1\n{ticket_id}\n".encode()
    parts = (ALICES.raw, ALICE.sign(message), message)
    assert PublicKey(parts[0]).verifies(parts[1], parts[2])
    for which, part in enumerate(parts):
        for bit in range(8 * len(part)):
            flipped = bytearray(part)
            flipped[bit // 8] ^= 1 << bit % 8
            raw, signature, signed = (*parts[:which], bytes(flipped), *parts[which + 1 :])
            assert not PublicKey(raw).verifies(signature, signed)


def test_a_file_that_is_cut_or_longer_is_refused() -> None:
    content = (VECTORS / "two-signers.sig").read_bytes()
    one_signer = len((VECTORS / "one-signer.sig").read_bytes())
    for length in set(range(len(content))) - {one_signer}:
        with pytest.raises(SignatureError):
            parse_signature(content[:length])
    for more in (b"\n", b" ", b"\0", b"x\n", content.splitlines(keepends=True)[2]):
        with pytest.raises(SignatureError):
            parse_signature(content + more)


def test_a_signature_of_another_message_by_the_right_key_is_refused(ticket_id: str, tmp_path: Path) -> None:
    for message in (b"", ticket_id.encode(), f"ticketkit-signature-v1\n{ticket_id}".encode()):
        forged = TicketSignature(ticket_id=ticket_id, signatures={ALICES: ALICE.sign(message)})
        (tmp_path / "a.sig").write_bytes(forged.encode())
        with pytest.raises(SignatureError, match=rf"\(that of {re.escape(ALICES.fingerprint)} is not\)"):
            verify_id(ticket_id, tmp_path / "a.sig", [ALICES])


def test_one_bad_signer_spoils_the_file(ticket_id: str, tmp_path: Path) -> None:
    sound = TicketSignature.make(ticket_id, ALICE)
    spoilt = TicketSignature(ticket_id=ticket_id, signatures={**sound.signatures, BOBS: bytes(64)})
    (tmp_path / "a.sig").write_bytes(spoilt.encode())
    with pytest.raises(SignatureError, match=re.escape(BOBS.fingerprint)):
        verify_id(ticket_id, tmp_path / "a.sig", [ALICES])


ID = "sha256:" + "0" * 64
SIGNER = f"{ALICES.openssh} {base64.b64encode(bytes(64)).decode()}"
FIRST = "ticketkit-signature-v1"
HOSTILE: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "must begin with the line ticketkit-signature-v1 (got '')"),
    "a-ticket": (GOLDEN.read_bytes()[:2000], "must begin with the line"),
    "too-long": (b"x" * 16_385, "must be of at most 16,384 bytes (it has more)"),
    "version-2": (b"ticketkit-signature-v2\nwhatever", "knows signatures of version 1 (got 2); a newer ticketkit"),
    "version-2-crlf": (b"ticketkit-signature-v2\r\nwhatever", "knows signatures of version 1 (got 2)"),
    "version-01": (f"ticketkit-signature-v01\n{ID}\n{SIGNER}\n".encode(), "must begin with the line"),
    "version-huge": (b"ticketkit-signature-v" + b"9" * 9000, "must begin with the line"),
    "control-characters": (b"\x1b[31mticketkit\n", "must begin with the line ticketkit-signature-v1 (got '\\x1b[31m"),
    "not-ascii": ("ticketkit-signature-v\uff11\n".encode(), "must begin with the line"),
    "converted": (f"{FIRST}\r\n{ID}\r\n{SIGNER}\r\n".encode(), "must end in LF alone"),
    "no-signer": (f"{FIRST}\n{ID}\n".encode(), "a whole line each (it is cut short)"),
    "no-last-line-end": (f"{FIRST}\n{ID}\n{SIGNER}".encode(), "a whole line each (it is cut short)"),
    "id-in-upper-case": (
        f"{FIRST}\n{ID[:-1]}A\n{SIGNER}\n".encode(),
        "must be of a ticket's id, sha256:… (got 'sha256:0",
    ),
    "id-of-another-hash": (f"{FIRST}\n{ID.replace('256', '512')}\n{SIGNER}\n".encode(), "must be of a ticket's id"),
    "id-with-space": (f"{FIRST}\n{ID} \n{SIGNER}\n".encode(), "must be of a ticket's id"),
    "empty-line": (f"{FIRST}\n{ID}\n{SIGNER}\n\n".encode(), "line 4 of a signature file must be"),
    "comment": (f"{FIRST}\n{ID}\n{SIGNER} alice\n".encode(), "line 3 of a signature file must be"),
    "two-spaces": (f"{FIRST}\n{ID}\n{SIGNER.replace(' ', '  ')}\n".encode(), "line 3 of a signature file must be"),
    "rsa": (f"{FIRST}\n{ID}\n{SIGNER.replace('ed25519', 'rsa', 1)}\n".encode(), "line 3 of a signature file must be"),
    "key-of-another-kind": (
        f"{FIRST}\n{ID}\nssh-ed25519 {'A' * 68} {'A' * 86}==\n".encode(),
        "a public key must be 'ssh-ed25519 ' and its Base64",
    ),
    "short-signature": (f"{FIRST}\n{ID}\n{SIGNER[:-5]}=\n".encode(), "line 3 of a signature file must be"),
    "twice": (f"{FIRST}\n{ID}\n{SIGNER}\n{SIGNER}\n".encode(), f"every signer once (got {ALICES.fingerprint} again)"),
    "loose-bits": (f"{FIRST}\n{ID}\n{SIGNER[:-3]}B==\n".encode(), "must be canonical"),
    "no-signature-at-all": (f"{FIRST}\n{ID}\n{SIGNER}\n".encode(), f"(that of {ALICES.fingerprint} is not)"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_file_is_one_line(name: str, tmp_path: Path) -> None:
    content, message = HOSTILE[name]
    path = tmp_path / "a.sig"
    path.write_bytes(content)
    with pytest.raises(SignatureError, match=re.escape(message)) as refused:
        verify_id(ID, path, [ALICES])
    assert str(refused.value).endswith(f": {path}")
    assert str(refused.value).isprintable()
    assert len(str(refused.value)) < 300 + len(str(path))


def test_what_is_no_file_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.sig")
    (tmp_path / "loop.sig").symlink_to("loop.sig")
    (tmp_path / "gone.sig").symlink_to("nowhere")
    began = time.perf_counter()
    for name, message in {
        "pipe.sig": "must be a regular file (got another kind)",
        "": "must be a regular file (got another kind)",
        "loop.sig": "must be a readable file (",
        "gone.sig": "must have a signature file (there is none)",
        "none.sig": "must have a signature file (there is none)",
        "none/a.sig": "must have a signature file (there is none)",
    }.items():
        with pytest.raises(SignatureError, match=re.escape(message)) as refused:
            read_signature(tmp_path / name)
        assert str(refused.value).endswith(f": {tmp_path / name}")
    assert time.perf_counter() - began < 1


def test_not_more_of_a_file_is_read_than_may_be_there(ticket_id: str, tmp_path: Path) -> None:
    path = tmp_path / "a.sig"
    path.write_bytes(b"")
    os.truncate(path, 2**40)
    began = time.perf_counter()
    with pytest.raises(SignatureError, match="at most 16,384 bytes"):
        verify_id(ticket_id, path, [ALICES])
    assert time.perf_counter() - began < 1


# --- what is written


def test_what_is_there_is_not_replaced_unasked(ticket: Path) -> None:
    path = signature_path(ticket)
    path.write_text("my notes")
    with pytest.raises(SignatureError, match=r"must not be overwritten unasked \(a signature file must begin with"):
        sign_ticket(ticket, ALICE)
    assert path.read_text() == "my notes"
    sign_ticket(ticket, ALICE, overwrite=True)
    assert verify_signature(ticket, [ALICES]).signed_by == (ALICES,)


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_ticket_is_not_replaced_by_its_signature(ticket: Path, overwrite: bool) -> None:
    content = ticket.read_bytes()
    ticket.with_name("link.sig").symlink_to(ticket)
    for name in ("a.st", "link.sig"):
        with pytest.raises(SignatureError, match=r"a file of its own \(got the ticket's\)"):
            sign_ticket(ticket, ALICE, signature=ticket.with_name(name), overwrite=overwrite)
    assert ticket.read_bytes() == content


def test_a_place_that_cannot_be_written_is_one_line(ticket: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SignatureError, match=r"^a signature must be written to a writable place \(No such file"):
        sign_ticket(ticket, ALICE, signature=ticket.parent / "none" / "a.sig")
    monkeypatch.setattr(atomic, "_flush", lambda path: os.open(path / "x", os.O_RDONLY))
    with pytest.raises(SignatureError, match=r"^a signature must be written to a writable place \(Not a directory"):
        sign_ticket(ticket, ALICE)
    assert names(ticket.parent) == ["a.st"]


def test_a_name_taken_meanwhile_is_not_replaced(ticket: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = signature_path(ticket)
    monkeypatch.setattr(atomic, "_flush", lambda _: path.write_text("theirs"))
    with pytest.raises(SignatureError, match="must not be overwritten unasked"):
        sign_ticket(ticket, ALICE)
    assert path.read_text() == "theirs"


# --- key files

PRIVATE_FORMS = {
    "pkcs8": (Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
    "pkcs8-encrypted": (Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret")),
    "openssh": (Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()),
    "openssh-encrypted": (Encoding.PEM, PrivateFormat.OpenSSH, BestAvailableEncryption(b"secret")),
}


@pytest.mark.parametrize("form", PRIVATE_FORMS)
def test_private_keys_of_both_forms_are_read(form: str, tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_bytes(ALICE.private_bytes(*PRIVATE_FORMS[form]))
    asked: list[str] = []

    def passphrase() -> bytes:
        asked.append(form)
        return b"secret"

    assert load_private_key(path, passphrase=passphrase).private_bytes_raw() == ALICE.private_bytes_raw()
    encrypted = form.endswith("-encrypted")
    assert asked == [form] * encrypted
    if not encrypted:
        assert load_private_key(path).private_bytes_raw() == ALICE.private_bytes_raw()
        return
    with pytest.raises(SignatureError, match=r"^an encrypted key must come with its passphrase \(got none\): .*key$"):
        load_private_key(path)
    for wrong in (b"Secret", b"", b"x" * 2000):
        with pytest.raises(SignatureError, match=r"^the passphrase must be the key's \(it does not decrypt it\)"):
            load_private_key(path, passphrase=lambda wrong=wrong: wrong)  # type: ignore[misc]


def test_an_encrypted_openssh_key_says_what_it_lacks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "key").write_bytes(ALICE.private_bytes(*PRIVATE_FORMS["openssh-encrypted"]))
    monkeypatch.setattr(keys.importlib.util, "find_spec", lambda _: None)
    with pytest.raises(SignatureError, match="needs bcrypt: pip install bcrypt"):
        load_private_key(tmp_path / "key", passphrase=lambda: b"secret")


OTHERS = {
    "RSA": lambda: rsa.generate_private_key(65537, 1024),
    "EC": lambda: ec.generate_private_key(ec.SECP256R1()),
    "Ed448": ed448.Ed448PrivateKey.generate,
    "X25519": x25519.X25519PrivateKey.generate,
}


@pytest.mark.parametrize("kind", OTHERS)
def test_keys_of_other_algorithms_are_refused_by_name(kind: str, tmp_path: Path) -> None:
    key = OTHERS[kind]()  # type: ignore[no-untyped-call]
    (tmp_path / "key").write_bytes(key.private_bytes(*PRIVATE_FORMS["pkcs8"]))
    (tmp_path / "pub").write_bytes(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    for load, name in ((load_private_key, "key"), (load_public_keys, "pub")):
        with pytest.raises(SignatureError, match=rf"^a key must be of Ed25519 \(got {kind}\): .*{name}$"):
            load(tmp_path / name)  # type: ignore[operator]


def test_the_wrong_half_of_a_pair_is_named(tmp_path: Path) -> None:
    save_keys(ALICE, tmp_path / "a.key", tmp_path / "a.pub")
    (tmp_path / "ssh.pub").write_text(ALICES.openssh)
    for name in ("a.pub", "ssh.pub"):
        with pytest.raises(SignatureError, match=r"must be the private one \(got a public key\)"):
            load_private_key(tmp_path / name)
    with pytest.raises(SignatureError, match=r"must be named by the public key \(got a private one\)"):
        load_public_keys(tmp_path / "a.key")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\0" * 100,
        b"\xff\xfe",
        b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
        b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n",
        b"-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n-----END OPENSSH PRIVATE KEY-----\n",
        b"-----BEGIN OPENSSH PRIVATE KEY-----\nA\n-----END OPENSSH PRIVATE KEY-----\n",
        b"-----BEGIN OPENSSH PRIVATE KEY-----\xff",
        b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
        b"ssh-ed25519\n",
        b"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIA\n",
        "ssh-ed25519 ÄÄÄÄ\n".encode(),
        b"alice ssh-ed25519 AAAA\n",
        b"x" * 70_000,
    ],
)
def test_what_is_no_key_is_one_line(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "key").write_bytes(content)
    for load in (load_private_key, load_public_keys):
        with pytest.raises(SignatureError) as refused:
            load(tmp_path / "key")  # type: ignore[operator]
        assert str(refused.value).endswith("/key")
        assert str(refused.value).isprintable()


def test_a_missing_key_is_one_line(tmp_path: Path) -> None:
    for load in (load_private_key, load_public_keys):
        with pytest.raises(SignatureError, match=r"^a key must be in a readable file \(No such file or directory\)"):
            load(tmp_path / "none")  # type: ignore[operator]


def test_a_list_of_keys_is_read_and_other_algorithms_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "alice.keys"
    path.write_text(
        f"# from GitHub\r\nssh-rsa AAAAB3NzaC1yc2E= old\n\n{ALICES.openssh}\n  {BOBS.openssh} bob@home comment\n"
        f"sk-ssh-ed25519@openssh.com AAAA\n{ALICES.openssh} again\n"
    )
    assert load_public_keys(path) == (ALICES, BOBS)
    path.write_text("ssh-rsa AAAAB3NzaC1yc2E= old\n")
    with pytest.raises(SignatureError, match=r"^a key must be of Ed25519 \(got ssh-rsa\)"):
        load_public_keys(path)
    path.write_text("\n# nobody\n")
    with pytest.raises(SignatureError, match=r"must hold one \(it is empty\)"):
        load_public_keys(path)


def test_a_public_key_has_32_bytes_and_one_text() -> None:
    assert PublicKey.from_openssh(ALICES.openssh) == ALICES
    assert len(ALICES.openssh) == 80
    for length in (0, 31, 33):
        with pytest.raises(SignatureError, match=rf"must have 32 bytes \(got {length}\)"):
            PublicKey(bytes(length))


@pytest.mark.parametrize("passphrase", [None, b"secret"])
def test_keys_are_written_once_and_the_private_one_is_its_owners(passphrase: bytes | None, tmp_path: Path) -> None:
    private, public = tmp_path / "a.key", tmp_path / "a.pub"
    umask = os.umask(0)
    try:
        save_keys(ALICE, private, public, passphrase=passphrase)
    finally:
        os.umask(umask)
    assert private.stat().st_mode & 0o777 == 0o600
    assert (b"ENCRYPTED" in private.read_bytes()) == (passphrase is not None)
    assert load_private_key(private, passphrase=lambda: b"secret").private_bytes_raw() == ALICE.private_bytes_raw()
    assert load_public_keys(public) == (ALICES,)
    before = {path: path.read_bytes() for path in (private, public)}
    for gone in (private, public):
        gone.unlink()
        with pytest.raises(SignatureError, match=r"^a key must never be overwritten \(a file is there already\)"):
            save_keys(BOB, private, public)
        assert [path for path in before if path.exists()] == [path for path in before if path != gone]
        gone.write_bytes(before[gone])
    assert {path: path.read_bytes() for path in before} == before
    assert names(tmp_path) == ["a.key", "a.pub"]


def test_a_key_that_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(SignatureError, match=r"written to a writable place \(No such file or directory\): .*a.key$"):
        save_keys(ALICE, tmp_path / "none" / "a.key", tmp_path / "a.pub")
    with pytest.raises(SignatureError, match=r"a passphrase must not be empty"):
        save_keys(ALICE, tmp_path / "a.key", tmp_path / "a.pub", passphrase=b"")
    assert names(tmp_path) == []


# --- without the extra, and with other tools


def test_without_cryptography_one_line_says_what_to_install(ticket: Path) -> None:
    code = (
        "import sys; sys.modules['cryptography'] = None\n"
        "from pathlib import Path; from ticketkit import signing; from ticketkit.errors import SignatureError\n"
        "key = signing.PublicKey(bytes(32)); path = Path(sys.argv[1])\n"
        "for call in (signing.make_private_key, lambda: signing.load_private_key(path),\n"
        "             lambda: key.verifies(b'', b''), lambda: signing.sign_ticket(path, None),\n"
        "             lambda: signing.verify_signature(path, [key])):\n"
        "    try: call()\n"
        "    except SignatureError as error: print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(ticket)], capture_output=True, text=True, check=True)
    line = "signatures need cryptography: pip install 'ticketkit[sign]' (it is not installed)"
    assert done.stdout.splitlines() == [line] * 5


OPENSSL = shutil.which("openssl")
if OPENSSL and b"OpenSSL 3" in subprocess.run([OPENSSL, "version"], capture_output=True, check=True).stdout:

    def test_the_commands_of_the_specification_do_what_it_says(ticket: Path, signed: Path, tmp_path: Path) -> None:
        save_keys(ALICE, tmp_path / "alice.key", tmp_path / "alice.pub")
        (tmp_path / "id_ed25519.pub").write_text(f"{ALICES.openssh} alice@example.org\n")
        signed.rename(tmp_path / "ticket.st.sig")
        text = (FORMATS / "signature-v1.md").read_text(encoding="utf-8")
        verify, convert, sign = re.findall(r"^```sh\n(.*?)^```$", text, flags=re.M | re.S)

        def run(script: str) -> subprocess.CompletedProcess[str]:
            return subprocess.run(
                ["bash", "-c", f"set -o pipefail\n{script}"], cwd=tmp_path, capture_output=True, text=True, check=False
            )

        assert run(verify).stdout == "Signature Verified Successfully\n"
        assert run(convert).returncode == 0
        assert (tmp_path / "id_ed25519.pem").read_text() == (tmp_path / "alice.pub").read_text()
        assert run(sign).returncode == 0
        assert (tmp_path / "made.sig").read_bytes() == (tmp_path / "ticket.st.sig").read_bytes()
        save_keys(BOB, tmp_path / "bob.key", tmp_path / "bob.pub")
        assert run(verify.replace("alice.pub", "bob.pub")).stdout == "Signature Verification Failure\n"


if shutil.which("ssh-keygen"):

    def test_keys_of_ssh_keygen_sign_and_have_its_fingerprint(ticket: Path, tmp_path: Path) -> None:
        for name, passphrase in (("plain", ""), ("locked", "secret")):
            path = tmp_path / name
            command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", passphrase, "-f", str(path)]
            subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
            (key,) = load_public_keys(path.with_suffix(".pub"))
            sign_ticket(ticket, load_private_key(path, passphrase=passphrase.encode))
            assert verify_signature(ticket, [key]).signed_by == (key,)
            shown = subprocess.run(
                ["ssh-keygen", "-l", "-f", f"{path}.pub"], capture_output=True, text=True, check=True
            )
            assert shown.stdout.split()[1] == key.fingerprint
