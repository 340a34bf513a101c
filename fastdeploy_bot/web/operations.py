"""Operations: what a route takes, who may call it and how it answers, said once beside it.

A view's own signature is the declaration: a parameter annotated `Body[T]` or `Query[T]` reads exactly that type, its
answer's annotation is what mypy holds it to, and `web.openapi` describes the same types to the outside.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from http import HTTPStatus
from typing import Annotated, Any, Final, Generic, TypeVar, cast, get_args, get_origin, get_type_hints

import msgspec
from flask import current_app, request
from msgspec import Meta

from fastdeploy_bot.core.files import servicefile
from fastdeploy_bot.core.people import access
from fastdeploy_bot.core.people.access import Action
from fastdeploy_bot.errors import FastdeployError, Invalid, Malformed
from fastdeploy_bot.words import Principal

T = TypeVar("T")
S = TypeVar("S", bound=msgspec.Struct)
View = Callable[..., Any]  # each takes its own path's values and answers its own type

LONGEST_NUMBER: Final = 19
NEWEST: Final = 2**63 - 1
"""The largest id that a row can have."""

Id = Annotated[int, Meta(ge=1, le=NEWEST, examples=[7])]
Name = Annotated[str, Meta(pattern=f"^{servicefile.NAME.pattern}$", description="A service's name.", examples=["shop"])]
Guid = Annotated[
    str,
    Meta(
        pattern="^[^/]+$", description="GitHub's id of a delivery.", examples=["72d3162e-cc78-11e3-81ab-4c9367dc0958"]
    ),
]


class Body(Generic[T]):
    """The request's JSON body, which a view reads once it knows that the caller may."""

    def __init__(self, shape: type[T]) -> None:
        self.shape = shape

    def read(self) -> T:
        """The body as a typed value; no body is an empty object. Raises Malformed, Invalid."""
        try:
            # In two steps: JSON that ends early is malformed, whatever stands before that.
            return msgspec.convert(msgspec.json.decode(request.get_data() or b"{}"), self.shape)
        except msgspec.ValidationError as error:
            raise Invalid(f"body: {error}") from error
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise Malformed(f"body: not valid JSON: {error}") from error


class Query(Generic[S]):
    """The query's parameters, each once; those that the route does not know are passed over."""

    def __init__(self, shape: type[S]) -> None:
        self.shape = shape
        self._numbers = {each.name for each in msgspec.structs.fields(shape) if _is_number(each.type)}

    def read(self) -> S:
        """The parameters as a typed value. Raises Invalid."""
        given = {name: self._value(name, text) for name, text in request.args.items()}
        try:
            return msgspec.convert(given, self.shape)
        except msgspec.ValidationError as error:
            raise Invalid(f"query: {error}") from error

    def _value(self, name: str, text: str) -> object:
        """What the text says; msgspec's own way to read numbers would let `1e3` pass for one."""
        number = name in self._numbers and text.isascii() and text.isdigit() and len(text) <= LONGEST_NUMBER
        return int(text) if number else text


class Credential(StrEnum):
    """What some routes believe in place of a token of ours."""

    WEBHOOK = "webhook"
    """A signature of the body."""
    METRICS = "metrics"
    """The setting `metrics_token`; where there is none, being on this host."""


class Operation(msgspec.Struct, frozen=True, kw_only=True):
    """A route as it is declared."""

    summary: str
    path: Mapping[str, Any]
    """The types of the values in its path, by their names. (Any, here and below: types have no narrower type.)"""
    action: Action | None
    """What the caller must be allowed to do; None where no token is asked for."""
    body: Any
    """The body's type, or None."""
    query: Any
    answer: Any
    """The type that a successful answer's JSON is; None where it is not JSON."""
    media: str | None
    """The successful answer's media type; None where it has no body."""
    statuses: Sequence[int]
    """Those of success."""
    errors: Sequence[type[FastdeployError]]
    """What the route may answer beside what follows from the rest."""
    headers: Mapping[str, str]
    """What the successful answer's own headers say, by their names."""
    idempotent: bool
    """Whether an Idempotency-Key is heeded."""
    credential: Credential | None
    """What is asked for in place of a token of ours."""
    example: Mapping[str, Any] | None
    """A body that a caller might send."""


def operation(
    action: Action | None = None,
    *,
    statuses: Sequence[int] = (HTTPStatus.OK,),
    errors: Sequence[type[FastdeployError]] = (),
    headers: Mapping[str, str] = {},
    idempotent: bool = False,
    credential: Credential | None = None,
    example: Mapping[str, Any] | None = None,
) -> Callable[[View], View]:
    """Declare a view's operation; its types are taken from the view's annotations."""

    def declare(view: View) -> View:
        hints = get_type_hints(view, include_extras=True)
        answer = hints.pop("return")
        readers = {name: get_origin(hint)(*get_args(hint)) for name, hint in hints.items() if _is_reader(hint)}
        declared = Operation(
            summary=(view.__doc__ or "").strip().splitlines()[0],
            path={name: hint for name, hint in hints.items() if name not in readers},
            action=action,
            body=_shape(readers, Body),
            query=_shape(readers, Query),
            answer=next(iter(get_args(answer)), None),
            media=(get_origin(answer) or answer).media,
            statuses=tuple(map(int, statuses)),
            errors=tuple(errors),
            headers=headers,
            idempotent=idempotent,
            credential=credential,
            example=example,
        )
        ready = functools.update_wrapper(functools.partial(view, **readers), view)
        ready.operation = declared  # type: ignore[attr-defined]  # a function's own attribute
        return ready

    return declare


def of(view: View) -> Operation | None:
    """The operation that a view was declared with."""
    return getattr(view, "operation", None)


def authorize(who: Principal, *, service: str | None = None, deployment: int | None = None) -> None:
    """Raise Forbidden unless `who` may do what the running operation does, to that service or deployment."""
    running = cast("Operation", of(current_app.view_functions[request.endpoint or ""]))
    assert running.action is not None, "an operation for anyone has nothing to authorise"  # noqa: S101 - a bug
    access.authorize(who, running.action, service=service, deployment=deployment)


def _is_reader(hint: Any) -> bool:
    return get_origin(hint) in (Body, Query)


def _shape(readers: Mapping[str, Body[Any] | Query[Any]], kind: type[Body[Any] | Query[Any]]) -> Any:
    return next((each.shape for each in readers.values() if isinstance(each, kind)), None)


def _is_number(annotation: Any) -> bool:
    return msgspec.json.schema(annotation).get("type") == "integer"
