"""GitHub's own example payloads, signed by GitHub's own JavaScript, delivered to a real bot over HTTP."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from contextlib import closing
from urllib.parse import urlencode

import pytest
import requests

import octokit
from bots import Bot, Json
from octokit import Example

JSON = "application/json"
FORM = "application/x-www-form-urlencoded"


@pytest.fixture
def bot(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bot]:
    """A running bot for one test; without the material from npm there is nothing to deliver."""
    octokit.require()
    with closing(Bot(tmp_path_factory.mktemp("bot"))) as made:
        yield made.start()


def deliver(bot: Bot, examples: list[Example], content_type: str = JSON) -> list[requests.Response]:
    """Deliver the examples one after the other, each with a GUID of its own, and answer what the bot said."""
    bodies = [example.text if content_type == JSON else urlencode({"payload": example.text}) for example in examples]
    signatures = octokit.sign_all(bot.secret, bodies)
    return [
        bot.http(
            "POST",
            "/webhooks/github",
            token="",
            data=body.encode(),
            headers={
                "Content-Type": content_type,
                "X-GitHub-Event": example.event,
                "X-GitHub-Delivery": str(uuid.uuid4()),
                "X-Hub-Signature-256": signature,
            },
        )
        for example, body, signature in zip(examples, bodies, signatures, strict=True)
    ]


def pushes() -> list[Example]:
    """The examples of a push."""
    return [example for example in octokit.examples() if example.event == "push"]


def expected(documents: list[Json], *, branches: bool, tags: bool) -> list[str]:
    """What a service that wants these refs has to hear about each push, by the payloads alone."""
    seen: set[tuple[object, ...]] = set()
    told = []
    for push in documents:
        repository = push["repository"]
        key = (repository["id"], push["ref"], push["before"], push["after"], repository["pushed_at"])
        wanted = tags if push["ref"].startswith("refs/tags/") else branches
        told.append("duplicate" if key in seen else "deploy" if wanted and not push["deleted"] else "ignore")
        seen.add(key)
    return told


def test_every_example_of_every_event_is_accepted_and_kept(bot: Bot) -> None:
    """Nothing that GitHub sends is an error: 202, a ping 200; each becomes a delivery with a reason or verdicts."""
    examples = octokit.examples()

    answers = deliver(bot, examples)

    refused = [
        (example.name, answer.status_code, answer.text)
        for example, answer in zip(examples, answers, strict=True)
        if answer.status_code != (200 if example.event == "ping" else 202)
    ]
    assert [] == refused
    silent = [answer.text for answer in answers if not answer.json()["reason"] and not answer.json()["verdicts"]]
    assert [] == silent
    for example, answer in list(zip(examples, answers, strict=True))[::20]:
        assert example.event == bot.get(f"/deliveries/{answer.json()['delivery']}")["event"]


@pytest.mark.parametrize("content_type", [JSON, FORM])
def test_the_examples_of_a_push_are_decided_as_their_content_says(bot: Bot, content_type: str) -> None:
    """New branch, new tag, deleted tag, and the same push told again; the deployments are of the head commits."""
    examples = pushes()
    documents: list[Json] = [json.loads(example.text) for example in examples]
    [repository] = {document["repository"]["full_name"] for document in documents}
    for name, refs in {
        "all": {"branches": ["**"], "tags": ["**"]},
        "tags": {"tags": ["simple-*"]},
        "default": {},
        "none": {"branches": ["release/*"]},
    }.items():
        bot.service(name, "#!/bin/sh\n", repository=repository, **refs)

    answers = [answer.json() for answer in deliver(bot, examples, content_type)]

    def verdicts(service: str) -> list[str]:
        return [each["verdict"] for answer in answers for each in answer["verdicts"] if each["service"] == service]

    assert expected(documents, branches=True, tags=True) == verdicts("all")
    assert expected(documents, branches=False, tags=True) == verdicts("tags")
    assert expected(documents, branches=True, tags=False) == verdicts("default")
    assert expected(documents, branches=False, tags=False) == verdicts("none")
    heads = [document["head_commit"]["id"] for document in documents if document["head_commit"]]
    ended = bot.wait_idle("all")
    assert set(heads) == {row["sha"] for row in ended}
    assert "success" == ended[-1]["state"]


def test_an_example_signed_with_another_secret_is_refused_and_kept_nowhere(bot: Bot) -> None:
    """The independent signer says who sent it."""
    example = pushes()[0]
    [signature] = octokit.sign_all("guessed", [example.text])

    answer = bot.http(
        "POST",
        "/webhooks/github",
        token="",
        data=example.text.encode(),
        headers={
            "Content-Type": JSON,
            "X-GitHub-Event": "push",
            "X-GitHub-Delivery": str(uuid.uuid4()),
            "X-Hub-Signature-256": signature,
        },
    )

    assert 401 == answer.status_code
    assert [] == bot.get("/deliveries")["items"]
