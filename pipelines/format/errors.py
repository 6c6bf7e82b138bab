"""The error that every reader of the format raises; each room turns it into an error of its own."""

from __future__ import annotations


class FormatError(ValueError):
    """A tar, a sample or a manifest that does not follow the format.

    `code` is the code of the breach that `verify` reports (pipelines/codes.py). The message names a
    place in the file (a member's number), never a member's name, an id or a text.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
