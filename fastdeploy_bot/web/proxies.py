"""Proxies: whose `X-Forwarded-*` is believed."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from werkzeug.middleware.proxy_fix import ProxyFix

Networks = Sequence[ipaddress.IPv4Network | ipaddress.IPv6Network]


def trusting(app: WSGIApplication, proxies: Sequence[str]) -> WSGIApplication:
    """The app, seeing the true peer, scheme and host of requests that come through one of the networks named."""
    if not proxies:
        return app
    networks = networks_of(proxies)
    through = ProxyFix(app, x_for=1, x_proto=1, x_host=1)

    def choose(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        trusted = is_within(environ.get("REMOTE_ADDR", ""), networks)
        return (through if trusted else app)(environ, start_response)

    return choose


def networks_of(proxies: Sequence[str]) -> Networks:
    """The networks that the setting names."""
    return [ipaddress.ip_network(each) for each in proxies]


def is_within(address: str, networks: Networks) -> bool:
    """Whether the address is one of these networks'."""
    try:
        peer = ipaddress.ip_address(address)
    except ValueError:
        return False
    return any(peer in network for network in networks)


def is_direct_loopback(environ: Mapping[str, Any]) -> bool:
    """Whether a request comes from this host itself, and nothing says that it was passed on for somebody else."""
    seen = {**environ, **environ.get("werkzeug.proxy_fix.orig", {})}
    passed_on = any(name == "HTTP_FORWARDED" or name.startswith("HTTP_X_FORWARDED_") for name in environ)
    try:
        peer = ipaddress.ip_address(seen.get("REMOTE_ADDR", ""))
    except ValueError:
        return False
    mapped = peer.ipv4_mapped if isinstance(peer, ipaddress.IPv6Address) else None
    return (mapped or peer).is_loopback and not passed_on
