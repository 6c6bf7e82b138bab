"""Finds DVC's cache, and the kinds of links by which DVC puts its files into the workspace.

The settings are read from DVC's config files: the command `dvc cache dir` takes a second.
"""

from __future__ import annotations

import configparser
import os
from dataclasses import dataclass
from pathlib import Path

from cxr_vlp.pipelines.files import privacy

DEFAULT_LINKS = ("reflink", "copy")  # of DVC 3, where cache.type is not set


@dataclass(frozen=True)
class DvcCache:
    """The cache of a DVC project; `folder` is "" if there is none."""

    folder: str = ""
    links: tuple[str, ...] = ()  # cache.type

    @property
    def hard_links(self) -> bool:
        """Whether the same file may be in the cache and in the workspace.

        With cache.type copy DVC would replace the link by a copy.
        """
        return bool({"hardlink", "symlink"} & set(self.links))

    def path(self, md5: str) -> Path:
        """Return where DVC 3 keeps a file; only this function depends on the layout."""
        return Path(self.folder) / "files" / "md5" / md5[:2] / md5[2:]

    def holds(self, path: Path) -> bool:
        """Return whether a path is in the cache."""
        return bool(self.folder) and path.is_relative_to(self.folder)


def under_dvc() -> bool:
    """Return whether DVC runs this stage."""
    return "DVC_STAGE" in os.environ


def of_project(folder: Path) -> DvcCache:
    """Return the cache of the DVC project that contains a folder of this machine."""
    projects = (each / ".dvc" for each in (folder, *folder.parents))
    found = next((project for project in projects if project.is_dir()), None)
    if found is None:
        return DvcCache()
    settings = _settings(found)
    links = [link.strip() for link in settings.get("type", "").split(",") if link.strip()]
    where = found / os.path.expanduser(settings.get("dir", "cache"))  # noqa: PTH111 - not a path yet
    return DvcCache(os.path.normpath(where), tuple(links) or DEFAULT_LINKS)


def _settings(folder: Path) -> dict[str, str]:
    """Return the section `cache` of DVC's config files; a later file replaces an earlier one."""
    found: dict[str, str] = {}
    for path in privacy.dvc_configs(folder):
        reader = configparser.ConfigParser(interpolation=None, strict=False, allow_no_value=True)
        try:
            reader.read_string(path.read_text(encoding="utf-8"))
        except (OSError, ValueError, configparser.Error):
            continue  # DVC itself reports what is wrong with it
        if reader.has_section("cache"):
            found |= {key: value.strip("'\"") for key, value in reader.items("cache") if value}
    return found
