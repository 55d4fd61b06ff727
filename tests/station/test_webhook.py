"""Results reach a real local server that fails, is slow, goes away or sends elsewhere."""

from __future__ import annotations

import json
import ssl
import threading
import time
from base64 import b64decode
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from waiting import free_port, until

from understudy.errors import InputError
from understudy.station.webhook import Webhook


class Receiver:
    """A server that answers as it is told, and remembers what it got.

    Args:
        answers: statuses to answer with, one a call; then 200.
        port: port to bind to.
        header: header of every answer.
        tls: makes it a server of HTTPS.
    """

    def __init__(
        self,
        *answers: int,
        port: int = 0,
        header: tuple[str, str] | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.got: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.behaviour: Callable[[BaseHTTPRequestHandler], bool] = lambda handler: False
        waiting, receiver = list(answers), self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.headers.append({**self.headers, "path": self.path})
                receiver.got.append(json.loads(body))
                if receiver.behaviour(self):
                    return
                self.send_response(waiting.pop(0) if waiting else 200)
                for name, value in [header] if header else []:
                    self.send_header(name, value)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *args: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self.server.daemon_threads = True
        if tls:
            self.server.socket = tls.wrap_socket(self.server.socket, server_side=True)
        self.port: int = self.server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}/results"
        self.thread = threading.Thread(target=self.server.serve_forever, args=[0.01])
        self.thread.start()

    def close(self) -> None:
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()

    @property
    def ids(self) -> list[str]:
        return [record["id"] for record in self.got]


@pytest.fixture
def made() -> Iterator[list[Any]]:
    """What is closed at the end."""
    things: list[Any] = []
    yield things
    for each in reversed(things):
        each.close()


@pytest.fixture
def receiver_of(made: list[Any]) -> Callable[..., Receiver]:
    def make(*answers: int, **options: Any) -> Receiver:
        made.append(Receiver(*answers, **options))
        return made[-1]  # type: ignore[no-any-return]

    return make


@pytest.fixture
def webhook_of(made: list[Any]) -> Callable[..., Webhook]:
    def make(url: str, **options: Any) -> Webhook:
        made.append(webhook := Webhook(url, **{"pause": 0.01, **options}))
        return webhook

    return make


def post(webhook: Webhook, *numbers: int) -> None:
    for number in numbers:
        webhook.post({"id": str(number), "verdict": "FAIL", "name": "größe.png"})


def test_results_arrive_as_json_in_their_order_with_their_ids(receiver_of: Any, webhook_of: Any) -> None:
    receiver = receiver_of()
    webhook = webhook_of(receiver.url + "?line=3")
    post(webhook, *range(20))
    until(lambda: webhook.status()["sent"] == 20)
    assert receiver.ids == [str(n) for n in range(20)]
    assert receiver.got[0]["name"] == "größe.png"
    assert receiver.headers[0]["Content-Type"] == "application/json"
    assert receiver.headers[7]["Idempotency-Key"] == "7"
    assert receiver.headers[0]["path"] == "/results?line=3"
    assert webhook.trouble is None


def test_only_the_wanted_verdicts_are_posted(receiver_of: Any, webhook_of: Any) -> None:
    receiver = receiver_of()
    webhook = webhook_of(receiver.url, only=("FAIL",))
    webhook.post({"id": "1", "verdict": "PASS"})
    webhook.post({"id": "2", "verdict": "FAIL"})
    until(lambda: webhook.status()["sent"] == 1)
    assert receiver.ids == ["2"]


def test_a_server_error_is_tried_again_until_it_is_mended(receiver_of: Any, webhook_of: Any) -> None:
    receiver = receiver_of(500, 503, 408, 429)
    webhook = webhook_of(receiver.url)
    post(webhook, 1)
    until(lambda: webhook.status()["sent"] == 1)
    assert receiver.ids == ["1"] * 5


def test_a_result_on_which_the_server_always_fails_is_given_up_and_the_next_one_is_posted(
    receiver_of: Any, webhook_of: Any
) -> None:
    receiver = receiver_of(500, 500, 500)
    webhook = webhook_of(receiver.url, tries=3)
    post(webhook, 1, 2)
    until(lambda: webhook.status()["sent"] == 1)
    assert receiver.ids == ["1", "1", "1", "2"]
    assert webhook.status()["failed"] == 1


@pytest.mark.parametrize("status", [400, 401, 404, 413])
def test_a_refusal_is_final(status: int, receiver_of: Any, webhook_of: Any) -> None:
    receiver = receiver_of(status)
    webhook = webhook_of(receiver.url)
    post(webhook, 1)
    until(lambda: webhook.status()["failed"] == 1)
    assert receiver.ids == ["1"]
    assert webhook.trouble == (
        f"the webhook's server http://127.0.0.1:{receiver.port} answered {status}; a result was given up"
    )


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirect_is_not_followed(status: int, receiver_of: Any, webhook_of: Any) -> None:
    elsewhere = receiver_of()
    receiver = receiver_of(status, header=("Location", elsewhere.url))
    webhook = webhook_of(receiver.url)
    post(webhook, 1)
    until(lambda: webhook.status()["failed"] == 1)
    assert elsewhere.got == []


def test_a_server_that_is_away_gets_its_results_when_it_is_back(receiver_of: Any, webhook_of: Any) -> None:
    port = free_port()
    webhook = webhook_of(f"http://127.0.0.1:{port}/results", tries=2)
    post(webhook, 1, 2, 3)
    until(lambda: webhook.trouble)
    assert "Connection refused; results wait" in (webhook.trouble or "")
    time.sleep(0.1)  # more than two tries
    assert webhook.status() == {"sent": 0, "failed": 0, "dropped": 0, "waiting": 3}
    receiver = receiver_of(port=port)
    until(lambda: webhook.status()["sent"] == 3)
    assert receiver.ids == ["1", "2", "3"]
    assert webhook.trouble is None


def test_the_queue_is_bounded_and_the_newest_results_are_kept(receiver_of: Any, webhook_of: Any) -> None:
    port = free_port()
    webhook = webhook_of(f"http://127.0.0.1:{port}/", limit=5)
    began = time.monotonic()
    post(webhook, *range(10_000))
    assert time.monotonic() - began < 5
    assert webhook.status()["waiting"] == 5
    assert webhook.status()["dropped"] == 9995
    receiver = receiver_of(port=port)
    until(lambda: webhook.status()["waiting"] == 0)
    assert receiver.ids[-4:] == ["9996", "9997", "9998", "9999"]


def test_a_server_that_never_answers_costs_its_time_out_and_tries(receiver_of: Any, webhook_of: Any) -> None:
    receiver, free = receiver_of(), threading.Event()
    receiver.behaviour = lambda handler: handler.wfile is not None and free.wait(20)
    webhook = webhook_of(receiver.url, timeout=0.1, tries=2)
    began = time.monotonic()
    post(webhook, 1)
    until(lambda: webhook.status()["failed"] == 1)
    free.set()
    assert 0.2 <= time.monotonic() - began < 5
    assert "did not answer: 0.1 s went by" in (webhook.trouble or "")


def test_a_server_that_answers_byte_by_byte_is_cut_off(receiver_of: Any, webhook_of: Any) -> None:
    receiver = receiver_of()

    def drip(handler: BaseHTTPRequestHandler) -> bool:
        try:
            handler.wfile.write(b"HTTP/1.0 200 OK\r\nX: ")
            for _ in range(500):
                handler.wfile.write(b"x")
                time.sleep(0.02)
        except OSError:
            pass
        return True

    receiver.behaviour = drip
    webhook = webhook_of(receiver.url, timeout=0.2, tries=1)
    began = time.monotonic()
    post(webhook, 1)
    until(lambda: webhook.status()["failed"] == 1)
    assert time.monotonic() - began < 3
    assert "0.2 s went by" in (webhook.trouble or "")


def test_a_slow_server_in_time_gets_each_result_once(receiver_of: Any, webhook_of: Any) -> None:
    receiver = receiver_of()
    receiver.behaviour = lambda handler: bool(time.sleep(0.1))
    webhook = webhook_of(receiver.url, timeout=5.0)
    post(webhook, 1, 2)
    until(lambda: webhook.status()["sent"] == 2)
    assert receiver.ids == ["1", "2"]


def test_an_answer_that_is_no_http_counts_as_a_failure(receiver_of: Any, webhook_of: Any) -> None:
    receiver = receiver_of()
    receiver.behaviour = lambda handler: bool(handler.wfile.write(b"\x00\xff no http\r\n\r\n"))
    webhook = webhook_of(receiver.url, tries=2)
    post(webhook, 1)
    until(lambda: webhook.status()["failed"] == 1)
    assert "did not answer: BadStatusLine" in (webhook.trouble or "")


def test_closing_posts_what_waits(receiver_of: Any, webhook_of: Any) -> None:
    receiver = receiver_of()
    webhook = webhook_of(receiver.url)
    post(webhook, *range(50))
    webhook.close(10)
    assert webhook.status() == {"sent": 50, "failed": 0, "dropped": 0, "waiting": 0}
    assert len(receiver.got) == 50
    post(webhook, 51)
    assert webhook.status()["dropped"] == 1


def test_closing_does_not_wait_for_a_server_that_is_away(webhook_of: Any) -> None:
    webhook = webhook_of(f"http://127.0.0.1:{free_port()}/", pause=30.0)
    post(webhook, 1, 2)
    until(lambda: webhook.trouble)
    began = time.monotonic()
    webhook.close(0.3)
    assert time.monotonic() - began < 3
    assert webhook.status() == {"sent": 0, "failed": 0, "dropped": 2, "waiting": 0}
    webhook._thread.join(5)
    assert not webhook._thread.is_alive()


def test_a_login_in_the_url_is_sent_and_never_shown(receiver_of: Any, webhook_of: Any) -> None:
    receiver = receiver_of(404)
    webhook = webhook_of(f"http://line:s%40cret@127.0.0.1:{receiver.port}/token-in-path")
    post(webhook, 1)
    until(lambda: webhook.status()["failed"] == 1)
    scheme, _, login = receiver.headers[0]["Authorization"].partition(" ")
    assert (scheme, b64decode(login)) == ("Basic", b"line:s@cret")
    assert "cret" not in (webhook.trouble or "")
    assert "token-in-path" not in (webhook.trouble or "")


def test_a_certificate_must_be_one_that_the_machine_trusts(
    receiver_of: Any, webhook_of: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate = self_signed(tmp_path)
    trusted = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trusted.load_cert_chain(certificate)
    receiver = receiver_of(tls=trusted)
    url = receiver.url.replace("http:", "https:")
    doubting = webhook_of(url)
    post(doubting, 1)
    until(lambda: "CERTIFICATE_VERIFY_FAILED" in (doubting.trouble or ""))
    assert receiver.got == []
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    trusting = webhook_of(url)
    post(trusting, 2)
    until(lambda: trusting.status()["sent"] == 1)
    assert receiver.ids == ["2"]


def self_signed(folder: Path) -> Path:
    """Write a key and a certificate of 127.0.0.1 into one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name, now = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "line")]), datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(IPv4Address("127.0.0.1"))]), False)
        .sign(key, hashes.SHA256())
    )
    secret = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    file = folder / "certificate.pem"
    file.write_bytes(secret + certificate.public_bytes(Encoding.PEM))
    return file


@pytest.mark.parametrize(
    "url",
    [
        "",
        "results",
        "ftp://host/",
        "http://",
        "http:///x",
        "http://host:port/",
        "http://host/a b",
        "http://[::1",
    ],
)
def test_a_url_that_cannot_be_used_is_refused_at_once(url: str) -> None:
    with pytest.raises(InputError, match="must look like https://host:port/path"):
        Webhook(url)
