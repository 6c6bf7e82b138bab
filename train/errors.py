"""The two errors of this room, which end a command with a message and an exit code.

`ConfigError` is what the caller can mend (a recipe, an argument, a missing folder) and ends a
command with 2. `DataError` is a shard that breaks the format, or a loss that is no number, and ends
it with 65. Neither holds a report, a name or an id: a sample is named by the hash of its key
(`key_hash` in cxr_vlp.pipelines.format.sample).
"""

from __future__ import annotations


class ConfigError(ValueError):
    """Raised at the start of a command; the message has the wrong name and the remedy."""


class DataError(ValueError):
    """Raised where shards, or what was computed from them, cannot be used."""
