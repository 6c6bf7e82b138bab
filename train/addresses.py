"""Refuses the address of another machine (`s3://...`) as a flag or as the value of a parameter."""

from __future__ import annotations

from cxr_vlp.pipelines.format import local_paths
from cxr_vlp.train.errors import ConfigError

path = local_paths.path  # the type of a flag that takes a path


def check(text: str, name: str) -> None:
    """Refuse an address as the value of the parameter `name`. Raises ConfigError."""
    if refused := local_paths.refusal(text):
        raise ConfigError(f"{name}: {refused}")
