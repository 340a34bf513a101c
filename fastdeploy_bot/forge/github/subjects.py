"""Subjects: what an event that is no push is about, as far as anything acts upon it. Pure.

All of it is read loosely: a surprise in it is no reason to refuse it. Nor is a key that is not there: it is None.
Source: https://docs.github.com/en/webhooks/webhook-events-and-payloads
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from fastdeploy_bot.forge.github.shapes import FullName, Integer, Line, Login, Sha, loosely
from fastdeploy_bot.words import CheckRun, CheckSuite, CommitStatus, Installation, Person

MOST_REPOSITORIES: Final = 100
"""How many of an installation's repositories are looked at; further ones are as good as not named."""


class Fields(msgspec.Struct, frozen=True):
    """The parts of an event's document that are looked at, unread yet."""

    action: msgspec.Raw = msgspec.Raw()
    repository: msgspec.Raw = msgspec.Raw()
    sender: msgspec.Raw = msgspec.Raw()
    sha: msgspec.Raw = msgspec.Raw()
    context: msgspec.Raw = msgspec.Raw()
    state: msgspec.Raw = msgspec.Raw()
    check_run: msgspec.Raw = msgspec.Raw()
    check_suite: msgspec.Raw = msgspec.Raw()
    workflow_run: msgspec.Raw = msgspec.Raw()
    requested_action: msgspec.Raw = msgspec.Raw()
    installation: msgspec.Raw = msgspec.Raw()
    repositories_added: msgspec.Raw = msgspec.Raw()
    repositories_removed: msgspec.Raw = msgspec.Raw()


class Identity(msgspec.Struct, frozen=True):
    """A repository: the id that stays, and the name it has now."""

    id: Integer
    full_name: FullName


class _Sender(msgspec.Struct, frozen=True):
    id: Integer
    login: Login
    type: Line


class _App(msgspec.Struct, frozen=True):
    id: Integer | None = None
    client_id: Line | None = None


class _Checks(msgspec.Struct, frozen=True):
    """A check run or a check suite."""

    head_sha: Sha
    app: _App | None = None
    id: Integer = 0
    name: Line | None = None
    external_id: Line | None = None


class _Workflow(msgspec.Struct, frozen=True):
    head_sha: Sha


class _Button(msgspec.Struct, frozen=True):
    identifier: Line


class _Account(msgspec.Struct, frozen=True):
    login: Login


class _Installation(msgspec.Struct, frozen=True):
    account: _Account
    app_id: Integer | None = None
    client_id: Line | None = None


# Built once: making one costs more than it takes to decode a small payload.
_line_decoder: Final = msgspec.json.Decoder[str](Line)
_identity_decoder: Final = msgspec.json.Decoder(Identity)
_sender_decoder: Final = msgspec.json.Decoder(_Sender)
_sha_decoder: Final = msgspec.json.Decoder[str](Sha)
_checks_decoder: Final = msgspec.json.Decoder(_Checks)
_workflow_decoder: Final = msgspec.json.Decoder(_Workflow)
_button_decoder: Final = msgspec.json.Decoder(_Button)
_installation_decoder: Final = msgspec.json.Decoder(_Installation)
_repositories_decoder: Final = msgspec.json.Decoder(list[Identity])


def action(fields: Fields) -> str | None:
    """What happened."""
    return loosely(_line_decoder, fields.action)


def repository(fields: Fields) -> Identity | None:
    """Where it happened."""
    return loosely(_identity_decoder, fields.repository)


def sender(fields: Fields) -> Person | None:
    """Who caused it."""
    told = loosely(_sender_decoder, fields.sender)
    return None if told is None else Person(id=told.id, login=told.login, bot=told.type != "User")


def sha(event: str, fields: Fields) -> str | None:
    """The commit that it is about."""
    if event == "status":
        return loosely(_sha_decoder, fields.sha)
    if event == "workflow_run":
        run = loosely(_workflow_decoder, fields.workflow_run)
        return None if run is None else run.head_sha
    checks = _checks(event, fields)
    return None if checks is None else checks.head_sha


def subject(event: str, fields: Fields) -> CheckRun | CheckSuite | CommitStatus | Installation | None:
    """What it is about, where there is more to say of that."""
    if event in {"installation", "installation_repositories"}:
        return _installation(fields)
    if event == "status":
        context, state = loosely(_line_decoder, fields.context), loosely(_line_decoder, fields.state)
        return None if context is None or state is None else CommitStatus(context, state)
    checks = _checks(event, fields)
    if checks is None:
        return None
    if event == "check_suite":
        return CheckSuite(_names(checks.app))
    button = loosely(_button_decoder, fields.requested_action)
    return CheckRun(
        id=checks.id,
        name=checks.name or "",
        external_id=checks.external_id or "",
        app=_names(checks.app),
        pressed="" if button is None else button.identifier,
    )


def _checks(event: str, fields: Fields) -> _Checks | None:
    raw = {"check_run": fields.check_run, "check_suite": fields.check_suite}.get(event)
    return None if raw is None else loosely(_checks_decoder, raw)


def _installation(fields: Fields) -> Installation | None:
    told = loosely(_installation_decoder, fields.installation)
    if told is None:
        return None
    lists = (loosely(_repositories_decoder, raw) for raw in (fields.repositories_added, fields.repositories_removed))
    return Installation(
        account=told.account.login,
        app=_names(_App(told.app_id, told.client_id)),
        repositories=_names_of([each for found in lists for each in found or ()]),
    )


def _names_of(repositories: Sequence[Identity]) -> tuple[str, ...]:
    return tuple(each.full_name for each in repositories[:MOST_REPOSITORIES])


def _names(app: _App | None) -> frozenset[str]:
    """What an App is called; nothing where GitHub does not say."""
    if app is None:
        return frozenset()
    return frozenset(str(name) for name in (app.id, app.client_id) if name is not None)
