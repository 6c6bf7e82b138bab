"""The errors of this package, which end a command with a message and an exit code.

`ConfigError` is a fault that the user can correct (a recipe, an argument, a missing folder); the
exit code is 2. So is `DivergenceError`: a training whose loss is no longer finite needs another
recipe. `DataError` is a shard that breaks the format, or an image or a text from which nothing
finite can be computed; the exit code is 65. No message holds a report, a name or an id: a sample
is named by the hash of its key (`key_hash` in cxr_vlp.pipelines.format.sample).
"""

from __future__ import annotations


class ConfigError(ValueError):
    """Raised at the start of a command; the message has the wrong name and the remedy."""


class DivergenceError(ConfigError):
    """Raised where a loss is not finite; the message has the step, the rate and the remedy."""


class DataError(ValueError):
    """Raised where shards, or what was computed from them, cannot be used."""
