"""OpenAPI 3.1: the document of all operations, made from what stands beside the views, and a page that shows it.

Source: https://spec.openapis.org/oas/v3.1.1
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any, Final

import msgspec
from flask import Blueprint, Flask, current_app, render_template
from werkzeug.routing import Rule

from fastdeploy_bot import __version__
from fastdeploy_bot.core.people import access, idempotency
from fastdeploy_bot.web import answers, context, operations
from fastdeploy_bot.web.answers import Answer, Html, Problem
from fastdeploy_bot.web.operations import Credential, Operation, operation
from fastdeploy_bot.words import Principal, PrincipalKind, Role

bp = Blueprint("openapi", __name__, url_prefix="/api")

Document = dict[str, Any]  # JSON, as the specification says

POLICY: Final = "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

SCHEMES: Final[Document] = {
    "user": {
        "type": "http",
        "scheme": "bearer",
        "description": "A user token, `fdu_…`, from `POST /api/v1/token`: what the user's role may. "
        "The role named is the least that will do.",
    },
    "service": {
        "type": "http",
        "scheme": "bearer",
        "description": "A service token, `fds_…`: starts and reads the deployments of its one service.",
    },
    "deployment": {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "JWT",
        "description": "A deployment token, which its script is given: reports on that deployment while it runs.",
    },
    "webhook": {
        "type": "apiKey",
        "in": "header",
        "name": "X-Hub-Signature-256",
        "description": "`sha256=` and the HMAC of the body, as hex, with one of the bot's webhook secrets as the key.",
    },
    "metrics": {
        "type": "http",
        "scheme": "bearer",
        "description": "The setting `metrics_token`. Where it is not set, only the bot's own host is answered.",
    },
}

PROBLEMS: Final = {
    400: "The request cannot be read.",
    401: "No valid token or signature came with it.",
    403: "The token is valid, but of the wrong kind, role, service or deployment; alike whether the thing exists.",
    404: "There is no such thing; told only to those who may list its kind.",
    409: "That is not possible in the present state.",
    410: "That was kept for a while and is no longer.",
    413: "The body is larger than any that is needed here.",
    415: "The body is neither JSON nor a form.",
    422: "The request was read, but a value in it cannot be used.",
    429: "Too many of these: come again after `Retry-After`.",
    500: "A fault of the bot; its own log says more.",
    503: "The bot cannot do that at the moment: come again after `Retry-After`.",
}
"""What each status of an error says."""

KEY: Final = {
    "name": "Idempotency-Key",
    "in": "header",
    "description": "The same key with the same request within a day gets the first answer again.",
    "schema": {"type": "string", "minLength": 1, "maxLength": idempotency.LONGEST_KEY},
}
DELIVERY: Final[Sequence[Document]] = [
    {
        "name": name,
        "in": "header",
        "required": True,
        "schema": {"type": "string", "minLength": 1},
        "description": description,
    }
    for name, description in [
        ("X-GitHub-Event", "What happened: `push`, `ping`, …"),
        ("X-GitHub-Delivery", "The delivery's GUID."),
    ]
]


@bp.get("/openapi.json")
@operation()
def show_document() -> Answer[Document]:
    """This document."""
    return answers.as_json(document(current_app, context.bot().settings.effective_public_url))


@bp.get("/docs")
@operation()
def show_docs() -> Html:
    """The same as a page."""
    told = document(current_app, context.bot().settings.effective_public_url)
    answer = Html(render_template("docs.html", document=told, who=_in_words), mimetype=Html.media)
    answer.headers["Content-Security-Policy"] = POLICY
    return answer


def document(app: Flask, url: str) -> Document:
    """The OpenAPI document of an app's operations; `url` is where they are reached."""
    routes = sorted(_routes(app), key=lambda each: each[0].rule)
    shapes = [shape for _, each in routes for shape in (each.body, each.query, each.answer) if shape is not None]
    schemas, components = msgspec.json.schema_components([*shapes, Problem], ref_template="#/components/schemas/{name}")
    known = {str(shape): schema for shape, schema in zip([*shapes, Problem], schemas, strict=True)}
    paths: Document = {}
    for rule, declared in routes:
        for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"}):
            described = _Describing(rule, method, declared, known, components, url).operation()
            paths.setdefault(_path(rule), {})[method.lower()] = described
    queries = {
        schema["$ref"].rpartition("/")[2] for _, each in routes if each.query for schema in [known[str(each.query)]]
    }
    return {
        "openapi": "3.1.1",
        "info": {
            "title": "fastdeploy_bot",
            "version": __version__,
            "summary": "Deploys what was pushed to GitHub, and says truly what is live.",
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "servers": [{"url": url}],
        "paths": paths,
        "components": {
            "schemas": {name: schema for name, schema in components.items() if name not in queries},
            "responses": {str(status): _problem(status) for status in PROBLEMS},
            "securitySchemes": SCHEMES,
        },
    }


class _Describing(msgspec.Struct, frozen=True):
    """One operation on its way into the document."""

    rule: Rule
    method: str
    declared: Operation
    known: Document
    """The schema of each type, by the type's text."""
    components: Document
    url: str

    @property
    def _is_webhook(self) -> bool:
        return self.declared.credential is Credential.WEBHOOK

    def operation(self) -> Document:
        """The operation object."""
        described = {
            "operationId": self.rule.endpoint.rpartition(".")[2],
            "tags": [_tag(self.rule)],
            "summary": self.declared.summary,
            "security": _security(self.declared),
            "parameters": [*self._path(), *self._query(), *self._headers()],
            "requestBody": self._body(),
            "responses": self._responses(),
            "x-codeSamples": None if self._is_webhook else [{"lang": "Shell", "label": "curl", "source": self._curl()}],
        }
        return {name: value for name, value in described.items() if value is not None}

    def _path(self) -> Iterator[Document]:
        for name, shape in self.declared.path.items():
            yield {"name": name, "in": "path", "required": True, "schema": msgspec.json.schema(shape)}

    def _query(self) -> Iterator[Document]:
        if self.declared.query is None:
            return
        shape = self.components[self.known[str(self.declared.query)]["$ref"].rpartition("/")[2]]
        for name, schema in shape["properties"].items():
            yield {"name": name, "in": "query", "schema": schema}

    def _headers(self) -> list[Document]:
        return [*([KEY] if self.declared.idempotent else []), *(DELIVERY if self._is_webhook else [])]

    def _body(self) -> Document | None:
        if self._is_webhook:
            payload = {"type": "object", "description": "The event's payload, as GitHub sends it."}
            form = {"type": "object", "required": ["payload"], "properties": {"payload": {"type": "string"}}}
            media = {"application/json": payload, "application/x-www-form-urlencoded": form}
            return {"required": True, "content": {name: {"schema": schema} for name, schema in media.items()}}
        if self.declared.body is None:
            return None
        content: Document = {"schema": self.known[str(self.declared.body)]}
        if self.declared.example is not None:
            content["example"] = self.declared.example
        return {"content": {"application/json": content}}

    def _responses(self) -> Document:
        failing = {str(status): {"$ref": f"#/components/responses/{status}"} for status in _failures(self.declared)}
        return {str(status): self._success() for status in self.declared.statuses} | failing

    def _success(self) -> Document:
        declared = self.declared
        told: Document = {"description": declared.summary}
        if declared.headers:
            told["headers"] = {
                name: {"description": text, "schema": {"type": "string"}} for name, text in declared.headers.items()
            }
        if declared.media is not None:
            schema = {"type": "string"} if declared.answer is None else self.known[str(declared.answer)]
            told["content"] = {declared.media: {"schema": schema}}
        return told

    def _curl(self) -> str:
        """How a person would try it in a shell."""
        path = _path(self.rule)
        for parameter in self._path():
            path = path.replace(f"{{{parameter['name']}}}", str(parameter["schema"]["examples"][0]))
        parts = ["curl", *([] if self.method == "GET" else ["-X", self.method]), f"{self.url}{path}"]
        if self.declared.action is not None or self.declared.credential is not None:
            parts.append('-H "Authorization: Bearer $token"')
        if self.declared.example is not None:
            parts.append(f"-d '{json.dumps(self.declared.example)}'")
        return " ".join(parts)


def _routes(app: Flask) -> Iterator[tuple[Rule, Operation]]:
    for rule in app.url_map.iter_rules():
        declared = operations.of(app.view_functions[rule.endpoint])
        if declared is not None:
            yield rule, declared


def _path(rule: Rule) -> str:
    return re.sub(r"<(?:[^:<>]+:)?(\w+)>", r"{\1}", rule.rule)


def _tag(rule: Rule) -> str:
    parts = rule.rule.removeprefix("/api/v1").strip("/").split("/")
    return parts[0] if len(parts) > 1 or rule.rule.startswith("/api/v1") else "bot"


def _security(declared: Operation) -> list[Document]:
    """Who may: any of these."""
    if declared.credential is not None:
        return [{declared.credential.value: []}, *([{}] if declared.credential is Credential.METRICS else [])]
    if declared.action is None:
        return []
    # Asked of those who decide, about somebody and something of theirs.
    may = partial(access.may, action=declared.action, service="shop", deployment=1)
    role = next((role for role in Role if may(Principal(PrincipalKind.USER, "", role=role))), None)
    kinds = [
        ("service", Principal(PrincipalKind.SERVICE, "", service="shop")),
        ("deployment", Principal(PrincipalKind.DEPLOYMENT, "", service="shop", deployment=1)),
    ]
    users: list[Document] = [] if role is None else [{"user": [role.value]}]
    return [*users, *({name: []} for name, who in kinds if may(who))]


def _failures(declared: Operation) -> list[int]:
    """The statuses of every error that the operation may answer."""
    signed = declared.credential is Credential.WEBHOOK
    reads = signed or declared.body is not None or declared.idempotent
    found = {500} | {int(error.status) for error in declared.errors}
    found |= {401, 403, 503} if declared.action is not None else set()
    found |= {404} if declared.path else set()
    found |= {400, 413} if reads else set()
    found |= {422} if declared.query is not None or (reads and not signed) else set()
    return sorted(found)


def _problem(status: int) -> Document:
    waits: Document = {
        "headers": {"Retry-After": {"description": "Seconds.", "schema": {"type": "string", "pattern": "^[0-9]+$"}}}
    }
    return {
        "description": PROBLEMS[status],
        "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
    } | (waits if status in (429, 503) else {})


def _in_words(security: Sequence[Document]) -> str:
    """Who may, for people."""
    words = {
        "service": "a service token, for its own",
        "deployment": "the deployment's token",
        "webhook": "a signature",
        "metrics": "the metrics token; where there is none, this host",
    }
    said = [roles[0] if roles else words[name] for each in security for name, roles in each.items()]
    return " or ".join(said) or "anyone"
