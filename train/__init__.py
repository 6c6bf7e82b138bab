"""Shards in, models and metrics out. Imports `nlp`, never `pipelines` or Beam."""

from __future__ import annotations

import os
import sys
from types import TracebackType


def _stopped(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Say in one line that Ctrl-C stopped the command; anything else is told as ever."""
    if not issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, error, trace)
        return
    sys.stderr.write("stopped\n")
    sys.stderr.flush()
    os._exit(130)  # Python itself would end with a signal


# The commands need seconds for their imports (torch), and Ctrl-C may come then: this is the first
# line of ours that runs. `-m` stands there while the module of a command is looked for.
if sys.argv[:1] == ["-m"]:
    sys.excepthook = _stopped
