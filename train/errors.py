"""The two errors of this package, which end a command with a message and an exit code.

`ConfigError` is a fault that the user can correct (a recipe, an argument, a missing folder); the
exit code is 2. `DataError` is a shard that breaks the format, or a loss that is not finite; the
exit code is 65. Neither message holds a report, a name or an id: a sample is named by the hash of
its key (`key_hash` in cxr_vlp.pipelines.format.sample).
"""

from __future__ import annotations


class ConfigError(ValueError):
    """Raised at the start of a command; the message has the wrong name and the remedy."""


class DataError(ValueError):
    """Raised where shards, or what was computed from them, cannot be used."""
