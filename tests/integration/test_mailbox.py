"""The mailbox, by SMTP and HTTP, as a sender and a person meet it."""

import http.client
import json
import smtplib
import socket
import time
import uuid
from dataclasses import dataclass
from email.message import EmailMessage
from functools import partial
from typing import Any

import pytest

from tests.integration.conftest import Embedded
from tests.waiting import eventually_sync


@dataclass(frozen=True, slots=True, kw_only=True)
class Box:
    """The mailbox's two ports."""

    smtp_port: int
    http_port: int

    def send(self, to: str, *, sender: str = "from@example.org", **parts: Any) -> str:
        message = plain(to, **parts)
        with smtplib.SMTP("127.0.0.1", self.smtp_port) as client:
            client.send_message(message, from_addr=sender, to_addrs=[to])
        return str(message["Message-ID"])

    def send_raw(self, to: str, raw: bytes) -> None:
        with smtplib.SMTP("127.0.0.1", self.smtp_port) as client:
            client.sendmail("from@example.org", [to], raw)

    def ask(
        self, path: str, *, method: str = "GET", headers: dict[str, str] | None = None
    ) -> tuple[int, str, dict[str, str]]:
        connection = http.client.HTTPConnection("127.0.0.1", self.http_port, timeout=10)
        try:
            connection.request(method, path, headers=headers or {})
            answer = connection.getresponse()
            return answer.status, answer.read().decode(), dict(answer.getheaders())
        finally:
            connection.close()

    def call_hook(self, path: str, payload: Any, **headers: str) -> tuple[int, str]:
        """Post a webhook; the status, and the URL that it is kept under."""
        url = f"http://127.0.0.1:{self.http_port}/hooks/{path}"
        body = json.dumps(payload)
        connection = http.client.HTTPConnection("127.0.0.1", self.http_port, timeout=10)
        try:
            sent = {name.replace("_", "-"): value for name, value in headers.items()}
            connection.request("POST", f"/hooks/{path}", body=body, headers=sent)
            return connection.getresponse().status, url
        finally:
            connection.close()

    def get(self, path: str) -> Any:
        status, text, _ = self.ask(path)
        assert status == 200, text
        return json.loads(text)

    def messages(self, to: str) -> list[dict[str, Any]]:
        items: list[dict[str, Any]] = self.get(f"/api/messages?to={to.replace('+', '%2B')}")[
            "items"
        ]
        return items


def plain(to: str, *, subject: str = "Hello", text: str = "Hello", html: str = "") -> EmailMessage:
    message = EmailMessage()
    message["From"] = "from@example.org"
    message["To"] = to
    message["Subject"] = subject
    message["Message-ID"] = f"<{uuid.uuid4()}@example.org>"
    message.set_content(text)
    if html:
        message.add_alternative(html, subtype="html")
    return message


@pytest.fixture(scope="session")
def box(embedded: Embedded) -> Box:
    assert embedded.status.mailbox_smtp_port is not None
    assert embedded.status.mailbox_http_port is not None
    return Box(
        smtp_port=embedded.status.mailbox_smtp_port, http_port=embedded.status.mailbox_http_port
    )


@pytest.fixture
def ada() -> str:
    """A local part of this test's own."""
    return f"ada-{uuid.uuid4().hex[:12]}"


def test_it_keeps_what_is_sent(box, ada):
    before = box.get("/api/count")["count"]

    message_id = box.send(f"{ada}@example.org", subject="Grüße", text="Guten Tag", html="<p>Tag")

    [entry] = box.messages(f"{ada.upper()}@EXAMPLE.org")
    assert entry["subject"] == "Grüße"
    assert entry["mail_from"] == "from@example.org"
    assert entry["rcpt_to"] == [f"{ada}@example.org"]
    assert entry["message_id"] == message_id
    whole = box.get(f"/api/messages/{entry['id']}")
    assert whole["text"].strip() == "Guten Tag"
    assert whole["html"].strip() == "<p>Tag"
    assert ["From", "from@example.org"] in whole["headers"]
    assert len(whole["raw"].encode()) == entry["size"]
    assert box.get("/api/count")["count"] == before + 1
    assert box.get(f"/api/count?to={ada}@example.org")["count"] == 1


def test_a_webhook_is_kept_under_the_id_that_its_sender_gave_it(box, ada):
    for _ in range(2):
        status, url = box.call_hook(ada, {"order": 7}, webhook_id="msg_1")
        assert status == 204

    first, second = box.messages(url)
    assert first["id"] != second["id"]
    assert {first["message_id"], second["message_id"]} == {"msg_1@webhook"}
    assert (first["channel"], first["subject"]) == ("webhook", '{"order": 7}')


def test_a_webhook_is_shown_by_its_type_and_a_line_for_each_value(box, ada):
    payload = {"type": "basket.reminded", "basket": [{"sku": "MUG"}]}
    _, url = box.call_hook(ada, payload)

    [entry] = box.messages(url)
    _, page, _ = box.ask(f"/messages/{entry['id']}")

    assert entry["subject"] == "basket.reminded"
    assert "&#34;sku&#34;: &#34;MUG&#34;\n" in page
    # What can't be there is not offered.
    assert "view=html" not in page
    assert "<dt>From</dt>" not in page


@pytest.mark.parametrize(
    "payload", ["[" * 900 + "]" * 900, "{", '{"type": 7}', '{"type": "\\ud800"}']
)
def test_a_webhook_that_is_nothing_we_know_is_kept_and_shown(box, ada, payload):
    connection = http.client.HTTPConnection("127.0.0.1", box.http_port, timeout=10)
    connection.request("POST", f"/hooks/{ada}", body=payload)
    assert connection.getresponse().status == 204
    connection.close()

    [entry] = box.messages(f"http://127.0.0.1:{box.http_port}/hooks/{ada}")
    assert box.ask(f"/messages/{entry['id']}")[0] == 200


def test_a_webhook_without_an_id_has_the_one_that_the_mailbox_gives_it(box, ada):
    _, url = box.call_hook(ada, {"order": 7})

    [entry] = box.messages(url)
    assert entry["message_id"] == f"{entry['id']}@webhook"


def test_connections_that_are_kept_open_by_the_hundred_do_not_close_the_pages(box, ada):
    open_ = [socket.create_connection(("127.0.0.1", box.http_port), timeout=10) for _ in range(150)]
    try:
        status, _ = box.call_hook(ada, {"order": 7})
        assert status == 204
        assert box.ask("/")[0] == 200
    finally:
        for each in open_:
            each.close()


def test_it_takes_a_bounce_which_has_no_sender(box, ada):
    box.send(f"{ada}@example.org", sender="")

    [entry] = box.messages(f"{ada}@example.org")
    assert entry["mail_from"] == ""


def test_it_takes_addresses_outside_ascii(box, ada):
    to = f"{ada}-ö@example.org"
    with smtplib.SMTP("127.0.0.1", box.smtp_port) as client:
        client.ehlo()
        client.sendmail("from@example.org", [to], b"Subject: x\r\n\r\nx", ["SMTPUTF8"])

    entries = box.get("/api/messages?limit=500")["items"]
    assert [to] in [entry["rcpt_to"] for entry in entries]


def _is_past(moment_ns: int) -> bool:
    return time.time_ns() >= moment_ns


def test_a_list_is_read_in_pages_the_newest_first(box, ada):
    for number in range(5):
        box.send(f"{ada}@example.org", subject=f"number {number}")
        # Two ids of one millisecond would sort by chance.
        next_ms = (time.time_ns() // 1_000_000 + 1) * 1_000_000
        eventually_sync(partial(_is_past, next_ms), within_s=2)

    subjects, cursor = [], ""
    while cursor is not None:
        page = box.get(f"/api/messages?to={ada}@example.org&limit=2&cursor={cursor}")
        subjects.append([entry["subject"] for entry in page["items"]])
        cursor = page["next_cursor"]

    assert subjects == [["number 4", "number 3"], ["number 2", "number 1"], ["number 0"]]


def test_a_message_larger_than_a_document_comes_back_whole(box, ada):
    line = b"x" * 76 + b"\r\n"
    raw = b"Subject: large\r\n\r\n" + line * (20 * 1024 * 1024 // len(line))

    box.send_raw(f"{ada}@example.org", raw)

    [entry] = box.messages(f"{ada}@example.org")
    status, text, _ = box.ask(f"/messages/{entry['id']}/raw")
    assert status == 200
    assert text.encode() == raw


def test_a_message_above_the_limit_is_refused(box, ada):
    with smtplib.SMTP("127.0.0.1", box.smtp_port) as client:
        client.ehlo()
        assert int(client.esmtp_features["size"]) == 25 * 1024 * 1024
        code, _ = client.docmd("MAIL", f"FROM:<a@example.org> SIZE={25 * 1024 * 1024 + 1}")
    assert code == 552


@pytest.mark.parametrize("end", [b"\n.\n", b"\r.\r", b"\n.\r\n", b"\r\n.\n", b"\r\n.\r"])
def test_e3_a_message_ends_only_at_a_dot_between_whole_line_ends(box, ada, end):
    smuggled = b"MAIL FROM:<a@b.org>\r\nRCPT TO:<c@d.org>\r\nDATA\r\nSubject: smuggled\r\n\r\nx"
    body = b"Subject: one\r\n\r\nx" + end + smuggled
    with socket.create_connection(("127.0.0.1", box.smtp_port)) as connection:
        lines = connection.makefile("rb")
        lines.readline()
        for command in (
            b"HELO x",
            b"MAIL FROM:<a@example.org>",
            f"RCPT TO:<{ada}@example.org>".encode(),
            b"DATA",
        ):
            connection.sendall(command + b"\r\n")
            lines.readline()
        connection.sendall(body + b"\r\n.\r\n")
        assert lines.readline().startswith(b"250")
        connection.sendall(b"QUIT\r\n")
        assert lines.readline().startswith(b"221")
        lines.close()

    assert [entry["subject"] for entry in box.messages(f"{ada}@example.org")] == ["one"]


@pytest.mark.parametrize(
    ("tag", "code", "enhanced"),
    [("bounce", 550, b"5.1.1"), ("full", 552, b"5.2.2"), ("policy", 550, b"5.7.1")],
)
def test_a_tag_refuses_a_recipient_for_good(box, ada, tag, code, enhanced):
    to = f"{ada}+{tag}@example.org"

    for _ in range(2):
        with pytest.raises(smtplib.SMTPRecipientsRefused) as error:
            box.send(to)
        assert error.value.recipients[to][0] == code
        assert error.value.recipients[to][1].startswith(enhanced)

    assert box.messages(to) == []


def test_a_soft_tag_takes_the_message_in_the_end(box, ada):
    to = f"{ada}+soft2@example.org"
    for _ in range(2):
        with pytest.raises(smtplib.SMTPRecipientsRefused) as error:
            box.send(to)
        code, said = error.value.recipients[to]
        # Not 4.7.1, by which a server asks its sender for a slower pace with everybody.
        assert (code, said.split()[0]) == (451, b"4.3.0")

    box.send(to)

    assert len(box.messages(to)) == 1


def test_a_slow_tag_is_answered_late(box, ada):
    started_at = time.monotonic()

    box.send(f"{ada}+slow@example.org")

    assert time.monotonic() - started_at >= 3


@pytest.mark.parametrize(("tag", "kept_at_first"), [("drop", 0), ("dropkept", 1)])
def test_a_drop_tag_cuts_the_first_connection_after_the_final_dot(box, ada, tag, kept_at_first):
    to = f"{ada}+{tag}@example.org"
    message = plain(to)
    with smtplib.SMTP("127.0.0.1", box.smtp_port) as client:
        with pytest.raises((smtplib.SMTPServerDisconnected, ConnectionError)):
            client.send_message(message)
        client.close()
    assert len(box.messages(to)) == kept_at_first

    with smtplib.SMTP("127.0.0.1", box.smtp_port) as client:
        client.send_message(message)

    assert len(box.messages(to)) == kept_at_first + 1


def test_paused_it_keeps_connections_and_does_not_answer(box, ada):
    assert box.ask("/api/pause", method="POST")[0] == 200
    try:
        with (
            socket.create_connection(("127.0.0.1", box.smtp_port), timeout=0.3) as connection,
            pytest.raises(TimeoutError),
        ):
            connection.recv(10)
        assert "Paused" in box.ask("/")[1]
    finally:
        assert box.ask("/api/resume", method="POST")[0] == 200

    box.send(f"{ada}@example.org")
    assert len(box.messages(f"{ada}@example.org")) == 1


def test_another_site_can_neither_control_nor_read_it(box):
    elsewhere = {"Origin": "http://evil.example"}
    assert box.ask("/api/pause", method="POST", headers=elsewhere)[0] == 403
    assert box.ask("/api/pause", method="GET")[0] == 405
    assert box.ask("/api/messages", headers={"Host": "evil.example"})[0] == 400


def test_a_message_of_script_is_shown_harmless(box, ada):
    script = "\"><script>alert('x')</script>"
    box.send(
        f"{ada}@example.org",
        subject=script,
        html=f'<a href="https://example.org/a?b=1&amp;c=2">go</a><a href="javascript:x">{script}',
    )
    [entry] = box.messages(f"{ada}@example.org")

    for page in ("/", *(f"/messages/{entry['id']}?view={v}" for v in ("html", "text", "raw"))):
        status, text, headers = box.ask(page)
        assert status == 200
        assert "<script" not in text
        assert "default-src 'none'" in headers["content-security-policy"]

    _, text, _ = box.ask(f"/messages/{entry['id']}")
    assert 'sandbox="" srcdoc="' in text
    assert 'href="https://example.org/a?b=1&amp;c=2"' in text
    assert 'href="javascript' not in text


@pytest.mark.parametrize(
    "path", ["/api/messages/nonsense", "/messages/nonsense", "/messages/" + str(uuid.UUID(int=0))]
)
def test_what_is_not_there_is_not_found(box, path):
    assert box.ask(path)[0] == 404


@pytest.mark.parametrize("query", ["limit=0", "limit=x", "limit=501", "cursor=x"])
def test_a_query_that_makes_no_sense_is_refused(box, query):
    assert box.ask(f"/api/messages?{query}")[0] == 400
