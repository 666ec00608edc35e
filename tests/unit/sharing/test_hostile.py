"""Servers that do not do as they should: each costs one line, a bounded wait and bounded memory."""

from __future__ import annotations

import datetime
import ipaddress
import ssl
import time
import tracemalloc
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from ticket_server import Behaviour, drip

from ticketkit.errors import BundleError
from ticketkit.sharing import Patience, RemoteError, read_remote_header, resolve

Serve = Callable[..., str]
Request = BaseHTTPRequestHandler
READERS = [resolve, read_remote_header]
QUICK = Patience(connect=1.0, silence=0.15, total=0.6, tries=2, pause=0.01, redirects=3)

both = pytest.mark.parametrize("read", READERS, ids=lambda read: read.__name__)


def refused(read: Callable[..., object], url: str, message: str, *, seconds: float = 3.0) -> None:
    begun = time.monotonic()
    with pytest.raises(BundleError) as caught:
        read(url, patience=QUICK)
    assert message in str(caught.value)
    assert str(caught.value).endswith(f": {url}")
    assert str(caught.value).isprintable()
    assert time.monotonic() - begun < seconds


@both
def test_one_that_never_answers(read: Callable[..., object], served: Behaviour, url: str) -> None:
    served.answer = lambda _: served.stopping.wait(5)
    refused(read, url, "a server must answer within 0.15 seconds (127.0.0.1 does not)")


@both
def test_one_that_stops_in_the_middle(read: Callable[..., object], served: Behaviour, url: str) -> None:
    def answer(request: Request) -> bool:
        request.send_response(200)
        request.end_headers()
        request.wfile.write(served.content[:100])
        request.wfile.flush()
        return served.stopping.wait(5)

    served.answer = answer
    refused(read, url, "a server must answer within 0.15 seconds")


@both
@pytest.mark.parametrize("part", ["status", "fields", "body"])
def test_one_that_sends_a_byte_now_and_then(
    read: Callable[..., object], served: Behaviour, url: str, part: str
) -> None:
    def answer(request: Request) -> bool:
        if part == "body":
            request.send_response(200)
            request.end_headers()
        with suppress(OSError):
            drip(
                request,
                served,
                {"status": b"1" * 999, "fields": b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 99}.get(part, served.content),
                every=0.01,
            )
        return True

    served.answer = answer
    refused(read, url, "a transfer must end within 0.6 seconds")


@both
def test_one_that_sends_without_end(read: Callable[..., object], served: Behaviour, url: str) -> None:
    def answer(request: Request) -> bool:
        request.send_response(200)
        request.end_headers()
        with suppress(OSError):
            while not served.stopping.is_set():
                request.wfile.write(b"\0" * 2**16)
        return True

    served.answer = answer
    refused(read, url, "a safetensors header must be a JSON object")


@both
def test_one_whose_head_has_no_end(read: Callable[..., object], served: Behaviour, url: str) -> None:
    def answer(request: Request) -> bool:
        with suppress(OSError):
            request.wfile.write(b"HTTP/1.1 200 OK\r\n")
            while not served.stopping.is_set():
                request.wfile.write(b"a: b\r\n" * 100)
        return True

    served.answer = answer
    refused(read, url, "a server must speak HTTP (127.0.0.1: got more than 100 headers)")


@both
def test_one_that_speaks_something_else(read: Callable[..., object], served: Behaviour, url: str) -> None:
    def answer(request: Request) -> bool:
        request.wfile.write(b"SSH-2.0-OpenSSH\x1b[2J\r\n")
        return True

    served.answer = answer
    refused(read, url, "a server must speak HTTP (127.0.0.1: SSH-2.0-OpenSSH")


@both
def test_one_that_hangs_up(read: Callable[..., object], served: Behaviour, url: str) -> None:
    served.answer = lambda _: True
    refused(read, url, "a server must keep the connection to the end (127.0.0.1 cut it)")
    assert len(served.requests) == QUICK.tries


@both
def test_one_that_cuts_every_connection(read: Callable[..., object], served: Behaviour, url: str) -> None:
    served.cut_after = (5, 99)
    refused(read, url, "bytes)")


@both
@pytest.mark.parametrize("claimed", [9, 10**9, 10**15, 10**30])
def test_one_that_lies_about_the_length(read: Callable[..., object], served: Behaviour, url: str, claimed: int) -> None:
    served.ranges, served.claimed = False, claimed
    message = {
        9: "a safetensors header must fit its file of 9 bytes",
        10**9: "a file must hold the",
        10**15: "a file must be of at most",
        10**30: "",  # more digits than any length has: as if it had said nothing
    }[claimed]
    if message:
        refused(read, url, message)
    else:
        read(url, patience=QUICK)


@both
@pytest.mark.parametrize("found", ["bytes 5-12/99", "bytes 0-7", "bytes x-7/99", "", "bytes 0-7/" + "9" * 40])
def test_one_that_sends_another_range(read: Callable[..., object], served: Behaviour, url: str, found: str) -> None:
    served.cut_after = (20_000, 1)
    if read is resolve:
        with pytest.raises(RemoteError):
            resolve(url, patience=replace(QUICK, tries=1))

    def answer(request: Request) -> bool:
        request.send_response(206)
        request.send_header("ETag", '"one"')
        request.send_header("Content-Range", found)
        request.end_headers()
        request.wfile.write(served.content[:8])
        return True

    served.answer = answer
    refused(read, url, "a server must send the bytes from")


def test_one_that_lies_about_the_whole_length_in_a_range(served: Behaviour, url: str) -> None:
    def answer(request: Request) -> bool:
        request.send_response(206)
        request.send_header("Content-Range", f"bytes 0-7/{2**60}")
        request.end_headers()
        request.wfile.write(served.content[:8])
        return True

    served.answer = answer
    refused(read_remote_header, url, "a file must be of at most")


@both
def test_one_whose_header_would_fill_the_memory(read: Callable[..., object], served: Behaviour, url: str) -> None:
    served.content, served.sized, served.ranges = (2**40).to_bytes(8, "little") + b" " * 10**6, False, False
    tracemalloc.start()
    try:
        refused(read, url, "a header must be of at most 4,194,304 bytes (got 1,099,511,627,776)")
        assert tracemalloc.get_traced_memory()[1] < 8 * 2**20
    finally:
        tracemalloc.stop()


@both
def test_a_web_page_is_no_ticket(read: Callable[..., object], served: Behaviour, url: str) -> None:
    served.content = b"<!DOCTYPE html><html>Log in</html>"
    refused(read, url, "the file is cut short or is not safetensors")


@both
def test_what_is_packed_is_refused(read: Callable[..., object], served: Behaviour, url: str) -> None:
    def answer(request: Request) -> bool:
        request.send_response(200)
        request.send_header("Content-Encoding", "gzip")
        request.end_headers()
        return True

    served.answer = answer
    refused(read, url, "a server must send a file as it is (got Content-Encoding 'gzip')")


@both
@pytest.mark.parametrize(
    ("status", "tries"), [(400, 1), (401, 1), (403, 1), (404, 1), (410, 1), (204, 1), (429, 2), (500, 2), (503, 2)]
)
def test_one_that_says_no(read: Callable[..., object], served: Behaviour, url: str, status: int, tries: int) -> None:
    def answer(request: Request) -> bool:
        request.send_response(status, "No\x1b[2J" + "o" * 3000)
        request.end_headers()
        return True

    served.answer = answer
    refused(read, url, f"a server must give what it is asked for ({status} No�[2Jo")
    assert len(served.requests) == tries


@both
@pytest.mark.parametrize("at_once", [True, False])
def test_redirects_without_end(read: Callable[..., object], served: Behaviour, url: str, at_once: bool) -> None:
    def answer(request: Request) -> bool:
        request.send_response(302)
        request.send_header("Location", request.path if at_once else request.path + "x")
        request.end_headers()
        return True

    served.answer = answer
    refused(read, url, "a server must redirect at most 3 times")
    assert len(served.requests) == QUICK.redirects + 1


@both
@pytest.mark.parametrize(
    ("location", "message"),
    [
        (None, "a redirect must say where to"),
        ("http://example.org/t.st", "http:// is for this machine alone"),
        ("file:///etc/passwd", "a URL must be https://"),
        ("https://[x/", "a redirect must lead to a URL"),
        ("https://me:secret@example.org/", "no user or password"),
    ],
)
def test_redirects_to_where_none_should_lead(
    read: Callable[..., object], served: Behaviour, url: str, location: str | None, message: str
) -> None:
    def answer(request: Request) -> bool:
        request.send_response(301)
        if location is not None:
            request.send_header("Location", location)
        request.end_headers()
        return True

    served.answer = answer
    refused(read, url, message)


@both
def test_a_redirect_is_followed(read: Callable[..., object], served: Behaviour, url: str) -> None:
    def answer(request: Request) -> bool:
        if request.path == "/there":
            return False
        request.send_response(307)
        request.send_header("Location", "/there#part")
        request.end_headers()
        return True

    served.answer = answer
    read(url, patience=QUICK)
    assert [request["path"] for request in served.requests[:2]] == ["/some/t.st", "/there"]


@both
def test_nobody_there(read: Callable[..., object], serve: Serve, served: Behaviour) -> None:
    begun = time.monotonic()
    with pytest.raises(RemoteError, match=r"^a server must be reached \(127\.0\.0\.1: Connection refused\): http"):
        read("http://127.0.0.1:1/t.st")
    with pytest.raises(RemoteError, match=r"^a server must be reached \(nowhere\.invalid is not known here: "):
        read("https://nowhere.invalid/t.st")
    assert time.monotonic() - begun < 3


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for 127.0.0.1 with its key, signed by itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "server.pem"
    pem = serialization.Encoding.PEM
    plain = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    path.write_bytes(made.public_bytes(pem) + plain)
    return path


@pytest.fixture
def secure_url(served: Behaviour, serve: Serve, certificate: Path) -> str:
    def wrap(server: ThreadingHTTPServer) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        server.socket = context.wrap_socket(server.socket, server_side=True)

    return serve(served, wrap=wrap).replace("http:", "https:") + "/t.st"


@both
def test_https_from_a_server_that_proves_who_it_is(
    read: Callable[..., object], secure_url: str, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused(read, secure_url, "a server must prove who it is (127.0.0.1: self")
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    read(secure_url)


@both
def test_no_redirect_leads_from_https_to_http(
    read: Callable[..., object],
    served: Behaviour,
    secure_url: str,
    certificate: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def answer(request: Request) -> bool:
        request.send_response(302)
        request.send_header("Location", "http://127.0.0.1:1/t.st")
        request.end_headers()
        return True

    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    served.answer = answer
    refused(read, secure_url, "a redirect must not lead from https to http (it leads to 127.0.0.1)")


@both
def test_https_to_a_server_of_http(read: Callable[..., object], url: str) -> None:
    refused(read, url.replace("http:", "https:"), "a server must ")
