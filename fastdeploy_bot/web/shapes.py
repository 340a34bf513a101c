"""Bodies and queries that the API takes, and what it answers beside `core.telling.views`; routes are in `api`."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Final, Generic, Literal, TypeVar

import msgspec
from msgspec import UNSET, Meta, UnsetType

from fastdeploy_bot.core.deploying import locking
from fastdeploy_bot.core.people import tokens
from fastdeploy_bot.core.telling import feed
from fastdeploy_bot.core.telling.views import DeliveryFacts, DeploymentFacts, Moment, ServiceFacts, ToldStep
from fastdeploy_bot.web.operations import NEWEST, Id
from fastdeploy_bot.words import DeploymentState, EventType

T = TypeVar("T")

PAGE: Final = 50
LARGEST_PAGE: Final = 200
COMMIT: Final = Meta(extra_json_schema={"pattern": "^[0-9a-fA-F]{40}$"})
"""What a whole sha looks like; `core.deploying.starting` is what refuses others, in its own words."""


class Credentials(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Who signs in."""

    username: str
    password: str

    def __repr__(self) -> str:
        return f"Credentials({self.username!r}, ********)"


class UserToken(msgspec.Struct, frozen=True):
    """A new user token."""

    token: str
    expires: Moment | None


class NewToken(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How long a new service token shall be valid, and what it is called."""

    days: Annotated[int, Meta(ge=1, le=tokens.MOST_SERVICE_DAYS)] = tokens.SERVICE_DAYS
    name: Annotated[str, Meta(max_length=tokens.LONGEST_NAME)] = ""


class ServiceToken(msgspec.Struct, frozen=True):
    """A new service token; its text is shown this once."""

    id: int
    token: str
    expires: Moment | None


class NewLock(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Why a service shall not be deployed, and until when."""

    reason: Annotated[str, Meta(min_length=1, max_length=locking.LONGEST_REASON)]
    until: Annotated[datetime, Meta(tz=True)] | None = None
    """RFC 3339; null: until somebody unlocks it."""


class Rollback(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where a service shall be rolled back to."""

    to: Id | None = None
    """A deployment that succeeded; null: the last good commit before the live one."""


class NewDeployment(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What shall be deployed; a user has to name the service, everything else is optional."""

    service: str | None = None
    sha: Annotated[str, COMMIT] | None = None
    ref: str | None = None
    context: Mapping[str, Any] = {}


class End(msgspec.Struct, frozen=True):
    """How a script says its deployment ended."""

    state: Literal["success", "failure"]
    message: str = ""


class Page(msgspec.Struct, Generic[T], frozen=True):
    """A stretch of a list, newest first."""

    items: list[T]
    next: int | None
    """For `?before=`; None where nothing is left."""


class Window(msgspec.Struct, frozen=True):
    """Which stretch of a list is asked for."""

    limit: Annotated[int, Meta(ge=1, le=LARGEST_PAGE, description="How many items at most.")] = PAGE
    before: Annotated[int, Meta(ge=1, le=NEWEST, description="The `next` of the page before.")] = NEWEST


class Filter(Window, frozen=True):
    """Which deployments are asked for."""

    service: str = ""
    state: DeploymentState | UnsetType = UNSET
    sha: str = ""


class Since(msgspec.Struct, frozen=True):
    """Which stretch of the feed is asked for."""

    since: Annotated[int, Meta(ge=0, le=NEWEST, description="The id of the last event known.")] = 0
    limit: Annotated[int, Meta(ge=1, le=feed.PAGE, description="How many events at most.")] = PAGE


class FeedEvent(msgspec.Struct, frozen=True):
    """An event: its object stands under the name of its type."""

    id: int
    type: EventType
    deployment: DeploymentFacts | UnsetType = UNSET
    step: ToldStep | UnsetType = UNSET
    service: ServiceFacts | UnsetType = UNSET
    delivery: DeliveryFacts | UnsetType = UNSET


class Events(msgspec.Struct, frozen=True):
    """A stretch of the feed, oldest first."""

    items: list[FeedEvent]
    next: int
    """For `?since=`."""
    reset: bool
    """Whether the events after `since` are no longer kept: read the present state, and go on from `next`."""


class Excerpt(msgspec.Struct, frozen=True):
    """Which part of a log is asked for."""

    offset: Annotated[int, Meta(ge=0, le=NEWEST, description="The first byte, of the whole output.")] = 0
