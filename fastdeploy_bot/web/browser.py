"""Browsers: who reads a page, may they, and does what they send come from one of our own forms.

Pages know their reader by the cookie alone, as the API knows its caller by the `Authorization` header alone. Every
request that may change something is refused unless it comes from a form of ours, whether or not its view asks for it.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Iterable
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import urlsplit
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

import msgspec
from flask import Flask, Response, after_this_request, current_app, g, request, url_for
from werkzeug.exceptions import HTTPException

from fastdeploy_bot import store
from fastdeploy_bot.core import clock
from fastdeploy_bot.core.files.servicefile import Visibility
from fastdeploy_bot.core.people import access, sessions
from fastdeploy_bot.core.people.access import Action
from fastdeploy_bot.core.people.macs import is_genuine, mac
from fastdeploy_bot.core.people.sessions import Begun, Found
from fastdeploy_bot.errors import Forbidden, Unauthenticated
from fastdeploy_bot.web import context, operations
from fastdeploy_bot.words import Principal, PrincipalKind

COOKIE: Final = "fastdeploy"
FORM_COOKIE: Final = "fastdeploy-form"
"""What the form tokens of those are bound to who have not signed in."""
DETOUR_COOKIE: Final = "fastdeploy-github"
"""What the way to GitHub's sign-in and back is bound to."""
SECURE_PREFIX: Final = "__Host-"
FIELD: Final = "form_token"
_OF_FORMS: Final = "form token"
"""For what the MACs in forms are."""
SALT: Final = 16
"""How many hex digits of a form token are of its answer alone: pages are packed, and what stood in each of them could
be guessed from their sizes, digit by digit."""
LOGIN, SIGN_IN = "signin.login", "signin.sign_in"
"""The views of the one form that is for those who have not signed in."""
SIGN_INS: Final = (LOGIN, SIGN_IN, "signin.from_github")
"""The views on whose pages that form is."""
THEME: Final = "theme.choose"
ACTING: Final = "acting"
"""The views of the forms that do something to the thing at whose path they are."""
FOR_VISITORS: Final = frozenset({SIGN_IN, THEME})
"""What those may send."""
SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})
LONGEST_FORM: Final = 64 * 1024
LONGEST_PATH: Final = 2_000

HEADERS: Final = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
        "form-action 'self'; frame-ancestors 'none'; base-uri 'none'; "
        "require-trusted-types-for 'script'; trusted-types fastdeploy"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    # Not `no-referrer`: under that, forms are sent with the origin "null".
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), display-capture=(), geolocation=(), microphone=(), payment=(), usb=()",
    "Cache-Control": "no-store",
}
"""Sent with every answer that does not say otherwise itself."""
_PROTECTING: Final = [(name.lower(), (name, value)) for name, value in HEADERS.items()]


class SignedOut(Unauthenticated):
    """You are not signed in."""


class StandIns(msgspec.Struct):
    """What stands in a page that is drawn for several readers where each gets something of their own."""

    form_token: str
    nonce: str
    forms: int = 0
    """How many forms have a nonce so far."""


def register(app: Flask) -> None:
    """Hold every request of a browser to these rules, and give templates what their forms need."""
    app.before_request(_require_own_form)
    app.jinja_env.globals.update(
        reader=_shown_reader,
        form_token=form_token,
        nonce=nonce,
        may=_may,
        page_path=page_path,
        form_page=form_page,
        session_left=left,
    )


def protecting(app: WSGIApplication) -> WSGIApplication:
    """The app, each answer with the headers that protect who reads it.

    Around Flask, where an answer's headers are a plain list: to look each of them up in Flask's own takes ten times
    as long.
    """

    def serve(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        def start(status: str, headers: list[tuple[str, str]], *error: Any) -> Callable[[bytes], object]:
            said = {name.lower() for name, _ in headers}
            missing = [header for name, header in _PROTECTING if name not in said]
            return start_response(status, [*headers, *missing], *error)

        return app(environ, start)

    return serve


def reader() -> Principal:
    """Who reads the page: the user who signed in, or a visitor; without a name where it is drawn for several."""
    found = session()
    who = Principal(PrincipalKind.VISITOR, "") if found is None else found.principal
    return (
        msgspec.structs.replace(who, name="") if "stand_ins" in g else msgspec.structs.replace(who, peer=context.peer())
    )


def session() -> Found | None:
    """The reader's session; None for a visitor."""
    if "session" not in g:
        g.session = _session()
    found: Found | None = g.session
    return found


def require(action: Action, *, service: str | None = None, visibility: Visibility = Visibility.PRIVATE) -> Principal:
    """The reader, if they may do that.

    Visitors who may not are asked to sign in, and come back to this page; nothing tells them whether it exists: to be
    called before anything is looked for. Raises Forbidden for users who may not.
    """
    who = reader()
    if who.kind is PrincipalKind.VISITOR and not access.may(who, action, service=service, visibility=visibility):
        raise _ask_to_sign_in()
    access.authorize(who, action, service=service, visibility=visibility)
    return who


def form_token() -> str:
    """What a form has to carry in its field `form_token`; another one in each answer."""
    if (stand_ins := _stand_ins()) is not None:
        return stand_ins.form_token
    if "form_salt" not in g:
        g.form_salt = secrets.token_hex(SALT // 2)
    salt: str = g.form_salt
    return salt + mac(_OF_FORMS, salt + (_bound_to() or _begin_form()), context.bot().settings.keys[0])


def nonce() -> str:
    """What a form has to carry in its field `nonce`, so that its second coming is known."""
    if (stand_ins := _stand_ins()) is None:
        return secrets.token_urlsafe(12)
    stand_ins.forms += 1
    return f"{stand_ins.nonce}-{stand_ins.forms}"


def sign_in(answer: Response, begun: Begun) -> Response:
    """Let the reader be who has begun the session."""
    _set_cookie(answer, COOKIE, begun.cookie, max_age=sessions.LONGEST // clock.SECOND)
    return answer


def sign_out(answer: Response) -> Response:
    """Let the browser forget its session."""
    answer.delete_cookie(cookie_name(), path="/", secure=_secure(), httponly=True, samesite="Lax")
    return answer


def detour() -> str:
    """What this browser kept for its way back from GitHub."""
    return request.cookies.get(_named(DETOUR_COOKIE), "")


def keep_detour(answer: Response, cookie: str, *, seconds: int) -> Response:
    """Have the browser keep what its way back from GitHub needs."""
    return _set_cookie(answer, DETOUR_COOKIE, cookie, max_age=seconds)


def forget_detour(answer: Response) -> Response:
    """The way is gone: it cannot be gone again."""
    answer.delete_cookie(_named(DETOUR_COOKIE), path="/", secure=_secure(), httponly=True, samesite="Lax")
    return answer


def remember(answer: Response, name: str, value: str, *, seconds: int) -> Response:
    """Let the browser send that word with every request, and tell it to no script."""
    answer.set_cookie(name, value, max_age=seconds, path="/", secure=_secure(), httponly=True, samesite="Lax")
    return answer


def go_to(path: str) -> Response:
    """After a form: go on to a page of ours."""
    return Response(status=HTTPStatus.SEE_OTHER, headers={"Location": path})


def let_forms_go_to(answer: Response, url: str) -> Response:
    """Let this page's forms be sent to another site, too."""
    policy = HEADERS["Content-Security-Policy"].replace("form-action 'self'", f"form-action 'self' {_origin(url)}")
    answer.headers["Content-Security-Policy"] = policy
    return answer


def cookie_name() -> str:
    """What the session's cookie is called."""
    return _named(COOKIE)


def page_path() -> str:
    """The path of this page, to come back to; where it is the answer to a form, of the page that the form is about."""
    wanted = request.full_path if request.query_string else request.path
    return local_path(wanted) if request.method in SAFE_METHODS else form_page() or "/"


def form_page() -> str:
    """The path of the page of what a form does something to; empty where this answers no such form."""
    acts = request.method not in SAFE_METHODS and request.blueprint == ACTING
    return local_path(request.path.rpartition("/")[0]) if acts else ""


def left() -> float:
    """How many seconds the reader's session lasts; 0 where there is none."""
    found = session()
    return 0 if found is None else max(0, found.expires - clock.now()) / clock.SECOND


def local_path(text: str, default: str = "/") -> str:
    """The path, if it is one of this bot's own pages; browsers take much for the address of another host."""
    own = re.fullmatch(r"/(?![/\\])[^\\\x00-\x20\x7f]*", text) is not None
    return text if own and len(text) <= LONGEST_PATH else default


def own_origin() -> str:
    """Where our pages are; without a `public_url` wherever the browser found us."""
    return _origin(context.bot().settings.public_url or request.host_url)


def is_own_origin() -> bool:
    """Whether the request comes from a page of this bot: by its Origin, and by what else the browser says of that."""
    origin, site = request.headers.get("Origin"), request.headers.get("Sec-Fetch-Site")
    if is_from_elsewhere():
        return False
    if origin is None and site is not None:
        return site == "same-origin"
    told = _origin(request.headers.get("Referer", "") if origin is None else origin)
    return bool(told) and told == own_origin()


def is_from_elsewhere() -> bool:
    """Whether the browser says that another site's page makes it send this; older browsers say nothing."""
    return request.headers.get("Sec-Fetch-Site", "none") not in {"same-origin", "none"}


def _session() -> Found | None:
    cookie = request.cookies.get(cookie_name())
    if not cookie:
        return None
    try:
        return sessions.find(cookie, now=clock.now())
    except Unauthenticated:
        return None


def _stand_ins() -> StandIns | None:
    found: StandIns | None = g.get("stand_ins")
    return found


def _shown_reader() -> Principal:
    """The reader as a page shows them; a page that tells of a broken database cannot ask it."""
    try:
        return reader()
    except store.DatabaseError:
        g.session = None  # nothing else of this page asks it again
        return reader()


def _may(action: str, *, service: str | None = None, visibility: Visibility = Visibility.PRIVATE) -> bool:
    return access.may(_shown_reader(), Action(action), service=service, visibility=visibility)


def _ask_to_sign_in() -> Exception:
    if request.method not in SAFE_METHODS:
        return SignedOut("nothing was done: sign in, and try again")
    return HTTPException(response=go_to(url_for(LOGIN, next=page_path())))


def _require_own_form() -> None:
    """Refuse what would change something and does not come from a form of ours. Raises Forbidden, SignedOut."""
    view = current_app.view_functions.get(request.endpoint or "")
    if view is None or request.method in SAFE_METHODS or operations.of(view) is not None:
        return
    request.max_content_length = LONGEST_FORM
    if not is_own_origin():
        raise Forbidden(f"forms are taken from {own_origin()} alone: open the page there, and try again")
    found = session()
    if found is None and request.endpoint not in FOR_VISITORS:
        raise _ask_to_sign_in()
    if not _is_own_token(request.form.get(FIELD, "")):
        raise Forbidden("this form is out of date: reload its page, and try again")
    if found is not None:
        g.session = sessions.prolong(found, now=clock.now())


def _is_own_token(given: str) -> bool:
    bound = [_bound_to()]
    if request.endpoint == THEME:  # every page has that form, the one to sign in with, too
        bound.append(request.cookies.get(_named(FORM_COOKIE)))
    salt, told, keys = given[:SALT], given[SALT:], context.bot().settings.keys
    return any(is_genuine(told, _OF_FORMS, salt + each, keys) for each in bound if each)


def _bound_to() -> str | None:
    """The cookie that this page's form tokens are bound to."""
    name = FORM_COOKIE if request.endpoint in SIGN_INS or session() is None else COOKIE
    return request.cookies.get(_named(name))


def _begin_form() -> str:
    """A new value to bind form tokens to."""
    if "form_cookie" not in g:
        g.form_cookie = secrets.token_urlsafe(32)
        after_this_request(lambda answer: _set_cookie(answer, FORM_COOKIE, g.form_cookie))
    value: str = g.form_cookie
    return value


def _set_cookie(answer: Response, name: str, value: str, *, max_age: int | None = None) -> Response:
    answer.set_cookie(_named(name), value, max_age=max_age, path="/", secure=_secure(), httponly=True, samesite="Lax")
    return answer


def _named(name: str) -> str:
    return SECURE_PREFIX + name if _secure() else name


def _secure() -> bool:
    """Whether browsers come by https; over plain http a secure cookie would never come back."""
    return context.bot().settings.effective_public_url.startswith("https://")


def _origin(url: str) -> str:
    """The origin of an address, as browsers write it; empty where it has none."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return ""
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        return ""
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    usual = {"http": 80, "https": 443}[parts.scheme]
    return f"{parts.scheme}://{host}" + ("" if port in (None, usual) else f":{port}")
