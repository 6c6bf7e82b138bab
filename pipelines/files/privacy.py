"""Files that nobody else on the machine may read, and a word before data leaves the machine.

For collections whose users signed an agreement (credentialed), and where ids are hidden
(`ids: salted`): what a run makes is for its user alone. What exists is made narrower, never wider.
"""

from __future__ import annotations

import configparser
import contextlib
import os
import re
import stat
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

OTHERS = 0o077  # the bits of group and world
ADDRESS = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://(?:[^@/]*@)?([^/?#]*)")


@dataclass(frozen=True)
class Care:
    """Whether a run's files are private, and why."""

    source: str
    licence: str = ""
    credentialed: bool = False
    salted: bool = False

    @classmethod
    def of_inventory(cls, inventory: Mapping[str, Any]) -> Care:
        """Return what a stage after `scan` has to know."""
        return cls(
            inventory["source"],
            inventory["licence"],
            inventory["credentialed"],
            inventory["ids"] == "salted",
        )

    @property
    def private(self) -> bool:
        """Tell whether the files are for their user alone."""
        return self.credentialed or self.salted


@contextlib.contextmanager
def taking(care: Care, out: Path, state: Path, *, first: bool = False) -> Iterator[None]:
    """Make files and folders private in the block, where they have to be; warn of remotes.

    The first stage makes DVC's cache where there is none yet, for DVC would make it open to all;
    of one that is there and that others may read it tells, for those modes are not ours to set.
    """
    if not care.private:
        yield
        return
    out.parent.mkdir(parents=True, exist_ok=True)  # shared with open collections: as usual
    before = os.umask(OTHERS)
    os.umask(before | OTHERS)
    try:
        _narrow(state, care.source)
        warn(care, out, first=first)
        yield
    finally:
        os.umask(before)


def _narrow(state: Path, source: str) -> None:
    """Close what earlier runs left open: the memory of scans holds paths, and those hold ids."""
    for pattern in ("scan/*", f"logs/*-{source}.log"):
        for path in state.glob(pattern):
            narrow(path)


def narrow(path: Path) -> None:
    """Take the bits of group and world from a file or folder of ours."""
    with contextlib.suppress(OSError):
        mode = stat.S_IMODE(path.lstat().st_mode)
        # a file without the owner's w is DVC's, which knows its cache by that mode
        if mode & OTHERS and mode & stat.S_IWUSR and not path.is_symlink():
            path.chmod(mode & ~OTHERS)


def as_narrow_as(old: Path, new: Path) -> None:
    """Give no more rights to a new output than the old one's folder gave; shut it where it is ours.

    A tar that was taken over is another name of the old file, with the old file's mode.
    """
    if current() & OTHERS == OTHERS:
        for path in (new, *new.rglob("*")):
            narrow(path)
    with contextlib.suppress(FileNotFoundError):
        allowed = stat.S_IMODE(old.stat().st_mode) | stat.S_IRWXU
        mode = stat.S_IMODE(new.stat().st_mode)
        if mode & ~allowed:
            new.chmod(mode & allowed)


def current() -> int:
    """Return the umask of this process."""
    mask = os.umask(OTHERS)  # there is no way to ask for it alone
    os.umask(mask)
    return mask


def warn(care: Care, out: Path, *, first: bool) -> None:
    """Warn of every DVC remote that is not on this machine, and see to DVC's cache."""
    project = next((p for p in (out, *out.parents) if (p / ".dvc").is_dir()), None)
    if project is None:
        return
    why = f"credentialed ({care.licence})" if care.credentialed else "private (ids: salted)"
    settings = _settings(project / ".dvc")
    cache = project / ".dvc" / settings.get("cache", "cache")  # an absolute one stands alone
    with contextlib.suppress(OSError):
        if first and "cache" not in settings:
            cache.mkdir(mode=0o700, exist_ok=True)
        if first and cache.stat().st_mode & OTHERS:
            sys.stderr.write(
                f"warning: others may read DVC's cache ({cache}), and {care.source} is {why}: "
                f"`chmod 700` it, and let DVC run under `umask 077`\n"
            )
    for name, where in remotes(project / ".dvc").items():
        sys.stderr.write(
            f"warning: the DVC remote {name!r} is not on this machine ({where}), and {care.source} "
            f"is {why}: do not `dvc push` it there unless your agreement allows that\n"
        )


def remotes(folder: Path) -> dict[str, str]:
    """Return the DVC remotes that are elsewhere, name -> scheme and host (no user, no password)."""
    urls = {k.removeprefix("remote "): v for k, v in _settings(folder).items() if k != "cache"}
    found = {name: _elsewhere(url, urls) for name, url in sorted(urls.items())}
    return {name: where for name, where in found.items() if where}


def _settings(folder: Path) -> dict[str, str]:
    """Return of DVC's settings "cache" (its folder) and "remote NAME" (its url)."""
    found: dict[str, str] = {}
    for path in _configs(folder):
        reader = configparser.ConfigParser(interpolation=None, strict=False, allow_no_value=True)
        try:
            reader.read_string(path.read_text(encoding="utf-8"))
        except (OSError, ValueError, configparser.Error):
            continue  # DVC itself will say what is wrong with it
        for section in reader.sections():
            name = re.fullmatch(r"""'?remote\s+"(.*)"'?""", section)
            key, option = (f"remote {name[1]}", "url") if name else (section, "dir")
            value = reader.get(section, option, fallback=None)
            if value and (name or section == "cache"):
                found[key] = value.strip("'\"")
    return found


def _configs(folder: Path) -> list[Path]:
    """Return DVC's config files, in the order in which they are read."""
    home = Path(os.environ.get("XDG_CONFIG_HOME") or "~/.config").expanduser()
    system = (os.environ.get("XDG_CONFIG_DIRS") or "/etc/xdg").split(":")[0]
    return [
        Path(os.environ.get("DVC_SYSTEM_CONFIG_DIR") or Path(system) / "dvc") / "config",
        Path(os.environ.get("DVC_GLOBAL_CONFIG_DIR") or home / "dvc") / "config",
        folder / "config",
        folder / "config.local",
    ]


def _elsewhere(url: str, urls: Mapping[str, str], depth: int = 8) -> str:
    """Return where a url leads, "" for a folder of this machine."""
    found = ADDRESS.match(url)
    if found is None or found[1].lower() in ("file", "local"):
        return ""
    if found[1].lower() == "remote" and depth:  # remote://NAME/path: below another remote
        return _elsewhere(urls.get(found[2], "unknown://"), urls, depth - 1)
    return f"{found[1]}://{found[2]}"
