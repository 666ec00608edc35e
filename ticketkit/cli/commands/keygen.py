"""``ticketkit keygen``: make a key to sign tickets with."""

from __future__ import annotations

from pathlib import Path

import click

from ticketkit.cli.output import echo, fields
from ticketkit.cli.passphrase import PASSPHRASE_OPTION, get_passphrase


@click.command("keygen", short_help="Make a key to sign tickets with.")
@click.argument("name", type=click.Path(path_type=Path))
@click.option("--encrypt", is_flag=True, help="Encrypt the private key with a passphrase, which is asked for.")
@PASSPHRASE_OPTION
def command(name: Path, *, encrypt: bool, passphrase_file: Path | None) -> None:
    """Make an Ed25519 key: NAME.key, which is yours alone (mode 0600), and NAME.pub, which you give to others.

    Both are PEM, as openssl reads them, and no file is ever replaced. If you have an OpenSSH key of this kind,
    ~/.ssh/id_ed25519, sign with that: you need no other.

    Keys need the extra sign: pip install 'ticketkit[sign]'.

    \b
    Examples:
      ticketkit keygen alice
          Write alice.key and alice.pub.
      ticketkit keygen alice --encrypt
          Ask for a passphrase that guards alice.key.
    """  # noqa: D301 - click wants the backspace itself
    from ticketkit.signing import PublicKey, make_private_key, save_keys

    if not name.name:
        raise click.BadParameter(f"a key must have a name (got {click.format_filename(name)!r})", param_hint="NAME")
    private, public = (name.with_name(f"{name.name}.{end}") for end in ("key", "pub"))
    key = make_private_key()
    passphrase = None
    if encrypt or passphrase_file is not None:
        passphrase = get_passphrase(passphrase_file, private, confirm=True)
    save_keys(key, private, public, passphrase=passphrase)
    secrecy = "whoever reads it can sign in your name" if passphrase is None else "encrypted"
    pairs = [
        ("private", f"{click.format_filename(private)} ({secrecy})"),
        ("public", click.format_filename(public)),
        ("key", PublicKey.of(key).fingerprint),
    ]
    echo(*fields(pairs))
