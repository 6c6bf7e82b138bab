"""The registry of collections: the readers of this project and those of installed packages.

A reader is found under the name of its collection. Any other name may be given to a collection in
params.yaml: `sources.NAME.preset` then says which reader reads it, for example `table`.

A reader is a class that follows the protocol `base.Source`. An installed package adds one with an
entry point; its name is the collection's name, in lower case letters and digits:

    [project.entry-points."cxr_vlp.sources"]
    clinic = "clinic_cxr:Clinic"

A reader's module is imported only when its collection is used. So a package that cannot be loaded
stops the commands of its own collection and no others. `examples/own_collection` is such a package.
"""

from __future__ import annotations

import dataclasses
import functools
import re
import sys
from collections.abc import Mapping, Sequence
from importlib import resources
from importlib.metadata import EntryPoint, entry_points
from typing import Any

import yaml

from cxr_vlp.nlp.config import settings
from cxr_vlp.nlp.config.plain_yaml import SettingsError
from cxr_vlp.pipelines.errors import ConfigError
from cxr_vlp.pipelines.sources.base import Source

GROUP = "cxr_vlp.sources"
BUILT_IN = {
    "mimic": "cxr_vlp.pipelines.sources.mimic:Mimic",
    "chexpert": "cxr_vlp.pipelines.sources.chexpert:Chexpert",
    "nih": "cxr_vlp.pipelines.sources.nih:Nih",
    "openi": "cxr_vlp.pipelines.sources.openi:Openi",
    "table": "cxr_vlp.pipelines.sources.table.reader:TableReader",
    "rexgradient": "cxr_vlp.pipelines.sources.rexgradient:Rexgradient",
    "bimcv": "cxr_vlp.pipelines.sources.bimcv:Bimcv",
    "shenzhen": "cxr_vlp.pipelines.sources.nlm:Shenzhen",
    "montgomery": "cxr_vlp.pipelines.sources.nlm:Montgomery",
}
# Collections that the reader `table` reads: each is a file of its options, presets/NAME.yaml.
PRESETS = (
    "brax", "candid", "chexpertplus", "padchest", "rsna", "siim", "vinbigdata", "vindr",
    "vindrpcxr",
)  # fmt: skip
# A name begins sample keys ("nih-00000001_000-0"), file names and folders.
NAME = re.compile(r"[a-z][a-z0-9]*")


class PluginError(ConfigError):
    """The reader of an installed package cannot be used. Exit 2, as any ConfigError."""


def names() -> tuple[str, ...]:
    """Return the names of all collections: the built-in ones, then those of installed packages.

    Nothing is imported: a name may belong to a reader that cannot be loaded.
    """
    installed = sorted(entry.name for entry in _installed())
    return tuple(dict.fromkeys([*BUILT_IN, *PRESETS, *installed]))


def kind(name: str) -> type:
    """Return the reader's class of a collection.

    Raises ConfigError for an unknown name. Raises PluginError, which names the package and the
    remedy, where an installed package registers a name that is taken, or a reader that cannot be
    imported or is no reader.
    """
    found = [entry for entry in _installed() if entry.name == name]
    ours = {**BUILT_IN, **dict.fromkeys(PRESETS, BUILT_IN["table"])}
    if name in ours and not found:
        built_in: type = EntryPoint(name, ours[name], GROUP).load()
        return built_in
    if not found:
        raise ConfigError(
            f"no source {name!r}{settings.nearest(name, names())}; known: "
            f"{', '.join(sorted(names()))}. For a collection of your own give "
            f"sources.{name}.preset and sources.{name}.root (docs/own-data.md)"
        )
    if name in ours or len(found) > 1:
        raise _clash(name, found)
    return _loaded(found[0])


def reader(
    name: str, options: Mapping[str, Any], path: str = "params.yaml", preset: str = ""
) -> Source:
    """Return the reader of a collection, made with the options that `path` gives for it.

    `preset` is the reader's name, where it is not the name of the collection. The options are laid
    over those of the preset. Raises ConfigError for an unknown name, an unknown option or a value
    that is not allowed, and PluginError as `kind` does.
    """
    if preset and not NAME.fullmatch(name):
        raise ConfigError(f"{path}: sources.{name}: a name has lower case letters and digits only")
    reads = preset or name
    where = f"{path}: sources.{name}"
    try:
        found = kind(reads)
        made: Source = settings.build(found, _over_preset(reads, options), f"{where}.reader")
    except SettingsError as error:
        raise ConfigError(str(error)) from None
    if made.name != name:
        # the class has the name of the preset; keys and file names begin with the collection's
        object.__setattr__(made, "name", name)
    return made


def _over_preset(name: str, options: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return options laid over those of a preset's file; a mapping is laid over key by key."""
    if name not in PRESETS:
        return options
    text = (resources.files(__name__) / "presets" / f"{name}.yaml").read_text(encoding="utf-8")
    return _laid_over(yaml.safe_load(text), options)


def _laid_over(lower: Mapping[str, Any], upper: Mapping[str, Any]) -> dict[str, Any]:
    both = {k: (lower[k], upper[k]) for k in lower.keys() & upper.keys()}
    merged = {
        k: _laid_over(low, up) if isinstance(low, Mapping) and isinstance(up, Mapping) else up
        for k, (low, up) in both.items()
    }
    return {**lower, **upper, **merged}


def _installed() -> Sequence[EntryPoint]:
    return _entry_points(tuple(sys.path))


@functools.cache
def _entry_points(_path: tuple[str, ...]) -> Sequence[EntryPoint]:
    # Reads a file of every installed package, which takes about 40 ms: once for each search path.
    return tuple(entry_points(group=GROUP))


def _loaded(entry: EntryPoint) -> type:
    where = f"collection {entry.name!r}: {entry.value} of the package {_package(entry)}"
    remedy = f"upgrade that package, or remove it: pip uninstall {_distribution(entry)}"
    try:
        found: Any = entry.load()
        problem = _problem(entry.name, found)
    except (Exception, SystemExit) as error:  # code of others: it may raise anything
        said = next(iter(str(error).splitlines()), "")
        problem = f"cannot be loaded ({type(error).__name__}{said and ': '}{said})"
    if problem:
        raise PluginError(f"{where} {problem}; {remedy}")
    made: type = found
    return made


def _problem(name: str, found: Any) -> str:
    """Return why an object is no reader of the collection `name`; "" if it is one."""
    if not NAME.fullmatch(name):
        return "has a name that is not lower case letters and digits"
    if not (isinstance(found, type) and dataclasses.is_dataclass(found)):
        return "is no reader: it must be a frozen dataclass"
    methods = [each for each in vars(Source) if not each.startswith("_")]
    lacking = [each for each in (*Source.__annotations__, *methods) if not hasattr(found, each)]
    if lacking:
        return f"is no reader: it lacks {', '.join(lacking)} (see cxr_vlp.pipelines.sources.base)"
    settings.hints(found)  # annotations that cannot be resolved raise here
    stated = getattr(found, "name", "")
    return "" if stated == name else f"calls itself {stated!r}: both names must be the same"


def _clash(name: str, found: Sequence[EntryPoint]) -> PluginError:
    packages = " and ".join(sorted(_package(entry) for entry in found))
    ours = name in BUILT_IN or name in PRESETS
    taken = "cxr-vlp has a reader of that name" if ours else "only one of them may"
    remove = _distribution(found[-1])
    return PluginError(
        f"collection {name!r} is registered by the package {packages}, and {taken}; rename the "
        f"entry point in the group {GROUP}, or remove the package: pip uninstall {remove}"
    )


def _distribution(entry: EntryPoint) -> str:
    return entry.dist.name if entry.dist else "(unknown)"


def _package(entry: EntryPoint) -> str:
    return f"{entry.dist.name} {entry.dist.version}" if entry.dist else "(unknown)"
