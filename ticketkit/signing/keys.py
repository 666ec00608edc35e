"""Ed25519 keys and their files: PEM (PKCS#8, SubjectPublicKeyInfo) and OpenSSH's, told apart by what they hold."""

from __future__ import annotations

import base64
import binascii
import hashlib
import importlib.util
import os
import re
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

from ticketkit.atomic import replacing
from ticketkit.errors import SignatureError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

MOST_KEY_BYTES = 64 * 2**10
"""A key's file is far smaller; a list of public keys, such as GitHub's of one person, has room for hundreds."""

_OPENSSH_BLOB = b"\0\0\0\x0bssh-ed25519\0\0\0\x20"
"""What stands before the 32 bytes of a key in OpenSSH's form (RFC 8709, section 4): its kind and its length."""


@dataclass(frozen=True, slots=True)
class PublicKey:
    """An Ed25519 public key.

    Attributes:
        raw: Its 32 bytes (RFC 8032, section 5.1.5).

    Raises:
        SignatureError: If ``raw`` has another length.
    """

    raw: bytes

    def __post_init__(self) -> None:
        if len(self.raw) != 32:  # noqa: PLR2004 - the length of every Ed25519 key
            raise SignatureError(f"an Ed25519 public key must have 32 bytes (got {len(self.raw):,})")

    @classmethod
    def of(cls, key: Ed25519PrivateKey) -> Self:
        """The public key of a private one."""
        return cls(key.public_key().public_bytes_raw())

    @classmethod
    def from_openssh(cls, text: str) -> Self:
        """Read ``ssh-ed25519 AAAA…`` without a comment, the form of ``authorized_keys`` and of ``.pub`` files.

        Raises:
            SignatureError: If it is not exactly that.
        """
        kind, _, encoded = text.partition(" ")
        try:
            blob = base64.b64decode(encoded, validate=True)
        except (binascii.Error, ValueError):  # the second is what a character beyond ASCII gives
            blob = b""
        if kind != "ssh-ed25519" or blob[: len(_OPENSSH_BLOB)] != _OPENSSH_BLOB:
            raise SignatureError(f"a public key must be 'ssh-ed25519 ' and its Base64 (got {text[:80]!r})")
        return cls(blob[len(_OPENSSH_BLOB) :])

    @property
    def openssh(self) -> str:
        """The key in OpenSSH's form, ``ssh-ed25519 AAAA…``, 80 characters."""
        return f"ssh-ed25519 {base64.b64encode(_OPENSSH_BLOB + self.raw).decode()}"

    @property
    def fingerprint(self) -> str:
        """The key's fingerprint as ``ssh-keygen -l`` prints it: ``SHA256:`` and 43 characters."""
        digest = hashlib.sha256(_OPENSSH_BLOB + self.raw).digest()
        return "SHA256:" + base64.b64encode(digest).decode().rstrip("=")

    def verifies(self, signature: bytes, message: bytes) -> bool:
        """Whether ``signature`` is what this key's private half made of ``message``."""
        need_cryptography()
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

        try:
            Ed25519PublicKey.from_public_bytes(self.raw).verify(signature, message)
        except (InvalidSignature, ValueError):  # the second for bytes that are no key at all
            return False
        return True


def make_private_key() -> Ed25519PrivateKey:
    """Make a new key from the system's randomness."""
    need_cryptography()
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    return Ed25519PrivateKey.generate()


def save_keys(key: Ed25519PrivateKey, private: Path, public: Path, *, passphrase: bytes | None = None) -> None:
    """Write a key as two new files: PKCS#8 PEM that its owner alone may read (mode 0600), SubjectPublicKeyInfo PEM.

    Args:
        key: The key.
        private: Where the private key goes.
        public: Where the public key goes.
        passphrase: What the private key is encrypted with; ``None`` leaves it as it is.

    Raises:
        SignatureError: If a file is there already, or cannot be written. An existing file is as it was.
    """
    from cryptography.hazmat.primitives.serialization import (
        BestAvailableEncryption,
        Encoding,
        KeySerializationEncryption,
        NoEncryption,
        PrivateFormat,
        PublicFormat,
    )

    if passphrase == b"":
        raise SignatureError("a passphrase must not be empty (got no character)")
    encryption: KeySerializationEncryption = (
        NoEncryption() if passphrase is None else BestAvailableEncryption(passphrase)
    )
    secret = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption)
    shown = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    for path in (private, public):
        if os.path.lexists(path):
            raise _taken(str(path))
    try:
        with ExitStack() as stack:  # left in the reverse order: the private key takes its name first
            stack.enter_context(replacing(public, overwrite=False)).write_bytes(shown)
            temporary = stack.enter_context(replacing(private, overwrite=False))
            with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                file.write(secret)
    except FileExistsError:  # somebody took a name meanwhile
        raise _taken(f"{private} or {public}") from None
    except OSError as error:
        raise SignatureError(
            f"a key must be written to a writable place ({error.strerror or error}): {private}"
        ) from None


def load_private_key(path: Path, *, passphrase: Callable[[], bytes] | None = None) -> Ed25519PrivateKey:
    """Read a private key: PKCS#8 PEM, as openssl and ``ticketkit keygen`` write it, or OpenSSH's own form.

    Args:
        path: The file.
        passphrase: Asked once, and only if the key is encrypted.

    Raises:
        SignatureError: If the file is not such a key, is one of another algorithm, or is encrypted and the passphrase
            is missing or wrong.
    """
    need_cryptography()
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_ssh_private_key

    content = _read(path)
    if re.match(rb"\s*(ssh-|ecdsa-|sk-|-----BEGIN (RSA )?PUBLIC KEY-----)", content):
        raise SignatureError(f"to sign, a key must be the private one (got a public key): {path}")
    openssh = b"-----BEGIN OPENSSH PRIVATE KEY-----" in content
    load = load_ssh_private_key if openssh else load_pem_private_key
    with _named(path, "an Ed25519 private key in PKCS#8 PEM or OpenSSH's form"):
        try:
            key = load(content, None)
        except TypeError:  # how both say that the key is encrypted
            if passphrase is None:
                raise SignatureError(f"an encrypted key must come with its passphrase (got none): {path}") from None
            if openssh and importlib.util.find_spec("bcrypt") is None:
                raise SignatureError(f"an encrypted OpenSSH key needs bcrypt: pip install bcrypt: {path}") from None
            given = passphrase()
            try:
                key = load(content, given)
            except (ValueError, TypeError, UnsupportedAlgorithm):  # TypeError: of no character
                raise SignatureError(f"the passphrase must be the key's (it does not decrypt it): {path}") from None
    if not isinstance(key, Ed25519PrivateKey):
        raise _other_kind(type(key).__name__.removesuffix("PrivateKey"), path)
    return key


def load_public_keys(path: Path) -> tuple[PublicKey, ...]:
    """Read public keys: one in SubjectPublicKeyInfo PEM, or one a line in OpenSSH's form, as in ``id_ed25519.pub``.

    In a list, such as ``https://github.com/NAME.keys``, keys of other algorithms are passed over, since none of them
    can have signed a ticket; so are empty lines and lines that begin with ``#``.

    Raises:
        SignatureError: If the file is not such a list, or has no Ed25519 key.
    """
    content = _read(path)
    if b"PRIVATE KEY-----" in content:
        raise SignatureError(f"a signer must be named by the public key (got a private one): {path}")
    if content.lstrip().startswith(b"-----"):
        return (_public_pem(content, path),)
    keys: dict[PublicKey, None] = {}
    others = []
    for line in content.decode("utf-8", "replace").splitlines():
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        if words[0] == "ssh-ed25519":
            try:
                keys[PublicKey.from_openssh(" ".join(words[:2]))] = None
            except SignatureError as error:
                raise SignatureError(f"{error}: {path}") from None
        elif re.fullmatch(r"(ssh|sk-ssh|ecdsa|sk-ecdsa)-[a-z0-9@.-]{1,60}", words[0]):
            others.append(words[0])
        else:
            raise SignatureError(
                f"a file of public keys must be PEM or hold OpenSSH keys, one a line (got {line[:40]!r}): {path}"
            )
    if others and not keys:
        raise _other_kind(others[0], path)
    if not keys:
        raise SignatureError(f"a file of public keys must hold one (it is empty): {path}")
    return tuple(keys)


def need_cryptography() -> None:
    """Say in one line what to install where the package cryptography is missing.

    Raises:
        SignatureError: If it cannot be imported.
    """
    try:
        import cryptography as _  # noqa: F401 - only whether it is there
    except ImportError:
        raise SignatureError(
            "signatures need cryptography: pip install 'ticketkit[sign]' (it is not installed)"
        ) from None


def _public_pem(content: bytes, path: Path) -> PublicKey:
    need_cryptography()
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    with _named(path, "an Ed25519 public key in PEM (SubjectPublicKeyInfo)"):
        key = load_pem_public_key(content)
    if not isinstance(key, Ed25519PublicKey):
        raise _other_kind(type(key).__name__.removesuffix("PublicKey"), path)
    return PublicKey(key.public_bytes_raw())


def _read(path: Path) -> bytes:
    """The content of a key's file, which may be a pipe: ``--key <(pass show signing-key)``."""
    try:
        with path.open("rb") as file:
            content = file.read(MOST_KEY_BYTES + 1)
    except OSError as error:
        raise SignatureError(f"a key must be in a readable file ({error.strerror or error}): {path}") from None
    if len(content) > MOST_KEY_BYTES:
        raise SignatureError(f"a key's file must be of at most {MOST_KEY_BYTES:,} bytes (it has more): {path}")
    return content


@contextmanager
def _named(path: Path, what: str) -> Iterator[None]:
    """Turn whatever cryptography says of a file that it cannot read into one line with the file's name."""
    from cryptography.exceptions import UnsupportedAlgorithm

    try:
        with warnings.catch_warnings():  # about algorithms that are refused anyway
            warnings.simplefilter("ignore")
            yield
    except SignatureError:
        raise
    except (ValueError, UnsupportedAlgorithm):
        raise SignatureError(f"a key's file must hold {what} (got something else): {path}") from None


def _other_kind(kind: str, path: Path) -> SignatureError:
    return SignatureError(f"a key must be of Ed25519 (got {kind.lstrip('_')}): {path}")


def _taken(where: str) -> SignatureError:
    return SignatureError(f"a key must never be overwritten (a file is there already): {where}")
