"""``ticketkit sign``: vouch for tickets with an Ed25519 key.

With ``--json`` it prints one document of stable keys:

- ``format``: ``name`` (``ticketkit-sign``) and ``version`` (``1.0``);
- ``signer``: fingerprint of the key, ``SHA256:…``, and ``public_key``, its public half in OpenSSH's form;
- ``files``: each with ``path`` and ``id`` of the ticket, ``signature`` (the file), ``signers`` (fingerprints of all
  that have signed it) and ``written`` (false where the key had signed before).
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

import click

from ticketkit.cli.output import echo, echo_json, fields, percent
from ticketkit.cli.passphrase import PASSPHRASE_OPTION, get_passphrase
from ticketkit.cli.references import TICKET_FILES


@click.command("sign", short_help="Vouch for tickets with a key.")
@TICKET_FILES
@click.option(
    "--key",
    required=True,
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Your private Ed25519 key: of ticketkit keygen, ssh-keygen (~/.ssh/id_ed25519) or openssl.",
)
@PASSPHRASE_OPTION
@click.option(
    "-o",
    "--out",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="The signature's file, for one ticket.  [default: the ticket's name and .sig]",
)
@click.option("--force", is_flag=True, help="Replace a file that is there and is no signature of this ticket.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def command(
    tickets: tuple[Path, ...], *, key: Path, passphrase_file: Path | None, out: Path | None, force: bool, as_json: bool
) -> None:
    """Sign tickets' ids with your key, each into a small file beside the ticket.

    A ticket is read whole and checked first, since its id guards all of its content. A signature that others have put
    there stays, and yours is added: TICKET.sig holds all of them. To verify it, ticketkit check has --signer.

    Signatures need the extra sign: pip install 'ticketkit[sign]'.

    \b
    Examples:
      ticketkit sign resnet20.st --key alice.key
          Write resnet20.st.sig.
      ticketkit sign resnet20.st resnet56.st --key ~/.ssh/id_ed25519
          Sign two tickets with an OpenSSH key.
    """  # noqa: D301 - click wants the backspace itself
    from ticketkit.signing import PublicKey, load_private_key, sign_ticket

    if out is not None and len(tickets) > 1:
        raise click.UsageError("-o names one signature's file: it does not go with several tickets")
    private = load_private_key(key, passphrase=lambda: get_passphrase(passphrase_file, key))
    _warn_if_exposed(key)
    signer = PublicKey.of(private)
    files = []
    for number, path in enumerate(tickets):
        done = sign_ticket(path, private, signature=out, overwrite=force, mapped=True)
        name, signature = click.format_filename(path), click.format_filename(done.path)
        if as_json:
            files.append(
                {
                    "path": name,
                    "id": done.ticket.id,
                    "signature": signature,
                    "signers": [known.fingerprint for known in done.signature.signatures],
                    "written": done.written,
                }
            )
            continue
        others = [known.fingerprint for known in done.signature.signatures if known != signer]
        pairs = [
            ("ticket", f"{name}: {done.ticket.arch.name}, {percent(done.ticket.sparsity)} sparse"),
            ("id", done.ticket.id),
            ("signer", signer.fingerprint),
            *zip(["beside", *[""] * len(others)], others, strict=False),
            ("wrote" if done.written else "is in", signature),
        ]
        echo(*([""] if number else []), *fields(pairs))
    if as_json:
        version = {"name": "ticketkit-sign", "version": "1.0"}
        echo_json({"format": version, "signer": signer.fingerprint, "public_key": signer.openssh, "files": files})


def _warn_if_exposed(key: Path) -> None:
    """Say so where others may read the private key; a pipe has no mode that means anything."""
    mode = key.stat().st_mode
    if os.name == "posix" and stat.S_ISREG(mode) and mode & 0o077:
        note = f"note: others may read {click.format_filename(key)} (mode {mode & 0o777:03o}); chmod 600 mends it"
        click.secho(note, err=True, dim=True)
