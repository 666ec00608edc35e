"""The Hugging Face Hub: where its files are, and who asks for them.

Reading a public file takes its URL and nothing else, so it needs no package. ``huggingface_hub``, the extra ``hub``,
knows the user's token, which private files need, and uploads.
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Mapping
from urllib.parse import quote

from ticketkit.sharing.errors import RemoteError
from ticketkit.sharing.references import HubFile, check_url, public_url

ENDPOINT = "https://huggingface.co"
ENDPOINT_VARIABLE = "HF_ENDPOINT"
INSTALL = "pip install 'ticketkit[hub]'"


def endpoint() -> str:
    """The Hub's address: what ``HF_ENDPOINT`` says, as everywhere with the Hub.

    Raises:
        RemoteError: If that is no URL that may be asked.
    """
    found = os.environ.get(ENDPOINT_VARIABLE, "").rstrip("/") or ENDPOINT
    try:
        check_url(found)
    except RemoteError as error:
        raise RemoteError(f"the environment's {ENDPOINT_VARIABLE} must be a URL ({error})") from None
    if found != public_url(found):
        raise RemoteError(f"the environment's {ENDPOINT_VARIABLE} must be a URL without ?: {public_url(found)}")
    return found


def file_url(file: HubFile) -> str:
    """Where a file of the Hub is fetched from."""
    return f"{endpoint()}/{file.repo}/resolve/{quote(file.revision, safe='')}/{quote(file.path)}"


def has_client() -> bool:
    """Whether the extra ``hub`` is installed."""
    return importlib.util.find_spec("huggingface_hub") is not None


def credentials() -> Mapping[str, str]:
    """The head's field that says who asks, by ``huggingface_hub``'s rules; none without that package or a token."""
    if not has_client():
        return {}
    from huggingface_hub import utils

    try:
        # Not in the package's types, yet its own way: it knows which token is sent unasked, and when none is.
        fields = {name.lower(): value for name, value in utils.build_hf_headers().items()}  # type: ignore[attr-defined]
    except Exception as error:  # of whatever it asks for a token: files, keyrings, other servers
        raise _unusable(error) from None
    return {"Authorization": fields["authorization"]} if "authorization" in fields else {}


def own_token() -> str | None:
    """The user's token, by ``huggingface_hub``'s rules, where that is installed; None if there is none.

    Raises:
        RemoteError: If there is one that cannot be used.
    """
    from huggingface_hub import get_token

    try:
        return get_token()
    except Exception as error:  # see credentials
        raise _unusable(error) from None


def _unusable(error: Exception) -> RemoteError:
    return RemoteError(f"the Hub's token must be usable ({error})")


def advice() -> str:
    """What may be wrong where the Hub does not give a file: it does not tell a private one from none."""
    how = "" if has_client() else f"{INSTALL}, then "
    return f"there is no such file, or it is private and needs a token: {how}hf auth login"
