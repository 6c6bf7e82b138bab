"""Publishes the site's folder as a whole, by renaming it; an earlier site is replaced."""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

from cxr_vlp.train.engine.model_dir import locked
from cxr_vlp.train.errors import ConfigError

MARK = "site.json"  # only a folder that holds it is replaced
_CONTENT = {"made_by": "cxr-vlp report"}


@contextlib.contextmanager
def staged(out: Path) -> Iterator[Path]:
    """Yield an empty folder that becomes `out` at the end of the block, if nothing was raised.

    Raises ConfigError where `out` is a file, a mount point, or holds what is no site, and where
    another run is writing it.
    """
    out = out.resolve()
    staging, old = out.with_name(f".{out.name}.staging"), out.with_name(f".{out.name}.old")
    _refuse(out)
    with locked(out.with_name(f".{out.name}.lock"), f"{out}: another run is writing it"):
        _recover(out, old)
        shutil.rmtree(staging, ignore_errors=True)
        staging.mkdir()
        try:
            yield staging
            mark = json.dumps(_CONTENT, sort_keys=True) + "\n"
            (staging / MARK).write_text(mark, encoding="utf-8")
            _refuse(out)  # again: a file may have been put there meanwhile
            if out.exists():
                out.rename(old)
            staging.rename(out)
        finally:
            shutil.rmtree(staging, ignore_errors=True)
            shutil.rmtree(old, ignore_errors=True)


def _recover(out: Path, old: Path) -> None:
    """Restore the old site where a run was killed between the two renames."""
    if old.exists() and not out.exists():
        old.rename(out)
    shutil.rmtree(old, ignore_errors=True)


def _refuse(out: Path) -> None:
    if out.suffix.lower() in (".html", ".htm"):
        raise ConfigError(f"{out}: the report is a folder: give one as --out, such as reports/site")
    if out.is_mount():
        raise ConfigError(f"{out} is a mount point: give a folder below it as --out")
    if out.exists() and not out.is_dir():
        raise ConfigError(f"{out} is a file: give a folder as --out, such as reports/site")
    if out.is_dir() and any(out.iterdir()) and not (out / MARK).is_file():
        raise ConfigError(f"{out} holds files that are no site: choose another --out, or move them")
