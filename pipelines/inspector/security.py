"""Keeps the page to the user who started it: this machine, this browser, this user.

The port is open to every user and every program of the machine, and to any web page that the
browser shows. So each request must pass three checks:

    host     the name in the Host header is that of this machine. A page that lets its own name
             point to 127.0.0.1 (DNS rebinding) sends its own name. Any port is accepted, because a
             tunnel (`ssh -L`) may change it.
    caller   the browser says that the request comes from this page or from the user, not from
             another page.
    secret   the cookie, or the token of the address that the command prints. A visit with the token
             sets the cookie. The cookie has another value, so it does not give the token away.

The first answer is a small page that opens the address without the token: a redirect would not
carry the cookie if the visit began on another page (SameSite=Strict).
"""

from __future__ import annotations

import hmac
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from werkzeug.datastructures import Headers

HOSTS = ("127.0.0.1", "localhost", "[::1]")
TOKEN = "token"
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; img-src 'self'; style-src 'self'; script-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Cache-Control": "no-store",  # images of patients do not stay in the browser's cache
}
_PORT = re.compile(r":\d{1,5}\Z")
_CALLERS = ("", "same-origin", "none")


def _secret() -> str:
    return secrets.token_urlsafe(32)


@dataclass(frozen=True)
class Guard:
    """The secrets of one run. The port is in the cookie's name: browsers share cookies of ports."""

    port: int
    token: str = field(default_factory=_secret, repr=False)
    session: str = field(default_factory=_secret, repr=False)

    @property
    def cookie(self) -> str:
        """The name of the cookie."""
        return f"cxr-vlp-{self.port}"

    def refusal(self, headers: Headers, cookies: Mapping[str, str], token: str | None) -> str:
        """Return why a request is refused, "" if it is allowed."""
        if _PORT.sub("", headers.get("Host", "")).lower() not in HOSTS:
            return "This page answers to 127.0.0.1 and localhost only."
        if token is not None:
            return "" if _same(token, self.token) else "The token is not that of this run."
        if headers.get("Sec-Fetch-Site", "") not in _CALLERS:
            return "Another page asked for this. Open the address yourself."
        if not _same(cookies.get(self.cookie, ""), self.session):
            return "Open the address that `cxr-vlp inspect` printed: it holds a token."
        return ""


def foreign_origin(headers: Headers) -> bool:
    """Return whether a POST comes from another page."""
    origin = headers.get("Origin")
    return origin is not None and origin != f"http://{headers.get('Host', '')}"


def _same(one: str, other: str) -> bool:
    return hmac.compare_digest(one.encode(), other.encode())
