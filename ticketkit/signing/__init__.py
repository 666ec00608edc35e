"""Signed tickets: who vouches for a ticket's id. ``formats/signature-v1.md`` is the specification.

Keys and signatures are Ed25519 (RFC 8032), computed by the package cryptography (the extra ``sign``), which is imported
when it is first needed.
"""

from ticketkit.signing.keys import PublicKey, load_private_key, load_public_keys, make_private_key, save_keys
from ticketkit.signing.signature import (
    Signed,
    TicketSignature,
    parse_signature,
    read_signature,
    sign_ticket,
    signature_path,
    verify_id,
    verify_signature,
)

__all__ = [
    "PublicKey",
    "Signed",
    "TicketSignature",
    "load_private_key",
    "load_public_keys",
    "make_private_key",
    "parse_signature",
    "read_signature",
    "save_keys",
    "sign_ticket",
    "signature_path",
    "verify_id",
    "verify_signature",
]
