"""The two faults this room tells apart; what comes out is a message and an exit code.

`ConfigError` is what the caller can mend (a recipe, an argument, a missing folder) and ends a
command with 2; `DataError` is a shard that breaks its contract or a loss that is no number, and
ends it with 65. Neither ever carries a report, a name or a raw id: samples are named by
`key_hash`.
"""

from __future__ import annotations

import hashlib


class ConfigError(ValueError):
    """Raised at the start, with the offending name and the fix in the message."""


class DataError(ValueError):
    """Raised where shards, or what was computed from them, cannot be used."""


def key_hash(key: str) -> str:
    """Return the 16 hex digits under which a sample may appear in logs, metrics and messages."""
    return hashlib.sha256(key.encode()).hexdigest()[:16]
