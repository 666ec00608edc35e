"""Uploading a ticket to the Hugging Face Hub, with its card and what was measured with it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ticketkit._version import __version__
from ticketkit.bundle import load_ticket, read_header
from ticketkit.report.comparison import Report
from ticketkit.report.sparsity import SparsityReport
from ticketkit.sharing.card import Card
from ticketkit.sharing.errors import RemoteError
from ticketkit.sharing.hub import INSTALL, endpoint, has_client, own_token

README = "README.md"


@dataclass(frozen=True, slots=True, kw_only=True)
class Push:
    """What is to be uploaded, and where to.

    Attributes:
        ticket: The ticket's file, checked.
        id: Its id.
        repo: The repository, ``user/name``; it is made if it does not exist.
        name: The ticket's name there.
        card: Its card. It becomes the repository's ``README.md``, or if there is one already, ``name`` with ``.md``.
        reports: Reports of ``verify`` about it; each goes along.
    """

    ticket: Path
    id: str
    repo: str
    name: str
    card: str
    reports: tuple[Path, ...] = ()

    @property
    def card_name(self) -> str:
        """The card's name where the repository has a ``README.md`` already."""
        return f"{self.name.removesuffix('.st')}.md"

    def report_names(self) -> list[str]:
        """The reports' names there."""
        stem, several = self.name.removesuffix(".st"), len(self.reports) > 1
        return [f"{stem}.verify{f'-{number}' if several else ''}.json" for number in range(1, len(self.reports) + 1)]

    @property
    def reference(self) -> str:
        """Where the ticket will be, with its id."""
        return f"hf://{self.repo}/{self.name}#{self.id.replace(':', '=')}"


def prepare_push(
    ticket: Path, repo: str, *, name: str, licence: str | None, reports: Sequence[tuple[Path, Report]] = ()
) -> Push:
    """Check a ticket whole, and write its card.

    Args:
        ticket: The ticket's file.
        repo: ``user/name``.
        name: The ticket's name in the repository.
        licence: Its licence as the Hub names it; None if nobody said one.
        reports: Reports about it, each with its file.

    Raises:
        BundleError: If the ticket is not sound.
        TicketkitError: If the licence is no name, or a report is about another ticket.
    """
    header = read_header(ticket)
    report = SparsityReport.of(load_ticket(ticket, mapped=True), header)
    card = Card(
        ticket=report,
        file_name=name,
        reference=f"hf://{repo}/{name}",
        licence=licence,
        verified=tuple(found for _, found in reports),
    )
    return Push(
        ticket=ticket,
        id=report.id,
        repo=repo,
        name=name,
        card=card.to_markdown(),
        reports=tuple(path for path, _ in reports),
    )


def push(what: Push, *, private: bool | None = None) -> str:
    """Upload in one commit, by ``huggingface_hub`` and with its token.

    Args:
        what: What to upload.
        private: Whether a repository that is made is private; None as the user's settings have it.

    Returns:
        The commit's URL.

    Raises:
        RemoteError: If the package or a token is missing, or the Hub refuses.
    """
    if not has_client():
        raise RemoteError(f"uploading must have huggingface_hub: {INSTALL}")
    from huggingface_hub import CommitOperationAdd, HfApi

    token = own_token()
    if token is None:
        raise RemoteError("uploading must have a token of the Hub (none is here): hf auth login, or HF_TOKEN")
    hub = HfApi(endpoint=endpoint(), token=token, library_name="ticketkit", library_version=__version__)
    try:
        hub.create_repo(what.repo, private=private, exist_ok=True)
        card_name = what.card_name if hub.file_exists(what.repo, README) else README
        files: dict[str, Any] = {what.name: what.ticket, card_name: what.card.encode()}
        files |= dict(zip(what.report_names(), what.reports, strict=True))
        operations = [CommitOperationAdd(path_in_repo=name, path_or_fileobj=file) for name, file in files.items()]
        done = hub.create_commit(what.repo, operations, commit_message=f"{what.name}: {what.id}")
    except Exception as error:  # of a package that talks to the network through several others
        raise RemoteError(f"the Hub must take what is uploaded ({error}): hf://{what.repo}") from None
    return str(done.commit_url)
