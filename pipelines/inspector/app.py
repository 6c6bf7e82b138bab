"""The pages: their addresses, and what each shows."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import flask
from werkzeug.exceptions import HTTPException, NotFound

from cxr_vlp.nlp.wording.summary import summary
from cxr_vlp.pipelines import errors
from cxr_vlp.pipelines.errors import Stop
from cxr_vlp.pipelines.inspector.filters import FIELDS, STATUSES, UNSET, VALUES
from cxr_vlp.pipelines.inspector.pages import MEANINGS
from cxr_vlp.pipelines.inspector.security import HEADERS, TOKEN, Guard, foreign_origin
from cxr_vlp.pipelines.inspector.session import Session
from cxr_vlp.pipelines.inspector.views import Views


def create(session: Session, guard: Guard) -> flask.Flask:
    """Return the application that shows the sets of a session to those whom the guard lets in."""
    app = flask.Flask("cxr_vlp.pipelines.inspector", root_path=str(Path(__file__).parent))
    app.jinja_env.trim_blocks = app.jinja_env.lstrip_blocks = True
    app.jinja_env.filters["summary"] = summary
    app.jinja_env.globals |= {
        "session": session, "statuses": STATUSES, "fields": FIELDS, "values": VALUES,
        "unset": UNSET, "meanings": MEANINGS,
    }  # fmt: skip
    _protect(app, guard)
    _add_pages(app, Views(session))
    app.register_error_handler(Exception, _failed)
    return app


def _protect(app: flask.Flask, guard: Guard) -> None:
    @app.before_request
    def check() -> Any:
        request = flask.request
        token = request.args.get(TOKEN)
        refused = guard.refusal(request.headers, request.cookies, token)
        if not refused and request.method == "POST" and foreign_origin(request.headers):
            refused = "Another page asked for this."
        if refused:
            return flask.render_template("refused.html", reason=refused), 403
        return None if token is None else _entered(guard)

    @app.after_request
    def add_headers(response: flask.Response) -> flask.Response:
        for name, value in HEADERS.items():
            response.headers[name] = value
        return response


def _entered(guard: Guard) -> flask.Response:
    """Set the cookie, and open the same address without its token."""
    pairs = [pair for pair in flask.request.args.items(multi=True) if pair[0] != TOKEN]
    # quoted: "/\\host" would be another host for a browser, and a folder's name may hold "?"
    path = quote(flask.request.path.lstrip("/"))
    page = flask.render_template("entered.html", address=f"/{path}{_query(pairs)}")
    response = flask.make_response(page)
    response.set_cookie(guard.cookie, guard.session, httponly=True, samesite="Strict")
    return response


def _query(pairs: list[tuple[str, str]]) -> str:
    return f"?{urlencode(pairs)}" if pairs else ""


def _add_pages(app: flask.Flask, views: Views) -> None:
    app.add_url_rule("/", "grid", views.grid)
    app.add_url_rule("/sample/<name>/<key>", "sample", views.sample)
    app.add_url_rule("/image/<name>/<key>", "image", views.image)
    app.add_url_rule("/keys.txt", "keys", views.keys)
    app.add_url_rule("/sets", "sets", views.sets)
    app.add_url_rule("/rejects", "rejects", views.rejects)
    app.add_url_rule("/read-again", "read_again", views.read_again, methods=["POST"])


def _failed(error: Exception) -> Any:
    """Show a page for an error; the message of an unexpected one may quote a report."""
    if isinstance(error, NotFound):
        text, status = "There is no such page, or no such sample in the opened sets.", 404
    elif isinstance(error, HTTPException):
        text, status = f"{error.name}.", error.code or 500
    elif isinstance(error, Stop):
        text, status = f"{error}.", 500
    else:
        text, status = f"{errors.internal(error)}.", 500
    return flask.render_template("failed.html", text=text), status
