"""Makes the files of a run readable by its user only, and warns before data leaves the machine.

This applies to collections whose users signed an agreement (credentialed), and to collections with
hidden ids (`ids: salted`). Permissions of existing files are only narrowed, never widened.
"""

from __future__ import annotations

import configparser
import contextlib
import os
import re
import stat
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cxr_vlp.pipelines.storage.place import is_remote, shown

OTHERS = 0o077  # the bits of group and world
ADDRESS = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://(?:[^@/]*@)?([^/?#]*)")


@dataclass(frozen=True)
class Protection:
    """Whether a run's files are private, and why."""

    source: str
    licence: str = ""
    credentialed: bool = False
    salted: bool = False

    @classmethod
    def of_inventory(cls, inventory: Mapping[str, Any]) -> Protection:
        """Return the protection of an inventory, also of its annotation layers."""
        closed = [each for each in inventory.get("annotations", ()) if each["credentialed"]]
        licences = dict.fromkeys([inventory["licence"], *(each["licence"] for each in closed)])
        return cls(
            inventory["source"],
            "; ".join(licences),
            inventory["credentialed"],
            inventory["ids"] == "salted",
        )

    @property
    def private(self) -> bool:
        """Whether only the user who runs the command may read the files."""
        return self.credentialed or self.salted

    @property
    def why(self) -> str:
        """Why it is private, for a message."""
        if self.credentialed:
            return f"credentialed ({self.licence})"
        return "private (ids: salted)"


@contextlib.contextmanager
def protecting(
    protection: Protection, out: Path, state: Path, *, first: bool = False
) -> Iterator[None]:
    """Make files and folders that the block creates private if necessary; warn of DVC remotes.

    The first stage creates DVC's cache if there is none, because DVC would create it open to
    all. It warns of an existing cache that others may read: its permissions belong to the user. The
    rights to a bucket are not files' permissions: it warns of each store that is written to.
    """
    if not protection.private:
        yield
        return
    if not is_remote(out):  # shared with open collections: usual permissions
        out.parent.mkdir(parents=True, exist_ok=True)
    with _umask():
        if not is_remote(state):
            _narrow(state, protection.source)
        _warn_of_stores(protection, (out, state))
        if not is_remote(out):
            warn(protection, out, first=first)
        yield


@contextlib.contextmanager
def hiding(header: Mapping[str, Any]) -> Iterator[None]:
    """Make what the block creates private if the set is; `header` is that of its manifest."""
    with _umask() if is_private(header) else contextlib.nullcontext():
        yield


def is_private(header: Mapping[str, Any]) -> bool:
    """Return whether only its user may read a set: it is credentialed, or its ids are salted."""
    return header.get("credentialed") is True or header.get("ids") == "salted"


@contextlib.contextmanager
def _umask() -> Iterator[None]:
    before = os.umask(OTHERS)
    os.umask(before | OTHERS)
    try:
        yield
    finally:
        os.umask(before)


def _narrow(state: Path, source: str) -> None:
    """Narrow files that earlier runs left open: the file index has paths, and paths have ids."""
    for pattern in ("scan/*", f"logs/*-{source}.log"):
        for path in state.glob(pattern):
            narrow(path)


def narrow(path: Path) -> None:
    """Remove the permissions of group and world from a file or folder that this project made."""
    with contextlib.suppress(OSError):
        mode = stat.S_IMODE(path.lstat().st_mode)
        # a file that its owner may not write is DVC's, which marks its cache by that mode
        if mode & OTHERS and mode & stat.S_IWUSR and not path.is_symlink():
            path.chmod(mode & ~OTHERS)


def open_to_others(folder: Path, header: Mapping[str, Any]) -> bool:
    """Return whether others may read a file of a private set; `header` is that of its manifest.

    DVC writes what it pulls with the umask of its user, and so does every copy of a set.
    """
    if not is_private(header):
        return False
    place = folder.resolve()
    if not all(path.stat().st_mode & 0o011 for path in (place, *place.parents)):
        return False  # others cannot enter a folder on the way to it
    return any(path.stat().st_mode & 0o044 for path in place.rglob("*") if path.is_file())


def as_narrow_as(old: Path, new: Path) -> None:
    """Give a new output no more rights than the folder of the old one; narrow it in a private run.

    A reused tar is a hard link to the old file, with that file's permissions.
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
    mask = os.umask(OTHERS)  # it can only be read by setting it
    os.umask(mask)
    return mask


def _warn_of_stores(protection: Protection, places: Iterable[Path]) -> None:
    """Warn that nobody checks who may read a bucket: its policy decides, which we may not read."""
    for found in dict.fromkeys(shown(each) for each in places if is_remote(each)):
        sys.stderr.write(
            f"warning: {protection.source} is {protection.why}, and {found} is not on this "
            "machine: who may read that bucket is not checked; it must be private, and your "
            "agreement must allow it\n"
        )


def warn(protection: Protection, out: Path, *, first: bool) -> None:
    """Warn of every DVC remote that is not on this machine, and of a readable DVC cache."""
    project = next((p for p in (out, *out.parents) if (p / ".dvc").is_dir()), None)
    if project is None:
        return
    why = protection.why
    settings = _settings(project / ".dvc")
    cache = (
        project / ".dvc" / settings.get("cache", "cache")
    )  # an absolute path replaces the first part
    with contextlib.suppress(OSError):
        if first and "cache" not in settings:
            cache.mkdir(mode=0o700, exist_ok=True)
        if first and cache.stat().st_mode & OTHERS:
            sys.stderr.write(
                f"warning: others may read DVC's cache ({cache}), and {protection.source} is "
                f"{why}: `chmod 700` it, and let DVC run under `umask 077`\n"
            )
    for name, where in remotes(project / ".dvc").items():
        sys.stderr.write(
            f"warning: the DVC remote {name!r} is not on this machine ({where}), and "
            f"{protection.source} is {why}: do not `dvc push` it there unless your agreement "
            "allows that\n"
        )


def remotes(folder: Path) -> dict[str, str]:
    """Return the DVC remotes on other machines: name -> scheme and host (no user, no password)."""
    urls = {k.removeprefix("remote "): v for k, v in _settings(folder).items() if k != "cache"}
    found = {name: _elsewhere(url, urls) for name, url in sorted(urls.items())}
    return {name: where for name, where in found.items() if where}


def _settings(folder: Path) -> dict[str, str]:
    """Return two kinds of DVC's settings: "cache" (its folder) and "remote NAME" (its url)."""
    found: dict[str, str] = {}
    for path in dvc_configs(folder):
        reader = configparser.ConfigParser(interpolation=None, strict=False, allow_no_value=True)
        try:
            reader.read_string(path.read_text(encoding="utf-8"))
        except (OSError, ValueError, configparser.Error):
            continue  # DVC itself reports what is wrong with it
        for section in reader.sections():
            name = re.fullmatch(r"""'?remote\s+"(.*)"'?""", section)
            key, option = (f"remote {name[1]}", "url") if name else (section, "dir")
            value = reader.get(section, option, fallback=None)
            if value and (name or section == "cache"):
                found[key] = value.strip("'\"")
    return found


def dvc_configs(folder: Path) -> list[Path]:
    """Return DVC's config files, in the order in which they are read; `folder` is .dvc."""
    home = Path(os.environ.get("XDG_CONFIG_HOME") or "~/.config").expanduser()
    system = (os.environ.get("XDG_CONFIG_DIRS") or "/etc/xdg").split(":")[0]
    return [
        Path(os.environ.get("DVC_SYSTEM_CONFIG_DIR") or Path(system) / "dvc") / "config",
        Path(os.environ.get("DVC_GLOBAL_CONFIG_DIR") or home / "dvc") / "config",
        folder / "config",
        folder / "config.local",
    ]


def _elsewhere(url: str, urls: Mapping[str, str], depth: int = 8) -> str:
    """Return scheme and host of a url, "" for a folder of this machine."""

    found = ADDRESS.match(url)
    if found is None or found[1].lower() in ("file", "local"):
        return ""
    if found[1].lower() == "remote" and depth:  # remote://NAME/path: below another remote
        return _elsewhere(urls.get(found[2], "unknown://"), urls, depth - 1)
    return f"{found[1]}://{found[2]}"
