"""The errors that all readers of the format raise.

`pipelines` and `train` turn FormatError into errors of their own; a StoreError is an OSError, and
ends a command as one.
"""

from __future__ import annotations

import errno


class FormatError(ValueError):
    """A tar, a sample or a manifest that does not follow the format.

    `code` is the code of the breach that `verify` reports (pipelines/codes.py). The message names a
    place in the file (a member's number); it never contains a member's name, an id or a text.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class StoreError(OSError):
    """An object store that does not give what it was asked for.

    The message has the address, what is wrong, and the remedy; never a key or a signed address.
    """

    def __init__(self, message: str) -> None:
        super().__init__(errno.EIO, message)

    def __str__(self) -> str:
        return str(self.strerror)

    def __reduce__(self) -> tuple[type[StoreError], tuple[str]]:
        return type(self), (str(self),)


class AbsentError(StoreError):
    """An address at which a store has nothing."""
