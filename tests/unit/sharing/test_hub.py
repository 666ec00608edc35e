"""The Hub, played by a server of this machine: reading without the package, who is told the token, and uploading."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from ticket_server import Behaviour

from ticketkit.cli.app import application
from ticketkit.errors import BundleError
from ticketkit.sharing import RemoteError, hub, push, read_remote_header, resolve
from ticketkit.sharing.references import HubFile
from ticketkit.ticket import Ticket

Serve = Callable[..., str]


def run(*arguments: object) -> Result:
    return CliRunner().invoke(application, list(map(str, arguments)), catch_exceptions=False)


def send_json(request: BaseHTTPRequestHandler, value: object, status: int = 200) -> None:
    content = json.dumps(value).encode()
    request.send_response(status)
    request.send_header("Content-Type", "application/json")
    request.send_header("Content-Length", str(len(content)))
    request.end_headers()
    request.wfile.write(content)


@pytest.fixture
def no_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub, "has_client", lambda: False)


@pytest.fixture(autouse=True)
def no_token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No token of the user's gets into a test."""
    monkeypatch.setattr("huggingface_hub.constants.HF_TOKEN_PATH", str(tmp_path / "no-token"))
    monkeypatch.delenv("HF_TOKEN", raising=False)


@pytest.fixture
def storage(served: Behaviour, serve: Serve) -> str:
    """Where the Hub's files lie: on another host, as far as a port tells."""
    return serve(served)


@pytest.fixture
def front(storage: str, serve: Serve, monkeypatch: pytest.MonkeyPatch) -> Behaviour:
    """The Hub itself, which redirects to the storage."""

    def answer(request: BaseHTTPRequestHandler) -> bool:
        request.send_response(302)
        request.send_header("Location", storage + "/object?signature=secret")
        request.end_headers()
        return True

    behaviour = Behaviour(answer=answer)
    monkeypatch.setenv("HF_ENDPOINT", serve(behaviour) + "/")
    return behaviour


def test_urls_of_files(monkeypatch: pytest.MonkeyPatch) -> None:
    file = HubFile(repo="me/repo", path="a b/t.st", revision="refs/pr/1")
    assert hub.file_url(file) == "https://huggingface.co/me/repo/resolve/refs%2Fpr%2F1/a%20b/t.st"
    for wrong in ("http://example.org", "huggingface.co", "https://host?x"):
        monkeypatch.setenv("HF_ENDPOINT", wrong)
        with pytest.raises(RemoteError, match="the environment's HF_ENDPOINT must be a URL"):
            hub.file_url(file)


@pytest.mark.usefixtures("no_package")
def test_a_public_file_needs_no_package(front: Behaviour, served: Behaviour, ticket: Ticket) -> None:
    assert resolve("hf://me/repo/t.st@v1").read_bytes() == served.content
    assert front.requests[0]["path"] == "/me/repo/resolve/v1/t.st"
    assert "Authorization" not in front.requests[0]
    served.sent = 0
    assert read_remote_header("hf://me/repo/t.st").id == ticket.id
    assert served.sent < len(served.content)
    assert ticket.id in run("inspect", f"hf://me/repo/t.st#sha256={ticket.id[7:]}").stdout


def test_the_token_goes_to_the_hub_alone(front: Behaviour, served: Behaviour, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    resolve("hf://me/repo/t.st")
    assert [request["Authorization"] for request in front.requests] == ["Bearer hf_secret"]
    assert all("Authorization" not in request for request in served.requests)


def test_a_hidden_file_comes_with_advice(front: Behaviour, monkeypatch: pytest.MonkeyPatch) -> None:
    front.answer = lambda request: request.send_error(401) or True
    with pytest.raises(
        BundleError, match=r"\(401 .*\); there is no such file, or .* token: hf auth login: hf://me/repo"
    ):
        resolve("hf://me/repo/t.st")
    monkeypatch.setattr("ticketkit.sharing.hub.has_client", lambda: False)
    with pytest.raises(BundleError, match=r"token: pip install 'ticketkit\[hub\]', then hf auth login: hf://"):
        read_remote_header("hf://me/repo/t.st")


def test_a_token_that_cannot_be_had_is_one_line(front: Behaviour, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(**_: object) -> Any:
        raise RuntimeError("the keyring\nis locked")

    monkeypatch.setattr("huggingface_hub.utils.build_hf_headers", broken)
    with pytest.raises(RemoteError, match=r"^the Hub's token must be usable \(the keyring is locked\): hf://me/repo"):
        resolve("hf://me/repo/t.st")


class FakeHub:
    """As much of the Hub's API as an upload takes."""

    def __init__(self, *, has_readme: bool = False) -> None:
        self.has_readme = has_readme
        self.created: list[dict[str, Any]] = []
        self.files: dict[str, bytes] = {}
        self.summary = ""

    def __call__(self, request: Any) -> bool:
        if request.path == "/api/repos/create":
            self.created.append(json.loads(request.body))
            send_json(request, {"url": "http://127.0.0.1/me/repo"})
        elif request.path == "/api/validate-yaml":
            send_json(request, {"errors": [], "warnings": []})
        elif request.command == "HEAD":
            request.send_response(200 if self.has_readme else 404)
            for name, value in {"ETag": '"x"', "X-Repo-Commit": "0" * 40, "X-Error-Code": "EntryNotFound"}.items():
                if not (self.has_readme and name == "X-Error-Code"):
                    request.send_header(name, value)
            request.send_header("Content-Length", "1")
            request.end_headers()
        elif "/preupload/" in request.path:
            asked = json.loads(request.body)["files"]
            answer = [{"path": file["path"], "uploadMode": "regular", "shouldIgnore": False} for file in asked]
            send_json(request, {"files": answer})
        elif "/commit/" in request.path:
            for line in request.body.splitlines():
                item = json.loads(line)
                if item["key"] == "file":
                    self.files[item["value"]["path"]] = base64.b64decode(item["value"]["content"])
                elif item["key"] == "header":
                    self.summary = item["value"]["summary"]
            send_json(request, {"commitUrl": "https://huggingface.co/me/repo/commit/1", "commitOid": "1"})
        else:
            send_json(request, {"error": "no such thing"}, 404)
        return True


@pytest.fixture
def fake(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> FakeHub:
    hub = FakeHub()
    monkeypatch.setenv("HF_ENDPOINT", serve(Behaviour(answer=hub)))
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    return hub


def test_push_uploads_ticket_and_card(fake: FakeHub, file: Path, ticket: Ticket) -> None:
    done = run("push", file, "hf://me/repo", "--license", "mit", "--private", "--name", "sub/my.st")
    assert fake.created == [{"name": "repo", "organization": "me"} | fake.created[0]]
    assert fake.created[0].get("private", fake.created[0].get("visibility")) in (True, "private")
    assert fake.files["sub/my.st"] == file.read_bytes()
    card = fake.files["README.md"].decode()
    assert card.startswith('---\nlicense: "mit"\n')
    assert f"hf://me/repo/sub/my.st#sha256={ticket.id[7:]}" in card
    assert ticket.id in fake.summary
    assert "commit   https://huggingface.co/me/repo/commit/1" in done.stdout
    assert "hf_secret" not in done.output + card


def test_a_readme_that_is_there_stays(fake: FakeHub, file: Path) -> None:
    fake.has_readme = True
    run("push", file, "hf://me/repo")
    assert sorted(fake.files) == ["t.md", "t.st"]


def test_a_dry_run_sends_nothing(fake: FakeHub, file: Path, ticket: Ticket) -> None:
    done = run("push", file, "hf://me/repo", "--dry-run")
    assert (fake.created, fake.files) == ([], {})
    assert f"would go t.st ({file.stat().st_size:,} bytes)" in done.stdout
    assert "# t\n" in done.stdout
    document = json.loads(run("push", file, "hf://me/repo", "--dry-run", "--json").stdout)
    assert document["commit"] is None
    assert document["reference"] == f"hf://me/repo/t.st#sha256={ticket.id[7:]}"
    assert document["card"] in done.stdout.replace("\r", "") + "\n"


def test_an_unsound_ticket_is_never_sent(fake: FakeHub, file: Path, tmp_path: Path) -> None:
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    (tmp_path / "bad.st").write_bytes(content)
    for options in ([], ["--dry-run"]):
        with pytest.raises(BundleError, match=r"bad\.st$"):
            run("push", tmp_path / "bad.st", "hf://me/repo", *options)
    assert (fake.created, fake.files) == ([], {})


def test_push_without_package_or_token_or_permission_is_one_line(
    fake: FakeHub, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(FakeHub, "__call__", lambda _, request: send_json(request, {"error": "no"}, 403) or True)
    with pytest.raises(RemoteError) as caught:
        run("push", file, "hf://me/repo")
    assert str(caught.value).startswith("the Hub must take what is uploaded (")
    assert "\n" not in str(caught.value)
    assert "hf_secret" not in str(caught.value)
    monkeypatch.delenv("HF_TOKEN")
    with pytest.raises(RemoteError, match="uploading must have a token of the Hub"):
        run("push", file, "hf://me/repo")
    monkeypatch.setattr(push, "has_client", lambda: False)
    with pytest.raises(RemoteError, match=r"^uploading must have huggingface_hub: pip install 'ticketkit\[hub\]'$"):
        run("push", file, "hf://me/repo")


def test_a_wrong_place_is_wrong_usage(file: Path) -> None:
    for arguments in (["me"], ["hf://me/repo/x.st"], ["hf://me/repo", "--name", "../x.st"]):
        assert run("push", file, *arguments, "--dry-run").exit_code == 2


def test_nobody_imports_the_package_unasked() -> None:
    code = "import sys, ticketkit.sharing.push, ticketkit.sharing.hub; sys.exit('huggingface_hub' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
