"""Complaints: git's words, as it really wrote them, and what they mean."""

from __future__ import annotations

import pytest

from fastdeploy_bot.runner.complaints import Trouble, meaning


@pytest.mark.parametrize(
    ("said", "trouble"),
    [
        (
            "fatal: unable to access 'https://github.com/o/r.git/': Could not resolve host: github.com",
            Trouble.LATER,
        ),
        (
            "fatal: unable to access 'https://github.com/o/r.git/': The requested URL returned error: 502",
            Trouble.LATER,
        ),
        (
            "error: RPC failed; curl 18 transfer closed with outstanding read data remaining\n"
            "fetch-pack: unexpected disconnect while reading sideband packet\nfatal: early EOF\n"
            "fatal: fetch-pack: invalid index-pack output",
            Trouble.LATER,
        ),
        ("fatal: write error: No space left on device", Trouble.LATER),
        ("fatal: remote error: upload-pack: not our ref 1111111111111111111111111111111111111111", Trouble.MISSING),
        (
            "fatal: could not read Username for 'https://github.com': terminal prompts disabled",
            Trouble.DENIED,
        ),
        ("remote: Repository not found.\nfatal: repository 'https://github.com/o/r.git/' not found", Trouble.DENIED),
        (
            "fatal: unable to access 'https://github.com/o/r.git/': The requested URL returned error: 403",
            Trouble.DENIED,
        ),
        (
            "fatal: unable to access 'https://github.com/o/r.git/': The requested URL returned error: 301",
            Trouble.MOVED,
        ),
        ("fatal: not a git repository: '.'", Trouble.BROKEN),
        ("error: inflate: data stream error (incorrect header check)", Trouble.BROKEN),
        ("error: invalid path '.git/hooks/x'", Trouble.UNKNOWN),
    ],
)
def test_words_have_a_meaning(said: str, trouble: Trouble) -> None:
    """Whether to try again, to ask otherwise, to begin anew, or to give up."""
    assert trouble is meaning(said)


def test_a_repositorys_name_and_a_servers_chatter_say_nothing() -> None:
    """Whoever names a repository, or writes a message of the server, decides nothing."""
    denied = "fatal: unable to access 'https://github.com/o/connection-tls.git/': The requested URL returned error: 404"

    assert Trouble.DENIED is meaning(denied)
    assert Trouble.DENIED is meaning(f"remote: bad object, the connection timed out\n{denied}")
