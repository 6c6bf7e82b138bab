"""Serves a page in the web browser that shows the samples of sets.

    cxr-vlp inspect data/shards

The page is served to this machine only (127.0.0.1), and only to who has the token of the printed
address. It needs no internet. Ctrl-C ends it.
"""

from __future__ import annotations

import argparse
import contextlib
import html
import os
import sys
import tempfile
import webbrowser
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from cxr_vlp.pipelines import cli, config, errors
from cxr_vlp.pipelines.errors import ConfigError
from cxr_vlp.pipelines.format import local_paths
from cxr_vlp.pipelines.inspector.security import TOKEN, Guard

if TYPE_CHECKING:
    from werkzeug.serving import BaseWSGIServer

    from cxr_vlp.pipelines.inspector.session import Session

HOST = "127.0.0.1"
ENDED = "the page is closed"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command until it is stopped; return its exit code."""
    flags = _parser().parse_args(arguments)
    config.load(flags.params)  # reports mistakes, though the page needs no parameters
    try:
        from cxr_vlp.pipelines.inspector import server
    except ImportError as error:
        raise ConfigError(
            f"inspect needs the package {str(error.name).partition('.')[0]}: "
            'pip install "cxr-vlp[share]"'
        ) from None
    from cxr_vlp.pipelines.inspector.session import Session, protected

    with protected(flags.shards, flags.state):
        session = Session(flags.shards, flags.state, flags.workers)
        serving = server.bind(session, HOST, flags.port)
        _serve(session, serving.server, serving.guard, browser=not flags.no_browser)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = cli.parser("inspect", "Look at the samples of sets in a web browser.", source=False)
    parser.epilog = (
        "The page is served to this machine only. Exit codes: 2 wrong arguments or parameters, 65 "
        "a set is damaged, 74 a file cannot be read or written, 130 ended by Ctrl-C."
    )
    parser.add_argument(
        "shards", type=local_paths.path, metavar="DIR", help="a set, or a folder of sets"
    )
    parser.add_argument(
        "--port",
        type=_port,
        default=0,
        metavar="N",
        help="port on 127.0.0.1 (default: one that is free)",
    )
    parser.add_argument(
        "--no-browser", action="store_true", help="print the address and open no browser"
    )
    parser.add_argument(
        "--state",
        type=cli.folder,
        default=".cxr",
        metavar="DIR",
        help="the cache of the tables of samples and of the indexes of texts (default: .cxr); it "
        "may be deleted at any time",
    )
    return parser


def _port(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text) < 1 << 16):
        raise argparse.ArgumentTypeError("must be a number from 0 to 65535")
    return int(text)


def _serve(session: Session, server: BaseWSGIServer, guard: Guard, *, browser: bool) -> None:
    sets = session.now.opened.sets
    samples = session.now.opened.table.num_rows
    named = ", ".join(each.name for each in sets)
    address = f"http://{HOST}:{guard.port}/?{TOKEN}={guard.token}"
    plural = "" if len(sets) == 1 else "s"
    cli.say(f"{samples:,} samples of {len(sets)} set{plural}: {named}")
    for fault in session.now.opened.faults:
        sys.stderr.write(f"warning: its samples are not shown: {fault}\n")
    cli.say(f"open {address}")
    cli.say("Ctrl-C ends it")
    sys.stdout.flush()
    try:
        with _opening_page(address) if browser and _has_display() else contextlib.nullcontext():
            server.serve_forever()
    finally:
        session.now.search.end()


@contextlib.contextmanager
def _opening_page(address: str) -> Iterator[None]:
    """Open the browser on a private file that leads to the address, and remove the file at the end.

    Other users see the arguments of a process, so the token must not be among them.
    """
    page = (
        '<!doctype html><meta charset="utf-8"><title>cxr-vlp inspect</title>'
        f'<meta http-equiv="refresh" content="0; url={html.escape(address)}">'
        f'<a href="{html.escape(address)}">Open the page</a>'
    )
    handle, name = tempfile.mkstemp(".html", "cxr-vlp-inspect-")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            stream.write(page)
        webbrowser.open(Path(name).as_uri())
        yield
    finally:
        Path(name).unlink(missing_ok=True)


def _has_display() -> bool:
    """Return whether a browser has a window to open in; a text browser would fill the terminal."""
    if sys.platform.startswith("linux"):
        return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
    return True


def run() -> int:
    """Run the command on the words of the command line; return its exit code."""
    return errors.run(main, ENDED)


if __name__ == "__main__":
    sys.exit(run())
