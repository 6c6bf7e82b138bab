"""Reads YAML files of settings and refuses values that are ambiguous.

YAML has two versions. This project reads 1.1 and DVC reads 1.2, and the two read `no`, `5e-4`,
`017` or `1_000` differently. Such values are refused. So are repeated keys, of which only the last
would be used.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

SHOWN = 60  # characters of a value in a message
# DVC's run-cache leaves these out of what it hashes, at any depth (dvc.stage.cache): a change of a
# parameter that bears such a name would rebuild nothing.
DROPPED_BY_DVC = ("size", "nfiles")


class SettingsError(ValueError):
    """A file of settings that cannot be used; one line for each fault, with key and remedy."""


def read(path: Path, secret: Collection[str] = ()) -> dict[str, Any]:
    """Return the mapping in a YAML file, {} for an empty one.

    Values below the keys in `secret` are never in a message. Raises SettingsError, which names the
    file, for a file that is not YAML, a repeated key, a key that is not a text, and a value that
    the two versions of YAML read differently.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise SettingsError(f"{path}: no such file") from None
    except IsADirectoryError:
        raise SettingsError(f"{path}: a folder, not a file") from None
    except UnicodeDecodeError:
        raise SettingsError(f"{path}: not UTF-8 text") from None
    try:
        content = _loaded(text, path, secret)
    except yaml.YAMLError as error:  # its own text quotes the file, and so perhaps a secret
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark else ""
        raise SettingsError(f"{path}{line}: not valid YAML") from None
    except RecursionError:
        raise SettingsError(f"{path}: not valid YAML: too deep") from None
    if content is not None and not isinstance(content, dict):
        raise SettingsError(f"{path}: expected keys and values at the top level")
    return content or {}


def _loaded(text: str, path: Path, secret: Collection[str]) -> Any:
    loader = yaml.SafeLoader(text)
    try:
        node = loader.get_single_node()
        if node is None:
            return None
        faults = list(_faults(node, "", secret, set()))
        if faults:
            raise SettingsError("\n".join(f"{path}, {fault}" for fault in faults))
        return loader.construct_document(node)
    except ValueError as error:
        if isinstance(error, SettingsError):
            raise
        raise SettingsError(f"{path}: a number with too many digits") from None
    finally:
        loader.dispose()


def _faults(node: yaml.Node, at: str, secret: Collection[str], seen: set[int]) -> Iterator[str]:
    """Yield "line N: what is wrong with a key or value", everywhere below a node."""
    if id(node) in seen:  # an alias
        return
    seen.add(id(node))
    if isinstance(node, yaml.ScalarNode):
        hidden = at.split(".")[0] in secret
        if said := _ambiguous(node):
            word = "the value" if hidden else f"`{node.value[:SHOWN]}`"
            yield f"line {node.start_mark.line + 1}: {at or 'value'}: {word} {said}"
    elif isinstance(node, yaml.SequenceNode):
        for place, item in enumerate(node.value):
            yield from _faults(item, f"{at}[{place}]", secret, seen)
    elif isinstance(node, yaml.MappingNode):
        keys: set[str] = set()
        for key, value in node.value:
            line = f"line {key.start_mark.line + 1}: {at}{': ' if at else ''}"
            merges = key.tag == "tag:yaml.org,2002:merge"
            if key.tag != _STR and not merges:
                word = f"`{key.value}`" if isinstance(key, yaml.ScalarNode) else "a list"
                yield f"{line}the key {word} is no text to YAML: quote it"
                continue
            if key.value in keys:
                yield f"{line}the key {key.value!r} is repeated: keep one"
            keys.add(key.value)
            inner = at if merges else f"{at}.{key.value}".removeprefix(".")
            yield from _faults(value, inner, secret, seen)


_STR = "tag:yaml.org,2002:str"
_FLOAT = "tag:yaml.org,2002:float"
_INTEGER = re.compile(r"[-+]?(0|[1-9][0-9]*)")
_DECIMAL = re.compile(
    r"[-+]?([0-9]+\.[0-9]*|\.[0-9]+)([eE][-+][0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)"
)
# numbers to YAML 1.2 alone: 0o17, and with underscores anywhere
_NEARLY = re.compile(r"0o[0-7_]+|0x[0-9a-fA-F_]+|[-+.0-9]*_[-+.0-9_]*([eE][-+0-9_]*)?")
_NUMBER = re.compile(r"([-+]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+))(?:[eE]([-+]?)([0-9]+))?")


def _ambiguous(node: yaml.ScalarNode) -> str:
    """Return what is wrong with an unquoted value that can be read in two ways, "" if nothing.

    `1e-05` becomes a number here, as a program would write it (`dvc exp run -S` does).
    """
    if node.style is not None:
        return ""
    text, tag = node.value, node.tag.rpartition(":")[2]
    if tag == "bool" and text.lower() not in ("true", "false"):
        return "is true or false to some readers only: quote it, or write true or false"
    if tag == "int" and not _INTEGER.fullmatch(text):
        return "is another number to some readers: write decimal digits alone, as in 1000"
    if tag == "float" and not _DECIMAL.fullmatch(text):
        return "is another number to some readers: write it as 1.5 or 1.0e-3"
    if tag == "timestamp":
        return "is a date to some readers: quote it"
    if tag == "str" and (number := _NUMBER.fullmatch(text)):
        if number[3] is None:
            return "is a text to some readers and a number to others: quote it, or write 9 for 09"
        if repr(float(text)) == text:
            node.tag = _FLOAT
            return ""
        mantissa = number[1] if "." in number[1] else f"{number[1]}.0"
        written = f"{mantissa}e{number[2] or '+'}{number[3]}"
        return f"is a text to some readers and a number to others: write {written}"
    if tag == "str" and _NEARLY.fullmatch(text):
        return "is a text to some readers and a number to others: quote it, or write decimal digits"
    return ""


def hashed(values: Any, where: str) -> None:
    """Refuse a key, at any depth, that DVC leaves out of what it hashes. Raises SettingsError."""
    names = list(_dropped(values, ""))
    if names:
        raise SettingsError(
            f"{where}: {names[0]}: DVC leaves keys of this name out of what it hashes, so that a "
            "change would rebuild nothing: choose another name"
        )


def _dropped(values: Any, at: str) -> Iterator[str]:
    if isinstance(values, Mapping):
        for key, value in values.items():
            path = f"{at}.{key}".removeprefix(".")
            if key in DROPPED_BY_DVC:
                yield path
            yield from _dropped(value, path)
    elif isinstance(values, list | tuple):
        for place, item in enumerate(values):
            yield from _dropped(item, f"{at}[{place}]")
