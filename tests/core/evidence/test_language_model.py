"""A language model is asked by the user's endpoint alone, with a prompt that is one, and its answer is a machine's."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import logging
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from core.errors import InputError, ModelError
from core.evidence.language_model import MACHINE, MOST_BYTES, Answer, ask, is_set_up
from core.evidence.prompt import Prompt, to_prompt
from core.evidence.pseudonyms import panel_of
from core.settings import FIELDS, Settings, settings
from tests.core.evidence.panel_phantom import five

ROOT = Path(__file__).resolve().parents[3]
KEY = "sk-known-to-nobody"
WORDS = "Two of five shrank (rows A1 and B)."


def completion(text: object = WORDS, **more: object) -> bytes:
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop", **more}
    return json.dumps({"id": "x", "object": "chat.completion", "choices": [choice], "usage": {}}).encode()


class Stub(BaseHTTPRequestHandler):
    """Answers as its server was told, and remembers what it was asked."""

    server: StubServer
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.asked.append((self.path, dict(self.headers), json.loads(body)))
        self.server.answer(self)

    def do_GET(self) -> None:
        self.server.asked.append((self.path, dict(self.headers), None))
        self.reply(200, completion("of a redirect"))

    def reply(self, status: int, body: bytes, **headers: str) -> None:
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", "Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Says nothing."""


class StubServer(ThreadingHTTPServer):
    """On 127.0.0.1; `over` is set when the test is."""

    daemon_threads = True
    block_on_close = False
    answers: ClassVar[dict[str, Any]] = {}

    def __init__(self, answer: Any) -> None:
        super().__init__(("127.0.0.1", 0), Stub)
        self.answer = answer
        self.asked: list[tuple[str, dict[str, str], Any]] = []
        self.over = threading.Event()

    def handle_error(self, request: object, client_address: object) -> None:
        """Whoever asked has gone: that is what is tested."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/v1"


@contextmanager
def stub(answer: Any) -> Iterator[StubServer]:
    server = StubServer(answer)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.over.set()
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in FIELDS:
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="module")
def prompt() -> Prompt:
    return to_prompt(panel_of(five(), None))


def to(url: str, **more: Any) -> Settings:
    values: dict[str, Any] = {
        "TWIN_LLM_URL": url,
        "TWIN_LLM_MODEL": "medgemma-4b-it",
        "TWIN_LLM_KEY": KEY,
        "TWIN_LLM_TIMEOUT_S": 20,
    }
    return Settings(**{**values, **more})


def refused(prompt: Prompt, where: Settings) -> str:
    with pytest.raises(ModelError) as error:
        ask(prompt, where)
    sentence = str(error.value)
    assert KEY not in sentence
    assert "\n" not in sentence
    assert error.value.__cause__ is None
    assert error.value.__suppress_context__ or error.value.__context__ is None
    return sentence


# --- what is asked, and by what ---


def test_without_an_address_none_is_asked(prompt):
    assert not is_set_up()
    with pytest.raises(InputError, match="TWIN_LLM_URL and TWIN_LLM_MODEL"):
        ask(prompt)
    with pytest.raises(InputError, match="TWIN_LLM_MODEL"):
        ask(prompt, Settings(TWIN_LLM_URL="http://localhost:9"))


def test_a_good_answer_is_a_machines_words_with_where_they_come_from(prompt):
    with stub(lambda it: it.reply(200, completion(f" {WORDS}\n"))) as server:
        answer = ask(prompt, to(server.url + "/"))
    assert (answer.text, answer.model, answer.endpoint_host) == (WORDS, "medgemma-4b-it", "127.0.0.1")
    assert answer.prompt_sha256 == prompt.sha256 == hashlib.sha256(prompt.text.encode()).hexdigest()
    assert answer.asked_at.endswith("Z")
    assert answer.marked_text == f"{MACHINE}\n\n{WORDS}"
    [(path, headers, body)] = server.asked
    assert path == "/v1/chat/completions"
    assert headers["Authorization"] == f"Bearer {KEY}"
    assert body["messages"] == [{"role": "user", "content": prompt.text}], "the prompt, and nothing else of the panel"
    assert body.keys() == {"model", "messages", "temperature", "max_tokens", "stream"}
    assert (body["model"], body["stream"]) == ("medgemma-4b-it", False)


def test_the_settings_in_force_are_used_and_no_key_is_sent_where_none_is_set(prompt, monkeypatch):
    with stub(lambda it: it.reply(200, completion())) as server:
        monkeypatch.setenv("TWIN_LLM_URL", server.url)
        monkeypatch.setenv("TWIN_LLM_MODEL", "m")
        assert is_set_up(settings())
        assert ask(prompt).text == WORDS
    assert "Authorization" not in server.asked[0][1]


def test_no_proxy_is_asked(prompt, monkeypatch):
    with stub(lambda it: it.reply(200, completion())) as server, stub(lambda it: it.reply(200, completion())) as proxy:
        for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.server_address[1]}")
        ask(prompt, to(server.url))
    assert (len(server.asked), len(proxy.asked)) == (1, 0)


@pytest.mark.parametrize("other", ["any text", None, 7])
def test_nothing_but_a_prompt_is_sent(other):
    with (
        stub(lambda it: it.reply(200, completion())) as server,
        pytest.raises(InputError, match="made of an evidence panel"),
    ):
        ask(other, to(server.url))
    assert server.asked == []


# --- answers that are none ---


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (401, "refuses the key (HTTP 401). Correct TWIN_LLM_KEY."),
        (403, "refuses the key (HTTP 403)"),
        (404, "no such address or model (HTTP 404)"),
        (429, "too much to do (HTTP 429)"),
        (500, "got HTTP 500"),
        (204, "got HTTP 204"),
    ],
)
def test_a_refusal_is_said_in_words_and_what_the_server_wrote_is_not_quoted(prompt, status, words):
    with stub(lambda it: it.reply(status, b"" if status == 204 else f"key {KEY}\nis wrong".encode())) as server:
        assert words in refused(prompt, to(server.url))


def test_a_redirect_is_not_followed(prompt):
    with stub(lambda it: it.reply(200, completion())) as elsewhere:
        for status in (301, 302, 307, 308):
            with stub(lambda it, code=status: it.reply(code, b"", Location=elsewhere.url + "/elsewhere")) as server:
                sentence = refused(prompt, to(server.url))
            assert f"(HTTP {status}), which is not followed" in sentence
            assert "elsewhere" not in sentence
    assert elsewhere.asked == []


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"no json",
        b"{",
        b"[]",
        b"null",
        b'{"choices": []}',
        b'{"choices": [{}]}',
        b'{"choices": [{"message": {"content": null}}]}',
        b'{"choices": [{"message": {"content": 7}}]}',
        b'{"choices": [{"message": {"content": [{"text": "x"}]}}]}',
        b'{"choices": [{"message": {"content": "x"}, "logprobs": NaN}]}',
        b"[" * 10_000,
        b"\xff\xfe",
        b"<html>Sign in</html>",
    ],
)
def test_an_answer_that_is_no_completion_is_one_sentence(prompt, body):
    with stub(lambda it: it.reply(200, body)) as server:
        assert "choices[0].message.content; got something else" in refused(prompt, to(server.url))


@pytest.mark.parametrize("text", ["", " \n", "\x00\u202e"])
def test_an_answer_without_words_is_none(prompt, text):
    with stub(lambda it: it.reply(200, completion(text))) as server:
        assert "answered with no text" in refused(prompt, to(server.url))


def test_markup_and_instructions_in_an_answer_are_plain_text_and_marks_of_direction_go(prompt):
    text = "<script>alert(1)</script> **bold** ![x](http://evil.example)\n\u202eesrever\x1b[31m"
    with stub(lambda it: it.reply(200, completion(text))) as server:
        answer = ask(prompt, to(server.url))
    assert answer.text == "<script>alert(1)</script> **bold** ![x](http://evil.example)\nesrever[31m"


def test_an_answer_that_was_cut_off_says_so(prompt):
    with stub(lambda it: it.reply(200, completion(finish_reason="length"))) as server:
        answer = ask(prompt, to(server.url))
    assert answer.cut
    assert answer.marked_text.startswith(f"{MACHINE} (cut off at its longest)\n")


@pytest.mark.parametrize("told", [True, False])
def test_a_huge_answer_is_not_read(prompt, told):
    """Whether it says how long it is or never ends."""

    def answer(it: Stub) -> None:
        it.send_response(200)
        it.send_header(*(("Content-Length", str(10**9)) if told else ("Connection", "close")))
        it.end_headers()
        for _ in range(10_000):
            it.wfile.write(b" " * 65_536)

    with stub(answer) as server:
        assert f"at most {MOST_BYTES:,} bytes" in refused(prompt, to(server.url))


# --- no answer ---


def silent(it: Stub) -> None:
    it.server.over.wait(30)


def dripping_head(it: Stub) -> None:
    it.wfile.write(b"HTTP/1.1 200 OK\r\n")
    while not it.server.over.wait(0.05):
        it.wfile.write(b"X-More: x\r\n")


def dripping_body(it: Stub) -> None:
    it.send_response(200)
    it.send_header("Content-Length", "100000")
    it.end_headers()
    while not it.server.over.wait(0.05):
        it.wfile.write(b" ")


def dripping_to_the_end(it: Stub) -> None:
    """The connection's end is the answer's: giving up must not look like it."""
    it.send_response(200)
    it.send_header("Connection", "close")
    it.end_headers()
    it.wfile.write(completion())
    it.wfile.flush()
    it.server.over.wait(30)


@pytest.mark.parametrize("answer", [silent, dripping_head, dripping_body, dripping_to_the_end])
def test_a_slow_answer_is_given_up_however_it_comes(prompt, answer):
    with stub(answer) as server:
        sentence = refused(prompt, to(server.url, TWIN_LLM_TIMEOUT_S=0.5))
    assert sentence.startswith("The language model did not answer within 0.5 s.")


def test_an_endpoint_that_is_not_there_or_breaks_off_is_said(prompt):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        nobody = f"http://127.0.0.1:{taken.getsockname()[1]}/v1"
        assert "cannot be reached, or broke off" in refused(prompt, to(nobody))

    def break_off(it: Stub) -> None:
        it.send_response(200)
        it.send_header("Content-Length", "1000")
        it.end_headers()
        it.wfile.write(b"{")
        it.close_connection = True

    with stub(break_off) as server:
        assert "cannot be reached, or broke off" in refused(prompt, to(server.url))


def test_a_certificate_that_nobody_signed_is_refused(prompt, tmp_path):
    certificate, key = own_certificate(tmp_path)
    with stub(lambda it: it.reply(200, completion())) as server:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        server.socket = context.wrap_socket(server.socket, server_side=True)
        url = server.url.replace("http://127.0.0.1", "https://localhost")
        assert "certificate that nobody known here signed" in refused(prompt, to(url))
    assert server.asked == []


def own_certificate(folder: Path) -> tuple[Path, Path]:
    """A certificate for localhost that it signed itself, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = dt.datetime.now(dt.UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    made = builder.not_valid_before(now - dt.timedelta(1)).not_valid_after(now + dt.timedelta(1))
    signed = made.add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), False)
    files = folder / "certificate.pem", folder / "key.pem"
    files[0].write_bytes(signed.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
    files[1].write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return files


# --- what is left of it ---


def test_neither_key_nor_prompt_nor_answer_is_logged_or_printed(prompt, caplog, capfd):
    caplog.set_level(logging.DEBUG)
    with stub(lambda it: it.reply(200, completion())) as server:
        ask(prompt, to(server.url))
    with stub(lambda it: it.reply(401, b"no")) as server:
        refused(prompt, to(server.url))
    out, err = capfd.readouterr()
    for text in (caplog.text, out, err, repr(to("http://localhost:1"))):
        assert KEY not in text
        assert WORDS not in text
        assert "Row A1" not in text


def test_an_answer_cannot_be_changed_and_says_whose_words_it_is():
    answer = Answer("x", "m", "h", "0" * 64, "2031-01-01T00:00:00Z")
    with pytest.raises(AttributeError):
        answer.text = "y"  # type: ignore[misc]
    assert answer.marked_text.startswith("A language model's words, not a reading:")


def test_asking_loads_no_network_and_no_page():
    names = "('torch', 'streamlit', 'duckdb')"
    code = f"import sys, core.evidence.language_model; print([name for name in {names} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
