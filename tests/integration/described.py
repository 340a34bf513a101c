"""The OpenAPI document as a judge: whether an answer is one of those that it tells of."""

from __future__ import annotations

import json
import re
from functools import cache
from typing import Any, TypeVar

from flask import Response, request
from jsonschema import Draft202012Validator

from fastdeploy_bot.app import document
from fastdeploy_bot.settings import Settings
from fastdeploy_bot.web.later import Later

R = TypeVar("R", bound=Response)

Told = dict[str, Any]  # a part of the document: JSON, as the specification says


@cache
def the_document() -> Told:
    """The document of a bot with the usual settings."""
    return document(Settings())


def path_of(rule: str) -> str:
    """A path of the document, from a route as Flask writes it."""
    return re.sub(r"<(?:[^:<>]+:)?(\w+)>", r"{\1}", rule)


def operation(method: str, rule: str) -> Told:
    """What the document says of a route; nothing of a page."""
    methods = the_document()["paths"].get(path_of(rule), {})
    found: Told = methods.get("get" if method == "HEAD" else method.lower(), {})
    return found


class Judge:
    """Notes every answer that the document does not tell of; for `after_request`."""

    def __init__(self) -> None:
        self.surprises: list[str] = []

    def __call__(self, answer: Response) -> Response:
        """Look at an answer, and pass it on."""
        told = operation(request.method, request.url_rule.rule) if request.url_rule is not None else {}
        method, path = request.method, request.path
        if isinstance(answer, Later):
            make = answer.make
            answer.make = lambda: self._look(told, method, path, make())
            return answer
        return self._look(told, method, path, answer)

    def _look(self, told: Told, method: str, path: str, answer: R) -> R:
        surprise = _surprise(told, method, answer) if told else ""
        if surprise:
            self.surprises.append(f"{method} {path}: {surprise}")
        return answer


def _surprise(told: Told, method: str, answer: Response) -> str:
    """What is not as described; empty when all is."""
    status = str(answer.status_code)
    if status not in told["responses"]:
        return f"{status} is none of {', '.join(told['responses'])}"
    content = _resolved(told["responses"][status]).get("content", {})
    if answer.mimetype not in content and (content or answer.get_data()):
        return f"{status} is {answer.mimetype}, none of {', '.join(content)}"
    if method == "HEAD" or not answer.is_json:
        return ""
    return _mismatch(json.dumps(content[answer.mimetype]["schema"]), answer.get_json())


def _resolved(response: Told) -> Told:
    if "$ref" not in response:
        return response
    found: Told = the_document()["components"]["responses"][response["$ref"].rpartition("/")[2]]
    return found


def _mismatch(schema: str, value: Any) -> str:  # Any: whatever the answer holds
    return "; ".join(f"{error.json_path}: {error.message}" for error in _validator(schema).iter_errors(value))


@cache
def _validator(schema: str) -> Draft202012Validator:
    return Draft202012Validator(json.loads(schema) | {"components": the_document()["components"]})
