"""Fuzzing: schemathesis reads our OpenAPI document and tries what it allows, and what it forbids, on a real bot."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from io import BytesIO
from typing import Any, Final
from wsgiref.types import StartResponse, WSGIEnvironment

import pytest
import schemathesis
from flask import Flask
from hypothesis import HealthCheck, settings
from schemathesis import Case
from schemathesis.config import SchemathesisConfig
from schemathesis.specs.openapi.checks import allow_header_conformance, positive_data_acceptance

from callers import SECRET, Auth, GitHub, Host, ServiceFiles, sha, sync
from fastdeploy_bot.app import document
from fastdeploy_bot.forge.github import signatures
from fastdeploy_bot.settings import Settings

EXAMPLES: Final = 6
"""Of each operation and each phase, beside the systematic ones; derandomised, so that every run tries the same."""

IRRELEVANT: Final = [
    # A value of the right type may still be refused: a sha that nobody pushed, a key that came with another request.
    positive_data_acceptance,
    # What these find, `/services/sync` read as the service of that name, is what the routes say.
    allow_header_conformance,
]

api: Final = schemathesis.openapi.from_dict(document(Settings()), config=SchemathesisConfig(seed=1))

Headers = Mapping[str, str]
served: Final[list[Flask]] = []


def forward(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """The app of the test that runs now; whoever has a token signs rightly, so that webhooks get beyond that."""
    if {"HTTP_AUTHORIZATION", "HTTP_X_HUB_SIGNATURE_256"} <= environ.keys():
        body = environ["wsgi.input"].read()
        environ["wsgi.input"] = BytesIO(body)
        environ["HTTP_X_HUB_SIGNATURE_256"] = signatures.sign(SECRET, body)
    return served[-1](environ, start_response)


api.app = forward


@pytest.fixture
def callers(app: Flask, github: GitHub, service: ServiceFiles, auth: Auth, host: Host) -> Iterator[Sequence[Headers]]:
    """An admin, a service's token, a deployment's token and nobody, at a bot with something of everything."""
    service("shop", branches=["main"], supersede=False)
    sync(app)
    for number in range(1, 4):
        github.push(guid=f"g-{number}", before=sha(number), after=sha(number + 1))
    host.begin(1)
    host.end(1, exit_status=0)
    served.append(app)
    yield [auth("admin"), auth.service("shop"), host.begin(2, definition={"finish": "report"}), {}]
    served.clear()


@api.parametrize()
@settings(
    max_examples=EXAMPLES,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.filter_too_much],
)
def test_every_answer_is_as_described(case: Case[Any], callers: Sequence[Headers]) -> None:
    """No 5xx, no status, type or shape that the document does not tell of, whoever calls and with whatever."""
    for headers in callers:
        case.call_and_validate(headers=dict(headers), excluded_checks=IRRELEVANT)
