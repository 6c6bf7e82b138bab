"""Answers the requests: one method a page."""

from __future__ import annotations

from typing import Any

import flask
import numpy as np

from cxr_vlp.pipelines.errors import ConfigError
from cxr_vlp.pipelines.inspector import command_lines, pages, stored_sample
from cxr_vlp.pipelines.inspector.filters import PER_PAGE, FilterError, Filters
from cxr_vlp.pipelines.inspector.opened import Opened
from cxr_vlp.pipelines.inspector.pages import Tile
from cxr_vlp.pipelines.inspector.results import Result, neighbours, page_of
from cxr_vlp.pipelines.inspector.session import Session, Snapshot
from cxr_vlp.pipelines.inspector.stored_sample import UnreadableError
from cxr_vlp.pipelines.inspector.text_index import NotReadyError, SearchError

USER_ERRORS = (FilterError, SearchError, ConfigError)


class Views:
    """The functions that answer requests; each reads the session's snapshot once."""

    def __init__(self, session: Session) -> None:
        self.session = session

    def grid(self) -> Any:
        """Show a page of the samples that the filters find."""
        now, filters = self.session.now, _filters()
        try:
            result = now.results.of(filters)
            return self._grid(now, filters, result)
        except NotReadyError as progress:
            return flask.render_template("indexing.html", filters=filters, progress=progress)
        except USER_ERRORS as error:
            return self._grid(now, filters, None, str(error)), 400

    def _grid(self, now: Snapshot, filters: Filters, result: Result | None, error: str = "") -> str:
        places = result.places if result else np.empty(0, int)
        last = max(1, -(-len(places) // PER_PAGE))
        number = min(max(1, flask.request.args.get("page", 1, type=int)), last)
        return flask.render_template(
            "grid.html",
            filters=filters,
            chips=pages.chips(filters),
            choices=now.choices,
            result=result,
            error=error,
            alone=_alone(now, filters) if result and not len(places) else [],
            tiles=[Tile(row) for row in now.opened.rows(page_of(places, number, PER_PAGE))],
            number=number,
            last=last,
            first=(number - 1) * PER_PAGE + 1,
            pager=pages.numbers_of_pages(number, last),
            commands=self._commands(filters) if len(places) else {},
            unsearched=now.search.unreadable() if filters.one("q") and result else 0,
        )

    def _commands(self, filters: Filters) -> dict[str, str]:
        shards, keys = self.session.folder, bool(filters.one("q"))
        return {
            "select": command_lines.select(shards, filters.condition, keys=keys),
            "export": command_lines.export(shards, filters.condition, keys=keys),
        }

    def sample(self, name: str, key: str) -> Any:
        """Show all that is known of one sample."""
        now, filters = self.session.now, _filters()
        place = _place(now.opened, name, key)
        row, opened = now.opened.row(place), now.opened.set_at(place)
        try:
            document, fault = stored_sample.document(opened.folder, row), ""
        except UnreadableError as error:
            document, fault = None, str(error)
        return flask.render_template(
            "one_sample.html",
            filters=filters,
            tile=Tile(row),
            row=row,
            labels=pages.labels_of(row),
            document=document,
            fault=fault,
            sections=pages.sections(document) if document else [],
            texts=pages.other_texts(document) if document else [],
            notes=pages.explained(row["notes"]),
            study=[Tile(each) for each in now.opened.rows(now.opened.study_of(place))],
            header=opened.header,
            **_around(now, filters, place),
        )

    def image(self, name: str, key: str) -> Any:
        """Send the stored image, or a drawn tile that says why there is none."""
        opened = self.session.now.opened
        place = _place(opened, name, key)
        row = opened.row(place)
        try:
            data, kind = stored_sample.image(opened.set_at(place).folder, row)
        except UnreadableError as error:
            tile = flask.render_template("unreadable.svg", row=row, reason=str(error))
            return flask.Response(tile, 404, mimetype="image/svg+xml")
        return flask.Response(data, mimetype=kind)

    def keys(self) -> Any:
        """Send the keys of the selection, one a line, for `select --keys`."""
        now, filters = self.session.now, _filters()
        try:
            places = now.results.of(filters).places
        except (NotReadyError, *USER_ERRORS) as error:
            return flask.render_template("failed.html", text=f"{error}"), 400
        keys = now.opened.table.column("key").take(places).to_pylist()
        lines = "".join(f"{key}\n" for key in keys)
        name = {"Content-Disposition": f'attachment; filename="{command_lines.KEYS}"'}
        return flask.Response(lines, mimetype="text/plain", headers=name)

    def sets(self) -> str:
        """Show the header, the flow table and the splits of every set."""
        rows = [
            {"set": each, "flow": pages.flow(each), "splits": pages.splits(each)}
            for each in self.session.now.opened.sets
        ]
        return flask.render_template("sets.html", rows=rows)

    def rejects(self) -> str:
        """Show the rejects and notes of every set by code, with meaning and remedy."""
        now = self.session.now
        rows = [
            {
                "set": each,
                "rejects": pages.rejects(each),
                "add_up": pages.rejects_add_up(each),
                "notes": pages.notes(each),
            }
            for each in now.opened.sets
        ]
        filtered = {code for code, _ in now.choices.of["note"]}
        return flask.render_template("all_rejects.html", rows=rows, filtered=filtered)

    def read_again(self) -> Any:
        """Open the sets again after a change."""
        self.session.read_again()
        return flask.redirect("/", 303)


def _filters() -> Filters:
    return Filters.of(list(flask.request.args.items(multi=True)))


def _place(opened: Opened, name: str, key: str) -> int:
    place = opened.place_of(name, key)
    if place is None:
        flask.abort(404)
    return place


def _around(now: Snapshot, filters: Filters, place: int) -> dict[str, Any]:
    """Return where a sample stands in the result of the filters, and the rows beside it."""
    try:
        places = now.results.of(filters).places
    except (NotReadyError, *USER_ERRORS):
        places = np.empty(0, int)
    number, before, after = neighbours(places, place)
    rows = {"before": before, "after": after}
    found = {name: None if at is None else now.opened.row(at) for name, at in rows.items()}
    return {"number": number, "page": -(-number // PER_PAGE), "total": len(places), **found}


def _alone(now: Snapshot, filters: Filters) -> list[tuple[str, int]]:
    """Return (filter, samples that it alone finds), which shows what leaves nothing."""
    found = []
    for only in filters.kinds():
        text = " or ".join(text for text, _ in pages.chips(only))
        found.append((text, len(now.results.of(only).places)))
    return found
