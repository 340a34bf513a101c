"""Proxies: whose `X-Forwarded-*` is believed."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Sequence
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from werkzeug.middleware.proxy_fix import ProxyFix


def trusting(app: WSGIApplication, proxies: Sequence[str]) -> WSGIApplication:
    """The app, seeing the true peer, scheme and host of requests that come through one of the networks named."""
    if not proxies:
        return app
    networks = [ipaddress.ip_network(each) for each in proxies]
    through = ProxyFix(app, x_for=1, x_proto=1, x_host=1)

    def choose(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        trusted = _within(environ.get("REMOTE_ADDR", ""), networks)
        return (through if trusted else app)(environ, start_response)

    return choose


def _within(address: str, networks: Sequence[ipaddress.IPv4Network | ipaddress.IPv6Network]) -> bool:
    try:
        peer = ipaddress.ip_address(address)
    except ValueError:
        return False
    return any(peer in network for network in networks)
