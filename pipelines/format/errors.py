"""The error that all readers of the format raise.

`pipelines` and `train` turn it into errors of their own.
"""

from __future__ import annotations


class FormatError(ValueError):
    """A tar, a sample or a manifest that does not follow the format.

    `code` is the code of the breach that `verify` reports (pipelines/codes.py). The message names a
    place in the file (a member's number); it never contains a member's name, an id or a text.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
