"""Errors that a caller can mend: what is wrong, why, and what to do.

Everything else is a bug and stays an ordinary exception.
"""

from __future__ import annotations

from http import HTTPStatus


class FastdeployError(Exception):
    """Something the caller can mend; the message says what, why and what to do."""

    status: HTTPStatus = HTTPStatus.BAD_REQUEST
    """What the web answers with."""
    exit_status: int = 1
    """What a command ends with."""
    retry_after: int | None = None
    """After how many seconds the same may succeed; None where time alone mends nothing."""

    @property
    def title(self) -> str:
        """The first line of the class's docstring: the same for every error of this kind."""
        return (type(self).__doc__ or "Error").strip().splitlines()[0].rstrip(".")


class SettingsError(FastdeployError):
    """A setting or a service file is wrong."""

    status = HTTPStatus.INTERNAL_SERVER_ERROR


class Malformed(FastdeployError):
    """The request could not be read."""


class Invalid(FastdeployError):
    """The request was read, but a value in it cannot be used."""

    status = HTTPStatus.UNPROCESSABLE_ENTITY
    exit_status = 2


class Unauthenticated(FastdeployError):
    """No valid token came with the request."""

    status = HTTPStatus.UNAUTHORIZED


class Forbidden(FastdeployError):
    """This token may not do that."""

    status = HTTPStatus.FORBIDDEN


class NotFound(FastdeployError):
    """There is no such thing."""

    status = HTTPStatus.NOT_FOUND
    exit_status = 2


class Conflict(FastdeployError):
    """That is not possible in the present state."""

    status = HTTPStatus.CONFLICT


class UnderWay(Conflict):
    """That is under way already."""

    def __init__(self, message: str, *, deployment: int) -> None:
        super().__init__(message)
        self.deployment = deployment
        """The deployment that does what was asked for."""


class Gone(FastdeployError):
    """That was kept for a while and is no longer."""

    status = HTTPStatus.GONE


class TooMany(FastdeployError):
    """That was tried too often."""

    status = HTTPStatus.TOO_MANY_REQUESTS

    def __init__(self, message: str, *, retry_after: int) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class Unavailable(FastdeployError):
    """The bot cannot do that at the moment."""

    status = HTTPStatus.SERVICE_UNAVAILABLE
    exit_status = 69
    retry_after = 5
