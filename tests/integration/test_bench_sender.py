"""What `make bench` sends: pushes as GitHub's, each of its own, to a server that answers."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Final

import pytest

import octokit
from bench.sender import NotAccepted, Sender
from fastdeploy_bot.forge.github import payloads, signatures
from fastdeploy_bot.words import Push, WebhookSecret

SECRET: Final = "not to be guessed"


class Receiver(ThreadingHTTPServer):
    """Keeps what it gets, and answers as it is told to."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.status = 202
        self.chunked = False
        self.pushes: list[Push] = []
        self.guids: list[str] = []


class Handler(BaseHTTPRequestHandler):
    """One connection's requests."""

    protocol_version = "HTTP/1.1"
    server: Receiver

    def do_POST(self) -> None:
        """Read a push as the bot does, and answer."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        signatures.verify(body, self.headers["X-Hub-Signature-256"], [WebhookSecret(SECRET)])
        webhook = payloads.parse(body, self.headers)
        assert webhook.push is not None
        self.server.pushes.append(webhook.push)
        self.server.guids.append(webhook.guid)
        self.send_response(self.server.status)
        if self.server.chunked:
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            self.wfile.write(b"2\r\nok\r\n")
            self.wfile.write(b"0\r\n\r\n")
        else:
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"ok")

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """A server that is up, and gone afterwards."""
    octokit.require()
    with Receiver() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("chunked", [False, True])
def test_every_push_is_signed_and_another_one_and_those_of_a_repository_form_a_chain(
    receiver: Receiver, chunked: bool
) -> None:
    """None is a duplicate to whoever knows pushes again; the answer's form does not matter."""
    receiver.chunked = chunked
    sender = Sender(receiver.server_port, "/hook", SECRET, repositories=3)

    sent = sender.send(pushes=30, connections=4)

    of_s1 = sorted((push for push in receiver.pushes if push.repository == "octo-org/s1"), key=lambda push: push.after)
    assert (30, 30, 30) == (sender.sent, len(sent.took), len(set(receiver.guids)))
    assert 10 == len(of_s1)
    assert [push.after for push in of_s1[:-1]] == [push.before for push in of_s1[1:]]
    assert {"refs/heads/master"} == {push.ref for push in receiver.pushes}
    assert len({(push.repository_id, push.pushed_at) for push in receiver.pushes}) == 30


def test_sending_goes_on_for_as_long_as_it_was_asked_to(receiver: Receiver) -> None:
    """The figures are those of that time, the sender's own part among them."""
    sent = Sender(receiver.server_port, "/hook", SECRET).send(seconds=0.2, connections=2)

    figures = sent.figures()
    assert sent.seconds >= 0.2
    assert len(sent.took) == len(receiver.pushes)
    assert figures["pushes/s"] == pytest.approx(len(sent.took) / sent.seconds)
    assert 0 < figures["ms p50"] <= figures["ms p99"]
    assert figures["sender's µs/push"] > 0


def test_a_push_that_is_not_accepted_is_no_measurement(receiver: Receiver) -> None:
    """However fast it was refused; nor is one that was accepted and is not kept."""
    receiver.status = 403
    sender = Sender(receiver.server_port, "/hook", SECRET)

    with pytest.raises(NotAccepted, match="403"):
        sender.send(pushes=10)
    with pytest.raises(NotAccepted, match="are kept"):
        sender.require(sender.sent - 1)
