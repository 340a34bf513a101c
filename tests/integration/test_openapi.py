"""OpenAPI: the document tells of every route, is what the specification asks for, and is shown as a page."""

from __future__ import annotations

import html
import re
from html.parser import HTMLParser
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner
from flask import Flask
from flask.testing import FlaskClient
from jsonschema import Draft202012Validator
from schemathesis.specs.openapi.definitions import OPENAPI_31

import described
from described import the_document
from fastdeploy_bot import __version__
from fastdeploy_bot.cli.root import cli
from fastdeploy_bot.web import operations

PROGRAMS = ("/api/", "/webhooks/", "/healthz", "/readyz", "/metrics")


def operation_objects() -> list[dict[str, Any]]:
    """Every operation of the document."""
    return [each for methods in the_document()["paths"].values() for each in methods.values()]


def test_every_route_for_programs_is_described(app: Flask) -> None:
    """And nothing that is not there."""
    routes = {
        (described.path_of(rule.rule), method.lower())
        for rule in app.url_map.iter_rules()
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
        if rule.rule.startswith(PROGRAMS)
    }

    assert routes == {(path, method) for path, methods in the_document()["paths"].items() for method in methods}


def test_the_document_is_openapi_3_1() -> None:
    """By the specification's own schema; the types are JSON Schema 2020-12."""
    document = the_document()

    assert [] == list(Draft202012Validator(OPENAPI_31).iter_errors(document))
    for schema in document["components"]["schemas"].values():
        Draft202012Validator.check_schema(schema)


def test_names_are_given_once() -> None:
    """No two operations have one id, and everything that is referred to is there."""
    document = the_document()
    ids = [each["operationId"] for each in operation_objects()]
    references = set(re.findall(r'"#/components/(\w+)/(\w+)"', msgspec.json.encode(document).decode()))

    assert len(ids) == len(set(ids))
    assert all(name in document["components"][kind] for kind, name in references)


def test_every_error_is_a_problem() -> None:
    """RFC 9457, with whatever status."""
    for operation in operation_objects():
        failing = {status for status in operation["responses"] if status >= "400"}

        assert {f"#/components/responses/{status}" for status in failing} == {
            operation["responses"][status]["$ref"] for status in failing
        }
    for response in the_document()["components"]["responses"].values():
        assert ["application/problem+json"] == list(response["content"])


def test_lists_say_what_they_hold() -> None:
    """A page of deployments is typed by the deployment."""
    answer = described.operation("GET", "/api/v1/deployments")["responses"]["200"]["content"]["application/json"]
    page = the_document()["components"]["schemas"][answer["schema"]["$ref"].rpartition("/")[2]]

    assert {"$ref": "#/components/schemas/DeploymentView"} == page["properties"]["items"]["items"]


def test_what_creates_takes_an_idempotency_key() -> None:
    """Every POST that is answered with 201, and the replay."""
    keyed = {
        each["operationId"]
        for each in operation_objects()
        if any(parameter["name"] == "Idempotency-Key" for parameter in each["parameters"])
    }
    creating = {each["operationId"] for each in operation_objects() if "201" in each["responses"]}

    assert creating | {"replay"} == keyed


def test_examples_can_be_sent(app: Flask) -> None:
    """Each is of the type that the route reads."""
    declared = [found for view in app.view_functions.values() if (found := operations.of(view)) is not None]
    examples = [each for each in declared if each.example is not None]

    for each in examples:
        msgspec.convert(each.example, each.body)
    assert len(examples) == len([each for each in declared if each.body is not None])


def test_the_document_is_served_to_anyone(client: FlaskClient) -> None:
    """As JSON, with the address of this bot."""
    answer = client.get("/api/openapi.json")

    assert (200, "application/json") == (answer.status_code, answer.mimetype)
    assert the_document() == answer.get_json()
    assert ("3.1.1", __version__) == (answer.get_json()["openapi"], answer.get_json()["info"]["version"])


def test_the_command_prints_the_same(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    """Also where there is no bot."""
    monkeypatch.chdir(tmp_path)

    printed = CliRunner().invoke(cli, ["openapi"])

    assert (0, the_document()) == (printed.exit_code, msgspec.json.decode(printed.stdout))


class Markup(HTMLParser):
    """What a page refers to."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: list[tuple[str, str]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note a tag."""
        self.tags.add(tag)
        self.attributes += [(name, value or "") for name, value in attrs]


def test_the_page_shows_every_operation(client: FlaskClient) -> None:
    """With its path, its sentence and how to try it."""
    page = html.unescape(client.get("/api/docs").text)

    for path, methods in the_document()["paths"].items():
        for method, operation in methods.items():
            assert f"<code>{method.upper()} {path}</code>" in page
            assert operation["summary"] in page
            assert all(sample["source"] in page for sample in operation.get("x-codeSamples", []))


def test_the_page_needs_nothing_from_elsewhere(client: FlaskClient) -> None:
    """No script, no style of its own, no other host; every place that it links to within itself is there."""
    answer = client.get("/api/docs")
    found = Markup(answer.text)
    ids = {value for name, value in found.attributes if name == "id"}
    links = {value for name, value in found.attributes if name in {"href", "src"}}

    assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
    assert not found.tags & {"script", "style", "iframe", "img"}
    assert not {name for name, _ in found.attributes if name == "style" or name.startswith("on")}
    assert not {link for link in links if "//" in link}
    assert {link[1:] for link in links if link.startswith("#")} <= ids
