"""Values of params.yaml that stand in a variable: `env:NAME` keeps them out of git and dvc.lock."""

from __future__ import annotations

import os

from cxr_vlp.pipelines.errors import ConfigError

PREFIX = "env:"


def value(text: str, key: str) -> str:
    """Return a value of params.yaml: that of the variable NAME for `env:NAME`, else the text.

    `key` is the dotted key, for the message. Raises ConfigError for a variable that is not set.
    """
    if not text.startswith(PREFIX):
        return text
    name = text.removeprefix(PREFIX)
    found = os.environ.get(name, "")
    if not found:
        raise ConfigError(f"{key} is {text}, and the variable {name} is not set")
    return found
