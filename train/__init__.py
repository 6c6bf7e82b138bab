"""Trains vision-language models on shards, and evaluates them.

Imports `cxr_vlp.nlp` and `cxr_vlp.pipelines.format`, and no other part of `pipelines`.
"""

from __future__ import annotations

import os
import sys
from types import TracebackType


def _stopped(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Report Ctrl-C in one line, and any other exception as Python does."""
    if not issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, error, trace)
        return
    sys.stderr.write("stopped\n")
    sys.stderr.flush()
    os._exit(130)  # Python itself would end with a signal


# A command needs seconds to import torch, and Ctrl-C may come in that time. This is the first line
# of ours that runs. `sys.argv[0]` is `-m` while Python looks for the module of a command.
if sys.argv[:1] == ["-m"]:
    sys.excepthook = _stopped
