"""The exporters by name, each loaded when it is used: `--to FORMAT` and `--for TRAINER`."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from importlib.metadata import EntryPoint
from typing import Any

from cxr_vlp.pipelines.errors import ConfigError
from cxr_vlp.pipelines.exports.base import Exporter

_FORMATS, _TRAINERS = "cxr_vlp.pipelines.exports.formats", "cxr_vlp.pipelines.exports.trainers"
FORMATS: dict[str, str] = {
    "csv": f"{_FORMATS}.flat:Csv",
    "parquet": f"{_FORMATS}.flat:Parquet",
    "jsonl": f"{_FORMATS}.flat:Jsonl",
    "hf": f"{_FORMATS}.hugging_face:HuggingFace",
    "wids": f"{_FORMATS}.wids:Wids",
    "mds": f"{_FORMATS}.mds:Mds",
    "litdata": f"{_FORMATS}.litdata:Litdata",
    "folder": f"{_FORMATS}.folder:Folder",
}
TRAINERS: dict[str, str] = {
    "cxrclip": f"{_TRAINERS}.cxrclip:CxrClip",
    "chexzero": f"{_TRAINERS}.chexzero:CheXzero",
    "carzero": f"{_TRAINERS}.carzero:CarZero",
    "mgca": f"{_TRAINERS}.mgca:Mgca",
    "medclip": f"{_TRAINERS}.medclip:MedClip",
    "llava": f"{_TRAINERS}.llava:Llava",
    "xrv": f"{_TRAINERS}.xrv:Xrv",
}


def load(name: str, among: Mapping[str, str]) -> Exporter:
    """Return the exporter of a name in FORMATS or TRAINERS.

    Raises ConfigError if a package that it needs is not installed.
    """
    try:
        made: Any = EntryPoint(name, among[name], "").load()()
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("cxr_vlp"):
            raise  # a fault of ours
        raise ConfigError(
            f'{name} needs the package {error.name}: pip install "cxr-vlp[share]"'
        ) from None
    exporter: Exporter = made
    return exporter


def described(among: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Yield (name, its line in the command's help) of each exporter.

    One whose module lacks a package still has its name in the help.
    """
    for name in among:
        about = ""
        with contextlib.suppress(ImportError, ConfigError):
            about = load(name, among).about
        yield name, about
