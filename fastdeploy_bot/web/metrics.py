"""Metrics: what the rows say, for Prometheus; read when it asks, so right for all processes, also after a restart."""

from __future__ import annotations

import hmac

from flask import Blueprint, request

from fastdeploy_bot.core import clock
from fastdeploy_bot.core.looks import figures
from fastdeploy_bot.errors import Forbidden, Unauthenticated, Unavailable
from fastdeploy_bot.web import context, proxies
from fastdeploy_bot.web.answers import Text
from fastdeploy_bot.web.operations import Credential, operation

bp = Blueprint("metrics", __name__)


@bp.get("/metrics")
@operation(errors=[Unauthenticated, Forbidden, Unavailable], credential=Credential.METRICS)
def show_metrics() -> Text:
    """What there is of what, in Prometheus' text format."""
    _authorize(context.bot().settings.metrics_token)
    from fastdeploy_bot.web import exposition  # many never ask, and no start has to wait for its library

    return Text(exposition.text(figures.read(), now=clock.now()), content_type=exposition.CONTENT_TYPE)


def _authorize(token: str | None) -> None:
    """Raise unless the token came with the request or, where none is set, the request comes from this host itself."""
    if token is not None:
        # Headers come as Latin-1, whatever was sent.
        if not hmac.compare_digest(context.bearer().encode("latin-1"), token.encode()):
            raise Unauthenticated("this is not the metrics token")
    elif not proxies.is_direct_loopback(request.environ):
        raise Forbidden("without a metrics_token only this host is answered, and through no proxy: set one")
