"""Stops a stage if its input was made with other parameters than those of params.yaml.

DVC checks the same first; this check works without DVC. Every stage writes its parameters into the
header of its output, and the next stage compares them with params.yaml. The message names the
dotted key, both values, and the command to run.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from cxr_vlp.pipelines import parts
from cxr_vlp.pipelines.config import Collection, Params, Scan, Shards, Texts
from cxr_vlp.pipelines.errors import ConfigError
from cxr_vlp.pipelines.files import jsonl
from cxr_vlp.pipelines.format import fingerprints, versions
from cxr_vlp.pipelines.sources import ids
from cxr_vlp.pipelines.sources.base import Source
from cxr_vlp.pipelines.stages import text_resources

Header = Mapping[str, Any]
LACKING = "not recorded"


def of_scan(source: Source, collection: Collection, section: Scan, salt: str) -> dict[str, Any]:
    """Return everything that decides an inventory's bytes besides the tree; no root, no host."""
    return {
        "epoch": versions.SCAN,
        "format": versions.FORMAT,
        "source": source.name,
        "preset": collection.preset,
        "reader": dataclasses.asdict(source),  # type: ignore[call-overload]
        "parts": dict(collection.parts),
        "missing": collection.missing,
        "digests": collection.digests,
        "max_rejects": collection.max_rejects,
        "links": collection.links,
        "ids": collection.ids,
        "layers": sorted(collection.layers),  # their content is seen by `scan`, as the tree is
        "leave_out": [
            entry.facts(f"sources.{source.name}.leave_out[{number}]")
            for number, entry in enumerate(collection.leave_out)
        ],
        # the salt is a secret; its digest shows whether it changed
        "scan": dataclasses.asdict(section) | {"salt": fingerprints.of(salt)},
    }


def inventory(header: Header, folder: Path, settings: Params) -> None:
    """Compare an inventory with sections `scan` and `sources.SOURCE`. Raises ConfigError."""
    name = str(header["source"])
    collection, section = settings.collection(name), settings.section("scan", Scan)
    try:
        salt = ids.salt(section.salt)
    except ConfigError:  # env:NAME is not set; only `scan` needs the salt
        salt = ""
    wanted = of_scan(settings.reader(name), collection, section, salt)
    recorded = {key: header.get(key, LACKING) for key in wanted}
    if not salt:
        wanted["scan"].pop("salt")
    stage = _Stage("scan", name, folder, settings.path)
    stage.same_code(recorded, wanted, ("epoch", "format"))
    for key in ("epoch", "format", "source"):
        wanted.pop(key)
    scan = {"scan": wanted.pop("scan")}
    stage.same(recorded, {f"sources.{name}.{key}": key for key in wanted}, wanted)
    stage.same(recorded, {"scan": "scan"}, scan)


def of_inventory(folder: Path, header: Header, read: Mapping[str, str] | None = None) -> str:
    """Return the digest of all files of an inventory, which identifies the inventory.

    `read`: part -> sha256 of its file, if they are known; else the files are read.
    """
    names = parts.names(header["source"], header["parts"])
    read = read or {name: jsonl.sha256(folder / f"{name}.jsonl") for name in names}
    digests = [[f"{name}.jsonl", read[name]] for name in names]
    others = ("inventory.json", "rejects.jsonl")
    return fingerprints.of([*digests, *([name, jsonl.sha256(folder / name)] for name in others)])


def texts(
    header: Header,
    folder: Path,
    settings: Params,
    scan: Path,
    listed: Header,
    read: Mapping[str, str] | None = None,
) -> None:
    """Compare texts with section `texts`, the user's own files, and the inventory in `scan`.

    `listed` is the inventory's header, `read` is part -> sha256 of its file, if they are known.
    Raises ConfigError.
    """
    section = settings.section("texts", Texts)
    stage = _Stage("texts", str(header["source"]), folder, settings.path)
    stage.same_code(header, {"epoch": versions.TEXTS}, ("epoch",))
    stage.same(header, {"texts": "texts"}, {"texts": section.text_parameters()})
    made, now = header.get("files", {}), text_resources.files(section)
    for key, digest in now.items():
        if made.get(key, LACKING) != digest:
            raise ConfigError(stage.other_file(key, getattr(section, key, "")))
    if header.get("inventory", LACKING) != of_inventory(scan, listed, read):
        raise ConfigError(
            f"{folder} was made from another inventory than the one in {scan}: {stage.remedy}"
        )


def unedited(header: Header, folder: Path, found: Mapping[str, str]) -> None:
    """Refuse texts with a part that `texts` did not write; `found` is part -> sha256 of its file.

    A sample knows its text by the digest of the report: an edit by hand would reach no tar.
    Raises ConfigError.
    """
    made = header.get("part_files", found)  # texts of 0.8 do not have it
    edited = [name for name in found if made.get(name, LACKING) != found[name]]
    if edited:
        raise ConfigError(
            f"{folder / edited[0]}.jsonl is not the file that `texts` wrote: run "
            f"`cxr-vlp texts {header['source']}` again"
        )


def shards(header: Header, folder: Path, settings: Params) -> None:
    """Compare a finished set with section `shards`. Raises ConfigError."""
    stage = _Stage("shards", str(header["source"]), folder, settings.path)
    wanted = dataclasses.asdict(settings.section("shards", Shards))
    stage.same(header, {"shards": "shards"}, {"shards": wanted})


@dataclasses.dataclass(frozen=True)
class _Stage:
    """The stage that made a folder, for the messages."""

    name: str
    source: str
    folder: Path
    params: str

    @property
    def remedy(self) -> str:
        return (
            f"run `cxr-vlp {self.name} {self.source}` again (or `dvc repro "
            f"{self.name}@{self.source}`), or name the parameters it was made with in --params"
        )

    def same_code(self, recorded: Header, now: Header, keys: tuple[str, ...]) -> None:
        """Refuse a folder that another version of the code made."""
        for key in keys:
            made = recorded.get(key, LACKING)
            if made != now[key]:
                what = "version" if key == "epoch" else key
                raise ConfigError(
                    f"{self.folder} was made by another version of the code ({what} {made}, now "
                    f"{now[key]}): run `cxr-vlp {self.name} {self.source}` again"
                )

    def same(self, recorded: Header, keys: Mapping[str, str], wanted: Header) -> None:
        """Refuse a folder made with other parameters; `keys`: dotted key -> key of the header."""
        found = [
            line
            for dotted, key in keys.items()
            for line in _different(dotted, recorded.get(key, LACKING), wanted[key])
        ]
        if not found:
            return
        dotted, made, now = found[0]
        more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
        if dotted == "scan.salt":
            text = f"scan.salt is not the one that {self.folder} was made with"
        else:
            text = f"{dotted} is {_yaml(now)} in {self.params}, and "
            text += f"{self.folder} was made with {_yaml(made)}"
        raise ConfigError(f"{text}{more}: {self.remedy}")

    def other_file(self, key: str, path: str) -> str:
        """Return the message for a user's own file that changed."""
        if key == "lexicon":
            return f"nlp/lexicon is not the one that {self.folder} was made with: {self.remedy}"
        now = f"{path}, with other content or another file" if path else "not set"
        return (
            f"texts.{key} is {now} in {self.params}, and {self.folder} was not made with that: "
            f"{self.remedy}"
        )


def _different(dotted: str, made: Any, now: Any) -> Iterator[tuple[str, Any, Any]]:
    """Yield (dotted key, recorded value, value now) of everything that differs."""
    if isinstance(now, Mapping) and isinstance(made, Mapping):
        for key in (*now, *(key for key in made if key not in now)):
            if key == "salt" and key not in now:
                continue  # the salt is unknown here
            yield from _different(f"{dotted}.{key}", made.get(key, LACKING), now.get(key, LACKING))
    elif _plain(made) != _plain(now):
        yield dotted, made, now


def _plain(value: Any) -> Any:
    """Return the JSON form of a value, in which 1 and true differ, and a tuple is a list."""
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    if isinstance(value, Mapping):
        return {key: _plain(each) for key, each in value.items()}
    return type(value) is bool, value


def _yaml(value: Any) -> str:
    """Return a value as params.yaml writes it."""
    return value if isinstance(value, str) and value else json.dumps(value)
