"""GitHub's own description of its API, cut to the operations that the bot uses, as a judge of requests."""

from __future__ import annotations

import re
from functools import cache
from typing import Any, Final

import jsonschema

import octokit
from octokit import OctokitMissing

OPERATIONS: Final = (
    ("POST", "/repos/{owner}/{repo}/statuses/{sha}"),
    ("POST", "/repos/{owner}/{repo}/deployments"),
    ("GET", "/repos/{owner}/{repo}/deployments"),
    ("POST", "/repos/{owner}/{repo}/deployments/{deployment_id}/statuses"),
    ("POST", "/repos/{owner}/{repo}/check-runs"),
    ("PATCH", "/repos/{owner}/{repo}/check-runs/{check_run_id}"),
    ("GET", "/repos/{owner}/{repo}/commits/{ref}/check-runs"),
    ("GET", "/repos/{owner}/{repo}/commits/{ref}/check-suites"),
    ("GET", "/repos/{owner}/{repo}/commits/{ref}/status"),
    ("GET", "/repos/{owner}/{repo}"),
    ("GET", "/repos/{owner}/{repo}/git/matching-refs/{ref}"),
    ("GET", "/repos/{owner}/{repo}/git/tags/{tag_sha}"),
    ("GET", "/repos/{owner}/{repo}/git/commits/{commit_sha}"),
    ("GET", "/repos/{owner}/{repo}/compare/{basehead}"),
    ("GET", "/repos/{owner}/{repo}/installation"),
    ("GET", "/repos/{owner}/{repo}/collaborators/{username}/permission"),
    ("POST", "/app/installations/{installation_id}/access_tokens"),
    ("POST", "/app-manifests/{code}/conversions"),
    ("GET", "/user"),
    ("DELETE", "/applications/{client_id}/token"),
    ("GET", "/app"),
    ("GET", "/app/installations"),
    ("GET", "/installation/repositories"),
    ("PATCH", "/app/hook/config"),
    ("GET", "/app/hook/config"),
    ("GET", "/app/hook/deliveries"),
    ("POST", "/app/hook/deliveries/{delivery_id}/attempts"),
    ("GET", "/repos/{owner}/{repo}/hooks"),
    ("GET", "/repos/{owner}/{repo}/hooks/{hook_id}/deliveries"),
    ("POST", "/repos/{owner}/{repo}/hooks/{hook_id}/deliveries/{delivery_id}/attempts"),
)

Schema = dict[str, Any]  # what a JSON schema holds differs from keyword to keyword


def complaint(method: str, path: str, body: object) -> str:
    """What GitHub's description has against a request; empty where nothing, or where the description is not there."""
    try:
        operations = _operations()
    except OctokitMissing:
        return ""
    schema = next((schema for verb, route, schema in operations if verb == method and route.fullmatch(path)), None)
    if schema is None:
        return f"{method} {path} is none of our operations"
    faults = jsonschema.Draft7Validator(schema).iter_errors(body)
    return "; ".join(f"{method} {path}: {fault.json_path}: {fault.message}" for fault in faults)


@cache
def _operations() -> list[tuple[str, re.Pattern[str], Schema]]:
    document = octokit.openapi()
    return [
        (method, _route(path), _body(document, document["paths"][path][method.lower()])) for method, path in OPERATIONS
    ]


def _route(path: str) -> re.Pattern[str]:
    """Its pattern; a ref alone has slashes."""
    return re.compile(re.sub(r"\\{\w+\\}", "[^/]+", re.escape(path).replace(r"\{ref\}", ".*")))


def _body(document: Schema, operation: Schema) -> Schema:
    if "requestBody" not in operation:
        return {"type": "null"}
    schema: Schema = _plain(document, operation["requestBody"]["content"]["application/json"]["schema"])
    # GitHub passes over what it does not know; we would not find out.
    return schema | {"additionalProperties": False}


def _plain(document: Schema, schema: Any) -> Any:
    """A schema of OpenAPI 3.0 as JSON Schema has it: with references put in, and `nullable` as a type of its own."""
    if isinstance(schema, list):
        return [_plain(document, each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        return _plain(document, _at(document, schema["$ref"]))
    plain = {key: _plain(document, value) for key, value in schema.items() if key not in {"nullable", "example"}}
    return {"anyOf": [plain, {"type": "null"}]} if schema.get("nullable") is True else plain


def _at(document: Schema, reference: str) -> Any:
    for part in reference.removeprefix("#/").split("/"):
        document = document[part]
    return document
