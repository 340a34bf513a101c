"""Hostile senders and scripts: what they do costs themselves at the most."""

from __future__ import annotations

import socket
import stat
import sys

import pytest

from bots import ROOT, Bot, wait_for

HEAD = b"POST /webhooks/github HTTP/1.1\r\nHost: bot\r\n"
RUN_FOLDER = 'run=$(dirname "$FASTDEPLOY_STEPS_FILE")\n'


def answer(bot: Bot, *pieces: bytes) -> bytes:
    """The first line of the answer to bytes sent as they are, the connection staying open."""
    with socket.create_connection(("127.0.0.1", bot.port), timeout=30) as connection:
        for piece in pieces:
            connection.sendall(piece)
        return connection.recv(1024).split(b"\r\n")[0]


def test_a_body_announced_over_the_limit_is_refused_before_it_comes(bot: Bot) -> None:
    """Nobody waits for what would be thrown away."""
    assert b"413" in answer(bot, HEAD + b"Content-Length: 99999999\r\n\r\n")


def test_a_chunked_body_over_the_limit_is_refused_too(bot: Bot) -> None:
    """It tells no length, and is not cut off without a word."""
    chunk = b"100000\r\n" + b"x" * 0x100000 + b"\r\n"

    assert b"413" in answer(bot, HEAD + b"Transfer-Encoding: chunked\r\n\r\n", *[chunk] * 26, b"0\r\n\r\n")


def test_a_chunked_body_that_is_none_is_bad_input(bot: Bot) -> None:
    """A fault of the sender, not of the bot."""
    assert b"400" in answer(bot, HEAD + b"Transfer-Encoding: chunked\r\n\r\nZZ\r\n\r\n")


def test_a_sender_that_stalls_in_a_body_gives_its_thread_back(bot: Bot) -> None:
    """The bound is ten seconds; here it is waited for once."""
    assert b"400" in answer(bot, HEAD + b"Content-Length: 1000\r\n\r\nabc")


def test_a_token_in_an_address_is_refused_and_not_logged(bot: Bot) -> None:
    """Whoever puts it there by mistake does not find it in the log."""
    response = bot.http("GET", f"/api/v1/services?access_token={bot.token()}", token="")

    assert 401 == response.status_code
    wait_for(lambda: '"path": "/api/v1/services", "status": 401' in bot.output())
    assert bot.token() not in bot.output()


@pytest.mark.parametrize(
    ("name", "deed", "ends"),
    [
        ("entries", 'echo \'{"at": "x"}\' >> "$run/steps.log"', "success"),
        ("segment", 'mkdir "$run/log.99999"', "success"),
        ("record", 'rm "$run/exit"; mkdir "$run/exit"', "lost"),
        ("gone", 'rm -r "$run"', "lost"),
        ("pipe", 'mkfifo "$run/cancel" "$run/finish"', "success"),
        ("queue", 'rm "$run/exit"; mkfifo "$run/exit"', "lost"),
        ("waiter", 'rm "$run/lock"; mkfifo "$run/lock"; sleep 30', "lost"),
        ("locks", 'rm "$run/supervisor.lock"; mkdir "$run/finish"', "success"),
    ],
)
def test_a_script_that_spoils_its_run_folder_ends_all_the_same(bot: Bot, name: str, deed: str, ends: str) -> None:
    """The service is free again, and what cannot be known is said to be lost."""
    bot.service(name, f"#!/bin/sh\n{RUN_FOLDER}{deed}\n")

    assert ends == bot.run_service(name)["state"]


def test_a_service_s_own_word_stands_before_those_for_ephes_scripts(bot: Bot) -> None:
    """A variable of that name may be meant for somebody who must not get the deployment's token."""
    bot.service("words", "#!/bin/sh\necho $ACCESS_TOKEN $CONTEXT\n", env={"ACCESS_TOKEN": "mine"})

    assert b"mine {}\n" == bot.log(bot.run_service("words")["id"])


def test_what_the_server_makes_is_its_user_s_alone(own_bot: Bot) -> None:
    """Also where gunicorn is started by hand, in a home that `init` did not fill."""
    own_bot.environment |= {"FASTDEPLOY_HOME": str(own_bot.home), "PORT": str(own_bot.port)}
    for file in own_bot.home.glob("fastdeploy.db*"):
        file.unlink()

    own_bot.launch(sys.executable, "-m", "gunicorn", "wsgi:app", cwd=ROOT)
    modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in own_bot.home.glob("fastdeploy.db*")}

    assert {0o600} == set(modes.values()), modes


def test_waiting_for_a_bot_that_does_not_run_ends_at_once(own_bot: Bot) -> None:
    """And nothing is queued that would start later, when nobody waits any more."""
    own_bot.service("shop", "#!/bin/sh\n")

    done = own_bot.run("deploy", "shop", "--sha", "1" * 40, "--wait")

    assert (69, []) == (done.returncode, own_bot.read("status")["deployments"])
